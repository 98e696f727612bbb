"""Estimators: means, standard errors, pass@k, pass^k and percentiles of an eval's rollouts.

Examples are the independent units; the rollouts of one example are not. What is not defined is
None, never 0. A NaN among the values makes the result NaN.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
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
