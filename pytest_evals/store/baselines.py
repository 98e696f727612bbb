"""Baselines: what a run's rows come to, as a text file for a repository.

The first line says what was measured, each other one is of an example, in the order of their ids,
and nothing in it is about when or where: two runs that give the same rewards give the same file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from .encoding import mask_json, to_json
from .fingerprint import Difference, plain_sampling, setting_differences
from .replacing import replacing
from .rows import Row

FORMAT = "pytest-evals baseline"
VERSION = 1
ENDING = ".jsonl"

Id: TypeAlias = int | str

_ENVIRONMENT = ("env_id", "env_version", "env_args", "extra_env_kwargs", "timeout")
_KEYS = {"id", "reward", "metrics", "dataset", "prompt"}
_DIGEST = 4


@dataclass(frozen=True, slots=True)
class BaselineExample:
    """One example of a run.

    Attributes:
        rewards: of its rollouts, in order.
        metrics: of the rubric, by name; of the rollouts that have one.
        dataset, prompt: digests of what the dataset says of it, and of its prompt.
    """

    rewards: tuple[float, ...]
    metrics: Mapping[str, tuple[float, ...]]
    dataset: str
    prompt: str


@dataclass(frozen=True, slots=True)
class Baseline:
    """A run to compare with.

    Attributes:
        head: what was measured: `environment`, `sampling`, `judge`, `model`, ...
        examples: by id, in order.
    """

    head: Mapping[str, Any]
    examples: Mapping[Id, BaselineExample]


def examples_of(rows: Iterable[Mapping[str, Any]]) -> dict[Id, BaselineExample]:
    """Return the examples of a run, in the order of its rows; rows without a reward are left out.

    Raises:
        ValueError: a reward is no finite number.
    """
    groups: dict[Id, list[Row]] = {}
    digests: dict[Id, tuple[str, str]] = {}
    for row in rows:
        if row.get("state") != "scored":
            continue
        reward = row.get("reward")
        if not _is_finite(reward):
            name = f"{row['example_id']}-r{row['rollout']}"
            raise ValueError(f"the reward of {name} is not a finite number")
        kept = {"reward": reward, "metrics": row.get("metrics")}
        groups.setdefault(row["example_id"], []).append(kept)
        if row["example_id"] not in digests:
            digests[row["example_id"]] = content_of(row)
    return {name: _example(group, *digests[name]) for name, group in groups.items()}


def content_of(row: Mapping[str, Any]) -> tuple[str, str]:
    """Return digests of what the dataset says of a row's example, and of its prompt."""
    said = {key: row.get(key) for key in ("answer", "info", "task")}
    return _digest(said), _digest(row.get("prompt"))


def head_of(
    fingerprint: Mapping[str, Any], examples: Mapping[Id, BaselineExample], *, name: str
) -> dict[str, Any]:
    """Return the first line of a baseline.

    Args:
        fingerprint: of the run, secrets masked.
        examples: of the run.
        name: of the eval.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "eval": name,
        "model": fingerprint.get("model"),
        "rollouts_per_example": fingerprint.get("rollouts_per_example"),
        **settings_of(fingerprint),
        "dataset": _digest([example.dataset for example in examples.values()]),
        "prompts": _digest([example.prompt for example in examples.values()]),
    }


def write_baseline(
    path: Path, baseline: Baseline, mask: Callable[[str], str] = lambda text: text
) -> None:
    """Write a baseline, replacing one of that name as a whole.

    Raises:
        OSError: it cannot be written; what was there is left as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(mask_json(to_json(dict(baseline.head)), mask).encode() + b"\n")
        for example_id, example in baseline.examples.items():
            line = {
                "id": example_id,
                "reward": _written(example.rewards),
                "metrics": {name: _written(of) for name, of in sorted(example.metrics.items())},
                "dataset": example.dataset,
                "prompt": example.prompt,
            }
            file.write(to_json(line).encode() + b"\n")


def read_baseline(path: Path) -> Baseline:
    """Read a baseline.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none; the message says in which line and what is wrong.
    """
    examples: dict[Id, BaselineExample] = {}
    head: Mapping[str, Any] | None = None
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                values = _parsed(line)
                if head is None:
                    head = _checked_head(values)
                    continue
                _add(values, examples)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from error
    if head is None:
        raise ValueError("it is empty")
    if not examples:
        raise ValueError("it has no example")
    return Baseline(head, examples)


def is_baseline(path: Path) -> bool:
    """Whether a file begins like a baseline."""
    try:
        with path.open("rb") as file:
            return bool(_parsed(file.readline()).get("format") == FORMAT)
    except (OSError, ValueError):
        return False


