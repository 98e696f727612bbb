"""Slice table: what a gate found in each slice of the examples, the worst slices first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from ..gates.figures import rounded
from ..gates.slice_texts import slice_name
from ..gates.verdict import Slice, Verdict
from .columns import filled, shortened, width_of

_MOST_SHOWN = 10
_WIDEST_NAME = 40
_HEADINGS = ("slice", "examples", "value", "bounds", "verdict")
_NUMBERS = ("examples", "value")


def slice_table(verdict: Verdict) -> list[str]:
    """Return the ten worst slices as lines of a table, and how many others there are; [] for none.

    Args:
        verdict: of a gate that may have slices.
    """
    if not verdict.slices:
        return []
    shown, others = verdict.slices[:_MOST_SHOWN], verdict.slices[_MOST_SHOWN:]
    rows = [_HEADINGS, *map(_cells, shown)]
    widths = [max(width_of(row[place]) for row in rows) for place in range(len(_HEADINGS))]
    lines = [
        "  "
        + "  ".join(
            filled(cell, width, right=name in _NUMBERS)
            for name, cell, width in zip(_HEADINGS, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
    return [*lines, *_counted(others)]


def _cells(found: Slice) -> tuple[str, ...]:
    value = "n/a" if found.value is None else rounded(found.value)
    word = f"{found.outcome} ({found.note})" if found.note else found.outcome
    name = shortened(slice_name(found.name), _WIDEST_NAME)
    return name, str(found.n_examples), value, _bounds(found), word


def _bounds(found: Slice) -> str:
    low, high = found.lower, found.upper
    if low is None and high is None:
        return "none"
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    return " to ".join(rounded(end) if math.isfinite(end) else "?" for end in ends)


def _counted(others: Sequence[Slice]) -> list[str]:
    if not others:
        return []
    counts = Counter(each.outcome for each in others)
    told = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    return [f"  and {len(others)} more: {told}"]
