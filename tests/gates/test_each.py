"""Gates that every example has to meet: which fall short, and which may."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_evals.gates.grammar import GateSyntaxError, impossible, parse_gate, parse_gates
from pytest_evals.gates.verdicts import Verdict, judge
from pytest_evals.stats.measurements import Measurements, Plan

U = None
Groups = Mapping[Any, Sequence[float | None]]


def measured(groups: Groups, rollouts: int | None = None) -> Measurements:
    """Make measurements of the rewards of each example, by id."""
    rows = [
        {
            "example_id": example,
            "rollout": number,
            "state": "unmeasured" if reward is None else "scored",
            "reward": reward,
            "metrics": {"tone": reward},
        }
        for example, group in groups.items()
        for number, reward in enumerate(group)
    ]
    most = rollouts or max(map(len, groups.values()), default=1)
    return Measurements.from_rows(rows, planned=Plan(len(groups), most))


def verdict(groups: Groups, limit: float = 0.5, **more: Any) -> Verdict:
    table = {"metric": "reward", "each_min": limit, **more}
    return judge(parse_gate(table), measured(groups))


GOOD = {1: [1.0, 1.0], 2: [1.0, 0.0], 3: [0.5, 0.5]}


def test_each_example_has_to_reach_it_by_its_mean() -> None:
    found = verdict(GOOD)
    assert (found.outcome, found.is_green, found.reason) == ("passed", True, "")
    assert found.line == (
        "each reward: all of 3 examples >= 0.5, lowest 2 (0.500) (2 rollouts each, 6 of 6 scored)"
    )
    assert (found.value, found.low, found.high) == (0.5, 0.5, 0.5)
    red = verdict({**GOOD, 17: [0.0, 0.9], "x": [0.0, 0.0]})
    assert (red.outcome, red.is_red, red.value) == ("failed", True, 0.0)
    assert red.line.startswith("each reward: 2 of 5 examples < 0.5, lowest x (0.000) (2 rollouts")
    assert red.worst == "examples below 0.5: x (0.000), 17 (0.450)"


def test_what_a_mean_hides() -> None:
    groups: Groups = {n: [1.0] for n in range(99)} | {99: [0.0]}
    assert judge(parse_gate("reward >= 0.98"), measured(groups)).outcome == "passed"
    assert verdict(groups).outcome == "failed"


def test_the_quarantine() -> None:
    groups: Groups = {**GOOD, 17: [0.0, 0.0], 42: [1.0, 1.0], "a": [0.0, 1.0]}
    found = verdict(groups, quarantine=["17", 42, "a", "gone", "99"])
    assert found.outcome == "passed"
    assert found.n_examples == 3
    assert found.line.endswith(
        "3 in quarantine, of which 2 pass and could leave it: 42, a, 2 in its list are no example"
        " of this run: gone, 99)"
    )
    assert verdict(groups, quarantine=["18"]).outcome == "failed"
    assert "1 in its list is no example of this run: 18" in verdict(groups, quarantine=["18"]).line
    nothing_left = verdict({17: [1.0]}, quarantine=["17"])
    assert (nothing_left.outcome, nothing_left.is_green) == ("inconclusive", False)
    assert "every example is in quarantine" in nothing_left.line


def test_unmeasured_rollouts_are_taken_at_both_ends() -> None:
    groups: Groups = {1: [1.0, 1.0, U], 2: [1.0, U, U], 3: [1.0, 1.0, 1.0]}
    found = verdict(groups)
    assert (found.outcome, found.is_green) == ("inconclusive", False)
    assert found.line.startswith(
        "each reward >= 0.5 undecided: 1 of 3 examples could be on either side, as rollouts have no"
        " value: 2 ("
    )
    assert found.worst == "examples not surely at 0.5: 2 (0.333 to 1.000)"
    assert verdict(groups, on_inconclusive="warn").is_green
    assert verdict(groups, 0.3).outcome == "passed"
    # One that falls short whatever the others would have been decides.
    red = verdict({**groups, 4: [0.0, 0.0, U]}, on_inconclusive="warn")
    assert (red.outcome, red.is_green) == ("failed", False)
    assert "1 of 4 examples < 0.5, 1 undecided, lowest 4 (0.000)" in red.line
    assert red.worst == "examples below 0.5: 4 (0.000 to 0.333)"
    gone = verdict({1: [1.0], 2: [U]})
    assert (gone.outcome, gone.low, gone.high) == ("inconclusive", 0.0, 1.0)
    assert verdict({1: [1.0], 2: [U]}, quarantine=["2"]).outcome == "passed"
    assert verdict({1: [U], 2: [U]}).outcome == "failed"  # nothing scored


@pytest.mark.parametrize(
    ("groups", "outcome"),
    [
        ({1: [1.0]}, "passed"),
        ({1: [0.0]}, "failed"),
        ({n: [1.0, 1.0] for n in range(9)}, "passed"),
        ({n: [0.0, 0.0] for n in range(9)}, "failed"),
        ({1: [0.1, 0.2, 0.3, 0.8, 1.1]}, "passed"),  # 0.5 but for the last place
        ({1: [math.nan], 2: [1.0]}, "failed"),
        ({}, "failed"),
    ],
)
def test_edges(groups: Groups, outcome: str) -> None:
    found = verdict(groups)
    assert found.outcome == outcome
    # A few rollouts bound nothing, and nothing is claimed.
    assert (found.lower, found.upper, found.standard_error) == (None, None, None)
    assert "bound" not in found.line


def test_a_metric_of_the_rubric_and_an_own_range() -> None:
    gate = {"metric": "tone", "each_min": 3, "range": [1, 5]}
    groups: Groups = {1: [4.0, 5.0], 2: [5.0, U]}
    found = judge(parse_gate(gate), measured(groups))
    assert (found.outcome, found.low) == ("passed", 3.0)
    assert judge(parse_gate(gate), measured({1: [6.0]})).outcome == "inconclusive"
    assert judge(parse_gate({"metric": "no", "each_min": 0}), measured({1: [1.0]})).is_red
    hook = judge(parse_gate({"metric": "no", "each_min": 0}), measured({1: [1.0]}), computed=1.0)
    assert "each_min asks for single ones" in hook.line


def test_ten_are_named_and_ids_are_hostile() -> None:
    found = verdict({f"\x1b[31m\n::error::{n:03}" + "y" * 500: [0.0] for n in range(300)})
    assert found.worst.endswith(", and 290 more")
    assert found.worst.count("(0.000)") == 10
    for text in (found.worst, found.line):
        assert "\x1b" not in text and "\n" not in text and len(text) < 1000


def test_what_it_is_worth() -> None:
    assert verdict({n: [1.0] for n in range(20)}).worth.startswith(
        "a model exactly at the limit in each example fails 'each reward >= 0.5' 100% of the time"
    )
    assert verdict(GOOD, 0.0).worth == ""


def test_names_and_texts() -> None:
    gates = parse_gates(
        [{"metric": "reward", "each_min": 0.5, "quarantine": [17]}, "reward >= 0.5"]
    )
    assert [gate.name for gate in gates] == ["gate-each-reward", "gate-reward", "gate-error_rate"]
    assert (gates[0].text, gates[0].limit) == ("each reward >= 0.5", 0.5)
    assert parse_gate(gates[0].written) == gates[0]
    assert impossible(gates[0], num_examples=1, rollouts_per_example=1) is None


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"rule": "evidence"}, "each_min has rule = 'point': a few rollouts"),
        ({"rule": "proof"}, "so 'proof' could not decide"),
        ({"min": 0.5}, "each_min is a limit for each example and has no 'min'"),
        ({"max": 0.5}, "has no 'max'"),
        ({"baseline": "main", "max_drop": 0.1}, "has no 'baseline'"),
        ({"by": "task"}, "has no 'by'"),
        ({"confidence": 0.9}, "has no 'confidence'"),
        ({"metric": "pass@2"}, "each_min is about the reward or a metric of the rubric"),
        ({"metric": "error_rate"}, "not 'error_rate'"),
        ({"each_min": "0.5"}, "each_min must be a number, not '0.5'"),
        ({"each_min": math.inf}, "each_min must be a finite number"),
        ({"each_min": 2, "range": [0, 1]}, "the limit 2 lies outside the range"),
        ({"quarantine": "17"}, "quarantine is a list of example ids"),
        ({"quarantine": [True]}, "quarantine holds ids of examples, such as '17', not True"),
        ({"quarantine": [1.5]}, "not 1.5"),
        ({"quarantine": [""]}, "not ''"),
        ({"quarantine": ["17", 17]}, "quarantine names '17' twice"),
    ],
)
def test_tables_that_are_none(more: dict[str, Any], message: str) -> None:
    with pytest.raises(GateSyntaxError) as error:
        parse_gate({"metric": "reward", "each_min": 0.5, **more})
    assert message in str(error.value)


def test_a_quarantine_needs_a_limit() -> None:
    with pytest.raises(GateSyntaxError, match="quarantine needs each_min"):
        parse_gate({"metric": "reward", "min": 0.5, "quarantine": ["1"]})
