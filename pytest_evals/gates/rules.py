"""Rules: what an estimate and its bounds mean for a gate."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple, TypeAlias

from ..stats.intervals import Interval
from ..stats.power import evidence_red, point_red
from .estimates import Estimate
from .figures import clears
from .grammar import Gate

Outcome: TypeAlias = Literal["passed", "failed", "inconclusive"]
# Why a gate is inconclusive; "" where it is not.
Doubt: TypeAlias = Literal["", "noise", "unmeasured", "unbounded"]

# A chance below this is not worth a word.
LEAST_CHANCE = 0.05


class Decision(NamedTuple):
    """What a gate's rule makes of its estimate."""

    outcome: Outcome
    doubt: Doubt = ""


def decide(gate: Gate, found: Estimate) -> Decision:
    """Return what an estimate means for a gate.

    With the rollouts that have no value at their minimum and at their maximum: it passes or fails
    only if it does so both times. `point` looks at the estimate; `evidence` and `proof` at its
    bounds, and are inconclusive as long as the limit lies between them.
    """
    if gate.rule == "point":
        passes = {clears(value, gate.comparison, gate.limit) for value in (found.low, found.high)}
        if len(passes) == 2:
            return Decision("inconclusive", "unmeasured")
        return Decision("passed" if passes == {True} else "failed")
    if math.isinf(found.low_bounds.low) and math.isinf(found.low_bounds.high):
        return Decision("inconclusive", "unbounded")
    shown = {_shown(gate, found.low_bounds), _shown(gate, found.high_bounds)}
    if len(shown) == 1 and None not in shown:
        return Decision("passed" if shown == {True} else "failed")
    # What is not shown either way is as good as passed to the one rule, as failed to the other.
    green = {gate.rule == "evidence" if each is None else each for each in shown}
    return Decision("inconclusive", "noise" if len(green) == 1 else "unmeasured")


def is_green(gate: Gate, decision: Decision) -> bool:
    """Whether a gate with this outcome turns nothing red."""
    if decision.outcome != "inconclusive":
        return decision.outcome == "passed"
    if decision.doubt == "noise":
        return gate.rule == "evidence"
    return gate.on_inconclusive == "warn"


def worth_of(gate: Gate, found: Estimate) -> str:
    """Say how often a `point` gate is red for a model exactly at its limit; "" if hardly ever.

    Exact for 0/1 rewards of one rollout per example; otherwise with as many such rewards as would
    vary as much.
    """
    if gate.rule != "point" or not found.has_range:
        return ""
    chance, with_evidence = red_at_limit(
        gate, found.value, found.standard_error, found.n_examples, found.n_rollouts
    )
    if chance < LEAST_CHANCE:
        return ""
    return (
        f"a model exactly at the limit fails {gate.text!r} {chance:.0%} of the time;"
        f' rule = "evidence" fails it {with_evidence:.0%}'
    )


def red_at_limit(
    gate: Gate, value: float | None, error: float | None, n_examples: int, n_rollouts: int
) -> tuple[float, float]:
    """Return how often `point` and `evidence` are red for a model exactly at a gate's limit.

    Of values that have a range. (0, 0) where the limit lies at an end of it.

    Args:
        value, error: what was measured, and its standard error, which say how much values vary.
        n_examples, n_rollouts: that they were measured on.
    """
    low, high = gate.range or (0.0, 1.0)
    limit = (gate.limit - low) / (high - low)
    if not 0 < limit < 1 or value is None:
        return 0.0, 0.0
    limit = limit if gate.comparison in (">=", ">") else 1 - limit
    share, spread = (value - low) / (high - low), (error or 0.0) / (high - low)
    n = _as_many_as(share, spread, n_examples, n_rollouts)
    return point_red(n, limit, limit), evidence_red(n, limit, limit, confidence=gate.confidence)


def _shown(gate: Gate, bounds: Interval) -> bool | None:
    """Whether the limit is shown to be cleared, or not to be; None where neither is."""
    worst, best = bounds if gate.comparison in (">=", ">") else reversed(bounds)
    if clears(worst, gate.comparison, gate.limit):
        return True
    return None if clears(best, gate.comparison, gate.limit) else False


def _as_many_as(p: float, error: float, n_examples: int, n_rollouts: int) -> int:
    """Return how many independent 0/1 rewards of the same mean would have the same error."""
    if not error or not 0 < p < 1:
        return n_examples
    # In whole suites: how often a share is missed depends on what its limit times n rounds to.
    suites = round(p * (1 - p) / (error * error) / n_examples)
    return n_examples * min(max(suites, 1), n_rollouts // n_examples)
