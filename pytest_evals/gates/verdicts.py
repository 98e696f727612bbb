"""Verdicts: what an eval's measurements say about a gate."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ..stats.measurements import Column, Measurements
from ..stats.power import detectable_drop
from .drops import BaselineValues, find_drop
from .estimates import Estimate, column_of, estimate
from .figures import NEGATED, clears, condition_text, limit_text, spread_text, value_text
from .grammar import Gate
from .metrics import Metric, read_metric
from .reasons import beyond_range, incomplete, no_such_metric, nothing_scored
from .rules import Decision, Outcome, decide, is_green, worth_of
from .unknown import unknown_values


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict of one gate, and the figures behind it.

    Attributes:
        gate: what was judged.
        outcome: `passed`, `failed`, or `inconclusive` when the data cannot say.
        is_green: whether it lets the eval pass, by the gate's rule; a gate of the tier `advisory`
            decides nothing either way.
        value: the statistic over the rollouts that have a value; None when it is not defined.
        standard_error: of `value`, over examples; None when there is only one, and for
            percentiles and `error_rate`.
        low, high: the smallest and largest value it could have, with every rollout that has no
            value at the minimum and at the maximum; None where `value` could not be computed.
        lower, upper: one-sided bounds of what `value` estimates, over `low` and `high`; None where
            nothing bounds it.
        n_examples, n_rollouts: how many are behind `value`.
        coverage: scored rollouts as a share of the planned ones.
        reason: why it did not pass; "" when it did.
        line: all of it in one line, the statistic and the limit first.
        worth: what a `point` gate on so few rollouts is worth, in one line; "" where it is.
        moved: of a gate with a baseline that is not green, the examples that became worse by most,
            in one line.
    """

    gate: Gate
    outcome: Outcome
    is_green: bool
    value: float | None
    standard_error: float | None
    low: float | None
    high: float | None
    n_examples: int
    n_rollouts: int
    coverage: float
    reason: str
    line: str
    lower: float | None = None
    upper: float | None = None
    worth: str = ""
    moved: str = ""

    @property
    def is_red(self) -> bool:
        """Whether it fails the build."""
        return self.gate.tier == "blocking" and not self.is_green


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
        return replace(_without_value(gate, measurements, "inconclusive", reason), is_green=False)
    if not measurements.scored:
        return _without_value(gate, measurements, "failed", nothing_scored(measurements))
    if not measurements.complete:
        return _without_value(gate, measurements, "inconclusive", incomplete(measurements))
    if computed is not None:
        return _judge_computed(gate, computed, measurements)
    metric = read_metric(gate.metric)
    if metric.kind == "error_rate":
        return _judge_error_rate(gate, measurements)
    column = column_of(metric, measurements)
    if unknown := unknown_values(metric, column, measurements):
        return _without_value(gate, measurements, "inconclusive", unknown)
    values = [value for value in column if value is not None]
    if not values:
        return _without_value(gate, measurements, "failed", no_such_metric(metric, measurements))
    wrong = sum(not math.isfinite(value) for value in values)
    if wrong:
        reason = f"{wrong} of {len(values)} rollouts have a value that is not a finite number"
        return _without_value(gate, measurements, "failed", reason)
    if problem := beyond_range(gate, values):
        return _without_value(gate, measurements, "inconclusive", problem)
    if gate.drop is not None:
        return _judge_drop(gate, metric, column, measurements, baseline)
    found = estimate(metric, column, measurements, declared=gate.range, confidence=gate.confidence)
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        reason = f"{gate.metric} is not defined for these rollouts"
        return _without_value(gate, measurements, "failed", reason)
    return _judge_estimate(gate, metric, found, len(column) - len(values), measurements)


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


def _judge_computed(gate: Gate, value: float, measurements: Measurements) -> Verdict:
    if not math.isfinite(value):
        return _without_value(gate, measurements, "failed", f"its value is {value}")
    without = measurements.plan.rollouts - measurements.scored
    if gate.rule != "point":
        reason = f"a value that a hook computes has no bounds: rule = {gate.rule!r} cannot judge it"
        return _without_value(gate, measurements, "inconclusive", reason)
    if without:
        reason = f"{without} of {measurements.plan.rollouts} rollouts were not scored"
        return _without_value(gate, measurements, "inconclusive", reason)
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
        line=f"{_headline(gate, outcome, value_text(value, gate.limit))} ({behind})",
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
        return _without_value(gate, measurements, "inconclusive", found.reason)
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


