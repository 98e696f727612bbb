"""Estimators against values computed by hand and by counting every subset."""

from __future__ import annotations

import math
import random
import statistics
from itertools import combinations

import pytest

from pytest_evals.stats.estimators import (
    clustered_standard_error,
    example_means,
    g_pass_at_k,
    mean,
    mean_g_pass_at_k,
    pass_at_k,
    pass_hat_k,
    percentile,
    standard_error,
    suite_standard_error,
)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([0.0], 0.0),
        ([0.0, 0.0], 0.0),
        ([1.0, 1.0], 1.0),
        ([0.0, 1.0, 1.0, 1.0], 0.75),
        ([-2.0, 2.0], 0.0),
        ([0.1] * 10, 0.1),
    ],
)
def test_mean(values: list[float], expected: float | None) -> None:
    assert mean(values) == expected


@pytest.mark.parametrize(
    "values", [[math.nan], [1.0, math.nan], [math.inf, -math.inf], [1e308] * 10]
)
def test_mean_that_is_no_number_is_nan(values: list[float]) -> None:
    result = mean(values)
    assert result is not None
    assert math.isnan(result)


def test_example_means_weigh_examples_equally_whatever_their_rollouts() -> None:
    groups: list[list[float | None]] = [[1.0, 1.0, 1.0], [0.0], [None, 0.5, None], [None, None]]
    assert example_means(groups) == [1.0, 0.0, 0.5]
    assert mean(example_means(groups)) == 0.5


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([0.7], None),
        ([1.0, 1.0], 0.0),
        # mean .5, squares 4 x .25, variance 1/3, over 4
        ([0.0, 0.0, 1.0, 1.0], math.sqrt(1 / 3 / 4)),
        # mean 2, squares 1 + 0 + 1, variance 1, over 3
        ([1.0, 2.0, 3.0], math.sqrt(1 / 3)),
    ],
)
def test_standard_error(values: list[float], expected: float | None) -> None:
    assert standard_error(values) == pytest.approx(expected)


def test_standard_error_is_that_of_the_statistics_module() -> None:
    generator = random.Random(5)
    values = [generator.gauss(3, 2) for _ in range(200)]
    assert standard_error(values) == pytest.approx(statistics.stdev(values) / math.sqrt(200))


@pytest.mark.parametrize("values", [[1e200, -1e200], [1e154, -1e154] * 10, [math.nan, 1.0]])
def test_standard_error_beyond_the_range_of_float_is_not_a_small_number(
    values: list[float],
) -> None:
    result = standard_error(values)
    assert result is not None
    assert not math.isfinite(result)


@pytest.mark.parametrize(
    ("n", "c", "k", "at_least_one", "all_of_them"),
    [
        (3, 0, 1, 0.0, 0.0),
        (3, 3, 3, 1.0, 1.0),
        (3, 1, 1, 1 / 3, 1 / 3),
        (3, 1, 2, 2 / 3, 0.0),
        (3, 2, 2, 1.0, 1 / 3),
        (4, 2, 2, 5 / 6, 1 / 6),
        (10, 3, 5, 1 - 21 / 252, 0.0),
        (1, 1, 1, 1.0, 1.0),
        (2, 2, 3, None, None),
        (0, 0, 1, None, None),
        (3, 3, 0, None, None),
    ],
)
def test_pass_at_k_and_pass_hat_k(
    n: int, c: int, k: int, at_least_one: float | None, all_of_them: float | None
) -> None:
    assert pass_at_k(n, c, k) == pytest.approx(at_least_one)
    assert pass_hat_k(n, c, k) == pytest.approx(all_of_them)


def test_pass_estimators_count_the_subsets() -> None:
    generator = random.Random(11)
    for _ in range(200):
        n = generator.randint(1, 8)
        k = generator.randint(1, n)
        rollouts = [generator.random() < 0.5 for _ in range(n)]
        subsets = list(combinations(rollouts, k))
        c = sum(rollouts)
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))
        assert pass_hat_k(n, c, k) == pytest.approx(sum(map(all, subsets)) / len(subsets))


def test_pass_at_k_is_unbiased_where_the_plug_in_form_is_not() -> None:
    # E over c ~ Binomial(5, .8) of pass^5 is .8^5; of (c/5)^5 it is .478.
    expectation = sum(
        math.comb(5, c) * 0.8**c * 0.2 ** (5 - c) * (pass_hat_k(5, c, 5) or 0.0) for c in range(6)
    )
    assert expectation == pytest.approx(0.8**5)


def test_pass_at_k_of_very_many_rollouts() -> None:
    assert pass_at_k(5000, 1, 2500) == pytest.approx(0.5)
    assert pass_hat_k(5000, 4999, 2500) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("values", "p", "expected"),
    [
        ([], 95, None),
        ([3.0], 1, 3.0),
        ([3.0], 100, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 51, 3.0),
        ([float(i) for i in range(1, 21)], 95, 19.0),
        ([float(i) for i in range(1, 101)], 7, 7.0),
        ([float(i) for i in range(1, 101)], 99.9, 100.0),
        ([float(i) for i in range(1, 1001)], 99.9, 999.0),
    ],
)
def test_percentile(values: list[float], p: float, expected: float | None) -> None:
    assert percentile(values, p) == expected


