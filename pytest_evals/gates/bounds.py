"""Bounds: the interval behind an estimate, by the method that suits the metric."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..stats.estimators import example_means, percentile
from ..stats.intervals import Interval, korn_graubard, percentile_interval, t_interval
from .metrics import Metric

UNBOUNDED = Interval(-math.inf, math.inf)


def bounds_of(
    metric: Metric,
    groups: Sequence[Sequence[float | None]],
    *,
    span: tuple[float, float] | None,
    confidence: float,
) -> Interval:
    """Return one-sided bounds of a metric over the examples that these are a sample of.

    Korn-Graubard where the values have a range, order statistics for a percentile, Student's t
    otherwise. Infinite where there is too little to say.

    Args:
        groups: per example, the values of its rollouts.
        span: the smallest and largest value there can be; None where that is not known.
        confidence: of each bound.
    """
    means = example_means(groups)
    if not means:
        return UNBOUNDED
    if metric.kind == "percentile":
        return _of_percentile(metric.parameter, groups, len(means), confidence)
    if span is None:
        return t_interval(means, confidence=confidence)
    low, high = span
    rollouts = sum(value is not None for group in groups for value in group)
    return korn_graubard(means, rollouts, low=low, high=high, confidence=confidence)


def bounds_of_chances(chances: Sequence[float], attempts: int, *, confidence: float) -> Interval:
    """Return one-sided bounds of a mean of chances, one per example: of pass@k and pass^k.

    Args:
        chances: the estimate of each example.
        attempts: independent attempts behind all of them, k rollouts each.
    """
    if not chances:
        return UNBOUNDED
    return korn_graubard(chances, max(attempts, len(chances)), confidence=confidence)


def _of_percentile(
    p: float, groups: Sequence[Sequence[float | None]], examples: int, confidence: float
) -> Interval:
    """Return the bounds of a percentile over all rollouts.

    The rollouts of one example are alike, so the ranks are those of as many values as there are
    examples, and count as shares (Woodruff 1952).
    """
    values = [value for group in groups for value in group if value is not None]
    if len(values) == examples:
        return percentile_interval(values, p, confidence=confidence)
    ranks = percentile_interval(
        [float(rank) for rank in range(1, examples + 1)], p, confidence=confidence
    )
    low, high = (_at_rank(values, rank, examples) for rank in ranks)
    return Interval(low, high)


def _at_rank(values: Sequence[float], rank: float, ranks: int) -> float:
    if math.isinf(rank):
        return rank
    found = percentile(values, 100 * rank / ranks)
    assert found is not None
    return found
