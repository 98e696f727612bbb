"""Slices of measurements: each is what its rows alone would have given."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pytest_evals.stats.measurements import Measurements, Plan
from pytest_evals.stats.row_fields import example_column
from pytest_evals.stats.slices import part_of, slices_by, without_slice


def rows_of(slices: str) -> list[dict[str, Any]]:
    """Make two rows, of which one is unmeasured, for an example of each letter."""
    return [
        {
            "example_id": f"{name}{example}",
            "rollout": rollout,
            "task": name,
            "state": "unmeasured" if rollout else "scored",
            "error": {} if rollout else None,
            "reward": None if rollout else float(example),
            "metrics": {"tone": example / 2},
            "token_usage": {"input_tokens": example},
            "cost": {"total_usd": 0.5},
            "timing": {"generation": {"duration": example}},
            "is_truncated": example % 2 == 0,
            "prediction": "x",
        }
        for rollout in (0, 1)
        for example, name in enumerate(slices)
    ]


def test_a_slice_is_what_its_rows_alone_would_be() -> None:
    rows = rows_of("abacab")
    whole = Measurements.from_rows(rows, planned=Plan(6, 2, 0.25), by=["task"])
    parts = slices_by(whole, "task")
    assert [*parts] == ["a", "b", "c"]
    for name, part in parts.items():
        own = [row for row in rows if row["task"] == name]
        alone = Measurements.from_rows(own, planned=Plan(len(own) // 2, 2, 0.25))
        for field in dataclasses.fields(part):
            if not field.name.startswith("_"):
                assert getattr(part, field.name) == getattr(alone, field.name), field.name
        assert part.complete


def test_a_part_of_the_examples() -> None:
    whole = Measurements.from_rows(rows_of("aab"), planned=Plan(3, 2))
    part = part_of(whole, [True, False, True])
    assert part.example_ids == ["a0", "b2"]
    assert part.reward == [0.0, 2.0, None, None]
    assert part_of(whole, [False] * 3).plan.rollouts == 0


def test_examples_that_belong_nowhere() -> None:
    rows = [*rows_of("ab"), {**rows_of("ab")[0], "task": "b"}]
    measured = Measurements.from_rows(rows, planned=Plan(2, 2), by=["task", "info.x"])
    assert without_slice(measured, "task") == ["a0"]
    assert without_slice(measured, "info.x") == ["a0", "b1"]
    assert without_slice(measured, "never read") == ["a0", "b1"]
    # A row that a crash left bare takes nothing from what another one says.
    bare = [*rows_of("ab"), {"example_id": "a0", "rollout": 1, "state": "unmeasured"}]
    assert not without_slice(Measurements.from_rows(bare, planned=Plan(2, 2), by=["task"]), "task")


@pytest.mark.parametrize(
    ("row", "column", "found"),
    [
        ({"task": "a"}, "task", ("a",)),
        ({"task": " a\n"}, "task", ("a",)),
        ({"task": 1}, "task", ("1",)),
        ({"task": True}, "task", ("True",)),
        ({"task": 0.5}, "task", ("0.5",)),
        ({"task": float("inf")}, "task", ()),
        ({"task": ""}, "task", ()),
        ({"task": None}, "task", ()),
        ({"task": ["a"]}, "task", ()),
        ({}, "task", ()),
        ({"info": {"a.b": "x"}}, "info.a.b", ("x",)),
        ({"info": {"a": {"b": "x"}}}, "info.a", ()),
        ({"info": '{"a": 3}'}, "info.a", ("3",)),
        ({"info": "{"}, "info.a", ()),
        ({"info": "[" * 100_000}, "info.a", ()),
        ({"info": [1]}, "info.a", ()),
        ({"own": "x", "metrics": None}, "own", ("x",)),
        ({"own": 1.0, "metrics": {"own": 1.0}}, "own", ()),
    ],
)
def test_what_a_row_says_of_its_example(
    row: dict[str, Any], column: str, found: tuple[str, ...]
) -> None:
    assert example_column(row, column) == found
