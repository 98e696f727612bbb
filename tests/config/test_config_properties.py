"""The merge, the expansion and the precedence, against a small model of the rules."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_evals.config.settings import Settings
from pytest_evals.config.showing import value_as_toml
from pytest_evals.config.values import is_name

from .files import Files

NAMES = ("temperature", "max_tokens", "num_examples", "rollouts_per_example")
ARGUMENT = st.sampled_from(["x", "y", "z"])
VALUE = st.one_of(st.integers(0, 3), st.booleans(), st.sampled_from(["easy", "a b", "", "é"]))
NUMBER = st.integers(1, 9)
KEYS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(NAMES, NUMBER),
    "model": st.sampled_from(["m", "n"]),
    "endpoint_id": st.sampled_from(["e", "f"]),
    "env_args": st.dictionaries(ARGUMENT, VALUE, max_size=2),
    "sampling_args": st.dictionaries(st.sampled_from(["temperature", "top_p"]), NUMBER, max_size=2),
}


def _one_of_model_and_endpoint(table: dict[str, Any]) -> bool:
    return not {"model", "endpoint_id"} <= table.keys()


TABLE = st.fixed_dictionaries({}, optional=KEYS).filter(_one_of_model_and_endpoint)
SETTINGS = st.fixed_dictionaries(
    {}, optional={key: KEYS[key] for key in (*NAMES, "model", "env_args", "sampling_args")}
)
DEFAULTS = st.fixed_dictionaries({}, optional={"num_examples": NUMBER})
SWEEP = st.fixed_dictionaries(
    {},
    optional={
        **{key: st.lists(NUMBER, min_size=1, max_size=3) for key in NAMES},
        "env_args": st.dictionaries(ARGUMENT, st.lists(VALUE, min_size=1, max_size=3), max_size=2),
    },
).filter(lambda sweep: any(sweep.values()))


def toml_of(table: dict[str, Any]) -> str:
    return "".join(f"{key} = {value_as_toml(value)}\n" for key, value in table.items())


# The model: plain dicts, the weakest level first.


def model_block(block: dict[str, Any], top_level: dict[str, Any]) -> dict[str, Any]:
    inherited = dict(top_level)
    if "model" in block or "endpoint_id" in block:
        inherited.pop("model", None)
        inherited.pop("endpoint_id", None)
    return {**inherited, **block}


def model_eval(file: dict[str, Any], levels: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what an eval has, `levels` from weak to strong besides the file."""
    found: dict[str, Any] = {"env_args": {}}
    short: dict[str, Any] = {}
    long: dict[str, Any] = {}
    for table in (*levels, file):
        for key in ("num_examples", "rollouts_per_example", "env_args"):
            if key in table:
                found[key] = table[key]
        for key, other in (("model", "endpoint_id"), ("endpoint_id", "model")):
            if key in table:
                found[key] = table[key]
                found.pop(other, None)
        told: dict[str, Any] = {
            key: table[key] for key in ("temperature", "max_tokens") if key in table
        }
        short.update(told)
        # A table replaces the weaker one; without one, what is said in short beats the weaker one.
        kept = {key: value for key, value in long.items() if key not in told}
        long = table.get("sampling_args", kept)
    return {**found, "sampling": {**short, **long}}


def model_points(
    block: dict[str, Any], sweep: dict[str, Any], top_level: dict[str, Any]
) -> list[dict[str, Any]]:
    lists = [(key, None, values) for key, values in sweep.items() if key != "env_args"]
    lists += [("env_args", key, values) for key, values in sweep.get("env_args", {}).items()]
    points = []
    for choice in itertools.product(*(values for *_, values in lists)):
        point = model_block(block, top_level)
        for (key, argument, _), value in zip(lists, choice, strict=True):
            if argument is None:
                point[key] = value
            else:
                point["env_args"] = {**point.get("env_args", {}), argument: value}
        points.append(point)
    return points


def seen(spec: Any) -> dict[str, Any]:
    return {
        "num_examples": spec.num_examples,
        "rollouts_per_example": spec.rollouts_per_example,
        "model": spec.model,
        "endpoint_id": spec.endpoint_id,
        "env_args": spec.env_args,
        "sampling": spec.sampling_args,
    }


def expected(file: dict[str, Any], levels: list[dict[str, Any]]) -> dict[str, Any]:
    found = model_eval(file, levels)
    keys = ("num_examples", "rollouts_per_example", "model", "endpoint_id", "env_args", "sampling")
    return {key: found.get(key) for key in keys}


BUILT_IN = {"num_examples": 5, "rollouts_per_example": 3, "model": "openai/gpt-4.1-mini"}


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
@given(TABLE, st.lists(TABLE, max_size=2), TABLE, SWEEP, SETTINGS, SETTINGS, DEFAULTS)
def test_evals_are_what_the_rules_say(
    top_level: dict[str, Any],
    evals: list[dict[str, Any]],
    fixed: dict[str, Any],
    sweep: dict[str, Any],
    command_line: dict[str, Any],
    ini: dict[str, Any],
    defaults: dict[str, Any],
) -> None:
    swept = sweep.get("env_args", {})
    fixed = {**fixed, "env_args": {"fixed": 1}} if "env_args" in fixed else fixed
    text = toml_of(top_level)
    for number, block in enumerate(evals):
        text += f'[[eval]]\nenv_id = "env"\nname = "eval{number}"\n' + toml_of(block)
    text += '[[ablation]]\nenv_id = "abl"\n' + toml_of(fixed) + "[ablation.sweep]\n"
    text += toml_of({key: values for key, values in sweep.items() if key != "env_args"})
    text += "[ablation.sweep.env_args]\n" + toml_of(swept)
    with tempfile.TemporaryDirectory() as folder:
        config = Files(Path(folder)).read(
            text, command_line=Settings(**command_line), ini=Settings(**ini), defaults=defaults
        )
    levels = [BUILT_IN, defaults, ini, command_line]
    files = [model_block(block, top_level) for block in evals]
    files += model_points(fixed, sweep, top_level)
    assert [seen(spec) for spec in config.evals] == [expected(file, levels) for file in files]
    names = [spec.name for spec in config.evals]
    assert len(set(names)) == len(names)
    assert all(map(is_name, names))


@settings(max_examples=100, deadline=None, database=None)
@given(TABLE, SETTINGS, st.dictionaries(st.sampled_from(NAMES), NUMBER), ARGUMENT, VALUE)
def test_what_is_set_is_what_the_eval_has(
    block: dict[str, Any],
    command_line: dict[str, Any],
    numbers: dict[str, int],
    argument: str,
    value: Any,
) -> None:
    texts = [f"{key}={number}" for key, number in numbers.items()]
    texts.append(f"env_args.{argument}={value_as_toml(value)}")
    texts.insert(0, "sampling_args.top_p=0.25")
    with tempfile.TemporaryDirectory() as folder:
        (spec,) = (
            Files(Path(folder))
            .read(
                '[[eval]]\nenv_id = "env"\n' + toml_of(block),
                command_line=Settings(**command_line, assignments=tuple(texts)),
            )
            .evals
        )
    found = {**seen(spec), **spec.sampling_args}
    assert {key: found[key] for key in numbers} == numbers
    assert spec.env_args[argument] == value
    assert spec.sampling_args["top_p"] == 0.25
    before = block.get("env_args", command_line.get("env_args", {}))
    assert spec.env_args == {**before, argument: value}
