"""Showing: a resolved eval as TOML that means the same, each value with where it is from."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
import tomli

from pytest_evals.config.settings import Settings
from pytest_evals.config.showing import eval_as_toml, value_as_toml

from .files import Files

EVERY_LEVEL = """model = "m"
env_args = { split = "test" }
headers = { X-A = "1" }
[[ablation]]
env_id = "o/my-env"
markers = ["smoke"]
gates = ["reward >= 0.5"]
max_concurrent = 3
[ablation.sweep]
temperature = [
  0.5,
]
env_args.level = ["hard"]
"""


def test_every_value_says_where_it_is_from(files: Files) -> None:
    (spec,) = files.read(
        EVERY_LEVEL,
        command_line=Settings(
            provider="local", header=("X-B: 2",), gates=("turns <= 2",), assignments=("timeout=9",)
        ),
        ini=Settings(max_tokens=7, extra_env_kwargs={"x": None}),
        defaults={"num_examples": 4},
    ).evals
    assert eval_as_toml(spec) == [
        "[[eval]]  # bench.toml:4",
        'env_id = "o/my-env"  # bench.toml:5',
        'name = "my-env-temperature-0.5-level-hard"  # made of env_id',
        'env_args.split = "test"  # bench.toml:2',
        'env_args.level = "hard"  # bench.toml:13',
        "# extra_env_kwargs.x = None  # ini evals_extra_env_kwargs; has no form in TOML",
        "num_examples = 4  # [tool.verifiers.eval] of the environment",
        "rollouts_per_example = 3  # built in",
        'model = "m"  # bench.toml:1',
        'provider = "local"  # --evals-provider',
        'headers.X-A = "1"  # bench.toml:3',
        'headers.X-B = "2"  # --evals-header',
        "sampling_args.max_tokens = 7  # ini evals_max_tokens",
        "sampling_args.temperature = 0.5  # bench.toml:11",
        "max_concurrent = 3  # bench.toml:8",
        "timeout = 9.0  # --evals-set timeout",
        'markers = ["smoke"]  # bench.toml:6',
        "gates = [",
        '  "reward >= 0.5",  # bench.toml:7',
        '  "turns <= 2",  # --evals-gate',
        '  "error_rate <= 0",  # added: the eval has no gate on error_rate',
        "]",
    ]


HOSTILE = 'quote " back \\ line\nfeed \r tab\t nul\x00 esc\x1b del\x7f c1\x9b rtl\u202e é 🎲'


@pytest.mark.parametrize(
    "value",
    [
        True,
        False,
        0,
        -7,
        2**400,
        2**60000,
        0.1,
        -1e300,
        1e22,
        float("inf"),
        float("-inf"),
        "",
        HOSTILE,
        [],
        [1, "a", [True]],
        {},
        {"a": {"b c": [1]}, "": 2, "é": 3, "x.y": {}, HOSTILE: 1},
        datetime.date(2026, 1, 2),
        datetime.time(3, 4, 5),
        datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_read_back_as_they_were(value: Any) -> None:
    text = value_as_toml(value)
    assert tomli.loads(f"value = {text}") == {"value": value}
    assert text.isprintable()


def test_what_toml_cannot_say() -> None:
    assert tomli.loads(f"value = {value_as_toml('half ' + chr(0xD800))}") == {
        "value": "half \ufffd"
    }
    assert value_as_toml(float("nan")) == "nan"
    for value in (None, [None], {"a": None}, object(), -(2**60000)):
        with pytest.raises(ValueError, match="no form in TOML"):
            value_as_toml(value)


def test_a_null_is_a_comment(files: Files) -> None:
    (spec,) = files.read(
        '[[eval]]\nenv_id = "a"', command_line=Settings(env_args={"x": None, "y": 1})
    ).evals
    lines = eval_as_toml(spec)
    assert "# env_args.x = None  # --evals-env-args; has no form in TOML" in lines
    assert tomli.loads("\n".join(lines))["eval"][0]["env_args"] == {"y": 1}


def test_what_is_shown_means_the_same_when_it_is_read(files: Files) -> None:
    evals = files.read(EVERY_LEVEL + '[[eval]]\nenv_id = "plain"\n').evals
    shown = "\n".join(line for spec in evals for line in eval_as_toml(spec))
    again = files.read(shown).evals
    for before, after in zip(evals, again, strict=True):
        for key in ("name", "env_id", "env_args", "model", "headers", "sampling_args", "markers"):
            assert getattr(after, key) == getattr(before, key)
        assert [gate.text for gate in after.gates] == [gate.text for gate in before.gates]
        assert after.max_concurrent == before.max_concurrent
