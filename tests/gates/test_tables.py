"""The long form of a gate: what it says, and what is wrong with those that are none."""

from __future__ import annotations

import math
from typing import Any

import pytest

from pytest_evals.gates.grammar import Gate, GateSyntaxError, impossible, parse_gate, parse_gates


def test_the_least_of_it_is_the_short_form() -> None:
    table = parse_gate({"metric": "reward", "min": 0.8})
    assert table == parse_gate("reward >= 0.8")
    assert parse_gate({"metric": "pass@04", "max": 1}) == parse_gate("pass@4 <= 1")


def test_all_of_it() -> None:
    written = {
        "metric": "reward",
        "max": 3,
        "rule": "proof",
        "confidence": 0.99,
        "range": [-1, 5],
        "on_inconclusive": "warn",
        "tier": "advisory",
    }
    gate = parse_gate(written)
    assert gate == Gate(
        "gate-reward", "reward", "<=", 3.0, "proof", 0.99, (-1.0, 5.0), "warn", "advisory",
        text="reward <= 3",
    )  # fmt: skip
    assert gate.written == written
    assert parse_gate(gate.written) == gate


def test_both_forms_stand_in_one_list() -> None:
    gates = parse_gates(["reward >= 0.8", {"metric": "reward", "min": 0.7, "rule": "proof"}])
    assert [gate.name for gate in gates] == ["gate-reward", "gate-reward-2", "gate-error_rate"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, "needs a metric"),
        ({"metric": 3, "min": 1}, "needs a metric"),
        ({"metric": "", "min": 1}, "is not the name of a metric"),
        ({"metric": "pass@0", "min": 1}, "at least 1"),
        ({"metric": "rewrad", "min": 1}, "did you mean 'reward'?"),
        ({"metric": "reward"}, "needs 'min' or 'max', and has neither"),
        ({"metric": "reward", "min": 0, "max": 1}, "has both; write one gate for each"),
        ({"metric": "reward", "mni": 0}, "no key 'mni'; did you mean 'min'?"),
        ({"metric": "reward", "threshold": 0}, "no key 'threshold'; the keys are metric, min,"),
        ({"metric": "reward", "min": "0.8"}, "min must be a number, not '0.8'"),
        ({"metric": "reward", "min": True}, "min must be a number, not True"),
        ({"metric": "reward", "min": math.nan}, "min must be a finite number"),
        ({"metric": "reward", "min": 10**400}, "min must be a finite number"),
        ({"metric": "reward", "min": 1, "rule": "prove"}, "rule must be one of point, evidence,"),
        ({"metric": "reward", "min": 1, "rule": []}, "rule must be one of"),
        ({"metric": "reward", "min": 1, "tier": "soft"}, "tier must be one of blocking, advisory"),
        ({"metric": "reward", "min": 1, "on_inconclusive": "pass"}, "one of fail, warn"),
        ({"metric": "reward", "min": 1, "confidence": 95}, "above 0.5 and below 1, not 95"),
        ({"metric": "reward", "min": 1, "confidence": "high"}, "confidence must be a number"),
        ({"metric": "reward", "min": 1, "range": 3}, "range must be two numbers"),
        ({"metric": "reward", "min": 1, "range": [0, 1, 2]}, "range must be two numbers"),
        ({"metric": "reward", "min": 1, "range": [0, "1"]}, "range[1] must be a number"),
        ({"metric": "reward", "min": 1, "range": [1, 0]}, "must begin below its end"),
        ({"metric": "reward", "min": 1.1, "range": [0, 1]}, "limit 1.1 lies outside the range"),
        ({"metric": "turns", "min": 1, "range": [0, 9]}, "not of 'turns'"),
        ({"metric": "error_rate", "max": 0.1, "rule": "evidence"}, "counted, not estimated"),
    ],
)
def test_what_is_no_gate(table: dict[str, Any], message: str) -> None:
    with pytest.raises(GateSyntaxError) as raised:
        parse_gate(table)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("table", "examples", "needed"),
    [
        ({"metric": "reward", "min": 0.8}, 13, 14),
        ({"metric": "reward", "min": 0.95}, 58, 59),
        ({"metric": "reward", "min": 0.99}, 298, 299),
        ({"metric": "reward", "max": 0.05}, 58, 59),
        ({"metric": "reward", "min": 0.6, "range": [-1, 1]}, 13, 14),
        ({"metric": "reward", "min": 0.8, "confidence": 0.99}, 20, 21),
        ({"metric": "pass@2", "min": 0.8}, 13, 14),
        ({"metric": "truncated_rate", "max": 0.05}, 58, 59),
        ({"metric": "latency.p95", "max": 30}, 58, 59),
        ({"metric": "latency.p5", "min": 1}, 58, 59),
    ],
)
def test_a_proof_that_needs_more_examples(
    table: dict[str, Any], examples: int, needed: int
) -> None:
    gate = parse_gate({**table, "rule": "proof"})
    why = impossible(gate, num_examples=examples, rollouts_per_example=2)
    assert why is not None
    assert f"cannot be proved with {examples} examples" in why
    assert why.endswith(f"at least {needed}")
    assert impossible(gate, num_examples=needed, rollouts_per_example=2) is None
    for rule in ("point", "evidence"):
        other = parse_gate({**table, "rule": rule})
        assert impossible(other, num_examples=examples, rollouts_per_example=2) is None


def test_what_no_number_of_examples_proves() -> None:
    gate = parse_gate({"metric": "reward", "min": 1, "rule": "proof"})
    why = impossible(gate, num_examples=10**6, rollouts_per_example=1)
    assert why is not None
    assert "no number of examples" in why


def test_a_limit_beyond_what_rewards_are_taken_to_be_may_be_provable() -> None:
    gate = parse_gate({"metric": "reward", "min": 4, "rule": "proof"})
    assert impossible(gate, num_examples=3, rollouts_per_example=1) is None
