"""Asking: which rollout a request is for, as far as its client has to know.

A client's `get_response` takes what every wire format has. What else depends on the rollout is in
context variables, which each rollout's task has of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any
from urllib.parse import quote
from weakref import ref

# Returns the state of the rollout whose code asks; None where it has none yet.
_STATE: ContextVar[Callable[[], Mapping[str, Any] | None] | None] = ContextVar(
    "state", default=None
)
# The number of its group among those of its eval: which of several servers it asks first.
TURN: ContextVar[int] = ContextVar("turn", default=0)

# What stays as it is in a value that cannot be sent as it is.
_PLAIN = " !\"#$&'()*+,/:;<=>?@[\\]^`{|}~"


def note_state(state: Mapping[str, Any] | None) -> None:
    """Note whose requests follow.

    The state is not held: connections that a rollout opens keep its context as long as they live.
    """
    try:
        _STATE.set(None if state is None else ref(state))
    except TypeError:  # a plain dict, of an environment with a rollout() of its own
        _STATE.set(lambda: state)


def headers_from_state(names: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of a request that the state of its rollout gives, as it is now.

    What is absent or None gives none. A value that is no line of ASCII text is percent-encoded, so
    that none can end its header and begin another.

    Args:
        names: by name of the header, the key of the state.
    """
    known = _STATE.get()
    state = None if known is None else known()
    if state is None or not names:
        return {}
    headers: dict[str, str] = {}
    for name, key in names.items():
        value = state.get(key)
        if value is not None:
            headers[name] = _sendable(str(value))
    return headers


def _sendable(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text.strip()
    return quote(text, safe=_PLAIN, errors="replace").strip()
