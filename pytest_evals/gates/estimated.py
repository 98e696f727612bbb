"""Estimated: the verdict of a gate on a metric that is estimated, and its line."""

from __future__ import annotations

import math

from ..stats.measurements import Measurements
from ..stats.power import detectable_drop
from .estimates import Estimate
from .figures import NEGATED, limit_text, spread_text, value_text
from .grammar import Gate
from .metrics import Metric
from .rules import Decision, Outcome, decide, is_green, worth_of
from .verdict import Verdict, headline


def judge_estimate(
    gate: Gate, metric: Metric, found: Estimate, unknown: int, measurements: Measurements
) -> Verdict:
    """Return the verdict of a gate from its estimate.

    Args:
        gate, metric: what is judged.
        found: the estimate.
        unknown: how many rollouts have no value.
        measurements: that it was made of.
    """
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
        line = headline(gate, outcome, _stated(gate, outcome, found))
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
