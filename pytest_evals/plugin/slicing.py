"""Slicing: gates that part the examples are checked against them before anything is asked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ..config.spec import EvalSpec
from ..gates.drop_texts import ids_text
from ..gates.grammar import Gate
from ..gates.metrics import nearest
from ..gates.slice_texts import slice_name
from ..gates.slices import unprovable
from ..stats.row_fields import example_column
from ..store.encoding import to_json
from ..store.rows import STANDARD_KEYS
from .gate_errors import refused

_COLUMNS_SHOWN = 12


def check_slices(
    spec: EvalSpec, examples: Sequence[Mapping[str, Any]], metrics: Collection[str] = ()
) -> None:
    """Check that every example has a place in the slices of each gate, and not all in quarantine.

    Args:
        spec: of the eval.
        examples: those that are evaluated.
        metrics: names of the rubric's, each a column of every row.

    Raises:
        SetupError: one has no value in a gate's column, a slice is too small for a proof, all are
            in quarantine, or a metric has the name of the column.
    """
    check_columns(spec, metrics)
    for number, gate in enumerate(spec.gates):
        if gate.by and (problem := _problem(gate, examples)):
            raise refused(spec, number, problem)
        each = gate.each
        if each is not None and not any(each.covers(row["example_id"]) for row in examples):
            raise refused(spec, number, "every example is in quarantine, so it would say nothing")


def check_columns(spec: EvalSpec, metrics: Collection[str] = ()) -> None:
    """Check that gates part examples by what a dataset says, and not by what became of them.

    Raises:
        SetupError: a `by` names a column of the results.
    """
    for number, gate in enumerate(spec.gates):
        if gate.by in STANDARD_KEYS - {"task"}:
            problem = (
                f"by = {gate.by!r} is a column of every result; examples are parted by 'task', by"
                " 'info.KEY' or by a column of their own"
            )
            raise refused(spec, number, problem)
        if gate.by in metrics:
            problem = (
                f"by = {gate.by!r} is the name of a metric, which rows hold under it; call the"
                " column of the dataset otherwise, or put it in info"
            )
            raise refused(spec, number, problem)


def own_columns(gates: Sequence[Gate]) -> tuple[str, ...]:
    """Return the columns that rows must have for gates beside those that all rows have."""
    columns = {gate.by: None for gate in gates if gate.by and not gate.by.startswith("info.")}
    return tuple(column for column in columns if column not in STANDARD_KEYS)


def _problem(gate: Gate, examples: Sequence[Mapping[str, Any]]) -> str:
    """Say what keeps a gate from parting the examples; "" for nothing."""
    lost: list[int | str] = []
    sizes: Counter[str] = Counter()
    for example in examples:
        names = example_column(_as_row(example, gate.by), gate.by)
        sizes.update(names)
        if not names:
            lost.append(example["example_id"])
    if lost:
        return _no_column(gate.by, lost, examples)
    found = unprovable(gate, sizes)
    if found is None:
        return ""
    name, needed = found
    number, several = sizes[name], "slice" if len(sizes) == 1 else "slices"
    return (
        f"{slice_name(name)} has {number} {'example' if number == 1 else 'examples'}, which prove"
        f" nothing, whatever the model does: among {len(sizes)} {several} it takes at least"
        f" {needed}"
    )


def _as_row(example: Mapping[str, Any], column: str) -> Mapping[str, Any]:
    """Return what a row will hold of an example, as far as a column goes."""
    key = "info" if column.startswith("info.") else column
    row: Mapping[str, Any] = json.loads(to_json({key: example.get(key)}))
    return row


def _no_column(
    column: str, lost: Sequence[int | str], examples: Sequence[Mapping[str, Any]]
) -> str:
    if len(lost) < len(examples):
        have = "example has" if len(lost) == 1 else "examples have"
        return (
            f"{len(lost)} of {len(examples)} {have} no text or number in {column!r}"
            f" ({ids_text(lost)})"
        )
    known: dict[str, None] = {}
    for example in examples:
        info = example.get("info")
        known |= {key: None for key in ("task", *_own(example)) if key in example}
        known |= {f"info.{key}": None for key in info} if isinstance(info, Mapping) else {}
    usable = [
        name
        for name in known
        if any(example_column(_as_row(each, name), name) for each in examples)
    ]
    meant = nearest(column, usable)
    hint = "" if meant is None else f" (did you mean {meant!r}?)"
    shown = ", ".join(map(repr, usable[:_COLUMNS_SHOWN])) or "none"
    more = len(usable) - _COLUMNS_SHOWN
    rest = f" and {more} more" if more > 0 else ""
    return f"no example has a text or a number in {column!r}{hint}; they have {shown}{rest}"


def _own(example: Mapping[str, Any]) -> list[str]:
    return [name for name in example if name not in STANDARD_KEYS and name != "question"]
