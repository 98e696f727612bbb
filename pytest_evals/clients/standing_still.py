"""Standing still: limits on a rollout's time do not run while it waits for its provider.

That is for its turn to send a request, and for the next try of one that failed. Whoever sets a
limit names it in `Counted`, and whoever waits does so under `StandingStill`.
"""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from types import TracebackType
from typing import Protocol


class Pausable(Protocol):
    """A limit that can stand still; pauses may nest."""

    def pause(self) -> None:
        """Stand still."""

    def resume(self) -> None:
        """Go on, after as many calls as there were of `pause`."""


_LIMITS: ContextVar[tuple[Pausable, ...]] = ContextVar("limits", default=())


class Counted:
    """A block whose code `limit` is on, so that it stands still while that waits for a provider."""

    __slots__ = ("_limit", "_others")

    def __init__(self, limit: Pausable) -> None:
        self._limit = limit

    def __enter__(self) -> None:
        self._others = _LIMITS.get()
        _LIMITS.set((*self._others, self._limit))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # No reset by token: a coroutine that is thrown away ends in another context.
        _LIMITS.set(self._others)


class StandingStill:
    """A block that waits for a provider."""

    __slots__ = ("_limits",)

    def __enter__(self) -> None:
        self._limits = _LIMITS.get()
        for limit in self._limits:
            limit.pause()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for limit in self._limits:
            limit.resume()


class PausableTimeout:
    """An `asyncio.timeout` that can stand still.

    Args:
        timeout: about to be entered.
    """

    def __init__(self, timeout: asyncio.Timeout) -> None:
        self._timeout = timeout
        self._pauses = 0
        self._left: float | None = None

    def pause(self) -> None:
        """Stand still."""
        self._pauses += 1
        end = self._timeout.when()
        if self._pauses == 1 and end is not None and not self._timeout.expired():
            self._left = end - asyncio.get_running_loop().time()
            self._reschedule(None)

    def resume(self) -> None:
        """Go on, after as many calls as there were of `pause`."""
        self._pauses -= 1
        if self._pauses == 0 and self._left is not None:
            self._reschedule(asyncio.get_running_loop().time() + self._left)
            self._left = None

    def _reschedule(self, when: float | None) -> None:
        # It may be over by now: a task that the rollout started and did not wait for goes on.
        with contextlib.suppress(RuntimeError):
            self._timeout.reschedule(when)
