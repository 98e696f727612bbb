"""Verdicts: what an eval's measurements say about a gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from ..stats.measurements import Column, Measurements
from .drops import BaselineValues, find_drop
from .each import judge_each
from .estimated import judge_estimate
from .estimates import column_of, estimate
from .figures import clears, value_text
from .grammar import Gate
from .metrics import Metric, read_metric
from .reasons import beyond_range, incomplete, no_such_metric, nothing_scored
from .rules import Decision, Outcome, is_green
from .slices import judge_slices
from .unknown import unknown_values
from .verdict import Verdict, headline, without_value

__all__ = ["Verdict", "judge", "overall"]


def judge(
    gate: Gate,
    measurements: Measurements,
    *,
    computed: float | None = None,
    stopped: str | None = None,
    baseline: BaselineValues | None = None,
) -> Verdict:
    """Judge one gate by its rule.

    Rollouts that are unmeasured or broken, or lack the metric, are taken at its minimum and at its
    maximum: the gate passes only if it does so both times, fails only if it does so both times,
    and is inconclusive otherwise. It fails when nothing was scored, when no rollout has the metric
    and when a value is not finite. It is inconclusive as long as planned rollouts have no result,
    where a value lies outside the declared range, and where the cost of a scored rollout, or
    the latency of one that the response cache answered, is not known.

    Args:
        gate: what to judge.
        measurements: of the eval's rows.
        computed: the metric's value where somebody else computed it from the rows. What it would
            be with every rollout scored is not known, so it decides only when all are.
        stopped: why rollouts that have no result were not started; None where none was left out.
            Then nothing can be said, also where nothing was scored.
        baseline: what a gate with a `drop` compares with; None where it was not read.
    """
    if stopped is not None and measurements.missing:
        reason = f"{incomplete(measurements)}: {stopped}"
        # Whoever limits a run is not to get a green one for it: `on_inconclusive` is not asked.
        return replace(without_value(gate, measurements, "inconclusive", reason), is_green=False)
    if not measurements.scored:
        return without_value(gate, measurements, "failed", nothing_scored(measurements))
    if not measurements.complete:
        return without_value(gate, measurements, "inconclusive", incomplete(measurements))
    if computed is not None:
        return _judge_computed(gate, computed, measurements)
    metric = read_metric(gate.metric)
    if metric.kind == "error_rate":
        if gate.by:
            return judge_slices(gate, measurements, _judge_error_rate)
        return _judge_error_rate(gate, measurements)
    column = column_of(metric, measurements)
    if unknown := unknown_values(metric, column, measurements):
        return without_value(gate, measurements, "inconclusive", unknown)
    values = [value for value in column if value is not None]
    if not values:
        return without_value(gate, measurements, "failed", no_such_metric(metric, measurements))
    wrong = sum(not math.isfinite(value) for value in values)
    if wrong:
        reason = f"{wrong} of {len(values)} rollouts have a value that is not a finite number"
        return without_value(gate, measurements, "failed", reason)
    if problem := beyond_range(gate, values):
        return without_value(gate, measurements, "inconclusive", problem)
    if gate.drop is not None:
        return _judge_drop(gate, metric, column, measurements, baseline)

    def judge_one(gate: Gate, measurements: Measurements) -> Verdict:
        return _judge_column(gate, metric, measurements, values)

    if gate.each is not None:
        return judge_each(gate, metric, column, measurements)
    if gate.by:
        return judge_slices(gate, measurements, judge_one)
    return judge_one(gate, measurements)


def overall(gates: Sequence[Gate], verdicts: Sequence[Verdict]) -> Outcome | Literal["not judged"]:
    """Return the verdict of an eval: `passed` only when each of its gates was judged and is green.

    A failed gate outweighs an inconclusive one, and both outweigh one that was not judged. Gates of
    the tier `advisory` have to be judged, and say nothing.
    """
    outcomes = {verdict.outcome for verdict in verdicts if verdict.is_red}
    if "failed" in outcomes:
        return "failed"
    if "inconclusive" in outcomes:
        return "inconclusive"
    judged = {verdict.gate.name for verdict in verdicts}
    return "passed" if gates and all(gate.name in judged for gate in gates) else "not judged"


def _judge_column(
    gate: Gate, metric: Metric, measurements: Measurements, seen: Sequence[float]
) -> Verdict:
    """Judge a gate on a metric that is estimated; `seen` tells the range of its values."""
    column = column_of(metric, measurements)
    found = estimate(
        metric,
        column,
        measurements,
        declared=gate.range,
        confidence=gate.confidence,
        seen=seen,
    )
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        reason = f"{gate.metric} is not defined for these rollouts"
        return without_value(gate, measurements, "failed", reason)
    return judge_estimate(gate, metric, found, column.count(None), measurements)


def _judge_computed(gate: Gate, value: float, measurements: Measurements) -> Verdict:
    if not math.isfinite(value):
        return without_value(gate, measurements, "failed", f"its value is {value}")
    if gate.by or gate.each is not None:
        asked = f"by = {gate.by!r} cannot part it" if gate.by else "each_min asks for single ones"
        reason = f"a value that a hook computes is of all examples: {asked}"
        return without_value(gate, measurements, "inconclusive", reason)
    without = measurements.plan.rollouts - measurements.scored
    if gate.rule != "point":
        reason = f"a value that a hook computes has no bounds: rule = {gate.rule!r} cannot judge it"
        return without_value(gate, measurements, "inconclusive", reason)
    if without:
        reason = f"{without} of {measurements.plan.rollouts} rollouts were not scored"
        return without_value(gate, measurements, "inconclusive", reason)
    behind = f"computed from {measurements.scored} rollouts"
    return _judge_exact(gate, value, behind, measurements)


def _judge_error_rate(gate: Gate, measurements: Measurements) -> Verdict:
    rate = measurements.error_rate or 0.0
    total = measurements.plan.rollouts
    rollouts = f"{total} {'rollout' if total == 1 else 'rollouts'}"
    errors = f"{measurements.unmeasured} unmeasured and {measurements.broken} broken of {rollouts}"
    if not rate:
        errors = f"no errors in {rollouts}"
    return _judge_exact(gate, rate, errors, measurements)


def _judge_exact(gate: Gate, value: float, behind: str, measurements: Measurements) -> Verdict:
    """Judge a value that has no spread; `behind` says in words what it was made of."""
    outcome: Outcome = "passed" if clears(value, gate.comparison, gate.limit) else "failed"
    return Verdict(
        gate=gate,
        outcome=outcome,
        is_green=is_green(gate, Decision(outcome)),
        value=value,
        standard_error=None,
        low=value,
        high=value,
        n_examples=measurements.plan.num_examples,
        n_rollouts=measurements.plan.rollouts,
        coverage=measurements.coverage,
        reason="" if outcome == "passed" else behind,
        line=f"{headline(gate, outcome, value_text(value, gate.limit))} ({behind})",
    )


def _judge_drop(
    gate: Gate,
    metric: Metric,
    column: Column,
    measurements: Measurements,
    baseline: BaselineValues | None,
) -> Verdict:
    found = find_drop(gate, metric, column, measurements, baseline)
    best, worst = found.best, found.worst
    if best is None or worst is None:
        return without_value(gate, measurements, "inconclusive", found.reason)
    lower, upper = best.interval.low, worst.interval.high
    green = is_green(gate, found.decision)
    return Verdict(
        gate=gate,
        outcome=found.decision.outcome,
        is_green=green,
        value=worst.value if best is worst else None,
        standard_error=worst.standard_error,
        low=best.value,
        high=worst.value,
        n_examples=worst.n,
        n_rollouts=found.n_rollouts,
        coverage=measurements.coverage,
        reason=found.reason,
        line=found.line,
        lower=lower if math.isfinite(lower) else None,
        upper=upper if math.isfinite(upper) else None,
        worth=found.worth,
        moved="" if green else found.moved,
    )
