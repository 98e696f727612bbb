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
from ..stats.measurements import Column, Measurements
from .metrics import Metric

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
        n_examples, n_rollouts: how many are behind the value.
    """

    value: float | None
    standard_error: float | None
    low: float
    high: float
    n_examples: int
    n_rollouts: int


def column_of(metric: Metric, measurements: Measurements) -> Column:
    """Return the values that a metric is computed from: None where a rollout has none."""
    name = metric.name
    if name == "reward" or metric.kind in ("pass@", "pass^"):
        return measurements.reward
    if metric.kind == "percentile" or name == "latency.mean":
        return measurements.seconds
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


def estimate(metric: Metric, column: Column, measurements: Measurements) -> Estimate:
    """Estimate a metric from its column, which holds at least one value and only finite ones.

    Not for `error_rate`, which is counted and not estimated.
    """
    groups = measurements.by_example(column)
    if metric.kind == "pass@":
        return _estimate_pass(pass_at_k, int(metric.parameter), groups, measurements)
    if metric.kind == "pass^":
        return _estimate_pass(pass_hat_k, int(metric.parameter), groups, measurements)
    low, high = _range(metric, column)
    if metric.kind == "percentile":
        return _estimate_percentile(metric.parameter, groups, low, high)
    means = example_means(groups)
    value = mean(means)
    return Estimate(
        value=value,
        standard_error=standard_error(means),
        low=_number(mean(example_means(_filled(groups, low)))),
        high=_number(mean(example_means(_filled(groups, high)))),
        n_examples=len(means),
        n_rollouts=_values(groups),
    )


def _estimate_percentile(p: float, groups: Groups, low: float, high: float) -> Estimate:
    def at(groups: Sequence[Sequence[float | None]]) -> float | None:
        return percentile([value for group in groups for value in group if value is not None], p)

    return Estimate(
        value=at(groups),
        standard_error=None,
        low=_number(at(_filled(groups, low))),
        high=_number(at(_filled(groups, high))),
        n_examples=len(example_means(groups)),
        n_rollouts=_values(groups),
    )


def _estimate_pass(
    estimator: Callable[[int, int, int], float | None],
    k: int,
    groups: Groups,
    measurements: Measurements,
) -> Estimate:
    """Estimate pass@k or pass^k; the bounds take the rollouts without a reward as wrong or right.

    Both grow with the number of correct rollouts, so these two are the extremes.
    """
    counts = measurements.correct_counts()
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
        n_examples=len(value),
        n_rollouts=sum(n for n, _ in counts if n >= k),
    )


def _range(metric: Metric, column: Sequence[float | None]) -> tuple[float, float]:
    """Return the smallest and largest value that a rollout without one is taken to have had.

    A reward is taken to lie in [0, 1], widened by the rewards seen. So is any other share or rubric
    metric when all values seen lie there; otherwise, and for tokens, turns and seconds, the range
    is that of the values seen.
    """
    seen = [value for value in column if value is not None]
    low, high = min(seen), max(seen)
    if metric.kind == "percentile" or metric.name in _MEASURED_IN_UNITS:
        return low, high
    if metric.name == "reward" or (low >= 0 and high <= 1):
        return min(low, 0.0), max(high, 1.0)
    return low, high


def _filled(groups: Groups, value: float) -> list[list[float]]:
    return [[value if entry is None else entry for entry in group] for group in groups]


def _values(groups: Groups) -> int:
    return sum(entry is not None for group in groups for entry in group)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
