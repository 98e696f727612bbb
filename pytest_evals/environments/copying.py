"""Copies of a dataset's rows, so that no rollout changes what its siblings read."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ..errors import SetupError, one_line
from ..records import Record

_SHARED = frozenset({str, int, float, bool, type(None), bytes})


def own_copy(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row that is the caller's own, at every depth.

    Raises:
        SetupError: a column holds what cannot be copied, such as a lock; names it.
    """
    own = dict(row)
    for name, value in own.items():
        if type(value) not in _SHARED:
            try:
                own[name] = _copied(value)
            except Exception as error:
                raise SetupError(
                    f"every rollout has a copy of its example, and the column {name!r} cannot be"
                    f" copied: {one_line(error)}. Keep what rollouts share in the environment, not"
                    " in its dataset"
                ) from error
    return own


def _copy_values(own: dict[str, Any]) -> None:
    for name, value in own.items():
        if type(value) not in _SHARED:
            own[name] = _copied(value)


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is list or kind is tuple:
        return kind([item if type(item) in _SHARED else _copied(item) for item in value])
    if kind is dict:
        own = dict(value)
        _copy_values(own)
        return own
    if issubclass(kind, Record):
        record: Record = kind.__new__(kind)  # without __init__, which only fills in defaults
        record.update(value)
        _copy_values(record)
        return record
    return copy.deepcopy(value)  # a tenth of the speed, for what is rare
