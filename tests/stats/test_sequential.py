"""Sequential tests: their error rates, what they save, and how the order of results breaks them."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_evals.stats.sequential import LinearSPRT

P0, P1 = 0.70, 0.80
N = 200


def _decided(values: Sequence[float], total: int | None) -> tuple[str | None, int]:
    test = LinearSPRT(P0, P1, total=total)
    return test.observe(values), test.seen


def test_it_is_walds_test_for_rewards_of_0_and_1() -> None:
    draw = random.Random(4)
    for _ in range(50):
        values = [float(draw.random() < 0.75) for _ in range(400)]
        test, ratio = LinearSPRT(P0, P1), 0.0
        for value in values:
            ratio += math.log(P1 / P0) if value else math.log((1 - P1) / (1 - P0))
            expected = "passed" if ratio >= math.log(20) else None
            expected = "failed" if ratio <= -math.log(20) else expected
            assert test.observe([value]) == expected
            if expected:
                break


def test_what_the_rest_cannot_change_is_decided() -> None:
    # 140 right of 200: their mean is above .70 once the 141st is right.
    assert _decided([1.0, 0.0] * 50, N)[0] == "failed"
    assert _decided([0.0] * 100, N) == ("failed", 8)
    assert _decided([1.0] * 200, N)[0] == "passed"
    test = LinearSPRT(0.01, 0.9, alpha=1e-9, beta=1e-9, total=10)
    assert test.observe([1.0]) == "passed"  # at most .01 of 10 is impossible already


def test_nothing_is_looked_at_after_the_decision() -> None:
    test = LinearSPRT(P0, P1)
    assert test.observe([0.0] * 50) == "failed"
    seen = test.seen
    assert test.observe([1.0] * 1000) == "failed"
    assert test.seen == seen < 50


def test_no_decision_on_nothing() -> None:
    assert LinearSPRT(P0, P1).observe([]) is None
    assert LinearSPRT(P0, P1, total=5).observe([0.75] * 5) is None


@pytest.mark.parametrize(
    "arguments",
    [
        {"p0": 0.8, "p1": 0.7},
        {"p0": 0.0, "p1": 0.7},
        {"p0": 0.7, "p1": 1.0},
        {"p0": math.nan, "p1": 0.7},
        {"p0": 0.7, "p1": 0.8, "alpha": 0.0},
        {"p0": 0.7, "p1": 0.8, "beta": 1.0},
    ],
)
def test_settings_out_of_range(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"zone|error rates"):
        LinearSPRT(**arguments)


def test_values_out_of_range() -> None:
    for value in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="not between"):
            LinearSPRT(P0, P1).observe([value])
    with pytest.raises(ValueError, match="more than 3"):
        LinearSPRT(P0, P1, total=3).observe([0.75] * 4)


def _suite(draw: random.Random, true: float) -> list[float]:
    """Return 0/1 rewards of exactly this mean, shuffled."""
    right = round(N * true)
    values = [1.0] * right + [0.0] * (N - right)
    draw.shuffle(values)
    return values


def _rates(true: float, runs: int, *, finite: bool) -> tuple[float, float, float]:
    """Return how often it passes and fails, and after how many examples on average."""
    draw = random.Random(f"{true} {finite}")
    passed = failed = seen = 0
    for _ in range(runs):
        values = _suite(draw, true) if finite else [float(draw.random() < true) for _ in range(N)]
        decision, after = _decided(values, N if finite else None)
        passed += decision == "passed"
        failed += decision == "failed"
        seen += after
    return passed / runs, failed / runs, seen / runs


def _in_order_of_completion(values: Sequence[float], slower: float) -> list[float]:
    """Return rewards as 32 at a time finish, where failing ones take `slower` times as long."""
    draw = random.Random(repr(values[:40]))
    running: list[tuple[float, int, float]] = []
    finished, clock = [], 0.0
    for place, value in enumerate(values):
        if len(running) == 32:
            clock, _, done = heapq.heappop(running)
            finished.append(done)
        took = draw.expovariate(1.0) * (1 if value else slower)
        heapq.heappush(running, (clock + took, place, value))
    while running:
        finished.append(heapq.heappop(running)[2])
    return finished


def _false_passes(slower: float, runs: int, *, prefix: bool) -> float:
    draw = random.Random(f"{slower}")
    passed = 0
    for _ in range(runs):
        values = [float(draw.random() < P0) for _ in range(N)]
        seen = values if prefix else _in_order_of_completion(values, slower)
        passed += _decided(seen, None)[0] == "passed"
    return passed / runs


def test_the_error_rates_hold() -> None:
    for finite in (False, True):
        assert _rates(P0, 400, finite=finite)[0] < 0.09
        assert _rates(P1, 400, finite=finite)[1] < 0.09


def test_completion_order_breaks_it() -> None:
    assert _false_passes(4, 200, prefix=True) < 0.1
    assert _false_passes(4, 200, prefix=False) > 0.4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("finite", "true", "passes", "fails", "examples"),
    [
        (False, 0.5, None, None, 23),
        (False, 0.7, 0.040, None, 94),
        (False, 0.8, None, 0.036, 101),
        (False, 0.9, None, None, 38),
        (True, 0.5, None, None, 22),
        (True, 0.7, 0.036, None, 67),
        (True, 0.8, None, 0.030, 73),
        (True, 0.9, None, None, 35),
    ],
)
def test_error_rates_and_savings_in_full(
    *, finite: bool, true: float, passes: float | None, fails: float | None, examples: int
) -> None:
    passed, failed, seen = _rates(true, 4000, finite=finite)
    # Without replacement the published rates are of a suite drawn anew, here of its very mean.
    assert passes is None or passed <= max(passes, 0.05) + 0.01
    assert fails is None or failed <= max(fails, 0.05) + 0.01
    assert seen == pytest.approx(examples, rel=0.12)


@pytest.mark.slow
@pytest.mark.parametrize(("slower", "published"), [(1, 0.046), (2, 0.269), (4, 0.713)])
def test_completion_order_in_full(slower: float, published: float) -> None:
    assert _false_passes(slower, 4000, prefix=True) == pytest.approx(0.039, abs=0.015)
    # How long a rollout takes is drawn from a distribution of the test's own.
    found = _false_passes(slower, 4000, prefix=False)
    assert found == pytest.approx(published, abs=0.03 if slower == 1 else 0.2)
