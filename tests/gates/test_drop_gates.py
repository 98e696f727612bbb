"""Gates with a baseline: how they are written, and what the same rewards mean for each rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_evals.gates.drops import BaselineValues
from pytest_evals.gates.grammar import GateSyntaxError, impossible, parse_gate, parse_gates
from pytest_evals.gates.verdicts import Verdict, judge
from pytest_evals.stats.measurements import Measurements, Plan

MAIN = {"metric": "reward", "baseline": "main", "max_drop": 0.02}


def measured(*groups: Sequence[float | None]) -> Measurements:
    """Make measurements of rewards, a list per example; None is an unmeasured rollout."""
    rows = [
        {
            "example_id": example,
            "rollout": number,
            "state": "unmeasured" if reward is None else "scored",
            "reward": reward,
        }
        for example, group in enumerate(groups)
        for number, reward in enumerate(group)
    ]
    return Measurements.from_rows(rows, planned=Plan(len(groups), max(map(len, groups))))


def verdict(
    before: Sequence[Sequence[float]] | Mapping[Any, Sequence[float]] | None,
    after: Sequence[Sequence[float | None]],
    **more: Any,
) -> Verdict:
    """Judge one value per rollout, a list per example; ids are the places."""
    baseline = None
    if before is not None:
        by_id: Any = before if isinstance(before, Mapping) else dict(enumerate(before))
        baseline = BaselineValues(by_id)
    gate = parse_gate({**MAIN, **more})
    return judge(gate, measured(*after), baseline=baseline)


def ones(right: int, n: int) -> list[list[float]]:
    return [*[[1.0]] * right, *[[0.0]] * (n - right)]


class TestWriting:
    def test_name_text_and_default_rule(self) -> None:
        gates = parse_gates(["reward >= 0.5", MAIN, {**MAIN, "baseline": ["main", "main-2"]}])
        assert [gate.name for gate in gates[:3]] == [
            "gate-reward", "gate-reward-drop", "gate-reward-drop-2"
        ]  # fmt: skip
        assert gates[1].text == "reward drop <= 0.02 from main"
        assert gates[2].text == "reward drop <= 0.02 from main and main-2"
        assert (gates[1].rule, gates[1].limit, gates[1].comparison) == ("point", 0.02, "<=")

    def test_relative_limits(self) -> None:
        share = parse_gate({"metric": "reward", "baseline": "main", "relative_below": 0.05})
        assert share.text == "reward drop <= 5% of main"
        assert share.drop is not None
        assert share.drop.at(0.8) == pytest.approx(0.04)
        both = parse_gate({**MAIN, "relative_below": 0.05}).drop
        assert both is not None
        assert [both.at(0.8), both.at(0.1)] == pytest.approx([0.02, 0.005])
        hard = parse_gate({**MAIN, "relative_below": {"baseline": 0.2, "max_relative_drop": 0.1}})
        assert hard.text == (
            "reward drop <= 0.02 from main, and 10% of main where that is below 0.2"
        )
        assert hard.drop is not None
        assert [hard.drop.at(0.2), hard.drop.at(0.1)] == pytest.approx([0.02, 0.01])

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"max_drop": None}, "max_drop must be a number"),
            ({"max_drop": True}, "max_drop must be a number"),
            ({"max_drop": math.nan}, "max_drop must be a finite number"),
            ({"max_drop": 10**400}, "max_drop must be a finite number"),
            ({"max_drop": -0.1}, "max_drop must be 0 or more"),
            ({"max_drop": 1, "metric": "pass@2"}, "nothing can drop by more"),
            ({"max_drop": 4, "range": [1, 5]}, "nothing can drop by more"),
            ({"baseline": []}, "the list is empty"),
            ({"baseline": 3}, "baseline must be a name"),
            ({"baseline": "../main"}, "baseline must be a name"),
            ({"baseline": "release/1.2"}, r"letters, digits and _ \+ -"),
            ({"baseline": "a\n"}, "baseline must be a name"),
            ({"baseline": ["main", "main"]}, "names one run twice"),
            ({"min": 0.5}, "no 'min'"),
            ({"metric": "cost_usd"}, "nothing of 'cost_usd'"),
            ({"metric": "error_rate"}, "nothing of 'error_rate'"),
            ({"metric": "latency.p95"}, "nothing of 'latency.p95'"),
            ({"relative_below": 5}, "between 0 and 1"),
            ({"relative_below": {"baseline": 0.2}}, "max_relative_drop"),
            ({"relative_below": "5%"}, "relative_below must be a number"),
            ({"rule": "proof", "max_drop": 0}, "above 0"),
            ({"max_dorp": 0.1}, "did you mean 'max_drop'"),
        ],
    )
    def test_what_is_no_gate(self, table: dict[str, Any], message: str) -> None:
        with pytest.raises(GateSyntaxError, match=message):
            parse_gate({**MAIN, **table})

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"metric": "reward", "baseline": "main"}, "needs max_drop"),
            ({"metric": "reward", "max_drop": 0.1}, "needs the name of a baseline"),
            ({"metric": "reward", "min": 0.5, "relative_below": 0.1}, "name of a baseline"),
            (
                {
                    "metric": "reward",
                    "baseline": "main",
                    "relative_below": {"baseline": 0.2, "max_relative_drop": 0.1},
                },
                "needs max_drop",
            ),
        ],
    )
    def test_what_lacks_a_key(self, table: dict[str, Any], message: str) -> None:
        with pytest.raises(GateSyntaxError, match=message):
            parse_gate(table)

    def test_pass_at_k_needs_k_rollouts(self) -> None:
        gate = parse_gate({**MAIN, "metric": "pass@4"})
        assert gate.name == "gate-pass-at-4-drop"
        assert impossible(gate, num_examples=5, rollouts_per_example=3)
        assert not impossible(gate, num_examples=5, rollouts_per_example=4)


@pytest.mark.parametrize(
    ("before", "after", "rule", "outcome", "green"),
    [
        (ones(90, 100), ones(89, 100), "point", "passed", True),
        (ones(90, 100), ones(88, 100), "point", "passed", True),
        (ones(90, 100), ones(87, 100), "point", "failed", False),
        (ones(90, 100), ones(87, 100), "evidence", "inconclusive", True),
        (ones(90, 100), ones(75, 100), "evidence", "failed", False),
        (ones(90, 200), ones(90, 200), "evidence", "passed", True),
        (ones(90, 200), ones(90, 200), "proof", "passed", True),
        (ones(90, 100), ones(90, 100), "proof", "inconclusive", False),
        (ones(90, 100), ones(75, 100), "proof", "failed", False),
        (ones(50, 100), ones(80, 100), "proof", "passed", True),
    ],
)
def test_rules(
    before: list[list[float]], after: list[list[float]], rule: str, outcome: str, green: bool
) -> None:
    found = verdict(before, after, rule=rule)
    assert (found.outcome, found.is_green) == (outcome, green)
    assert found.n_examples == len(before)
    assert found.lower is not None
    assert found.upper is not None
    assert found.value is not None
    assert found.lower < found.value < found.upper


def test_the_line_says_it_all() -> None:
    found = verdict(ones(90, 100), ones(75, 100), rule="evidence")
    assert found.line == (
        "reward drop 0.150 > 0.02 from main, shown (0.900 -> 0.750, se 0.036, 100 pairs: 15 worse,"
        " 0 better, 95 % bounds 0.087 and 0.222, p 3.1e-05 by McNemar, can see a drop of 0.089,"
        " 100 of 100 scored)"
    )
    assert found.moved == ("moved most: 75 1 -> 0, 76 1 -> 0, 77 1 -> 0, 78 1 -> 0, 79 1 -> 0")
    assert verdict(ones(90, 100), ones(90, 100), rule="evidence").moved == ""


def test_the_examples_that_moved_most_come_first() -> None:
    found = verdict([[1.0]] * 4, [[0.9], [0.0], [1.0], [0.5]])
    assert found.moved == "moved most: 1 1 -> 0, 3 1 -> 0.5, 0 1 -> 0.9"


def test_a_max_drop_of_nothing_is_the_classical_test() -> None:
    for lost, outcome in ((4, "inconclusive"), (6, "failed")):
        found = verdict(ones(20, 20), ones(20 - lost, 20), rule="evidence", max_drop=0)
        assert (found.outcome, found.is_red) == (outcome, outcome == "failed")


def test_a_point_gate_says_how_often_noise_alone_fails_it() -> None:
    found = verdict(ones(90, 100), [*[[0.0]] * 5, *ones(90, 95)])
    assert "fails 'reward drop <= 0.02 from main'" in found.worth
    assert verdict(ones(9, 9), ones(9, 9)).worth == ""


def test_unmeasured_rollouts_are_taken_both_ways() -> None:
    after: list[Sequence[float | None]] = [*ones(90, 98), [None], [None]]
    before = ones(92, 100)
    assert verdict(before, after, max_drop=0.05).outcome == "passed"
    found = verdict(before, after, max_drop=0.01)
    assert (found.outcome, found.is_green, found.value) == ("inconclusive", False, None)
    assert (found.low, found.high) == pytest.approx((0.0, 0.02))
    assert "as 2 rollouts have no value" in found.line
    assert verdict(before, after, max_drop=0.01, on_inconclusive="warn").is_green


def test_rollouts_are_averaged_first() -> None:
    found = verdict([[1.0, 0.0]] * 30, [[1.0, 1.0, 0.0, 0.0]] * 30)
    assert (found.value, found.n_examples, found.n_rollouts) == (0.0, 30, 120)


def test_other_examples_are_counted_and_named() -> None:
    found = verdict({**dict.fromkeys(range(20), (1.0,)), "x": (1.0,)}, [[1.0]] * 25)
    assert "20 pairs" in found.line
    assert "5 only here: 20, 21, 22 and 2 more, 1 only in main: x" in found.line


def test_too_few_pairs_decide_nothing() -> None:
    for before, words in (
        ({}, "only 0 of 4 examples"),
        ({0: (1.0,)}, "1 pair of examples says nothing"),
        ({"0": (1.0,)}, "only 0 of 4 examples"),
    ):
        found = verdict(before, [[1.0]] * 4, rule="evidence")
        assert (found.outcome, found.is_green) == ("inconclusive", False)
        assert words in found.line
    assert verdict({0: (1.0,), 1: (0.0,)}, ones(5, 5)).outcome == "inconclusive"


def test_hostile_ids_are_harmless() -> None:
    rows = [
        {"example_id": f"\x1b[31m{n}\n" + "x" * 500, "rollout": 0, "state": "scored", "reward": 0.0}
        for n in range(3)
    ]
    before: dict[int | str, Any] = {str(row["example_id"]): (1.0,) for row in rows}
    found = judge(
        parse_gate(MAIN),
        Measurements.from_rows(rows, planned=Plan(3, 1)),
        baseline=BaselineValues(before),
    )
    assert "\x1b" not in found.moved
    assert "\n" not in found.moved
    assert len(found.moved) < 400


@pytest.mark.parametrize("rule", ["point", "evidence", "proof"])
class TestEdges:
    def test_not_comparable(self, rule: str) -> None:
        gate = parse_gate({**MAIN, "rule": rule})
        baseline = BaselineValues({}, "sampling differs")
        found = judge(gate, measured([1.0], [1.0]), baseline=baseline)
        assert (found.outcome, found.is_green) == ("inconclusive", False)
        assert found.line == "reward drop <= 0.02 from main undecided: sampling differs"
        assert not judge(gate, measured([1.0], [1.0])).is_green

    def test_one_example(self, rule: str) -> None:
        assert verdict([[1.0]], [[1.0]], rule=rule).outcome == "inconclusive"

    def test_nothing_scored(self, rule: str) -> None:
        found = verdict([[1.0]] * 4, [[None]] * 4, rule=rule)
        assert (found.outcome, found.is_green) == ("failed", False)

    def test_not_a_number(self, rule: str) -> None:
        assert verdict([[1.0]] * 2, [[math.nan], [1.0]], rule=rule).outcome == "failed"

    def test_rewards_without_a_range(self, rule: str) -> None:
        found = verdict([[5.0], [4.0]] * 10, [[3.0], [2.0]] * 10, rule=rule)
        assert found.outcome == ("failed" if rule == "point" else "inconclusive")
        assert found.upper is None
        ranged = verdict([[5.0], [4.0]] * 10, [[3.0], [2.0]] * 10, rule=rule, range=[1, 5])
        assert ranged.upper is not None

    def test_beyond_the_range(self, rule: str) -> None:
        found = verdict([[9.0]] * 4, [[3.0]] * 4, rule=rule, range=[1, 5])
        assert found.outcome == "inconclusive"
        assert "baseline lies outside the range" in found.line

    def test_too_large_to_count(self, rule: str) -> None:
        found = verdict([[1e308]] * 4, [[-1e308]] * 4, rule=rule)
        assert (found.outcome, found.is_green) == ("inconclusive", False)

    def test_a_baseline_of_nothing_but_wrong(self, rule: str) -> None:
        found = verdict(ones(0, 200), ones(0, 200), rule=rule)
        assert (found.outcome, found.is_green) == ("passed", True)
        share = {"max_drop": 0.5, "relative_below": 0.1, "rule": rule}
        found = verdict(ones(0, 200), ones(0, 200), **share)
        assert found.outcome == ("inconclusive" if rule == "proof" else found.outcome)

    def test_a_share_of_a_negative_mean(self, rule: str) -> None:
        found = verdict([[-1.0], [-2.0]], [[-1.0], [-2.0]], rule=rule, relative_below=0.1)
        assert found.outcome == "inconclusive"
        assert "a share of it is no drop" in found.line


def test_pass_at_k_by_the_threshold_of_the_eval() -> None:
    rows = [
        {"example_id": n, "rollout": r, "state": "scored", "reward": 0.6} for n in range(9)
        for r in range(2)
    ]  # fmt: skip
    gate = parse_gate({**MAIN, "metric": "pass@2"})
    before: dict[int | str, Any] = dict.fromkeys(range(9), (0.9, 0.0))
    for threshold, value in ((0.5, 0.0), (0.7, 1.0)):
        found = judge(
            gate,
            Measurements.from_rows(rows, planned=Plan(9, 2, threshold)),
            baseline=BaselineValues(before),
        )
        assert found.value == value
