"""Unknown values: scored rollouts of which nobody can say what they cost or how long they took."""

from __future__ import annotations

from collections.abc import Sequence

from ..stats.measurements import Measurements
from .metrics import Metric


def unknown_values(
    metric: Metric, column: Sequence[float | None], measurements: Measurements
) -> str:
    """Return why a gate cannot be decided, "" where the values are known well enough.

    What a rollout cost, or took where the response cache answered, says nothing about the others:
    unlike a reward it has no range that the unknown ones could be taken from.

    Args:
        metric: what the gate reads.
        column: its values (`estimates.column_of`).
        measurements: that they are of.
    """
    lacking = sum(
        state == "scored" and value is None
        for state, value in zip(measurements.states, column, strict=True)
    )
    if not lacking:
        return ""
    of = f"of {lacking} of {measurements.scored} scored rollouts"
    if metric.name == "cost_usd":
        return f"the cost {of} is not known"
    if is_of_time(metric) and any(measurements.is_from_cache):
        return f"the response cache answered, so the latency {of} is not known"
    return ""


def is_of_time(metric: Metric) -> bool:
    """Whether a metric is about how long the model took."""
    return metric.kind == "percentile" or metric.name == "latency.mean"
