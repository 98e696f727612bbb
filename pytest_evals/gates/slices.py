"""Slices: the verdict of a gate that is held against each slice of the examples."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeAlias

from ..stats.measurements import Measurements
from ..stats.multiplicity import holm_divisors
from ..stats.power import any_red, needed_for_proof
from ..stats.slices import part_of, slices_by, without_slice
from .false_reds import share_of
from .grammar import Gate
from .metrics import read_metric
from .rules import LEAST_CHANCE, Outcome, red_at_limit
from .slice_texts import no_slice_text, slices_line
from .verdict import Slice, Verdict, without_value

# Judges a gate on one slice, as if there were no others.
JudgeOne: TypeAlias = Callable[[Gate, Measurements], Verdict]


class _Judged(NamedTuple):
    name: str
    plan: tuple[int, int]
    verdict: Verdict


def judge_slices(gate: Gate, measurements: Measurements, judge_one: JudgeOne) -> Verdict:
    """Judge a gate on each slice of the examples; it is red when any of them is.

    Under `evidence` and `proof` with bounds that are adjusted for the number of slices by Holm's
    method, for those that fail and for those that pass: that any of what is shown is wrong has
    probability 1 - confidence at most. Under `point` each slice by itself.

    Args:
        gate: that has a `by`.
        measurements: complete ones.
        judge_one: judges it on one slice.
    """
    if lost := without_slice(measurements, gate.by):
        return without_value(gate, measurements, "inconclusive", no_slice_text(gate.by, lost))
    parts = slices_by(measurements, gate.by)
    # As a gate of its own, which says nothing of other slices.
    found = _judged(replace(gate, by="", text=""), parts, judge_one)
    found.sort(key=_badness)
    worst = found[0].verdict
    outcomes = {each.verdict.outcome for each in found}
    outcome = next(each for each in _WORST_FIRST if each in outcomes)
    slices = tuple(_slice(gate, each) for each in found)
    line = slices_line(gate, slices, worst.line)
    return replace(
        worst,
        gate=gate,
        outcome=outcome,
        is_green=all(each.is_green for each in slices),
        coverage=measurements.coverage,
        reason="" if outcome == "passed" else line,
        line=line,
        worth=_worth(gate, found),
        slices=slices,
    )


def red_part(verdict: Verdict, measurements: Measurements) -> Measurements:
    """Return the measurements that turn a gate red: of its red slices, where it has slices."""
    red = {each.name for each in verdict.slices if not each.is_green}
    if not red:
        return measurements
    column = verdict.gate.by
    return part_of(measurements, [names <= red for names in measurements.slices[column]])


def fewest_examples(gate: Gate, slices: int = 1) -> int | None:
    """Return how many 0/1 rewards it takes to show anything that turns a gate's verdict.

    Under `evidence` that it is missed, were all of them wrong; under `proof` that it is met, were
    all of them right. None where that is not known: another rule, or no limit within the range.

    Args:
        gate: with a rule.
        slices: by how many the level is divided.
    """
    metric, share = read_metric(gate.metric), share_of(gate)
    is_plain = metric.kind in ("mean", "pass@", "pass^") and metric.name not in _UNITS
    if gate.rule == "point" or share is None or not is_plain:
        return None
    share = share if gate.rule == "proof" else 1 - share
    return needed_for_proof(share, confidence=_adjusted(gate, slices).confidence)


def unprovable(gate: Gate, sizes: Mapping[str, int]) -> tuple[str, int] | None:
    """Return a slice that has too few examples for a proof of all of them, and what it takes.

    Args:
        gate: of the rule `proof`, with a `by`.
        sizes: of each slice, its examples.
    """
    if gate.rule != "proof":
        return None
    left = len(sizes)
    for name, size in sorted(sizes.items(), key=lambda each: (-each[1], each[0])):
        needed = fewest_examples(gate, left)
        if needed is not None and size < needed:
            return name, needed
        left -= 1
    return None


_UNITS = ("input_tokens", "output_tokens", "cost_usd", "turns", "latency.mean")
_WORST_FIRST: tuple[Outcome, ...] = ("failed", "inconclusive", "passed")


def _judged(gate: Gate, parts: Mapping[str, Measurements], judge_one: JudgeOne) -> list[_Judged]:
    known = [_Levels(gate, part, judge_one) for part in parts.values()]
    if gate.rule == "point":
        divisors = [1] * len(known)
    else:
        m = len(known)
        failed = holm_divisors([each.largest("failed", m) for each in known])
        passed = holm_divisors([each.largest("passed", m) for each in known])
        divisors = [
            fails
            if each.at(fails).outcome == "failed"
            else passes
            if each.at(passes).outcome == "passed"
            else max(fails, passes)
            for each, fails, passes in zip(known, failed, passed, strict=True)
        ]
    return [
        _Judged(name, (part.plan.num_examples, part.plan.rollouts), each.at(divisor))
        for (name, part), each, divisor in zip(parts.items(), known, divisors, strict=True)
    ]


class _Levels:
    """The verdicts of one slice at levels that are divided by 1, 2, ..."""

    def __init__(self, gate: Gate, part: Measurements, judge_one: JudgeOne) -> None:
        self._gate, self._part, self._judge = gate, part, judge_one
        self._known: dict[int, Verdict] = {}

    def at(self, divisor: int) -> Verdict:
        """Return the verdict with (1 - confidence) / divisor."""
        if divisor not in self._known:
            self._known[divisor] = self._judge(_adjusted(self._gate, divisor), self._part)
        return self._known[divisor]

    def largest(self, outcome: Outcome, most: int) -> int:
        """Return the largest divisor of 1..most at which it has an outcome; 0 for none.

        Bounds become wider as the level becomes smaller, so it has it at all smaller ones.
        """
        if self.at(1).outcome != outcome:
            return 0
        if self.at(most).outcome == outcome:
            return most
        return bisect_left(
            range(1, most + 1), True, key=lambda divisor: self.at(divisor).outcome != outcome
        )


def _adjusted(gate: Gate, divisor: int) -> Gate:
    return replace(gate, confidence=1 - (1 - gate.confidence) / divisor)


def _badness(each: _Judged) -> tuple[int, bool, float, str]:
    """Return what puts the worst slice first: by verdict, then by value, then by name."""
    verdict = each.verdict
    is_lower = verdict.gate.comparison in (">=", ">")
    value = verdict.value
    if value is None:
        value = verdict.low if is_lower else verdict.high
    known = math.inf if value is None else value if is_lower else -value
    rank = _WORST_FIRST.index(verdict.outcome)
    return rank, verdict.is_green, known, each.name


def _slice(gate: Gate, each: _Judged) -> Slice:
    verdict = each.verdict
    examples, rollouts = each.plan
    needed = fewest_examples(gate)
    note = ""
    if needed is not None and examples < needed and verdict.outcome == "inconclusive":
        note = f"too few examples: it takes at least {needed}"
    elif verdict.outcome == "inconclusive" and verdict.value is None:
        note = "no rollout has a value"
    return Slice(
        name=each.name,
        outcome=verdict.outcome,
        is_green=verdict.is_green,
        value=verdict.value,
        low=verdict.low,
        high=verdict.high,
        lower=verdict.lower,
        upper=verdict.upper,
        n_examples=examples,
        n_rollouts=rollouts,
        note=note,
    )


def _worth(gate: Gate, found: Sequence[_Judged]) -> str:
    """Say how often noise turns a `point` gate red that has a model at its limit in all slices."""
    verdicts = [each.verdict for each in found]
    low, high = gate.range or (0.0, 1.0)
    is_share = read_metric(gate.metric).kind in ("mean", "pass@", "pass^") and all(
        each.low is not None and each.high is not None and low <= each.low <= each.high <= high
        for each in verdicts
    )
    if gate.rule != "point" or gate.metric in _UNITS or not is_share:
        return ""
    chance = any_red(
        red_at_limit(gate, each.value, each.standard_error, each.n_examples, each.n_rollouts)[0]
        for each in verdicts
    )
    if chance < LEAST_CHANCE:
        return ""
    return (
        f"a model exactly at the limit in each slice fails {gate.text!r} {chance:.0%} of the time;"
        f' rule = "evidence" fails it {1 - gate.confidence:.0%} at most'
    )
