"""Estimates: one number for a metric over an eval's rollouts, and how far it could be off."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..stats.estimators import (
    example_means,
    mean,
    pass_at_k,
    pass_hat_k,
    percentile,
    standard_error,
)
from ..stats.intervals import Interval
from ..stats.measurements import Column, Measurements
from .bounds import bounds_of, bounds_of_chances
from .metrics import Metric
from .tables import DEFAULT_CONFIDENCE
from .unknown import is_of_time

Groups = list[list[float | None]]

# Metrics whose smallest and largest possible values are not 0 and 1: only those seen are known.
_MEASURED_IN_UNITS = ("input_tokens", "output_tokens", "cost_usd", "turns", "latency.mean")


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the rollouts say about a metric.

    Attributes:
        value: over the rollouts that have one; None when it is not defined for any example. Of
            `pass@k` and `pass^k` it can lie outside the bounds, because an example with fewer than
            k rewards counts in the bounds only.
        standard_error: over examples; None for one example, a percentile or an error rate.
        low, high: the smallest and the largest the value can be, whatever the rollouts without a
            value would have given; both equal `value` when there are none.
        low_bounds, high_bounds: one-sided bounds of what the value estimates, with the rollouts
            without a value at the minimum, and at the maximum.
        has_range: whether the values are known to lie in a range, which the bounds rest on.
        n_examples, n_rollouts: how many are behind the value.
    """

    value: float | None
    standard_error: float | None
    low: float
    high: float
    low_bounds: Interval
    high_bounds: Interval
    has_range: bool
    n_examples: int
    n_rollouts: int


def column_of(metric: Metric, measurements: Measurements) -> Column:
    """Return the values that a metric is computed from: None where a rollout has none."""
    name = metric.name
    if name == "reward" or metric.kind in ("pass@", "pass^"):
        return measurements.reward
    if is_of_time(metric):
        return [
            None if replayed else seconds
            for seconds, replayed in zip(
                measurements.seconds, measurements.is_from_cache, strict=True
            )
        ]
    if name == "turns":
        return measurements.turns
    if name == "truncated_rate":
        return measurements.truncated
    if name == "answer_rate":
        return measurements.answered
    if name == "cost_usd":
        column = measurements.cost.get("total_usd")
    else:
        table = measurements.usage if metric.built_in else measurements.metrics
        column = table.get(name)
    if column is None:
        return [None] * len(measurements.states)
    return measurements.scored_only(column)


def estimate(
    metric: Metric,
    column: Column,
    measurements: Measurements,
    *,
    declared: tuple[float, float] | None = None,
    confidence: float = DEFAULT_CONFIDENCE,
    seen: Sequence[float] = (),
) -> Estimate:
    """Estimate a metric from its column, which holds only finite values.

    Not for `error_rate`, which is counted and not estimated.

    Args:
        declared: the range of the values, where the user has declared one; they lie in it.
        confidence: of each bound.
        seen: the values that tell what range others have; those of the column where none are
            given, which then holds at least one.
    """
    groups = measurements.by_example(column)
    if metric.kind == "pass@":
        return _estimate_pass(pass_at_k, metric, groups, measurements, confidence)
    if metric.kind == "pass^":
        return _estimate_pass(pass_hat_k, metric, groups, measurements, confidence)
    seen = seen or [value for value in column if value is not None]
    low, high = declared or range_of(metric, seen)
    span = declared or _known_range(metric, seen)
    filled_low, filled_high = _filled(groups, low), _filled(groups, high)
    means = example_means(groups)

    def bounds(groups: Sequence[Sequence[float | None]]) -> Interval:
        return bounds_of(metric, groups, span=span, confidence=confidence)

    def at(groups: Sequence[Sequence[float | None]]) -> float | None:
        if metric.kind != "percentile":
            return mean(example_means(groups))
        values = [value for group in groups for value in group if value is not None]
        return percentile(values, metric.parameter)

    return Estimate(
        value=at(groups),
        standard_error=None if metric.kind == "percentile" else standard_error(means),
        low=_number(at(filled_low)),
        high=_number(at(filled_high)),
        low_bounds=bounds(filled_low),
        high_bounds=bounds(filled_high),
        has_range=span is not None,
        n_examples=len(means),
        n_rollouts=_values(groups),
    )


def _estimate_pass(
    estimator: Callable[[int, int, int], float | None],
    metric: Metric,
    groups: Groups,
    measurements: Measurements,
    confidence: float,
) -> Estimate:
    """Estimate pass@k or pass^k; the bounds take the rollouts without a reward as wrong or right.

    Both grow with the number of correct rollouts, so these two are the extremes.
    """
    k = int(metric.parameter)
    counts = measurements.correct_counts()
    attempts = sum(len(group) // k for group in groups)
    value: list[float] = []
    low: list[float] = []
    high: list[float] = []
    for (n, c), group in zip(counts, groups, strict=True):
        for estimates, total, correct in (
            (value, n, c),
            (low, len(group), c),
            (high, len(group), c + len(group) - n),
        ):
            chance = estimator(total, correct, k)
            if chance is not None:
                estimates.append(chance)
    return Estimate(
        value=mean(value),
        standard_error=standard_error(value),
        low=_number(mean(low)),
        high=_number(mean(high)),
        low_bounds=bounds_of_chances(low, attempts, confidence=confidence),
        high_bounds=bounds_of_chances(high, attempts, confidence=confidence),
        has_range=True,
        n_examples=len(value),
        n_rollouts=sum(n for n, _ in counts if n >= k),
    )


def range_of(metric: Metric, seen: Sequence[float]) -> tuple[float, float]:
    """Return the smallest and largest value that a rollout without one is taken to have had.

    A reward is taken to lie in [0, 1], widened by the rewards seen. So is any other share or rubric
    metric when all values seen lie there; otherwise, and for tokens, turns and seconds, the range
    is that of the values seen.
    """
    low, high = min(seen), max(seen)
    if metric.kind == "percentile" or metric.name in _MEASURED_IN_UNITS:
        return low, high
    if metric.name == "reward" or (low >= 0 and high <= 1):
        return min(low, 0.0), max(high, 1.0)
    return low, high


def _known_range(metric: Metric, seen: Sequence[float]) -> tuple[float, float] | None:
    """Return the range that values of a metric are taken to have where none is declared.

    0 to 1 for a share, and for rewards and rubric metrics as long as all of them lie there; nothing
    is known of tokens, turns and seconds, or of rewards that lie elsewhere.
    """
    if metric.kind == "percentile" or metric.name in _MEASURED_IN_UNITS:
        return None
    return (0.0, 1.0) if min(seen) >= 0 and max(seen) <= 1 else None


def _filled(groups: Groups, value: float) -> list[list[float]]:
    return [[value if entry is None else entry for entry in group] for group in groups]


def _values(groups: Groups) -> int:
    return sum(entry is not None for group in groups for entry in group)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
