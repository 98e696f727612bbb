"""Intervals against published values and scipy, and at the edges where formulas break down."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from scipy import stats as scipy_stats

from pytest_evals.stats.distributions import binomial_cdf
from pytest_evals.stats.intervals import (
    Interval,
    clopper_pearson,
    korn_graubard,
    percentile_interval,
    t_interval,
)


@pytest.mark.parametrize(("successes", "n"), [(0, 20), (1, 20), (10, 20), (19, 20), (160, 200)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_clopper_pearson_is_scipys(successes: int, n: int, confidence: float) -> None:
    test = scipy_stats.binomtest(successes, n)
    both = test.proportion_ci(confidence_level=2 * confidence - 1, method="exact")
    bounds = clopper_pearson(successes, n, confidence=confidence)
    assert bounds == pytest.approx((both.low, both.high), abs=1e-9)


def test_all_right_and_none_wrong_are_not_certain() -> None:
    assert clopper_pearson(20, 20) == pytest.approx((0.05 ** (1 / 20), 1))
    assert clopper_pearson(0, 20) == pytest.approx((0, 1 - 0.05 ** (1 / 20)))
    assert clopper_pearson(1, 1) == pytest.approx((0.05, 1))


@pytest.mark.parametrize("successes", [0, 1, 7, 13, 19, 20])
def test_one_rollout_per_example_is_almost_clopper_pearson(successes: int) -> None:
    rewards = [1.0] * successes + [0.0] * (20 - successes)
    bounds, exact = korn_graubard(rewards, 20), clopper_pearson(successes, 20)
    # The variance over examples has N - 1 where p (1 - p) has N.
    assert bounds == pytest.approx(exact, abs=0.013)
    if successes in (0, 20):
        assert bounds == exact


def test_korn_graubard_by_hand() -> None:
    # Four examples of two rollouts: p = .5, se^2 = (2 x .25) / 3 / 4 = 1 / 24, so that
    # p (1 - p) / se^2 = 6, times (t_7 / t_3)^2 of the 95th percentile.
    ratio = scipy_stats.t.ppf(0.95, 7) / scipy_stats.t.ppf(0.95, 3)
    n = 6 * ratio**2
    bounds = korn_graubard([0.0, 0.5, 0.5, 1.0], 8)
    assert bounds.low == pytest.approx(scipy_stats.beta.ppf(0.05, n / 2, n / 2 + 1))
    assert bounds.high == pytest.approx(scipy_stats.beta.ppf(0.95, n / 2 + 1, n / 2))


def test_rewards_of_another_range_give_the_same_bounds_there() -> None:
    shares = [0.0, 0.25, 0.5, 1.0, 1.0]
    unit = korn_graubard(shares, 10)
    moved = korn_graubard([4 * share - 1 for share in shares], 10, low=-1, high=3)
    assert moved == pytest.approx([4 * bound - 1 for bound in unit])


def test_repeats_that_agree_count_as_one_trial_each() -> None:
    means = [1.0] * 15 + [0.0] * 5
    once, five_times = korn_graubard(means, 20), korn_graubard(means, 100)
    # Not as 100 independent trials, whose lower bound is 0.67.
    assert five_times == pytest.approx(once, abs=0.02)
    assert five_times.low < clopper_pearson(75, 100).low - 0.1


def test_clusters_widen_the_bounds() -> None:
    means = [1.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 4
    apart = korn_graubard(means, 24)
    together = korn_graubard(means, 24, clusters=[place // 3 for place in range(24)])
    assert together.low < apart.low
    assert together.high > apart.high
    all_right = korn_graubard([1.0] * 24, 24, clusters=[place // 3 for place in range(24)])
    assert all_right == clopper_pearson(8, 8)


@pytest.mark.parametrize(
    "bounds",
    [
        korn_graubard([1.0], 1),
        korn_graubard([0.0], 5),
        korn_graubard([0.5], 5),
        korn_graubard([0.5] * 20, 20),
        korn_graubard([1.0] * 1000, 1000),
        korn_graubard([1.0] * 20, 20, clusters=["one"] * 20),
        korn_graubard([0.3] * 3, 3, clusters=["one"] * 3),
        korn_graubard([1e-12] * 20, 20),
        korn_graubard([1 - 1e-12] * 20, 20),
        t_interval([0.5]),
        t_interval([0.5] * 20),
        t_interval([]),
        t_interval([1.0, 2.0, 3.0], clusters=["one"] * 3),
        percentile_interval([1.0] * 5, 95),
        percentile_interval([], 95),
    ],
)
def test_no_interval_is_of_width_zero(bounds: Interval) -> None:
    assert bounds.low < bounds.high


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_t_interval_is_scipys(confidence: float) -> None:
    values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0]
    error = scipy_stats.sem(values)
    both = scipy_stats.t.interval(2 * confidence - 1, 7, sum(values) / 8, error)
    assert t_interval(values, confidence=confidence) == pytest.approx(both)


def test_the_percentile_needs_59_values_for_an_upper_bound() -> None:
    assert percentile_interval(list(range(58)), 95).high == math.inf
    assert percentile_interval(list(range(59)), 95).high == 58
    assert percentile_interval(list(range(58)), 5).low == -math.inf
    assert percentile_interval(list(range(59)), 5).low == 0


@pytest.mark.parametrize("n", [1, 5, 59, 100, 473])
@pytest.mark.parametrize("p", [1.0, 50.0, 95.0, 99.9, 100.0])
def test_the_percentile_lies_beyond_a_bound_as_rarely_as_said(n: int, p: float) -> None:
    bounds = percentile_interval([float(j) for j in range(1, n + 1)], p)
    share = p / 100
    if math.isfinite(bounds.high):
        rank = int(bounds.high)
        assert binomial_cdf(rank - 1, n, share) >= 0.95  # P(X_(rank) >= percentile)
        assert rank == 1 or binomial_cdf(rank - 2, n, share) < 0.95
    if math.isfinite(bounds.low):
        rank = int(bounds.low)
        assert binomial_cdf(rank - 1, n, share) <= 0.05 + 1e-12
        assert rank == n or binomial_cdf(rank, n, share) > 0.05


@pytest.mark.parametrize(
    "call",
    [
        lambda: clopper_pearson(-1, 5),
        lambda: clopper_pearson(6, 5),
        lambda: clopper_pearson(0, 0),
        lambda: clopper_pearson(math.nan, 5),
        lambda: clopper_pearson(1, 5, confidence=0.4),
        lambda: clopper_pearson(1, 5, confidence=1),
        lambda: korn_graubard([], 0),
        lambda: korn_graubard([0.5, 0.5], 1),
        lambda: korn_graubard([1.5], 1),
        lambda: korn_graubard([math.nan], 1),
        lambda: korn_graubard([0.5], 1, low=1, high=0),
        lambda: percentile_interval([1.0], 0),
        lambda: percentile_interval([1.0], 101),
        lambda: t_interval([1.0, 2.0], confidence=2),
    ],
)
def test_arguments_out_of_range(call: Callable[[], Interval]) -> None:
    with pytest.raises(ValueError, match=r"no |not|must"):
        call()


def _beta_binary(draw: random.Random, a: float, b: float, n: int, k: int) -> list[float]:
    means = []
    for _ in range(n):
        chance = draw.betavariate(a, b)
        means.append(sum(draw.random() < chance for _ in range(k)) / k)
    return means


# Means of examples, drawn again and again: how often the lower bound lies above the truth.
MISSES = {
    "mixed 10 x 5": (0.8, 0.2, 10, 5, 0.045),
    "mixed 20 x 5": (0.8, 0.2, 20, 5, 0.040),
    "mixed 50 x 3": (0.8, 0.2, 50, 3, 0.035),
    "high 20 x 5": (1.9, 0.1, 20, 5, 0.092),
    "high 50 x 3": (1.9, 0.1, 50, 3, 0.048),
}


def _miss_rate(a: float, b: float, n: int, k: int, runs: int) -> float:
    draw = random.Random(f"{a} {b} {n} {k}")
    truth = a / (a + b)
    missed = sum(
        korn_graubard(_beta_binary(draw, a, b, n, k), n * k).low > truth for _ in range(runs)
    )
    return missed / runs


@pytest.mark.parametrize("case", MISSES)
def test_the_lower_bound_misses_as_rarely_as_simulated(case: str) -> None:
    a, b, n, k, published = MISSES[case]
    runs = 400
    error = math.sqrt(published * (1 - published) / runs)
    assert abs(_miss_rate(a, b, n, k, runs) - published) < 4 * error + 0.01


@pytest.mark.slow
@pytest.mark.parametrize("case", MISSES)
def test_the_lower_bound_misses_as_rarely_as_simulated_in_full(case: str) -> None:
    a, b, n, k, published = MISSES[case]
    runs = 8_000
    error = math.sqrt(published * (1 - published) / runs)
    assert abs(_miss_rate(a, b, n, k, runs) - published) < 4 * error + 0.004
