"""Baseline values: what a gate compares with, of baselines that were read; from rows alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..gates.drop_texts import ids_text
from ..gates.drops import BaselineValues
from ..gates.grammar import Gate
from ..gates.metrics import read_metric
from ..store.baselines import (
    Baseline,
    BaselineExample,
    Id,
    changed_contents,
    content_of,
    mismatches,
)
from ..store.encoding import to_json
from ..visible import clipped

_LONGEST_VALUE = 80
_MOST_DIFFERENCES = 3


def compared_with(
    gate: Gate,
    found: Mapping[str, Baseline],
    fingerprint: Mapping[str, Any],
    contents: Mapping[Id, tuple[str, str]],
) -> BaselineValues:
    """Return what a gate compares with, or in what a baseline and the run differ.

    Args:
        gate: that has a `drop`.
        found: its baselines by name.
        fingerprint: of the run, as in metadata.json.
        contents: of the run's rows (`contents_of`).
    """
    for name, baseline in found.items():
        if differing := _differing(baseline, fingerprint, contents):
            return BaselineValues({}, f"not comparable with {name}: {differing}")
    return BaselineValues(pooled_values(gate, found.values()))


def contents_of(rows: Iterable[Mapping[str, Any]]) -> dict[Id, tuple[str, str]]:
    """Return the digests of each example of a run that has a scored rollout."""
    contents: dict[Id, tuple[str, str]] = {}
    for row in rows:
        if row["state"] == "scored" and row["example_id"] not in contents:
            contents[row["example_id"]] = content_of(row)
    return contents


def pooled_values(gate: Gate, found: Iterable[Baseline]) -> dict[Id, tuple[float, ...]]:
    """Return the values that each example has of the gate's metric, in all of the baselines."""
    pooled: dict[Id, tuple[float, ...]] = {}
    for baseline in found:
        for name, example in baseline.examples.items():
            pooled[name] = pooled.get(name, ()) + values_of(gate, example)
    return pooled


def values_of(gate: Gate, example: BaselineExample) -> tuple[float, ...]:
    """Return the values of one example; of `pass@k` and `pass^k` its rewards, if there are k."""
    metric = read_metric(gate.metric)
    if metric.kind != "mean":
        return example.rewards if len(example.rewards) >= metric.parameter else ()
    return example.rewards if metric.built_in else example.metrics.get(metric.name, ())


def _differing(
    baseline: Baseline,
    fingerprint: Mapping[str, Any],
    contents: Mapping[Id, tuple[str, str]],
) -> str:
    """Say in what a baseline and a run differ; "" for nothing that counts."""
    found = [
        f"{field} differs: {_short(name)} is {_short(before)} there and {_short(now)} here"
        for field, (name, before, now) in mismatches(baseline.head, fingerprint)
    ]
    for field, names in changed_contents(baseline.examples, contents).items():
        shared = sum(name in baseline.examples for name in contents)
        verb = "differs in" if field == "dataset" else "differ in"
        found.append(f"{field} {verb} {len(names)} of {shared} examples ({ids_text(names)})")
    more = len(found) - _MOST_DIFFERENCES
    return "; ".join(found[:_MOST_DIFFERENCES]) + (f"; and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value)
    return clipped(text, _LONGEST_VALUE).replace("\n", " ")
