"""Ending: what becomes of a rollout whose time is up, or whose environment raised."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeAlias

from ..clients.standing_still import Counted, PausableTimeout
from ..errors import Error, OverlongPromptError
from ..messages import Messages
from ..state import State


class _NoLimit(contextlib.nullcontext[None]):
    """In place of an `asyncio.Timeout` that never ends, which takes longer to set up."""

    def expired(self) -> bool:
        return False


Limit: TypeAlias = asyncio.Timeout | _NoLimit

NO_LIMIT = _NoLimit()


def standing_still(limit: Limit) -> contextlib.AbstractContextManager[None]:
    """Let a limit stand still while code in the block waits for a provider."""
    return limit if isinstance(limit, _NoLimit) else Counted(PausableTimeout(limit))


def end_with(state: State, error: Error, limit: Limit) -> None:
    """Leave a foreseen error in the state, unless the time was up already."""
    if limit.expired():
        return  # what the code of the environment made of the cancellation
    if isinstance(error, OverlongPromptError):
        state["prompt_too_long"] = state["is_truncated"] = True
    else:
        state["error"] = error


def said_so_far(state: State) -> Messages:
    """Return everything that was said after the prompt, up to the model's last words."""
    if not state["trajectory"]:
        return []
    last = state["trajectory"][-1]
    said: Messages = [*last["prompt"], *last["completion"]][len(state["prompt"]) :]
    return said


def kept(state: State, error: BaseException) -> bool:
    """Leave a bug in the state, with all that was said before it; whether that can be.

    What ends more than the rollout is raised, and so is a bug after which the state is none.
    """
    if not isinstance(error, Exception):
        return False
    try:
        if state.get("completion") is None:
            state["completion"] = said_so_far(state)
        if not state["is_completed"]:
            state["is_completed"], state["stop_condition"] = True, "has_error"
        state["error"] = error
    except Exception:
        return False
    return True
