"""TimeLimit: how long a piece of work on the loop may take; `asyncio.timeout` for a sixth of it.

Every rollout is under several limits that are hardly ever reached. `asyncio.timeout` sets and
cancels a timer for each of them. Here one timer watches over all limits of the same length: they
run out in the order in which they began.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from weakref import WeakKeyDictionary

from ..clients.standing_still import Counted


class TimeLimit:
    """Cancels the task that entered it after `seconds`, and makes a TimeoutError of that.

    Args:
        seconds: on the loop's clock.

    Attributes:
        has_expired: whether that happened; true also where the task made something else of it.
        end: when it happens, on the loop's clock.
    """

    __slots__ = (
        "_cancelling", "_counted", "_loop", "_paused_at", "_pauses", "_seconds", "_task", "_watch",
        "end", "has_expired",
    )  # fmt: skip

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.has_expired = False
        self._pauses = 0
        self._paused_at = 0.0

    def __enter__(self) -> TimeLimit:
        task = asyncio.current_task()
        assert task is not None
        loop = self._loop = task.get_loop()
        self._task = task
        self._cancelling = task.cancelling()
        self.end = loop.time() + self._seconds
        self._watch = _watch_of(loop, self._seconds)
        self._watch.begin(self, loop)
        self._counted = Counted(self)
        self._counted.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._counted.__exit__(None, None, None)
        self._watch.forget(self)
        self._pauses = -1  # what a task does that was not waited for moves it no more
        if not self.has_expired:
            return
        # Unless somebody else has asked for the cancellation as well.
        if self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error

    def pause(self) -> None:
        """Stand still."""
        if self._pauses == 0 and not self.has_expired:
            self._watch.forget(self)
            self._paused_at = self._loop.time()
        if self._pauses >= 0:
            self._pauses += 1

    def resume(self) -> None:
        """Go on, after as many calls as there were of `pause`."""
        if self._pauses <= 0:
            return
        self._pauses -= 1
        if self._pauses == 0 and not self.has_expired:
            self.end += self._loop.time() - self._paused_at
            # Not where it was: limits there run out in the order in which they began.
            self._watch = _Watch()
            self._watch.begin(self, self._loop)

    def expire(self) -> None:
        """Cancel the task."""
        self.has_expired = True
        self._task.cancel()


class _Watch:
    """The limits of one length that are in force on one loop, in the order they began."""

    def __init__(self) -> None:
        self._limits: dict[TimeLimit, None] = {}
        self._is_set = False

    def begin(self, limit: TimeLimit, loop: asyncio.AbstractEventLoop) -> None:
        self._limits[limit] = None
        if not self._is_set:
            self._set(limit, loop)

    def forget(self, limit: TimeLimit) -> None:
        self._limits.pop(limit, None)

    def _set(self, limit: TimeLimit, loop: asyncio.AbstractEventLoop) -> None:
        self._is_set = True
        loop.call_at(limit.end, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_set = False
        now = loop.time()
        for limit in list(self._limits):
            if limit.end > now:
                self._set(limit, loop)
                return
            del self._limits[limit]
            limit.expire()


# A watch must not hold its loop, or the loop would stay for ever.
_watches: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, _Watch]] = WeakKeyDictionary()


def _watch_of(loop: asyncio.AbstractEventLoop, seconds: float) -> _Watch:
    watches = _watches.get(loop)
    if watches is None:
        watches = _watches[loop] = {}
    watch = watches.get(seconds)
    if watch is None:
        watch = watches[seconds] = _Watch()
    return watch
