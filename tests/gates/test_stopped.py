"""Gates of evals of which a spent budget left rollouts out."""

from __future__ import annotations

from typing import Any

from pytest_evals.gates.grammar import parse_gate
from pytest_evals.gates.metrics import read_metric
from pytest_evals.gates.verdicts import judge
from pytest_evals.stats.measurements import Measurements, Plan

PLAN = Plan(num_examples=2, rollouts_per_example=1)


def rows(count: int, **more: Any) -> Measurements:
    scored = [
        {"example_id": n, "rollout": 0, "state": "scored", "reward": 1.0, **more}
        for n in range(count)
    ]
    return Measurements.from_rows(scored, planned=PLAN)


def test_an_eval_that_is_not_complete_is_inconclusive_with_the_reason() -> None:
    for text in ("reward >= 0", "error_rate <= 0", "reward >= 1"):
        for count in (0, 1):
            verdict = judge(parse_gate(text), rows(count), stopped="the budget is spent")
            assert verdict.outcome == "inconclusive"
            assert "the budget is spent" in verdict.line
            computed = judge(parse_gate(text), rows(count), computed=1.0, stopped="it is spent")
            assert computed.outcome == "inconclusive"


def test_a_complete_eval_is_judged() -> None:
    assert judge(parse_gate("reward >= 1"), rows(2), stopped="spent").outcome == "passed"
    assert judge(parse_gate("reward >= 2"), rows(2), stopped="spent").outcome == "failed"


def test_cost_is_a_mean_per_scored_rollout() -> None:
    assert read_metric("cost_usd").built_in
    measured = rows(2, cost={"input_usd": 0.1, "output_usd": 0.2, "total_usd": 0.3})
    verdict = judge(parse_gate("cost_usd <= 0.3"), measured)
    assert (verdict.outcome, verdict.value) == ("passed", 0.3)
    unknown = judge(parse_gate("cost_usd <= 0.3"), rows(2))
    assert unknown.outcome == "inconclusive"
    assert "the cost of 2 of 2 scored rollouts is not known" in unknown.line
