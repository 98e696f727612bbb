"""Reasons: why a gate cannot be judged on what there is, in words."""

from __future__ import annotations

from ..stats.measurements import Measurements
from .grammar import Gate
from .metrics import EXAMPLES, Metric, nearest

_NAMES_SHOWN = 12


def nothing_scored(measurements: Measurements) -> str:
    """Say that no rollout has a reward, and what became of them."""
    return (
        f"nothing was scored (of {measurements.plan.rollouts} planned rollouts "
        f"{measurements.unmeasured} are unmeasured, {measurements.broken} broken, "
        f"{measurements.missing} have no result)"
    )


def incomplete(measurements: Measurements) -> str:
    """Say how many rollouts are missing, or are there and were not planned."""
    if measurements.missing:
        planned = measurements.plan.rollouts
        return f"incomplete: {measurements.finished} of {planned} rollouts have a result"
    return f"the results hold {measurements.unplanned} rollouts that were not planned"


def no_such_metric(metric: Metric, measurements: Measurements) -> str:
    """Say that no rollout has a metric, and which there are."""
    if metric.built_in:
        return f"no rollout has a value of {metric.name!r}"
    names = measurements.metric_names
    shown = ", ".join(repr(name) for name in names[:_NAMES_SHOWN])
    if len(names) > _NAMES_SHOWN:
        shown += f" and {len(names) - _NAMES_SHOWN} more"
    meant = nearest(metric.name, (*names, *EXAMPLES))
    hint = "" if meant is None else f"; did you mean {meant!r}?"
    return (
        f"no rollout has a metric {metric.name!r}; the rubric's metrics are {shown or 'none'}{hint}"
    )


def beyond_range(gate: Gate, values: list[float]) -> str:
    """Say how many values lie outside the declared range; "" for none."""
    if gate.range is None:
        return ""
    low, high = gate.range
    beyond = sum(not low <= value <= high for value in values)
    if not beyond:
        return ""
    have = "rollout has" if len(values) == 1 else "rollouts have"
    return f"{beyond} of {len(values)} {have} a value outside the range [{low:g}, {high:g}]"
