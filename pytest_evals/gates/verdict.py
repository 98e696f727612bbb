"""Verdict: what became of one gate, and the figures behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..stats.measurements import Measurements
from .figures import NEGATED, condition_text, limit_text
from .grammar import Gate
from .rules import Decision, Outcome, is_green


class Slice(NamedTuple):
    """What became of one slice of the examples.

    Attributes:
        name: the value that its examples have of the gate's column.
        outcome, is_green, value, low, high, lower, upper: as of a verdict.
        n_examples, n_rollouts: planned.
        note: why nothing can be shown of it; "" where something can.
    """

    name: str
    outcome: Outcome
    is_green: bool
    value: float | None
    low: float | None
    high: float | None
    lower: float | None
    upper: float | None
    n_examples: int
    n_rollouts: int
    note: str = ""


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
        worst: of a red gate on rewards, the examples that did worst, in one line.
        worth: what a `point` gate on so few rollouts is worth, in one line; "" where it is.
        moved: of a gate with a baseline that is not green, the examples that became worse by most,
            in one line.
        slices: of a gate by slices, each of them, the worst first; the other figures are then
            those of the worst.
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
    worst: str = ""
    slices: tuple[Slice, ...] = ()

    @property
    def is_red(self) -> bool:
        """Whether it fails the build."""
        return self.gate.tier == "blocking" and not self.is_green


def without_value(gate: Gate, measurements: Measurements, outcome: Outcome, reason: str) -> Verdict:
    """Return the verdict of a gate of which there are no figures, and why."""
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


def headline(gate: Gate, outcome: Outcome, value: str) -> str:
    """State the inequality that holds: "reward 0.712 < 0.80" of a failed "reward >= 0.80"."""
    comparison = gate.comparison if outcome == "passed" else NEGATED[gate.comparison]
    return f"{gate.metric} {value} {comparison} {limit_text(gate)}"
