"""Estimators: means, standard errors, pass@k, pass^k and percentiles of an eval's rollouts.

Examples are the independent units; the rollouts of one example are not. What is not defined is
None, never 0. A NaN among the values makes the result NaN.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from fractions import Fraction


def mean(values: Sequence[float]) -> float | None:
    """Return the arithmetic mean; None of no values, NaN when it is out of the range of float."""
    if not values:
        return None
    try:
        return math.fsum(values) / len(values)
    except (OverflowError, ValueError):  # a sum beyond the range, or inf - inf
        return math.nan


def example_means(groups: Iterable[Sequence[float | None]]) -> list[float]:
    """Return xbar_i = mean over the rollouts of example i, for each example that has a value.

    Args:
        groups: per example, the values of its rollouts; None where a rollout has none.
    """
    means = []
    for group in groups:
        example_mean = mean([value for value in group if value is not None])
        if example_mean is not None:
            means.append(example_mean)
    return means


def standard_error(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean of independent values, one per example.

    SE = sd(xbar_i) / sqrt(N), with N - 1 in the variance: the uncertainty about other examples of
    the same kind (Miller 2024, arXiv 2411.00640, section 2). Rollouts must be averaged per example
    first; treated as independent they would make it too small.

    None for fewer than two values: one example says nothing about how examples differ.
    """
    centre = mean(values)
    if centre is None or len(values) < 2:
        return None
    try:
        squares = math.fsum((value - centre) * (value - centre) for value in values)
    except (OverflowError, ValueError):
        return math.nan
    return math.sqrt(squares / (len(values) - 1) / len(values))


def clustered_standard_error(values: Sequence[float], clusters: Sequence[Hashable]) -> float | None:
    """Return the standard error of the mean of values that are independent between clusters only.

    SE = sqrt(C / (C - 1) x sum_c (sum_{i in c} (x_i - xbar))^2) / n for C clusters (Miller 2024,
    arXiv 2411.00640, appendix A, with the factor for few clusters). With one value in each cluster
    it is `standard_error`. None for fewer than two clusters.

    Args:
        values: one per example.
        clusters: what each belongs to, in the same order.
    """
    centre = mean(values)
    sums: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values, clusters, strict=True):
        sums.setdefault(cluster, []).append(value)
    if centre is None or len(sums) < 2:
        return None
    try:
        squares = math.fsum(math.fsum(value - centre for value in of) ** 2 for of in sums.values())
    except (OverflowError, ValueError):
        return math.nan
    return math.sqrt(squares * len(sums) / (len(sums) - 1)) / len(values)


def suite_standard_error(groups: Iterable[Sequence[float]]) -> float | None:
    """Return the standard error of the mean over these very examples, asked again and again.

    SE^2 = 1 / N^2 x sum_i s_i^2 / K_i with s_i^2 the variance within example i: how much the mean
    moves from run to run, while `standard_error` is about other examples of the same kind. None
    without examples, and where one has fewer than two rollouts.

    Args:
        groups: the values of each example's rollouts.
    """
    variances = []
    for group in groups:
        error = standard_error(group)
        if error is None:
            return None
        variances.append(error * error)
    return math.sqrt(math.fsum(variances)) / len(variances) if variances else None


def pass_at_k(n: int, c: int, k: int) -> float | None:
    """Return the probability that at least one of k rollouts of an example is correct.

    1 - C(n - c, k) / C(n, k), unbiased for c correct among n rollouts (Chen et al. 2021, arXiv
    2107.03374, section 2.1). None when n < k or k < 1.
    """
    if not 1 <= k <= n:
        return None
    total = math.comb(n, k)
    # One division of whole numbers: exact up to the last digit, also where both are huge.
    return (total - math.comb(n - c, k)) / total


def pass_hat_k(n: int, c: int, k: int) -> float | None:
    """Return the probability that all of k rollouts of an example are correct: pass^k.

    C(c, k) / C(n, k), unbiased for c correct among n rollouts (Yao et al. 2024, tau-bench, arXiv
    2406.12045, section 3). None when n < k or k < 1.
    """
    if not 1 <= k <= n:
        return None
    return math.comb(c, k) / math.comb(n, k)


def g_pass_at_k(n: int, c: int, k: int, tau: float) -> float | None:
    """Return the probability that at least tau x k of k rollouts of an example are correct.

    sum over j >= max(ceil(tau k), 1) of C(c, j) C(n - c, k - j) / C(n, k) (Liu et al. 2024, arXiv
    2412.13147, section 3); pass@k when tau is 0, pass^k when it is 1. None when n < k or k < 1, or
    when tau is not between 0 and 1.
    """
    if not 1 <= k <= n or not 0 <= tau <= 1:
        return None
    # Not math.ceil(tau * k): 0.07 x 100 is 7.000000000000001.
    fewest = max(math.ceil(Fraction(repr(tau)) * k), 1)
    favourable = sum(math.comb(c, j) * math.comb(n - c, k - j) for j in range(fewest, k + 1))
    return favourable / math.comb(n, k)


def mean_g_pass_at_k(n: int, c: int, k: int) -> float | None:
    """Return mG-Pass@k, the mean of G-Pass@k over tau from 0.5 to 1: stable correctness.

    2 / k x sum over i = ceil(k / 2) + 1 .. k of G-Pass@k with tau = i / k (as `g_pass_at_k`, same
    section). None when n < k or k < 2.
    """
    if not 2 <= k <= n:
        return None
    total = math.comb(n, k)
    exactly = [math.comb(c, j) * math.comb(n - c, k - j) for j in range(k + 1)]
    favourable = sum(sum(exactly[i:]) for i in range(math.ceil(k / 2) + 1, k + 1))
    return 2 * favourable / (k * total)


def percentile(values: Sequence[float], p: float) -> float | None:
    """Return the p-th percentile (0 < p <= 100): the smallest value that p % do not exceed.

    X_(j) with j = ceil(n p / 100), the inverse of the empirical distribution (Hyndman and Fan
    1996, type 1): always one of the values. None of no values.
    """
    if not values:
        return None
    if any(math.isnan(value) for value in values):
        return math.nan
    # Decimal fractions are not exact in binary: 7 % of 100 must be the 7th value, not the 8th.
    rank = math.ceil(Fraction(repr(p)) * len(values) / 100)
    return sorted(values)[max(rank, 1) - 1]
