"""Paired comparisons against scipy, by counting, and where nothing differs."""

from __future__ import annotations

import math
import random

import pytest
from scipy import stats as scipy_stats

from pytest_evals.stats.paired import mcnemar, most_lost, paired_t, sign_flip


def test_paired_t_is_scipys() -> None:
    draw = random.Random(3)
    old = [draw.random() for _ in range(40)]
    new = [value + draw.gauss(-0.03, 0.1) for value in old]
    found = paired_t([after - before for before, after in zip(old, new, strict=True)])
    expected = scipy_stats.ttest_rel(new, old, alternative="less")
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval.high == pytest.approx(expected.confidence_interval(0.95).high)
    assert found.difference == pytest.approx(sum(new) / 40 - sum(old) / 40)


def test_a_constant_difference_is_not_certain() -> None:
    for differences in ([-0.5] * 20, [0.0] * 20, [-1.0]):
        found = paired_t(differences)
        assert found.p_value is None
        assert found.interval == (-math.inf, math.inf)


def test_clusters_make_a_difference_less_certain() -> None:
    differences = [-0.3, -0.2, -0.25, 0.05, 0.0, 0.1] * 3
    clusters = [place // 3 for place in range(18)]
    alone, together = paired_t(differences), paired_t(differences, clusters=clusters)
    assert alone.p_value is not None
    assert together.p_value is not None
    assert together.p_value > alone.p_value
    with pytest.raises(ValueError, match="no differences"):
        paired_t([])


@pytest.mark.parametrize(("worse", "better"), [(1, 0), (3, 1), (5, 5), (12, 4), (400, 350)])
def test_mcnemar_is_a_sign_test(worse: int, better: int) -> None:
    expected = scipy_stats.binomtest(worse, worse + better, alternative="greater").pvalue
    assert mcnemar(worse, better) == pytest.approx(expected, abs=1e-12)


def test_mcnemar_at_the_edges() -> None:
    assert mcnemar(0, 0) == 1
    assert mcnemar(0, 9) == 1
    with pytest.raises(ValueError, match="no counts"):
        mcnemar(-1, 2)


def test_sign_flip_counts_every_pattern_of_few() -> None:
    assert sign_flip([-1.0]) == 0.5
    assert sign_flip([-1.0, -1.0, 0.0]) == 0.25
    # Of -.3 -.2 +.1 = -.4 only -.6 and -.4 itself are as low.
    assert sign_flip([-0.3, -0.2, 0.1]) == 0.25
    assert sign_flip([]) == sign_flip([0.0] * 5) == 1


def test_sign_flip_of_rewards_of_0_and_1_is_mcnemar() -> None:
    assert sign_flip([-1.0] * 8 + [1.0] * 2 + [0.0] * 30) == pytest.approx(mcnemar(8, 2))
    drawn = sign_flip([-1.0] * 40 + [1.0] * 25)
    assert drawn == pytest.approx(mcnemar(40, 25), abs=0.008)
    assert drawn == sign_flip([-1.0] * 40 + [1.0] * 25)  # the seed is part of it


def test_sign_flip_is_scipys_permutation_test() -> None:
    draw = random.Random(5)
    differences = [draw.gauss(-0.05, 0.2) for _ in range(60)]

    expected = scipy_stats.permutation_test(
        (differences,),
        lambda values: sum(values) / len(values),
        permutation_type="samples",
        alternative="less",
        n_resamples=20_000,
        rng=1,
    )
    assert sign_flip(differences) == pytest.approx(expected.pvalue, abs=0.01)


def test_the_same_sizes_in_another_order_are_as_low() -> None:
    # .1 + .2 + .3 differs from .3 + .2 + .1 in the last digit.
    differences = [-0.1, -0.2, -0.3] * 4
    assert sign_flip(differences) == pytest.approx(2**-12)


def test_sign_flip_is_never_0_and_takes_many_examples() -> None:
    assert sign_flip([-0.1] * 5000) == pytest.approx(1 / 10_001)


@pytest.mark.parametrize(("n", "lost"), [(0, 1.0), (1, 0.95), (10, 0.2589), (100, 0.0295)])
def test_nothing_lost_is_not_nothing_to_lose(n: int, lost: float) -> None:
    assert most_lost(n) == pytest.approx(lost, abs=1e-4)


def _alarms(n: int, k: int, drop: float, runs: int) -> tuple[float, float]:
    """Return how often a drop of 2 points, and a paired t test at 5 %, cry wolf."""
    draw = random.Random(f"{n} {k} {drop}")
    bare = tested = 0
    for _ in range(runs):
        differences = []
        for _ in range(n):
            chance = draw.betavariate(2.4, 0.6)
            now = max(chance - drop, 0.0)
            old = sum(draw.random() < chance for _ in range(k)) / k
            differences.append(sum(draw.random() < now for _ in range(k)) / k - old)
        found = paired_t(differences)
        bare += found.difference < -0.02
        tested += (found.p_value or 0.0) < 0.05 if any(differences) else 0
    return bare / runs, tested / runs


@pytest.mark.parametrize(("n", "k", "bare"), [(50, 1, 0.31), (100, 3, 0.21)])
def test_two_points_less_is_noise_and_a_test_knows_it(n: int, k: int, bare: float) -> None:
    found, tested = _alarms(n, k, 0.0, 300)
    assert abs(found - bare) < 0.1
    assert tested < 0.11


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "k", "bare", "false", "power"),
    [
        (20, 1, 0.41, 0.06, 0.18),
        (50, 1, 0.31, 0.06, 0.36),
        (50, 3, 0.30, 0.06, 0.72),
        (100, 3, 0.21, 0.05, 0.94),
        (200, 1, 0.25, 0.05, 0.83),
        (200, 3, 0.14, 0.06, 1.0),
    ],
)
def test_false_alarms_and_power_in_full(
    n: int, k: int, bare: float, false: float, power: float
) -> None:
    found, alarms = _alarms(n, k, 0.0, 3000)
    assert found == pytest.approx(bare, abs=0.06)
    assert alarms == pytest.approx(false, abs=0.025)
    assert _alarms(n, k, 0.1, 3000)[1] == pytest.approx(power, abs=0.12)
