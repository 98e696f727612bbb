"""Shutdown: how the rollouts in flight end when nothing more is wanted of them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..lifecycle import is_cleaning
from .attempts import Attempt
from .groups import GroupBoard
from .loop import LoopHost
from .rollouts import RolloutJob
from .scoring import clean_up

_Task: TypeAlias = asyncio.Task[Any]

# How long is waited for rollouts that ignore their cancellation, for those that are inside their
# cleanup handlers, and for a loop that one of them blocks.
_CANCEL_SECONDS = 1.0
LAST_CLEANUP_SECONDS = 10.0
_BLOCKED_SECONDS = 0.5
# How often is looked where each of them is.
_LOOK_SECONDS = 0.05


class Shutdown:
    """The end of the rollouts in flight.

    All are cancelled, except one that is inside cleanup handlers: they come to their end first,
    and so do those that the cancellation leads to, within 10 seconds. Anything else that does not
    end within one second is left to itself, and so is a loop that is blocked.

    Args:
        tasks: those in flight, with their rollouts.
        groups: of the rollouts that wait for the rest of theirs. What was generated is on disk, to
            be scored another time, and is only cleaned up.
    """

    def __init__(self, tasks: Mapping[_Task, Attempt], groups: GroupBoard) -> None:
        self._tasks = tasks
        self._groups = groups
        self._pending: dict[_Task, Attempt] | None = None
        self._left: list[Attempt] = []
        self._work: _Task | None = None
        self._is_hurried = False
        self._is_over = False

    @property
    def unclean(self) -> Sequence[RolloutJob]:
        """Rollouts whose cleanup was not waited for to its end; known once `wait` returned."""
        return [attempt.job for attempt in self._left]

    @property
    def cleaning(self) -> Sequence[RolloutJob]:
        """Rollouts that are inside their cleanup handlers now."""
        return [attempt.job for attempt in self._cleaning()]

    def hurry(self) -> None:
        """Wait for no cleanup any more; safe to call from a signal handler."""
        self._is_hurried = True

    def wait(
        self, host: LoopHost, on_cleaning: Callable[[Sequence[RolloutJob]], None] | None = None
    ) -> bool:
        """End the rollouts and wait for it, from outside of the loop.

        Args:
            host: runs the loop.
            on_cleaning: told once, if it takes long, whose cleanup is waited for.

        Returns:
            False when the loop is blocked; then nothing can run on it any more.
        """
        until = time.monotonic() + LAST_CLEANUP_SECONDS + _CANCEL_SECONDS + _BLOCKED_SECONDS
        patience = _CANCEL_SECONDS + _BLOCKED_SECONDS
        while not self._is_over:
            try:
                host.run(self._ended(), timeout=patience)
            except concurrent.futures.TimeoutError:
                cleaning = self.cleaning
                is_late = self._is_hurried or time.monotonic() > until
                if not self._is_over and (is_late or not cleaning):
                    self._left = self._cleaning()
                    return False
                if on_cleaning is not None and cleaning:
                    on_cleaning(cleaning)
                    on_cleaning = None
            patience = _BLOCKED_SECONDS
        return True

    async def _ended(self) -> None:
        if self._work is None:
            self._work = asyncio.create_task(self._end())
        # Who waits may give up waiting; this goes on.
        await asyncio.shield(self._work)

    async def _end(self) -> None:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        own = {asyncio.create_task(clean_up([a])): a for a in self._groups.take_waiting()}
        pending = self._pending = {**self._tasks, **own}
        cancelled = dict.fromkeys(own, begun)  # these only clean up, so never cancelled here
        while pending:
            now = loop.time()
            for task in pending:
                if task not in cancelled and not is_cleaning(task):
                    cancelled[task] = now
                    task.cancel()
            may_clean = now - begun < LAST_CLEANUP_SECONDS and not self._is_hurried
            awaited = [
                task
                for task in pending
                if (may_clean and is_cleaning(task))
                or now < cancelled.get(task, -math.inf) + _CANCEL_SECONDS
            ]
            if not awaited:
                break
            await asyncio.wait(awaited, timeout=_LOOK_SECONDS)
            pending = self._pending = {t: a for t, a in pending.items() if not t.done()}
        self._left = self._cleaning()
        late = [task for task in pending if is_cleaning(task)]
        for task in late:
            task.cancel()
        if late:
            await asyncio.wait(late, timeout=_BLOCKED_SECONDS)
        self._is_over = True

    def _cleaning(self) -> list[Attempt]:
        # A copy: in another thread the loop may change it.
        tasks = dict(self._tasks if self._pending is None else self._pending)
        return [attempt for task, attempt in tasks.items() if is_cleaning(task)]
