"""Drops: what a gate with a baseline says, from pairs of the same examples before and now."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..stats.drops import Drop, drop_between
from ..stats.estimators import mean, pass_at_k, pass_hat_k
from ..stats.measurements import Measurements
from .drop_texts import (
    Found,
    in_doubt_line,
    moved_text,
    shown_line,
    strangers_text,
    too_few_text,
    worth_text,
)
from .estimates import Estimate
from .figures import compare
from .grammar import Gate
from .metrics import Metric
from .rules import Decision, decide

_LEAST_PAIRS = 2
# Beyond it sums of squares are infinite.
_LARGEST = 1e150


@dataclass(frozen=True, slots=True)
class BaselineValues:
    """What the baseline of a gate says.

    Attributes:
        values: by example, what its rollouts had of the gate's metric; of `pass@k` and `pass^k`
            their rewards.
        problem: why it cannot be compared with; "" where it can.
    """

    values: Mapping[int | str, Sequence[float]]
    problem: str = ""


class Pair(NamedTuple):
    """One example before and now: its value as measured, and at its least and its most."""

    example_id: int | str
    before: float
    now: float | None
    least: float
    most: float


def find_drop(
    gate: Gate,
    metric: Metric,
    column: Sequence[float | None],
    measurements: Measurements,
    baseline: BaselineValues | None,
) -> Found:
    """Compare an eval's rows with the gate's baseline, by its rule.

    Rollouts without a value are taken at the least and at the most there can be, as for any gate.

    Args:
        gate: that has a `drop`.
        metric: of the gate.
        column: its values: at least one, and only finite ones.
        measurements: that they are of.
        baseline: what it is compared with; None where nobody read it.
    """
    assert gate.drop is not None
    if baseline is None or baseline.problem:
        return Found.undecided(baseline.problem if baseline else "its baseline was not read")
    seen = [value for value in column if value is not None]
    seen += [value for example in baseline.values.values() for value in example]
    if gate.range is not None and not gate.range[0] <= min(seen) <= max(seen) <= gate.range[1]:
        low, high = gate.range
        return Found.undecided(
            f"a value of the baseline lies outside the range [{low:g}, {high:g}]"
        )
    if max(map(abs, seen)) > _LARGEST:
        return Found.undecided("the values are too large to be subtracted from each other")
    span = _span(gate, metric, seen)
    ends = span or (min(seen), max(seen))
    if metric.kind != "mean":
        ends = -math.inf, math.inf  # wrong and right, whatever the threshold
    pairs = _pairs(metric, column, measurements, baseline, ends)
    strangers = strangers_text(gate.drop.names, measurements.example_ids, baseline.values)
    if len(pairs) < _LEAST_PAIRS or 2 * len(pairs) < measurements.plan.num_examples:
        return Found.undecided(too_few_text(len(pairs), measurements.plan.num_examples, strangers))
    before = [pair.before for pair in pairs]
    level = mean(before)
    assert level is not None
    limit = gate.drop.at(level)
    if limit < 0:
        return Found.undecided(f"the baseline's mean is {level:.3g}: a share of it is no drop")
    width = None if span is None else span[1] - span[0]

    def drop(now: Sequence[float]) -> Drop:
        return drop_between(before, now, width=width, confidence=gate.confidence)

    worst = drop([pair.least for pair in pairs])
    best = drop([pair.most for pair in pairs]) if any(p.least != p.most for p in pairs) else worst
    found = replace(
        _judged(gate, limit, best, worst),
        strangers=strangers,
        without_value=sum(value is None for value in column),
        scored=measurements.scored,
        planned=measurements.plan.rollouts,
        moved=moved_text([(p.example_id, p.before, p.now) for p in pairs if p.now is not None]),
        n_rollouts=sum(value is not None for value in column),
    )
    line, reason = (in_doubt_line if found.decision.outcome == "inconclusive" else shown_line)(
        gate, found
    )
    worth = worth_text(gate, worst, limit) if best is worst else ""
    return replace(found, line=line, reason=reason, worth=worth)


def _judged(gate: Gate, limit: float, best: Drop, worst: Drop) -> Found:
    """Return what the two drops mean: with the rollouts that have no value at their best, worst."""
    estimate = Estimate(
        value=worst.value if best is worst else None,
        standard_error=worst.standard_error,
        low=best.value,
        high=worst.value,
        low_bounds=best.interval,
        high_bounds=worst.interval,
        has_range=worst.width is not None,
        n_examples=worst.n,
        n_rollouts=worst.n,
    )
    decision = decide(replace(gate, limit=limit), estimate)
    if gate.rule == "evidence" and decision.outcome == "failed" and compare(limit, 0.0) == 0:
        # The classical test of "no lower": its exact p-value has to agree with the bounds.
        decision = decision if best.p_value <= 1 - gate.confidence else _NOISE
    return Found(decision=decision, limit=limit, best=best, worst=worst)


_NOISE = Decision("inconclusive", "noise")


def _pairs(
    metric: Metric,
    column: Sequence[float | None],
    measurements: Measurements,
    baseline: BaselineValues,
    ends: tuple[float, float],
) -> list[Pair]:
    """Return the examples that both have, in the order of the rows."""
    value_of = _value_of(metric, measurements.plan.pass_threshold)
    found = []
    for example_id, group in zip(
        measurements.example_ids, measurements.by_example(column), strict=True
    ):
        before = value_of(baseline.values.get(example_id, ()))
        least = value_of([ends[0] if value is None else value for value in group])
        most = value_of([ends[1] if value is None else value for value in group])
        if before is None or least is None or most is None:
            continue
        now = value_of([value for value in group if value is not None])
        found.append(Pair(example_id, before, now, least, most))
    return found


def _value_of(metric: Metric, threshold: float) -> Callable[[Sequence[float]], float | None]:
    """Return what makes one number of an example's rollouts."""
    if metric.kind == "mean":
        return mean
    estimator, k = pass_at_k if metric.kind == "pass@" else pass_hat_k, int(metric.parameter)

    def chance(rewards: Sequence[float]) -> float | None:
        return estimator(len(rewards), sum(reward >= threshold for reward in rewards), k)

    return chance


def _span(gate: Gate, metric: Metric, seen: Sequence[float]) -> tuple[float, float] | None:
    """Return the range that values have; None where none is declared and some lie beyond 0 to 1."""
    if gate.range is not None and metric.kind == "mean":
        return gate.range
    is_share = metric.kind != "mean" or (min(seen) >= 0 and max(seen) <= 1)
    return (0.0, 1.0) if is_share and not math.isnan(sum(seen)) else None