def test_percentile_of_nan_is_nan() -> None:
    result = percentile([1.0, math.nan, 2.0], 50)
    assert result is not None
    assert math.isnan(result)


def test_clusters_of_one_are_independent_examples() -> None:
    values = [0.0, 1.0, 0.5, 1.0, 0.25]
    assert clustered_standard_error(values, "abcde") == pytest.approx(standard_error(values))


def test_clustered_standard_error_by_hand() -> None:
    # Mean .5; the clusters' sums of deviations are 1, -1 and 0: sqrt(3 / 2 x 2) / 6.
    values = [1.0, 1.0, 0.0, 0.0, 1.0, 0.0]
    assert clustered_standard_error(values, [1, 1, 2, 2, 3, 3]) == pytest.approx(math.sqrt(3) / 6)


def test_values_that_agree_within_clusters_count_once() -> None:
    values, clusters = [1.0] * 10 + [0.0] * 10 + [1.0] * 10, [place // 10 for place in range(30)]
    found = clustered_standard_error(values, clusters)
    assert found == pytest.approx(standard_error([1.0, 0.0, 1.0]))


@pytest.mark.parametrize(("values", "clusters"), [([], []), ([1.0], [1]), ([1.0, 0.0], [1, 1])])
def test_one_cluster_says_nothing_of_others(values: list[float], clusters: list[int]) -> None:
    assert clustered_standard_error(values, clusters) is None


def test_clusters_for_each_value() -> None:
    with pytest.raises(ValueError, match="shorter"):
        clustered_standard_error([1.0, 0.0], [1])


def test_the_suites_own_error_is_that_of_its_rollouts_alone() -> None:
    # Within the first example s^2 = 1/3 of 4, within the second 0: sqrt(1/12) / 2.
    assert suite_standard_error([[0.0, 0.0, 1.0, 1.0], [1.0, 1.0]]) == pytest.approx(
        math.sqrt(1 / 12) / 2
    )
    assert suite_standard_error([[1.0], [0.0, 1.0]]) is None
    assert suite_standard_error([]) is None


def test_the_suites_error_is_what_repeating_it_shows() -> None:
    draw = random.Random(8)
    chances = [draw.random() for _ in range(30)]

    def suite() -> list[list[float]]:
        return [[float(draw.random() < chance) for _ in range(4)] for chance in chances]

    runs = [suite() for _ in range(800)]
    spread = statistics.stdev(statistics.fmean(map(statistics.fmean, run)) for run in runs)
    errors = [suite_standard_error(run) or 0.0 for run in runs]
    assert statistics.fmean(errors) == pytest.approx(spread, rel=0.1)


@pytest.mark.parametrize("tau", [0.0, 0.25, 0.5, 0.75, 1.0, 0.07, 2 / 3])
def test_g_pass_at_k_counts_subsets(tau: float) -> None:
    for n, k in ((1, 1), (4, 3), (6, 4), (7, 7)):
        for c in range(n + 1):
            subsets = list(combinations([1] * c + [0] * (n - c), k))
            fewest = max(math.ceil(round(tau * k, 9)), 1)
            share = sum(sum(subset) >= fewest for subset in subsets) / len(subsets)
            assert g_pass_at_k(n, c, k, tau) == pytest.approx(share), (n, k, c)


def test_g_pass_at_k_lies_between_pass_hat_and_pass_at() -> None:
    for c in range(9):
        assert g_pass_at_k(8, c, 4, 0.0) == pass_at_k(8, c, 4)
        assert g_pass_at_k(8, c, 4, 1.0) == pass_hat_k(8, c, 4)


def test_mean_g_pass_at_k_is_the_mean_of_the_upper_half() -> None:
    for n, k in ((2, 2), (5, 3), (8, 4)):
        for c in range(n + 1):
            parts = [g_pass_at_k(n, c, k, i / k) for i in range(math.ceil(k / 2) + 1, k + 1)]
            assert mean_g_pass_at_k(n, c, k) == pytest.approx(2 / k * sum(map(float, parts)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "k", "tau"), [(3, 4, 0.5), (3, 0, 0.5), (3, 2, 1.1), (3, 2, -0.1)])
def test_g_pass_at_k_that_is_not_defined(n: int, k: int, tau: float) -> None:
    assert g_pass_at_k(n, 1, k, tau) is None


def test_mean_g_pass_at_k_needs_two_attempts() -> None:
    assert mean_g_pass_at_k(3, 1, 1) is None
    assert mean_g_pass_at_k(3, 1, 4) is None
