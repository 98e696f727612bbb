"""Each: the verdict of a gate that every example has to meet by itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..stats.estimators import mean
from ..stats.measurements import Column, Measurements
from ..stats.power import any_red, point_red
from .drop_texts import id_text, ids_text
from .estimates import range_of
from .figures import clears, limit_text, rounded, value_text
from .grammar import Gate
from .metrics import Metric
from .rules import LEAST_CHANCE, Decision, Outcome, is_green
from .verdict import Verdict, without_value

_MOST_NAMED = 10


class _Example(NamedTuple):
    """The mean of an example: over what has a value, and with the rest at both ends."""

    example_id: int | str
    value: float | None
    low: float
    high: float


def judge_each(gate: Gate, metric: Metric, column: Column, measurements: Measurements) -> Verdict:
    """Judge whether each example reaches the limit, by the mean over its rollouts.

    Rollouts without a value are taken at the least and the most there can be: an example falls
    short if it does so both times, and then the gate fails. It passes when each reaches the limit
    both times. Examples in quarantine decide nothing.

    Args:
        gate: that has an `each`.
        metric: of the gate.
        column: its values: at least one, and only finite ones.
        measurements: complete ones, that they are of.
    """
    assert gate.each is not None
    ends = gate.range or range_of(metric, [value for value in column if value is not None])
    examples = [
        _example(example_id, group, ends)
        for example_id, group in zip(
            measurements.example_ids, measurements.by_example(column), strict=True
        )
    ]
    judged = [each for each in examples if gate.each.covers(each.example_id)]
    if not judged:
        reason = "every example is in quarantine"
        return without_value(gate, measurements, "inconclusive", reason)
    judged.sort(key=lambda each: each.low if each.value is None else each.value)
    below = [each for each in judged if not _reaches(gate, each.high)]
    unsure = [each for each in judged if _reaches(gate, each.high) > _reaches(gate, each.low)]
    outcome: Outcome = "failed" if below else "inconclusive" if unsure else "passed"
    line = _line(gate, judged, below, unsure)
    return Verdict(
        gate=gate,
        outcome=outcome,
        is_green=is_green(gate, Decision(outcome, "unmeasured" if unsure else "")),
        value=min((each.value for each in judged if each.value is not None), default=None),
        standard_error=None,
        low=min(each.low for each in judged),
        high=min(each.high for each in judged),
        n_examples=len(judged),
        n_rollouts=len(judged) * measurements.plan.rollouts_per_example,
        coverage=measurements.coverage,
        reason="" if outcome == "passed" else line,
        line=f"{line} ({', '.join(_figures(gate, examples, measurements))})",
        worst=_worst(gate, below, unsure),
        worth=_worth(gate, judged, measurements.plan.rollouts_per_example),
    )


def _example(
    example_id: int | str, group: Sequence[float | None], ends: tuple[float, float]
) -> _Example:
    low, high = (mean([end if value is None else value for value in group]) or 0.0 for end in ends)
    return _Example(example_id, mean([each for each in group if each is not None]), low, high)


def _reaches(gate: Gate, value: float) -> bool:
    return clears(value, gate.comparison, gate.limit)


def _line(
    gate: Gate, judged: Sequence[_Example], below: Sequence[_Example], unsure: Sequence[_Example]
) -> str:
    limit = limit_text(gate)
    of = f"{len(judged)} {'example' if len(judged) == 1 else 'examples'}"
    if below:
        first = below[0]
        value = first.high if first.value is None else first.value
        rest = f", {len(unsure)} undecided" if unsure else ""
        lowest = f"lowest {id_text(first.example_id)} ({value_text(value, gate.limit)})"
        return f"each {gate.metric}: {len(below)} of {of} < {limit}{rest}, {lowest}"
    if unsure:
        ids = ids_text([each.example_id for each in unsure])
        return (
            f"{gate.text} undecided: {len(unsure)} of {of} could be on either side, as rollouts"
            f" have no value: {ids}"
        )
    first = judged[0]
    value = first.low if first.value is None else first.value
    lowest = f"lowest {id_text(first.example_id)} ({value_text(value, gate.limit)})"
    return f"each {gate.metric}: all of {of} >= {limit}, {lowest}"


def _figures(gate: Gate, examples: Sequence[_Example], measurements: Measurements) -> list[str]:
    assert gate.each is not None
    plan, number = measurements.plan, measurements.plan.rollouts_per_example
    figures = [
        f"{number} {'rollout' if number == 1 else 'rollouts'} each",
        f"{measurements.scored} of {plan.rollouts} scored",
    ]
    aside = [each for each in examples if not gate.each.covers(each.example_id)]
    known = {str(each.example_id) for each in examples}
    passing = [each.example_id for each in aside if _reaches(gate, each.low)]
    gone = [name for name in gate.each.quarantine if name not in known]
    if aside:
        figures.append(f"{len(aside)} in quarantine")
    if passing:
        verb = "passes" if len(passing) == 1 else "pass"
        figures.append(f"of which {len(passing)} {verb} and could leave it: {ids_text(passing)}")
    if gone:
        verb = "is" if len(gone) == 1 else "are"
        figures.append(f"{len(gone)} in its list {verb} no example of this run: {ids_text(gone)}")
    return figures


def _worst(gate: Gate, below: Sequence[_Example], unsure: Sequence[_Example]) -> str:
    """Name the examples that fall short, or could; at most ten, the lowest first."""
    named, word = (below, "below") if below else (unsure, "not surely at")
    if not named:
        return ""
    shown = ", ".join(f"{id_text(each.example_id)} ({_span(each)})" for each in named[:_MOST_NAMED])
    more = len(named) - _MOST_NAMED
    return f"examples {word} {limit_text(gate)}: {shown}" + (
        f", and {more} more" if more > 0 else ""
    )


def _span(each: _Example) -> str:
    if each.low == each.high:
        return rounded(each.low)
    return f"{rounded(each.low)} to {rounded(each.high)}"


def _worth(gate: Gate, judged: Sequence[_Example], rollouts: int) -> str:
    """Say how often noise alone turns the gate red for a model at the limit in each example."""
    low, high = gate.range or (0.0, 1.0)
    limit = (gate.limit - low) / (high - low)
    if not 0 < limit < 1 or not all(low <= each.low <= each.high <= high for each in judged):
        return ""
    chance = any_red([point_red(rollouts, limit, limit)] * len(judged))
    if chance < LEAST_CHANCE:
        return ""
    return (
        f"a model exactly at the limit in each example fails {gate.text!r} {chance:.0%} of the"
        " time; more rollouts of each, or a lower limit, make it rarer"
    )
