"""Rules: what the same rewards mean for point, evidence and proof."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_evals.gates.grammar import parse_gate, parse_gates
from pytest_evals.gates.verdicts import Verdict, judge, overall
from pytest_evals.stats.intervals import clopper_pearson
from pytest_evals.stats.measurements import Measurements, Plan

U = None


def measured(*groups: Sequence[float | None], **columns: Any) -> Measurements:
    """Make measurements of rewards, a list per example; None is an unmeasured rollout."""
    rows = [
        {
            "example_id": example,
            "rollout": number,
            "state": "unmeasured" if reward is None else "scored",
            "reward": reward,
            "metrics": {name: make(reward) for name, make in columns.items()},
        }
        for example, group in enumerate(groups)
        for number, reward in enumerate(group)
    ]
    return Measurements.from_rows(rows, planned=Plan(len(groups), max(map(len, groups))))


def share(right: int, n: int, unmeasured: int = 0) -> Measurements:
    """Make measurements of n examples of one rollout each."""
    rewards: list[float | None] = [*[1.0] * right, *[0.0] * (n - right - unmeasured)]
    return measured(*([each] for each in [*rewards, *[U] * unmeasured]))


def verdict(measurements: Measurements, rule: str = "point", **more: Any) -> Verdict:
    limit = {} if "max" in more else {"min": 0.8}
    return judge(parse_gate({"metric": "reward", **limit, "rule": rule, **more}), measurements)


# Of 50: the lower bound of 46 is .82, of 45 .80; the upper bound of 33 is .77, of 34 .79.
@pytest.mark.parametrize(
    ("right", "rule", "outcome", "green"),
    [
        (40, "point", "passed", True),
        (39, "point", "failed", False),
        (46, "evidence", "passed", True),
        (40, "evidence", "inconclusive", True),
        (36, "evidence", "inconclusive", True),
        (33, "evidence", "failed", False),
        (46, "proof", "passed", True),
        (44, "proof", "inconclusive", False),
        (40, "proof", "inconclusive", False),
        (33, "proof", "failed", False),
    ],
)
def test_the_same_rewards_by_each_rule(right: int, rule: str, outcome: str, green: bool) -> None:
    found = verdict(share(right, 50), rule)
    assert (found.outcome, found.is_green, found.is_red) == (outcome, green, not green)
    assert found.value == pytest.approx(right / 50)


@pytest.mark.parametrize("right", range(51))
def test_each_outcome_is_what_the_bounds_say(right: int) -> None:
    bounds = clopper_pearson(right, 50)
    found = verdict(share(right, 50), "evidence")
    assert found.lower == pytest.approx(bounds.low, abs=0.006)
    assert found.upper == pytest.approx(bounds.high, abs=0.006)
    assert found.lower is not None
    assert found.upper is not None
    expected = "passed" if found.lower >= 0.8 else "failed" if found.upper < 0.8 else "inconclusive"
    assert found.outcome == expected
    # The other way round, for an upper limit.
    turned = verdict(share(50 - right, 50), "evidence", max=0.2)
    assert turned.outcome == expected


@pytest.mark.parametrize(
    ("right", "unmeasured", "rule", "outcome"),
    [
        (33, 3, "evidence", "inconclusive"),  # failed or noise: red or green
        (30, 3, "evidence", "failed"),
        (40, 3, "evidence", "inconclusive"),
        (45, 3, "proof", "inconclusive"),  # noise or passed
        (47, 2, "proof", "passed"),
    ],
)
def test_unmeasured_rollouts_count_both_ways(
    right: int, unmeasured: int, rule: str, outcome: str
) -> None:
    assert verdict(share(right, 50, unmeasured), rule).outcome == outcome


def test_an_inconclusive_gate_is_red_for_any_reason_but_noise() -> None:
    unmeasured = share(33, 50, unmeasured=3)
    assert verdict(unmeasured, "evidence").is_red
    assert not verdict(unmeasured, "evidence", on_inconclusive="warn").is_red
    assert verdict(share(40, 50), "proof", on_inconclusive="warn").is_red
    incomplete = Measurements.from_rows(
        [{"example_id": 0, "rollout": 0, "state": "scored", "reward": 1.0}], planned=Plan(2, 1)
    )
    assert verdict(incomplete).is_red
    assert not verdict(incomplete, on_inconclusive="warn").is_red


def test_nothing_scored_is_red_whatever_the_gate_says() -> None:
    nothing = measured([U], [U])
    for rule in ("point", "evidence", "proof"):
        found = verdict(nothing, rule, on_inconclusive="warn")
        assert (found.outcome, found.is_red) == ("failed", True)


def test_an_advisory_gate_decides_nothing() -> None:
    advisory = {"metric": "reward", "min": 0.99, "tier": "advisory"}
    gates = parse_gates([advisory, "reward >= 0.5"])[:2]
    verdicts = [judge(gate, share(40, 50)) for gate in gates]
    assert [found.outcome for found in verdicts] == ["failed", "passed"]
    assert overall(gates, verdicts) == "passed"
    assert overall(gates, verdicts[:1]) == "not judged"


def test_rewards_beyond_the_declared_range_are_no_evidence() -> None:
    found = verdict(measured([1.0], [1.5], [0.5]), "evidence", range=[0, 1])
    assert (found.outcome, found.is_red) == ("inconclusive", True)
    assert "1 of 3 rollouts have a value outside the range [0, 1]" in found.line


def test_a_declared_range_bounds_what_is_missing() -> None:
    found = verdict(measured([0.0], [U]), range=[-4, 4], min=-1)
    assert (found.low, found.high) == (-2.0, 2.0)
    assert found.outcome == "inconclusive"


def test_rewards_of_no_known_range_go_by_students_t() -> None:
    draw = random.Random(1)
    rewards = [[5 + draw.random()] for _ in range(30)]
    found = verdict(measured(*rewards), "proof", min=5)
    assert found.outcome == "passed"
    assert found.lower is not None
    assert 5 < found.lower < 6


def test_values_that_do_not_vary_prove_nothing_without_a_range() -> None:
    for rule in ("evidence", "proof"):
        found = verdict(measured(*[[5.0]] * 30), rule, min=4)
        assert (found.outcome, found.is_red) == ("inconclusive", True)
        assert "write range = [least, most]" in found.line
    assert verdict(measured(*[[5.0]] * 30), "proof", min=4, range=[0, 5]).outcome == "passed"


@pytest.mark.parametrize(
    "groups",
    [[[1.0]] * 20, [[0.0]] * 20, [[1.0]], [[0.5]] * 20, [[0.25, 0.75]] * 3, [[1.0, 1.0]] * 9],
)
@pytest.mark.parametrize("rule", ["point", "evidence", "proof"])
def test_no_certainty_from_values_that_do_not_vary(
    groups: list[list[float | None]], rule: str
) -> None:
    found = judge(parse_gate({"metric": "reward", "min": 0.5, "rule": rule}), measured(*groups))
    assert found.lower is not None
    assert found.upper is not None
    assert found.lower < found.upper


def test_repeats_of_few_examples_are_not_many_examples() -> None:
    # Four examples that always succeed and one that never does: 50 rollouts, and still five.
    found = verdict(measured(*[[1.0] * 10] * 4, [0.0] * 10), "evidence", min=0.95)
    assert found.outcome == "inconclusive"


@pytest.mark.parametrize("metric", ["pass@2", "pass^2", "answer_rate", "truncated_rate"])
def test_every_share_has_bounds(metric: str) -> None:
    rows = [
        {
            "example_id": example,
            "rollout": number,
            "state": "scored",
            "reward": float(example % 2),
            "prediction": "x" if example % 3 else "",
            "is_truncated": example % 4 == 0,
        }
        for example in range(12)
        for number in range(2)
    ]
    measurements = Measurements.from_rows(rows, planned=Plan(12, 2))
    found = judge(parse_gate({"metric": metric, "min": 0.01, "rule": "evidence"}), measurements)
    assert found.lower is not None
    assert found.value is not None
    assert found.upper is not None
    assert 0 < found.lower < found.value < found.upper < 1


def test_latency_is_proved_by_order_statistics() -> None:
    def timed(n: int, rollouts: int) -> Measurements:
        rows = [
            {
                "example_id": example,
                "rollout": number,
                "state": "scored",
                "reward": 1.0,
                "timing": {"generation": {"duration": 1.0 + example / n}},
            }
            for example in range(n)
            for number in range(rollouts)
        ]
        return Measurements.from_rows(rows, planned=Plan(n, rollouts))

    gate = parse_gate({"metric": "latency.p95", "max": 3, "rule": "proof"})
    assert judge(gate, timed(59, 1)).outcome == "passed"
    assert judge(gate, timed(59, 4)).outcome == "passed"
    few = judge(gate, timed(20, 4))  # 80 rollouts of 20 examples
    assert (few.outcome, few.upper) == ("inconclusive", None)


def test_a_value_of_a_hook_has_no_bounds() -> None:
    gate = parse_gate({"metric": "elegance", "min": 0.5, "rule": "evidence"})
    found = judge(gate, share(3, 3), computed=0.9)
    assert (found.outcome, found.is_red) == ("inconclusive", True)
    assert "has no bounds" in found.line


@pytest.mark.parametrize(
    ("measurements", "line"),
    [
        (share(40, 50), "reward 0.800, not shown to be < 0.8 (se 0.057, 50 examples"),
        (share(50, 50), "reward 1.000 >= 0.8, shown (se 0.000, 50 examples x 1 rollout,"),
        (share(10, 50), "reward 0.200 < 0.8, shown (se"),
    ],
)
def test_lines_of_evidence(measurements: Measurements, line: str) -> None:
    assert verdict(measurements, "evidence").line.startswith(line)


def test_the_line_of_a_proof_that_is_none() -> None:
    found = verdict(share(45, 50), "proof")
    assert found.line.startswith("reward 0.900, not shown to be >= 0.8 (se")
    assert found.reason == "not shown to be >= 0.8"
    assert "95 % bounds 0.80" in found.line or "95 % bounds 0.79" in found.line
    assert "can see a drop of 0.1" in found.line


def test_what_a_point_gate_is_worth() -> None:
    worth = verdict(share(160, 200)).worth
    assert worth == (
        "a model exactly at the limit fails 'reward >= 0.8' 46% of the time;"
        ' rule = "evidence" fails it 5%'
    )
    assert verdict(share(160, 200), "evidence").worth == ""
    assert judge(parse_gate("reward >= 0"), share(160, 200)).worth == ""
    assert judge(parse_gate("reward >= 1"), share(200, 200)).worth == ""
    assert judge(parse_gate("reward <= 0.2"), share(20, 200)).worth.count("46%") == 1
    assert judge(parse_gate("error_rate <= 0.5"), share(20, 200)).worth == ""


def _red(true: float, rule: str, runs: int, n: int = 50) -> float:
    draw = random.Random(f"{true} {rule}")
    reds = 0
    for _ in range(runs):
        right = sum(draw.random() < true for _ in range(n))
        reds += verdict(share(right, n), rule).is_red
    return reds / runs


@pytest.mark.parametrize(
    ("rule", "true", "red"),
    [
        ("point", 0.8, 0.42), ("point", 0.7, 0.92),
        ("evidence", 0.8, 0.03), ("evidence", 0.6, 0.90),
        ("proof", 0.8, 0.95), ("proof", 0.95, 0.04),
    ],
)  # fmt: skip
def test_how_often_each_rule_is_red(rule: str, true: float, red: float) -> None:
    assert _red(true, rule, 200) == pytest.approx(red, abs=0.11)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "reds"),
    [
        ("point", {0.70: 0.92, 0.75: 0.74, 0.80: 0.42, 0.85: 0.12, 0.90: 0.01}),
        ("evidence", {0.60: 0.90, 0.70: 0.43, 0.75: 0.16, 0.80: 0.03, 0.85: 0.0, 0.90: 0.0}),
        ("proof", {0.75: 0.99, 0.80: 0.95, 0.85: 0.78, 0.90: 0.38, 0.95: 0.04}),
    ],
)
def test_how_often_each_rule_is_red_in_full(rule: str, reds: dict[float, float]) -> None:
    for true, red in reds.items():
        # Korn-Graubard at one rollout per example is Clopper-Pearson to a few thousandths.
        assert _red(true, rule, 4000) == pytest.approx(red, abs=0.045), true
