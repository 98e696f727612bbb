"""The selftest of gates, and the chance of a false red: exact ones, and simulated ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_evals.gates.false_reds import any_false_red, false_red
from pytest_evals.gates.grammar import parse_gate
from pytest_evals.gates.selftest import Selftest, selftest
from pytest_evals.stats.power import evidence_red, point_red, proof_green


def tried(gate: Any, n: int = 50, r: int = 1) -> Selftest:
    return selftest(parse_gate(gate), num_examples=n, rollouts_per_example=r)


def gate(rule: str, **more: Any) -> dict[str, Any]:
    return {"metric": "reward", "min": 0.8, "rule": rule, **more}


def test_one_rollout_per_example_is_exact() -> None:
    limit = 0.8
    reds: dict[str, Callable[[float], float]] = {
        "point": lambda p: point_red(50, limit, p),
        "evidence": lambda p: evidence_red(50, limit, p),
        "proof": lambda p: 1 - proof_green(50, limit, p),
    }
    for rule, red in reds.items():
        chances = tried(gate(rule)).chances
        assert [each.true for each in chances] == pytest.approx([0.7, 0.75, 0.8, 0.85, 0.9])
        assert [each.red for each in chances] == pytest.approx([red(c.true) for c in chances])
        assert all(each.error is None for each in chances)


def test_an_upper_limit_is_a_lower_one_of_the_rest() -> None:
    below = tried({"metric": "reward", "max": 0.2, "rule": "evidence"}).chances
    above = tried(gate("evidence")).chances
    assert [each.red for each in reversed(below)] == pytest.approx([each.red for each in above])


def test_a_declared_range_and_a_limit_near_its_end() -> None:
    chances = tried({"metric": "judge", "min": 4.9, "range": [1, 5], "rule": "evidence"}).chances
    assert [each.true for each in chances] == pytest.approx([4.5, 4.7, 4.9])
    assert chances[0].red > chances[-1].red


def test_the_simulation_agrees_with_what_is_exact() -> None:
    """A strict comparison is simulated, and here decides like the other one."""
    exact = tried("reward >= 0.7999").chances
    simulated = tried("reward > 0.7999").chances
    for one, other in zip(exact, simulated, strict=True):
        assert other.error is not None
        assert other.red == pytest.approx(one.red, abs=4.5 * other.error)


def test_several_rollouts_and_pass_at_k() -> None:
    for each in ("reward >= 0.8", "pass@2 >= 0.8", "pass^2 >= 0.5"):
        found = tried(each, n=20, r=3)
        reds = [chance.red for chance in found.chances]
        assert reds[0] > reds[2] > reds[-1]
        assert 0.2 < reds[2] < 0.75  # a coin flip at the limit
        assert all(chance.error for chance in found.chances)
        assert "simulated" in found.note
    assert tried("pass@2 >= 0.8", n=20, r=3) == tried("pass@2 >= 0.8", n=20, r=3)


def test_errors() -> None:
    found = tried("error_rate <= 0.02", n=100)
    assert [each.true for each in found.chances] == [0.001, 0.01, 0.02, 0.05]
    assert found.chances[-1].red > 0.8
    assert tried("error_rate < 0.02", n=100).chances[1].red > found.chances[1].red
    assert not tried("error_rate >= 0.1").chances


@pytest.mark.parametrize(
    "each", ["turns <= 3", "latency.p95 <= 2", "cost_usd <= 1", "reward >= 1", "reward >= 7"]
)
def test_what_cannot_be_tried_says_so(each: str) -> None:
    found = tried(each)
    assert not found.chances and found.note.startswith("not tried: ")


@pytest.mark.parametrize(("n", "r"), [(1, 1), (1, 3), (2, 1)])
def test_hardly_any_examples(n: int, r: int) -> None:
    for rule in ("point", "evidence"):
        for each in tried(gate(rule), n=n, r=r).chances:
            assert 0 <= each.red <= 1


def test_the_chance_of_any_false_red() -> None:
    one, two = parse_gate(gate("evidence")), parse_gate(gate("evidence", confidence=0.9))
    exact = false_red(one, num_examples=50, rollouts_per_example=1)
    assert exact == evidence_red(50, 0.8, 0.8) < 0.05
    assert false_red(one, num_examples=50, rollouts_per_example=4) == pytest.approx(0.05)
    others = [parse_gate("reward >= 0.5"), parse_gate(gate("evidence", tier="advisory"))]
    count, chance = any_false_red([(each, 50, 4) for each in (one, two, *others)])
    assert count == 2
    assert chance == pytest.approx(1 - 0.95 * 0.9)
    assert any_false_red([]) == (0, 0)


def test_gates_by_slices_are_wrong_as_often_as_their_level_allows() -> None:
    by = parse_gate({"metric": "reward", "min": 0.8, "rule": "evidence", "by": "task"})
    assert false_red(by, num_examples=50, rollouts_per_example=1) == pytest.approx(0.05)
    assert tried(dict(by.written)).chances == ()  # type: ignore[arg-type]
    assert tried({"metric": "reward", "each_min": 0.5}).chances == ()