def _judge_estimate(
    gate: Gate, metric: Metric, found: Estimate, unknown: int, measurements: Measurements
) -> Verdict:
    decision = decide(gate, found)
    outcome = decision.outcome
    low, high = value_text(found.low, gate.limit), value_text(found.high, gate.limit)
    figures = _figures(gate, metric, found, measurements)
    without_all = decision.doubt == "unmeasured"
    if without_all and found.value is not None:
        figures = [f"{value_text(found.value, gate.limit)} without them", *figures]
    elif not without_all and low != high:
        figures = [f"{low} to {high} counting the {unknown} without a value", *figures]
    if outcome == "inconclusive":
        reason, line = _in_doubt(gate, decision, found, unknown)
    else:
        line = _headline(gate, outcome, _stated(gate, outcome, found))
        line += "" if gate.rule == "point" else ", shown"
        reason = "" if outcome == "passed" else line
    lower, upper = found.low_bounds.low, found.high_bounds.high
    return Verdict(
        gate=gate,
        outcome=outcome,
        is_green=is_green(gate, decision),
        value=found.value,
        standard_error=found.standard_error,
        low=found.low,
        high=found.high,
        lower=lower if math.isfinite(lower) else None,
        upper=upper if math.isfinite(upper) else None,
        n_examples=found.n_examples,
        n_rollouts=found.n_rollouts,
        coverage=measurements.coverage,
        reason=reason,
        line=f"{line} ({', '.join(figures)})",
        worth=worth_of(gate, found),
    )


def _in_doubt(gate: Gate, decision: Decision, found: Estimate, unknown: int) -> tuple[str, str]:
    """Return why a gate is inconclusive, and the line that says so."""
    undecided = f"{gate.metric} {gate.comparison} {limit_text(gate)} undecided"
    if decision.doubt == "unbounded":
        reason = "the values do not vary and have no declared range: write range = [least, most]"
        return reason, f"{undecided}: {reason}"
    if decision.doubt == "noise":
        sought = NEGATED[gate.comparison] if gate.rule == "evidence" else gate.comparison
        value = "" if found.value is None else f" {value_text(found.value, gate.limit)}"
        reason = f"not shown to be {sought} {limit_text(gate)}"
        return reason, f"{gate.metric}{value}, {reason}"
    low, high = value_text(found.low, gate.limit), value_text(found.high, gate.limit)
    have = "rollout has" if unknown == 1 else "rollouts have"
    reason = f"between {low} and {high}, as {unknown} {have} no value"
    return reason, f"{undecided}: {reason}"


def _stated(gate: Gate, outcome: Outcome, found: Estimate) -> str:
    """Return the value for a headline, or the bound that decided when the value does not."""
    if found.value is not None and found.low <= found.value <= found.high:
        return value_text(found.value, gate.limit)
    above = (gate.comparison in (">=", ">")) == (outcome == "passed")
    bound = value_text(found.low if above else found.high, gate.limit)
    if found.low == found.high:
        return bound
    return f"at least {bound}" if above else f"at most {bound}"


def _without_value(
    gate: Gate, measurements: Measurements, outcome: Outcome, reason: str
) -> Verdict:
    word = "failed" if outcome == "failed" else "undecided"
    return Verdict(
        gate=gate,
        outcome=outcome,
        is_green=is_green(gate, Decision(outcome)),
        value=None,
        standard_error=None,
        low=None,
        high=None,
        n_examples=0,
        n_rollouts=0,
        coverage=measurements.coverage,
        reason=reason,
        line=f"{condition_text(gate)} {word}: {reason}",
    )


def _headline(gate: Gate, outcome: Outcome, value: str) -> str:
    """State the inequality that holds: "reward 0.712 < 0.80" of a failed "reward >= 0.80"."""
    comparison = gate.comparison if outcome == "passed" else NEGATED[gate.comparison]
    return f"{gate.metric} {value} {comparison} {limit_text(gate)}"


def _figures(gate: Gate, metric: Metric, found: Estimate, measurements: Measurements) -> list[str]:
    plan = measurements.plan
    figures = []
    if metric.kind != "percentile":
        error = found.standard_error
        figures.append(f"se {'n/a' if error is None else spread_text(error)}")
    figures += [
        f"{plan.num_examples} {'example' if plan.num_examples == 1 else 'examples'} x "
        f"{plan.rollouts_per_example} "
        f"{'rollout' if plan.rollouts_per_example == 1 else 'rollouts'}",
        f"{measurements.scored} of {plan.rollouts} scored",
    ]
    if found.n_rollouts < measurements.scored:
        figures.append(f"value from {found.n_rollouts}")
    figures += _bounds_text(gate, found)
    if found.standard_error:
        change = "drop" if gate.comparison in (">=", ">") else "rise"
        least = detectable_drop(found.standard_error, confidence=gate.confidence)
        low, high = gate.range or (0.0, 1.0)
        if found.has_range and least >= high - low:
            figures.append(f"too few examples to see any {change}")
        else:
            figures.append(f"can see a {change} of {spread_text(least)}")
    return figures


def _bounds_text(gate: Gate, found: Estimate) -> list[str]:
    """Return the bounds in words: each holds with the gate's confidence."""
    lower, upper = found.low_bounds.low, found.high_bounds.high
    shown = [value_text(bound, gate.limit) for bound in (lower, upper) if math.isfinite(bound)]
    if not shown:
        return []
    level = f"{100 * gate.confidence:g} %"
    if len(shown) == 2:
        return [f"{level} bounds {shown[0]} and {shown[1]}"]
    return [f"{level} {'lower' if math.isfinite(lower) else 'upper'} bound {shown[0]}"]
