"""Slice texts: what a gate found in each slice of the examples, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .drop_texts import id_text, ids_text
from .grammar import Gate
from .verdict import Slice

_TOO_FEW_SHOWN = 3


def slices_line(gate: Gate, slices: Sequence[Slice], worst: str) -> str:
    """Return the line of a gate: how many slices came to what, and that of the worst.

    Args:
        gate: that has a `by`.
        slices: the worst first.
        worst: the line of the first by itself.
    """
    counts: Counter[str] = Counter(each.outcome for each in slices)
    several = "slice" if len(slices) == 1 else "slices"
    if counts["passed"] == len(slices):
        told = f"all of {len(slices)} {several} passed"
    else:
        of = f" of {len(slices)} {several}"
        told = ", ".join(
            f"{counts[outcome]}{of if place == 0 else ''} {outcome}"
            for place, outcome in enumerate(
                [outcome for outcome in ("failed", "inconclusive") if counts[outcome]]
            )
        )
    few = [each.name for each in slices if each.note.startswith("too few")]
    note = f"; too few examples to show anything in {len(few)}: {ids_text(few)}" if few else ""
    first = "" if len(slices) == 1 else "worst "
    name = slice_name(slices[0].name)
    return f"{gate.metric} by {gate.by}: {told}{note}; {first}{name}: {worst}"


def slice_name(name: str) -> str:
    """Return the name of a slice on one line, with nothing in it that acts on the reader."""
    return id_text(name)


def no_slice_text(column: str, lost: Sequence[object]) -> str:
    """Say which examples belong to no slice, or to several."""
    examples = "example" if len(lost) == 1 else "examples"
    ids = [each if isinstance(each, int | str) else str(each) for each in lost]
    return (
        f"the rows of {len(lost)} {examples} ({ids_text(ids)}) do not say one {column}: it is a"
        " text or a number, the same in all rows of an example"
    )
