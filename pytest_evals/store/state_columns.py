"""State columns: keys of a rollout's state that its row has as well."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..state import State
from .rows import STANDARD_KEYS, Row
from .unscored import NotStoredError


def state_columns(state: State | None, names: Iterable[str]) -> tuple[Row, list[str]]:
    """Return what the row of a rollout has of its state, and what is wrong with that.

    A key that the state lacks is null, and so is one of a stored rollout that its row has lost.
    What JSON has no form for becomes the nearest readable thing when the row is encoded. Keys that
    every row has stay what they are.
    """
    columns: Row = {}
    problems = []
    for name in names:
        if name in STANDARD_KEYS:
            continue
        try:
            value = None if state is None else state.get(name)
        except NotStoredError:
            value = None
        columns[name] = value
        if not _is_json(value):
            problems.append(
                f"state column {name!r} holds {type(value).__name__} objects, or contains some:"
                " rows have their text"
            )
    return columns, problems


def _is_json(value: object) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except Exception:
        return False
    return True
