"""Intervals: how far a mean, a share or a percentile of an eval could be off.

Each bound is one-sided: the truth lies beyond it with probability 1 - confidence at most. So an
interval of both has 2 x confidence - 1: two bounds of 0.95 make an interval of 90 %. What the data
cannot bound is infinite; a bound is never equal to the estimate because the data happen not to
vary.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Hashable, Sequence
from fractions import Fraction
from typing import NamedTuple

from .distributions import beta_quantile, binomial_cdf, t_quantile
from .estimators import clustered_standard_error, mean, standard_error


class Interval(NamedTuple):
    """A lower and an upper bound, each one-sided."""

    low: float
    high: float


def clopper_pearson(successes: float, n: float, *, confidence: float = 0.95) -> Interval:
    """Return the bounds of a share, exact for independent successes and failures.

    L = BetaInv(a; x, n - x + 1), U = BetaInv(1 - a; x + 1, n - x), with a = 1 - confidence, L = 0
    when x = 0 and U = 1 when x = n (Clopper and Pearson 1934). Neither argument need be a whole
    number (`korn_graubard`).

    Args:
        successes: x, between 0 and n.
        n: trials, above 0.

    Raises:
        ValueError: an argument is out of its range.
    """
    alpha = _alpha(confidence)
    if not 0 <= successes <= n or not n > 0:
        raise ValueError(f"no share: {successes!r} successes of {n!r}")
    return Interval(
        low=beta_quantile(alpha, successes, n - successes + 1) if successes else 0.0,
        high=beta_quantile(1 - alpha, successes + 1, n - successes) if successes < n else 1.0,
    )


def korn_graubard(
    means: Sequence[float],
    rollouts: int,
    *,
    low: float = 0.0,
    high: float = 1.0,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Return the bounds of a mean reward over the examples that these are a sample of.

    Clopper-Pearson with an effective sample size, so that it holds for repeated rollouts, clusters
    and graded rewards:

        n_eff = p (1 - p) / se^2 x (t_{1-a, n-1} / t_{1-a, N-1})^2, clipped to [1, n]

    with p the mean mapped to [0, 1], se its standard error over N examples (or clusters) and n
    rollouts; n_eff = N when p is 0 or 1 (Korn and Graubard 1998; the survey package's svyciprop).

    Args:
        means: the mean of each example's rollouts.
        rollouts: n, the rollouts behind them all, at least one for each example.
        low, high: the range of the rewards, declared and not observed.
        clusters: what each example belongs to, where examples are not independent.

    Raises:
        ValueError: there are no means, one lies outside the range, or an argument is out of its
            own.
    """
    _alpha(confidence)
    if not means or rollouts < len(means):
        raise ValueError(f"no bounds for {len(means)} examples with {rollouts} rollouts")
    if not low < high or not all(low <= value <= high for value in means):
        raise ValueError(f"the means do not lie between {low!r} and {high!r}")
    shares = [(value - low) / (high - low) for value in means]
    p = mean(shares)
    assert p is not None
    p = min(max(p, 0.0), 1.0)
    n = _effective_size(shares, p, rollouts, clusters, confidence)
    bounds = clopper_pearson(min(p * n, n), n, confidence=confidence)
    return Interval(*(low + bound * (high - low) for bound in bounds))


def t_interval(
    means: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> Interval:
    """Return the bounds of a mean whose values have no known range: mean -+ t_{N-1} se.

    It keeps its level only where the means of examples are roughly normal. With fewer than two
    examples (or clusters), or where all are equal, nothing is known of how examples differ, and
    the bounds are infinite.

    Args:
        means: the mean of each example's rollouts.
        clusters: what each example belongs to, where examples are not independent.
    """
    _alpha(confidence)
    centre = mean(means)
    error = _error(means, clusters)
    if centre is None or not error or not math.isfinite(error):
        return Interval(-math.inf, math.inf)
    reach = t_quantile(confidence, _units(means, clusters) - 1) * error
    return Interval(centre - reach, centre + reach)


def percentile_interval(values: Sequence[float], p: float, *, confidence: float = 0.95) -> Interval:
    """Return the bounds of the p-th percentile of what independent values are drawn from.

    Order statistics, whatever the distribution: U = X_(j) with the smallest j for which
    BinCDF(j - 1; n, p / 100) >= confidence; L = X_(j) with the largest j for which
    BinCDF(j - 1; n, p / 100) <= 1 - confidence (David and Nagaraja 2003, section 7.1). There is no
    finite upper bound of the 95th percentile below n = 59.

    Args:
        values: in any order; without NaN.
        p: above 0, at most 100.
    """
    alpha = _alpha(confidence)
    if not 0 < p <= 100:
        raise ValueError(f"{p!r} is not a percentile")
    ordered, n = sorted(values), len(values)
    share = float(Fraction(repr(p)) / 100)

    def at_most(j: int) -> float:
        return binomial_cdf(j - 1, n, share)

    above = _first(n, lambda j: at_most(j) >= confidence)
    beyond = _first(n, lambda j: at_most(j) > alpha)
    return Interval(
        low=ordered[beyond - 2] if beyond > 1 and n else -math.inf,
        high=ordered[above - 1] if above <= n else math.inf,
    )


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """Return the first of 1..n from which on a condition holds; n + 1 where it never does."""
    return bisect_left(range(1, n + 1), True, key=holds) + 1


def _effective_size(
    shares: Sequence[float],
    p: float,
    rollouts: int,
    clusters: Sequence[Hashable] | None,
    confidence: float,
) -> float:
    units = _units(shares, clusters)
    if p in (0, 1):
        return float(units)
    if units < 2:
        return 1.0
    error = _error(shares, clusters)
    if not error:
        # The values vary less than the data can show: as much as if each rollout were a trial.
        return float(rollouts)
    ratio = t_quantile(confidence, rollouts - 1) / t_quantile(confidence, units - 1)
    return min(max(p * (1 - p) / error**2 * ratio**2, 1.0), float(rollouts))


def _units(values: Sequence[float], clusters: Sequence[Hashable] | None) -> int:
    return len(values) if clusters is None else len(set(clusters))


def _error(values: Sequence[float], clusters: Sequence[Hashable] | None) -> float | None:
    if clusters is None:
        return standard_error(values)
    return clustered_standard_error(values, clusters)


def _alpha(confidence: float) -> float:
    if not 0.5 < confidence < 1:
        raise ValueError(f"the confidence must be above 0.5 and below 1, not {confidence!r}")
    return 1 - confidence
