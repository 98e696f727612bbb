"""Slices: the measurements of examples that have the same value in a column of the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from .measurements import Column, Measurements, Plan

T = TypeVar("T")


def without_slice(measurements: Measurements, column: str) -> list[object]:
    """Return the ids of the examples that belong to no slice, or to several, in order."""
    found = measurements.slices.get(column, [set()] * len(measurements.example_ids))
    return [
        example_id
        for example_id, names in zip(measurements.example_ids, found, strict=True)
        if len(names) != 1
    ]


def slices_by(measurements: Measurements, column: str) -> dict[str, Measurements]:
    """Return the measurements of each slice, in the order of their names.

    Each has the plan that it would have by itself: its examples, with as many rollouts.

    Args:
        measurements: whose examples belong to one slice each (`without_slice`).
        column: one of `measurements.slices`.
    """
    names = [name for (name,) in measurements.slices[column]]
    rollouts: dict[str, list[int]] = {name: [] for name in sorted(names)}
    for place, example in enumerate(measurements.examples):
        rollouts[names[example]].append(place)
    return {name: _at(measurements, places) for name, places in rollouts.items()}


def part_of(measurements: Measurements, is_in: Sequence[bool]) -> Measurements:
    """Return the measurements of some examples; `is_in` says of each whether it is one."""
    places = [place for place, example in enumerate(measurements.examples) if is_in[example]]
    return _at(measurements, places)


def _at(measurements: Measurements, places: Sequence[int]) -> Measurements:
    """Return the measurements of the rollouts at some places."""

    def of(column: Sequence[T]) -> list[T]:
        return [column[place] for place in places]

    def of_each(columns: dict[str, Column]) -> dict[str, Column]:
        return {name: of(column) for name, column in columns.items()}

    numbers: dict[int, int] = {}
    examples = [numbers.setdefault(example, len(numbers)) for example in of(measurements.examples)]
    plan = measurements.plan
    return Measurements(
        Plan(len(numbers), plan.rollouts_per_example, plan.pass_threshold),
        examples=examples,
        example_ids=[measurements.example_ids[example] for example in numbers],
        states=of(measurements.states),
        reward=of(measurements.reward),
        metrics=of_each(measurements.metrics),
        usage=of_each(measurements.usage),
        from_cache=of_each(measurements.from_cache),
        cost=of_each(measurements.cost),
        paid=of_each(measurements.paid),
        seconds=of(measurements.seconds),
        turns=of(measurements.turns),
        truncated=of(measurements.truncated),
        timed_out=of(measurements.timed_out),
        answered=of(measurements.answered),
        reward_errors=of(measurements.reward_errors),
        tool_runs=of(measurements.tool_runs),
    )
