"""Measurements: rows become columns, and only what was measured counts as measured."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_evals.stats.measurements import Measurements, Plan


def row(example: int, rollout: int, reward: float | None = 1.0, **fields: Any) -> dict[str, Any]:
    return {
        "example_id": example,
        "rollout": rollout,
        "state": "scored",
        "reward": reward,
        "metrics": {},
        **fields,
    }


def test_columns_hold_what_the_rows_say() -> None:
    rows = [
        row(
            17,
            0,
            0.5,
            metrics={"format": 1.0, "num_turns": 3},
            is_truncated=True,
            prediction="42",
            timing={"generation": {"duration": 2.5}},
            token_usage={"input_tokens": 10, "output_tokens": 20},
            served_model="m-1",
        ),
        row(4, 0, True, is_truncated=False, prediction=" ", served_model="m-1"),
    ]
    found = Measurements.from_rows(rows, planned=Plan(2, 1))
    assert found.examples == [0, 1]
    assert found.states == ["scored", "scored"]
    assert found.reward == [0.5, 1.0]
    assert found.metrics == {"format": [1.0, None], "num_turns": [3.0, None]}
    assert found.usage == {"input_tokens": [10.0, None], "output_tokens": [20.0, None]}
    assert found.seconds == [2.5, None]
    assert found.turns == [3.0, None]
    assert found.truncated == [1.0, 0.0]
    assert found.answered == [1.0, 0.0]
    assert found.served_models == ["m-1"]
    assert found.metric_names == ("format", "num_turns")
    assert found.complete


@pytest.mark.parametrize(
    ("is_over", "states"),
    [(False, ["missing", "unmeasured"]), (True, ["unmeasured", "unmeasured"])],
)
def test_a_generated_row_with_an_error_has_its_result(is_over: bool, states: list[str]) -> None:
    rows = [
        row(0, 0, None, state="generated", error=None),
        row(0, 1, None, state="generated", error={"error": "JudgeError"}),
    ]
    found = Measurements.from_rows(rows, planned=Plan(1, 2), is_over=is_over)
    assert found.states == states


def test_mistakes_that_count_as_zero_are_those_of_scored_rollouts() -> None:
    rows = [
        row(0, 0, reward_errors=["grade: KeyError", "grade: returned None"]),
        row(0, 1, reward_errors=2),  # of another program
        row(1, 0, None, state="broken", reward_errors=["grade: KeyError"]),
    ]
    found = Measurements.from_rows(rows, planned=Plan(2, 2))
    assert found.reward_errors == [["grade: KeyError", "grade: returned None"], (), ()]


def test_what_tools_raised_is_kept_of_every_row() -> None:
    runs = {"add": {"calls": 3, "errors": {"RuntimeError": 2}}}
    rows = [
        row(0, 0, tool_runs=runs),
        row(0, 1, tool_runs=3),  # of another program
        row(1, 0, None, state="broken", tool_runs=runs),
        row(0, 0),  # a later row of the first
    ]
    found = Measurements.from_rows(rows, planned=Plan(2, 2))
    assert found.tool_runs == [{}, {}, runs]


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([["a", "b"], ["b", "a"]], ["a", "b"]),
        ([["a"], ["a", "b"]], []),
        ([[], []], []),
        ([[], ["a"]], []),
        ([None, None], []),
        ([["a"], 7], []),
    ],
)
def test_tools_are_those_that_every_rollout_had(names: list[Any], found: list[str]) -> None:
    rows = [
        row(0, n, tool_defs=[{"name": name} for name in each] if isinstance(each, list) else each)
        for n, each in enumerate(names)
    ]
    rows.append(row(1, 0, None, state="unmeasured", tool_defs=[]))  # it never began
    tools = Measurements.from_rows(rows, planned=Plan(2, 2)).tools
    assert [tool["name"] for tool in tools] == found


def test_states_are_counted_apart() -> None:
    rows = [
        row(0, 0),
        row(0, 1, None, state="unmeasured"),
        row(1, 0, None, state="broken"),
        row(1, 1, None, state="generated"),
    ]
    found = Measurements.from_rows(rows, planned=Plan(3, 2))
    assert (found.scored, found.unmeasured, found.broken, found.missing) == (1, 1, 1, 3)
    assert found.finished == 3
    assert not found.complete
    assert found.coverage == pytest.approx(1 / 6)
    assert found.error_rate == pytest.approx(2 / 6)


def test_what_an_unmeasured_rollout_left_behind_is_no_measurement_but_its_tokens_were_paid() -> (
    None
):
    rows = [
        row(
            0,
            0,
            0.0,
            state="unmeasured",
            metrics={"format": 0.0},
            is_truncated=True,
            prediction="",
            timing={"generation": {"duration": 9.0}},
            token_usage={"input_tokens": 7},
        )
    ]
    found = Measurements.from_rows(rows, planned=Plan(1, 1))
    assert found.reward == found.seconds == found.turns == found.truncated == [None]
    assert found.metrics == {}
    assert found.usage == {"input_tokens": [7.0]}
    assert found.scored_only(found.usage["input_tokens"]) == [None]


def test_a_later_row_replaces_the_earlier_one_whole() -> None:
    rows = [
        row(0, 0, 0.2, metrics={"old": 1.0}, prediction="x"),
        row(0, 0, None, state="generated"),
        row(0, 0, 0.9, metrics={"new": 0.5}),
    ]
    found = Measurements.from_rows(rows, planned=Plan(1, 1))
    assert found.reward == [0.9]
    assert found.metrics == {"old": [None], "new": [0.5]}
    assert found.metric_names == ("new",)
    assert found.answered == [None]


def test_a_rollout_generated_again_after_it_was_scored_is_missing() -> None:
    rows = [row(0, 0, 0.2), row(0, 0, None, state="generated")]
    found = Measurements.from_rows(rows, planned=Plan(1, 1))
    assert found.missing == 1
    assert found.reward == [None]


@pytest.mark.parametrize(
    "extra", [row(0, 2), row(0, -1), row(5, 0)], ids=["rollout", "negative", "example"]
)
def test_rows_that_were_not_planned_make_the_results_incomplete(extra: dict[str, Any]) -> None:
    rows = [row(0, 0, 0.0), row(0, 1, 0.0), extra]
    found = Measurements.from_rows(rows, planned=Plan(1, 2))
    assert found.reward == [0.0, 0.0]
    assert found.unplanned == 1
    assert found.missing == 0
    assert not found.complete


def test_no_rows() -> None:
    found = Measurements.from_rows([], planned=Plan(3, 2))
    assert (found.scored, found.missing, found.coverage) == (0, 6, 0.0)
    assert found.by_example(found.reward) == []
    assert found.correct_counts() == []


def test_nothing_planned() -> None:
    found = Measurements.from_rows([], planned=Plan(0, 3))
    assert found.coverage == 0.0
    assert found.error_rate is None


@pytest.mark.parametrize("reward", [None, "0.9", [], math.nan])
def test_a_scored_row_without_a_number_for_reward_is_nan(reward: Any) -> None:
    found = Measurements.from_rows([row(0, 0, reward)], planned=Plan(1, 1))
    (value,) = found.reward
    assert value is not None
    assert math.isnan(value)


@pytest.mark.parametrize(
    "fields",
    [
        {"metrics": None},
        {"metrics": "many"},
        {"metrics": {"judge": "good", "none": None}},
        {"timing": 3},
        {"timing": {"generation": None}},
        {"timing": {"generation": {"duration": "soon"}}},
        {"token_usage": None},
        {"token_usage": [1, 2]},
        {"completion": None},
        {"completion": "text"},
        {"served_model": None},
        {"served_model": 5},
    ],
)
def test_odd_fields_are_absent_values(fields: dict[str, Any]) -> None:
    found = Measurements.from_rows([row(0, 0, 1.0, **fields)], planned=Plan(1, 1))
    assert found.reward == [1.0]
    assert found.metric_names == ()
    assert found.usage == {}
    assert found.seconds == found.turns == [None]
    assert found.served_models == []


def test_a_whole_number_beyond_the_range_of_float_is_infinite() -> None:
    found = Measurements.from_rows([row(0, 0, 10**400)], planned=Plan(1, 1))
    assert found.reward == [math.inf]


def test_turns_are_assistant_messages_when_the_rubric_does_not_count_them() -> None:
    completion = [{"role": "assistant"}, {"role": "user"}, {"role": "assistant"}, "stray"]
    found = Measurements.from_rows([row(0, 0, completion=completion)], planned=Plan(1, 1))
    assert found.turns == [2.0]


@pytest.mark.parametrize(
    ("prediction", "answered"),
    [(None, 0.0), ("", 0.0), ("\n", 0.0), ([], 0.0), ({}, 0.0), ("0", 1.0), (0, 1.0), (False, 1.0)],
)
def test_which_predictions_are_answers(prediction: Any, answered: float) -> None:
    found = Measurements.from_rows([row(0, 0, prediction=prediction)], planned=Plan(1, 1))
    assert found.answered == [answered]


def test_groups_and_counts_with_unequal_numbers_of_rollouts() -> None:
    rows = [
        row(3, 0, 1.0),
        row(9, 0, 0.5),
        row(3, 1, 0.0),
        row(9, 1, None, state="broken"),
        row(3, 2, 0.49),
    ]
    found = Measurements.from_rows(rows, planned=Plan(2, 3))
    assert found.by_example(found.reward) == [[1.0, 0.0, 0.49], [0.5, None]]
    assert found.correct_counts() == [(3, 1), (1, 1)]


def test_the_plan_says_what_is_correct() -> None:
    rows = [row(0, 0, 0.7), row(0, 1, 0.9), row(0, 2, math.nan)]
    found = Measurements.from_rows(rows, planned=Plan(1, 3, pass_threshold=0.8))
    assert found.correct_counts() == [(3, 1)]


def many_rows(examples: int) -> Iterator[dict[str, Any]]:
    for example in range(examples):
        for rollout in range(4):
            yield row(
                example,
                rollout,
                rollout / 4,
                metrics={"a": 0.5, "b": 1.0},
                prediction="x" * 1000,
                completion=[{"role": "assistant", "content": "y" * 1000}],
                timing={"generation": {"duration": example * 0.001}},
                token_usage={"input_tokens": example, "output_tokens": rollout},
            )


def test_a_hundred_thousand_rows() -> None:
    found = Measurements.from_rows(many_rows(25_000), planned=Plan(25_000, 4))
    assert found.complete
    assert len(found.by_example(found.reward)) == 25_000


def test_rows_are_not_kept() -> None:
    tracemalloc.start()
    try:
        found = Measurements.from_rows(many_rows(1_000), planned=Plan(1_000, 4))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found.scored == 4_000
    assert size / 4_000 < 400