def settings_of(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a fingerprint has to be the same in runs that are compared."""
    return {
        "environment": {key: fingerprint.get(key) for key in _ENVIRONMENT},
        "sampling": plain_sampling(fingerprint.get("sampling_args")),
        "judge": fingerprint.get("judge") or [],
    }


def mismatches(
    head: Mapping[str, Any], fingerprint: Mapping[str, Any]
) -> Iterator[tuple[str, Difference]]:
    """Yield in which settings a baseline and a run differ: the field's name, and how.

    The model may be another one; that is what is compared.

    Args:
        head: of the baseline.
        fingerprint: of the run, secrets masked.
    """
    yield from differing(head, settings_of(fingerprint))


def differing(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, Difference]]:
    """Yield in which of the settings of `settings_of` two runs differ, and how."""
    for field in ("environment", "sampling", "judge"):
        for name, old, new in setting_differences(before.get(field), after.get(field)):
            label = "environment version" if name == "env_version" else field
            yield label, (name or field, old, new)


def changed_contents(
    examples: Mapping[Id, BaselineExample], contents: Mapping[Id, tuple[str, str]]
) -> dict[str, list[Id]]:
    """Return the examples that are not what they were: under `dataset`, and under `prompts`.

    Args:
        examples: of the baseline.
        contents: of the run: `content_of` by example.
    """
    changed: dict[str, list[Id]] = {"dataset": [], "prompts": []}
    for name, (dataset, prompt) in contents.items():
        known = examples.get(name)
        if known is None:
            continue
        if known.dataset != dataset:
            changed["dataset"].append(name)
        if known.prompt != prompt:
            changed["prompts"].append(name)
    return {field: names for field, names in changed.items() if names}


def _example(group: Sequence[Row], dataset: str, prompt: str) -> BaselineExample:
    metrics: dict[str, list[float]] = {}
    for row in group:
        table = row["metrics"]
        for name, value in table.items() if isinstance(table, Mapping) else ():
            if _is_finite(value):
                metrics.setdefault(name, []).append(float(value))
    return BaselineExample(
        tuple(float(row["reward"]) for row in group),
        {name: tuple(values) for name, values in metrics.items()},
        dataset,
        prompt,
    )


def _digest(value: Any) -> str:
    try:
        text = json.dumps(value, sort_keys=True)
    except (TypeError, ValueError, RecursionError):
        text = to_json(value)
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=_DIGEST).hexdigest()


def _written(values: Sequence[float]) -> list[float]:
    """Return numbers as they are shortest: 1 for 1.0."""
    return [int(value) if value.is_integer() and abs(value) < 1e15 else value for value in values]


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        values = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        if line.startswith((b"<<<<<<<", b"=======", b">>>>>>>")):
            raise ValueError("a merge conflict that was not resolved") from error
        raise ValueError("not JSON") from error
    if not isinstance(values, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the file's value is at fault
    return values


def _checked_head(values: Mapping[str, Any]) -> Mapping[str, Any]:
    if values.get("format") != FORMAT:
        raise ValueError(f"not the head of a baseline: its format is not {FORMAT!r}")
    if values.get("version") != VERSION:
        raise ValueError(
            f"a baseline of version {values.get('version')!r}, and this pytest_evals reads"
            f" {VERSION}"
        )
    return values


def _add(values: Mapping[str, Any], examples: dict[Id, BaselineExample]) -> None:
    if missing := _KEYS - values.keys():
        raise ValueError(f"it has no {', '.join(sorted(missing))}")
    example_id, metrics = values["id"], values["metrics"]
    if type(example_id) is not int and type(example_id) is not str:
        raise ValueError("its id is neither a number nor a string")
    if not isinstance(metrics, dict):
        raise ValueError("its metrics are no table")  # noqa: TRY004
    for key in ("dataset", "prompt"):
        if not isinstance(values[key], str):
            raise ValueError(f"its {key} is no digest")  # noqa: TRY004
    rewards = _numbers(values["reward"], "reward")
    if not rewards:
        raise ValueError("it has no reward")
    if example_id in examples:
        raise ValueError(f"a second line of example {example_id!r}")
    examples[example_id] = BaselineExample(
        rewards,
        {name: _numbers(of, f"metric {name!r}") for name, of in metrics.items()},
        values["dataset"],
        values["prompt"],
    )


def _numbers(values: object, what: str) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(map(_is_finite, values)):
        raise ValueError(f"its {what} is no list of finite numbers")
    return tuple(map(float, values))


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
