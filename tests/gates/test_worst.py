"""The worst examples of a red gate: the right ones, few, and harmless."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_evals.gates.grammar import parse_gate
from pytest_evals.gates.worst import worst_examples
from pytest_evals.stats.measurements import Measurements, Plan


def measured(rewards: dict[Any, Any], **more: Any) -> Measurements:
    rows = [
        {
            "example_id": example,
            "rollout": number,
            "state": "unmeasured" if reward is None else "scored",
            "reward": reward,
            "metrics": {"tone": reward, **more},
        }
        for example, values in rewards.items()
        for number, reward in enumerate(values)
    ]
    return Measurements.from_rows(rows, planned=Plan(len(rewards), 9, 0.5))


def test_the_lowest_means_come_first() -> None:
    rewards = {"a": [1.0, 1.0], "b": [0.0, 1.0], "c": [0.0, 0.0], 7: [0.25, None], "e": [None]}
    found = worst_examples(parse_gate("reward >= 0.8"), measured(rewards))
    assert found == "lowest examples: c (0.000), 7 (0.250), b (0.500)"


def test_an_upper_limit_names_the_highest() -> None:
    found = worst_examples(parse_gate("tone <= 0.4"), measured({1: [0.5], 2: [0.9], 3: [0.4]}))
    assert found == "highest examples: 2 (0.900), 1 (0.500)"


@pytest.mark.parametrize("gate", ["pass@2 >= 0.9", "pass^2 >= 0.9"])
def test_attempts_that_were_wrong(gate: str) -> None:
    rewards: dict[Any, list[float | None]] = {1: [1.0, 0.0], 2: [1.0, 1.0], 3: [0.4, 0.2]}
    assert worst_examples(parse_gate(gate), measured(rewards)) == (
        "lowest examples: 3 (0.000), 1 (0.500)"
    )


def test_five_are_named_and_the_rest_counted() -> None:
    found = worst_examples(parse_gate("reward >= 0.5"), measured({n: [0.0] for n in range(30)}))
    assert found == (
        "lowest examples: 0 (0.000), 1 (0.000), 2 (0.000), 3 (0.000), 4 (0.000),"
        " and 25 more beyond the limit"
    )


@pytest.mark.parametrize("gate", ["turns >= 2", "error_rate <= 0", "input_tokens <= 1"])
def test_other_gates_name_none(gate: str) -> None:
    assert worst_examples(parse_gate(gate), measured({1: [0.0]})) == ""


def test_no_example_beyond_the_limit_and_no_example() -> None:
    assert worst_examples(parse_gate("reward >= 0.5"), measured({1: [0.9]})) == ""
    assert worst_examples(parse_gate("reward >= 0.5"), measured({})) == ""
    assert worst_examples(parse_gate("none >= 0.5"), measured({1: [0.0]})) == ""


def test_ids_of_a_dataset_are_hostile() -> None:
    found = worst_examples(
        parse_gate("reward >= 0.5"), measured({"\x1b[31m\n::error::x" + "y" * 500: [0.0]})
    )
    assert "\x1b" not in found and "\n" not in found and len(found) < 200
