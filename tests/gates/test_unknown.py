"""What nobody knows of a rollout is not taken for 0, nor from the others."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_evals.gates.grammar import parse_gate
from pytest_evals.gates.verdicts import judge
from pytest_evals.stats.measurements import Measurements, Plan

COST = {"input_usd": 0.1, "output_usd": 0.2, "total_usd": 0.3}
KNOWN = {"answers": 1, "input_tokens": 3, "output_tokens": 3}


def measured(*rows: dict[str, Any]) -> Measurements:
    """Make measurements of one rollout for each row, scored if it says nothing else."""
    timing = {"generation": {"duration": 0.5}}
    complete = (
        {"example_id": at, "rollout": 0, "state": "scored", "reward": 1.0, "timing": timing} | row
        for at, row in enumerate(rows)
    )
    return Measurements.from_rows(complete, planned=Plan(len(rows), 1))


@pytest.mark.parametrize("text", ["cost_usd <= 1", "cost_usd > 0", "cost_usd <= 0.1"])
def test_a_cost_that_one_rollout_lacks(text: str) -> None:
    verdict = judge(parse_gate(text), measured({"cost": COST}, {}, {"cost": COST}))
    assert (verdict.outcome, verdict.is_red) == ("inconclusive", True)
    assert verdict.reason == "the cost of 1 of 3 scored rollouts is not known"


def test_a_cost_that_only_an_unmeasured_rollout_lacks() -> None:
    found = measured({"cost": COST}, {"state": "unmeasured", "reward": None})
    assert judge(parse_gate("cost_usd <= 1"), found).outcome == "passed"


@pytest.mark.parametrize("metric", ["latency.mean", "latency.p95"])
def test_the_time_of_a_replay_is_none(metric: str) -> None:
    gate = parse_gate(f"{metric} <= 1")
    assert judge(gate, measured({}, {})).outcome == "passed"
    for rows in (({"from_cache": KNOWN}, {}), ({"from_cache": KNOWN},) * 2):
        verdict = judge(gate, measured(*rows))
        assert (verdict.outcome, verdict.is_red) == ("inconclusive", True)
        assert "the response cache answered, so the latency of" in verdict.reason
    assert judge(parse_gate("reward >= 1"), measured({"from_cache": KNOWN})).outcome == "passed"
