"""Ablations: the `[[ablation]]` blocks of a file, each expanded into its points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .lines import KeyPath
from .naming import value_labels
from .schema import ALIASES, EXCLUSIVE, Problem, check_table
from .values import shown

# Each point is an eval that is read, named and collected: more are a mistake.
MOST_POINTS = 10_000

# The tables of environment arguments, whose keys are swept one by one.
_ARGS = ("env_args", "args")


@dataclass(frozen=True, slots=True)
class Dimension:
    """One list of values of a sweep.

    Attributes:
        key: of the file, aliases replaced; of an environment argument its own.
        is_arg: whether it is an environment argument.
        place: where the list stands in the block.
        values: in order, at least one.
        label: how the name of a point says the key.
        labels: how it says each value, all different.
    """

    key: str
    is_arg: bool
    place: KeyPath
    values: list[Any]
    label: str
    labels: list[str]


@dataclass(frozen=True, slots=True)
class Point:
    """One choice of a value from each dimension.

    Attributes:
        table: the keys that are swept.
        args: the environment arguments that are swept.
        places: where each value stands in the block, by `temperature` or `env_args.difficulty`.
        label: what the name of its eval ends with: `temperature-0.5-difficulty-hard`.
    """

    table: Mapping[str, Any]
    args: Mapping[str, Any]
    places: Mapping[str, KeyPath]
    label: str


def read_sweep(
    block: Mapping[str, Any],
) -> tuple[dict[str, Any], list[Dimension], list[Problem]]:
    """Return the fixed keys of an `[[ablation]]` block, its dimensions, and its mistakes.

    The dimensions stand in the order of the file: the keys, then those of `env_args`, then those of
    `args`. With mistakes they are incomplete.
    """
    fixed, problems = check_table({k: v for k, v in block.items() if k != "sweep"}, "ablation")
    sweep = block.get("sweep", {})
    if not isinstance(sweep, dict):
        return fixed, [], [*problems, (("sweep",), "'sweep' must be a table: [ablation.sweep]")]
    lists: list[tuple[str, bool, KeyPath, Any]] = [
        (key, False, ("sweep", key), values) for key, values in sweep.items() if key not in _ARGS
    ]
    for name in _ARGS:
        table = sweep.get(name, {})
        if not isinstance(table, dict):
            message = f"sweep.{name} must be a table of lists, one for each argument"
            problems.append((("sweep", name), message))
            continue
        lists += [(key, True, ("sweep", name, key), values) for key, values in table.items()]
    if not lists and not problems:
        problems.append(
            (
                ("sweep",) if "sweep" in block else (),
                "this [[ablation]] sweeps nothing: give it a non-empty [ablation.sweep], keys with"
                " lists of values, or make it an [[eval]]",
            )
        )
    problems += _clashes(block, sweep)
    dimensions = []
    for key, is_arg, place, values in lists:
        mistakes = _list_problems(key, is_arg, place, values)
        problems += mistakes
        if not mistakes:
            known = key if is_arg else ALIASES.get(key, key)
            kept = values if is_arg else [_value_of(key, value) for value in values]
            (label,) = value_labels([key])
            labels = value_labels(values, key)
            dimensions.append(Dimension(known, is_arg, place, kept, label, labels))
    count = math.prod(len(dimension.values) for dimension in dimensions)
    if count > MOST_POINTS:
        message = f"this sweep makes {shown(count)} evals; at most {MOST_POINTS} can be collected"
        problems.append((("sweep",), message))
    return fixed, dimensions, problems


def points_of(dimensions: list[Dimension], *, is_named: bool) -> Iterator[Point]:
    """Yield the points of a sweep; the last dimension varies fastest.

    What the name of an eval begins with is not in the label: a swept `name` or, without a name, a
    swept `env_id`.

    Args:
        dimensions: as `read_sweep` returns them.
        is_named: whether the block has a `name` for all of its points.
    """
    swept = {dimension.key for dimension in dimensions if not dimension.is_arg}
    begins = "name" if is_named or "name" in swept else "env_id"
    choices = [range(len(dimension.values)) for dimension in dimensions]
    for indices in itertools.product(*choices):
        table: dict[str, Any] = {}
        args: dict[str, Any] = {}
        places: dict[str, KeyPath] = {}
        parts: list[str] = []
        for dimension, index in zip(dimensions, indices, strict=True):
            target = args if dimension.is_arg else table
            target[dimension.key] = dimension.values[index]
            name = f"env_args.{dimension.key}" if dimension.is_arg else dimension.key
            places[name] = (*dimension.place, index)
            if dimension.is_arg or dimension.key != begins:
                parts += [dimension.label, dimension.labels[index]]
        yield Point(table, args, places, "-".join(parts))


def _clashes(block: Mapping[str, Any], sweep: Mapping[str, Any]) -> list[Problem]:
    """Return what is wrong between the fixed keys and the swept ones."""
    problems: list[Problem] = []
    for first, second, _ in EXCLUSIVE:
        both = sorted({first, second} & sweep.keys())
        fixed = {first, second} & block.keys()
        if len(both) == 2 or (both and fixed - set(both)):
            problems.append(
                (("sweep", both[0]), f"{first!r} and {second!r} are both set; keep one of them")
            )
    fixed_args = {key for name in _ARGS for key in _table(block.get(name))}
    seen: set[str] = set()
    for name in _ARGS:
        for key in _table(sweep.get(name)):
            if key in fixed_args:
                message = f"{key!r} is both a fixed and a swept argument of the environment"
                problems.append((("sweep", name, key), f"{message}; keep one"))
            elif key in seen:
                message = f"{key!r} is swept twice, in env_args and in args"
                problems.append((("sweep", name, key), message))
            seen.add(key)
    return problems


def _list_problems(key: str, is_arg: bool, place: KeyPath, values: Any) -> list[Problem]:
    """Return what is wrong with the list of one dimension."""
    name = f"sweep.{'.'.join(map(str, place[1:]))}"
    if not is_arg:
        known = check_table({key: None}, "sweep")[1]
        if known:
            return [(place, f"{name}: {known[0][1]}")]
    if not isinstance(values, list):
        return [(place, f"{name} must be a list of values, not {shown(values)}")]
    if not values:
        return [(place, f"{name} is an empty list, so this [[ablation]] would make no eval")]
    if is_arg:
        return []
    return [
        ((*place, index), f"{name}[{index}]: {message}")
        for index, value in enumerate(values)
        for _, message in check_table({key: value}, "sweep")[1]
    ]


def _value_of(key: str, value: Any) -> Any:
    (checked,) = check_table({key: value}, "sweep")[0].values()
    return checked


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
