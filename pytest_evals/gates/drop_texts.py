"""Drop texts: what a gate with a baseline found, in words."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ..stats.drops import Drop, fewest_lost
from ..stats.power import detectable_drop
from ..visible import visible
from .figures import NEGATED, rounded, spread_text, value_text
from .grammar import Gate
from .rules import Decision

_IDS_SHOWN = 3
_MOVED_SHOWN = 5
_LONGEST_ID = 60
_LEAST_CHANCE = 0.05


@dataclass(frozen=True, slots=True)
class Found:
    """What a gate with a baseline found.

    Attributes:
        decision: by the gate's rule.
        limit: the largest drop that is allowed, in units of the metric.
        best, worst: the drop with the rollouts that have no value at their best and at their
            worst, one and the same where all have one; None where nothing could be compared.
        without_value: how many have none.
        strangers: which examples only one of the two has, in words; "" for none.
        scored, planned: rollouts.
        moved: the examples that became worse by most, in words.
        n_rollouts: of this run that have a value.
        line, reason, worth: as of a verdict.
    """

    decision: Decision
    limit: float = 0.0
    best: Drop | None = None
    worst: Drop | None = None
    without_value: int = 0
    strangers: str = ""
    scored: int = 0
    planned: int = 0
    moved: str = ""
    n_rollouts: int = 0
    line: str = ""
    reason: str = ""
    worth: str = ""

    @classmethod
    def undecided(cls, reason: str) -> Found:
        """Return that nothing can be said, and why."""
        return cls(Decision("inconclusive", "unmeasured"), reason=reason)


def shown_line(gate: Gate, found: Found) -> tuple[str, str]:
    """Return the line and the reason of a gate that passed or failed."""
    assert found.best is not None
    assert found.worst is not None
    has_passed = found.decision.outcome == "passed"
    decisive = found.worst if has_passed else found.best
    bound = "" if found.best is found.worst else ("at most " if has_passed else "at least ")
    comparison = gate.comparison if has_passed else NEGATED[gate.comparison]
    value = value_text(decisive.value, found.limit)
    line = f"{gate.metric} drop {bound}{value} {comparison} {_limit_words(gate, found)}"
    line += "" if gate.rule == "point" else ", shown"
    return f"{line} ({', '.join(_figures(gate, found))})", "" if has_passed else line


def in_doubt_line(gate: Gate, found: Found) -> tuple[str, str]:
    """Return the line and the reason of a gate that is inconclusive though it was compared."""
    assert found.best is not None
    assert found.worst is not None
    limit = _limit_words(gate, found)
    low, high = (value_text(drop.value, found.limit) for drop in (found.best, found.worst))
    undecided = f"{gate.metric} drop {gate.comparison} {limit} undecided"
    if found.decision.doubt == "noise":
        sought = NEGATED[gate.comparison] if gate.rule == "evidence" else gate.comparison
        reason = f"not shown to be {sought} {limit}"
        value = low if found.best is found.worst else f"{low} to {high}"
        line = f"{gate.metric} drop {value}, {reason}"
    elif found.decision.doubt == "unbounded":
        reason = "the differences do not vary and have no declared range: write range = [least,"
        reason += " most]"
        line = f"{undecided}: {reason}"
    else:
        have = "rollout has" if found.without_value == 1 else "rollouts have"
        reason = f"between {low} and {high}, as {found.without_value} {have} no value"
        line = f"{undecided}: {reason}"
    return f"{line} ({', '.join(_figures(gate, found))})", reason


def worth_text(gate: Gate, drop: Drop, limit: float) -> str:
    """Say how often noise alone turns a `point` gate red; "" where hardly ever.

    With a standard error of the difference, a run as good as its baseline drops by more than the
    limit with probability 1 - Phi(limit / se).
    """
    if gate.rule != "point" or not drop.standard_error:
        return ""
    chance = math.erfc(limit / drop.standard_error / math.sqrt(2)) / 2
    if chance < _LEAST_CHANCE:
        return ""
    return (
        f"a model as good as its baseline fails {gate.text!r} {chance:.0%} of the time;"
        f' rule = "evidence" fails it {1 - gate.confidence:.0%} at most'
    )


def strangers_text(names: str, here: Sequence[int | str], there: Mapping[int | str, object]) -> str:
    """Name and count the examples that only one of two runs has."""
    ours = {*here}
    only_there = [example_id for example_id in there if example_id not in ours]
    only_here = [example_id for example_id in here if example_id not in there]
    parts = [
        f"{len(only)} only {where}: {ids_text(only)}"
        for where, only in (("here", only_here), (f"in {names}", only_there))
        if only
    ]
    return ", ".join(parts)


def too_few_text(pairs: int, examples: int, strangers: str) -> str:
    """Say that too few examples can be compared."""
    text = f"only {pairs} of {examples} examples can be compared"
    if pairs == 1:
        text = "1 pair of examples says nothing of how they differ"
    return f"{text} ({strangers})" if strangers else text


def ids_text(ids: Collection[int | str]) -> str:
    """Return the first of some ids, and how many there are besides."""
    shown = ", ".join(id_text(each) for each in [*ids][:_IDS_SHOWN])
    return shown if len(ids) <= _IDS_SHOWN else f"{shown} and {len(ids) - _IDS_SHOWN} more"


def id_text(example_id: int | str) -> str:
    """Return an id on one line, with nothing in it that acts on the reader."""
    text = visible(str(example_id)).replace("\n", "\\n").replace("\t", "\\t")
    return text if len(text) <= _LONGEST_ID else f"{text[: _LONGEST_ID - 3]}..."


def moved_text(pairs: Sequence[tuple[int | str, float, float]]) -> str:
    """Return the examples that became worse by most: `17 1 -> 0, 3 0.667 -> 0`; at most 5."""
    lower = [pair for pair in pairs if pair[1] > pair[2]]
    lower.sort(key=lambda pair: pair[2] - pair[1])
    shown = [f"{id_text(name)} {old:.3g} -> {new:.3g}" for name, old, new in lower[:_MOVED_SHOWN]]
    return f"moved most: {', '.join(shown)}" if shown else ""


def _limit_words(gate: Gate, found: Found) -> str:
    """Return the limit: `0.02 from main`, or `0.0425 from main (5% of 0.850)`."""
    assert gate.drop is not None
    assert found.worst is not None
    words = f"{found.limit:.15g} from {gate.drop.names}"
    if gate.drop.most is not None and found.limit == gate.drop.most:
        return words
    share = gate.drop.share or 0.0
    return (
        f"{found.limit:.4g} from {gate.drop.names} ({100 * share:g}% of"
        f" {rounded(found.worst.before)})"
    )


def _figures(gate: Gate, found: Found) -> list[str]:
    drop, best = found.worst, found.best
    assert drop is not None
    assert best is not None
    figures = [f"{rounded(drop.before)} -> {rounded(drop.after)}"]
    if best is not drop:
        figures = [
            f"{rounded(drop.before)} -> {rounded(drop.after)} to {rounded(best.after)} counting"
            f" the {found.without_value} without a value"
        ]
    error = drop.standard_error
    figures.append(f"se {'n/a' if not error else spread_text(error)}")
    figures.append(f"{drop.n} pairs: {drop.worse} worse, {drop.better} better")
    figures += _bounds_text(gate, best.interval.low, drop.interval.high, found.limit)
    figures.append(f"p {best.p_value:.2g} by {best.test}")
    figures.append(_visible_drop(gate, drop))
    figures.append(f"{found.scored} of {found.planned} scored")
    if found.strangers:
        figures.append(found.strangers)
    return [figure for figure in figures if figure]


def _visible_drop(gate: Gate, drop: Drop) -> str:
    """Say which drop such a comparison finds four times out of five."""
    least = detectable_drop(drop.standard_error or 0.0, confidence=gate.confidence)
    if drop.test == "McNemar" or not least:
        # However little varied: what the exact test calls significant at the least.
        lost = fewest_lost(drop.n, confidence=gate.confidence)
        if lost is None:
            return "can see no drop"
        least = max(least, lost / drop.n * (drop.width or 0.0))
    if drop.width is not None and least >= drop.width:
        return "too few examples to see any drop"
    return f"can see a drop of {spread_text(least)}" if least else ""


def _bounds_text(gate: Gate, low: float, high: float, limit: float) -> list[str]:
    shown = [value_text(bound, limit) for bound in (low, high) if math.isfinite(bound)]
    if not shown:
        return []
    level = f"{100 * gate.confidence:g} %"
    if len(shown) == 2:
        return [f"{level} bounds {shown[0]} and {shown[1]}"]
    return [f"{level} {'lower' if math.isfinite(low) else 'upper'} bound {shown[0]}"]
