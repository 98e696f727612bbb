"""Worst examples: those that did most to turn a gate red."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..stats.estimators import mean
from ..stats.measurements import Measurements
from ..visible import clipped, visible
from .estimates import column_of
from .figures import clears, rounded
from .grammar import Gate
from .metrics import read_metric

MOST_NAMED: Final = 5
_LONGEST_ID: Final = 60


def worst_examples(gate: Gate, measurements: Measurements) -> str:
    """Name the examples that are furthest on the wrong side of a gate's limit, in one line.

    At most five, the worst first, each with its mean over the scored rollouts; of `pass@k` and
    `pass^k`, those that were not always right, with the share of rollouts that were. "" for gates
    on anything but rewards and metrics of the rubric, and where no example is beyond the limit.

    Args:
        gate: that is red.
        measurements: that it was judged on.
    """
    metric = read_metric(gate.metric)
    if metric.kind in ("pass@", "pass^"):
        shares = [correct / n if n else None for n, correct in measurements.correct_counts()]
        beyond = [(share, place) for place, share in enumerate(shares) if share not in (None, 1)]
    elif metric.built_in and metric.name != "reward":
        return ""
    else:
        groups = measurements.by_example(column_of(metric, measurements))
        means = map(_mean, groups)
        beyond = [
            (value, place)
            for place, value in enumerate(means)
            if value is not None and not clears(value, gate.comparison, gate.limit)
        ]
    is_lower = gate.comparison in (">=", ">")
    worst = sorted(
        ((value, place) for value, place in beyond if value is not None),
        key=lambda each: (each[0] if is_lower else -each[0], each[1]),
    )
    if not worst:
        return ""
    named = ", ".join(
        f"{_name(measurements.example_ids[place])} ({rounded(value)})"
        for value, place in worst[:MOST_NAMED]
    )
    more = len(worst) - MOST_NAMED
    rest = f", and {more} more beyond the limit" if more > 0 else ""
    return f"{'lowest' if is_lower else 'highest'} examples: {named}{rest}"


def _mean(values: Sequence[float | None]) -> float | None:
    return mean([value for value in values if value is not None])


def _name(example_id: object) -> str:
    return clipped(" ".join(visible(str(example_id)).split()), _LONGEST_ID).replace("\n", " ")
