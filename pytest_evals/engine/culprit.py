"""CurrentRollout: on disk, whose code a process runs, so that its death can be blamed on it."""

from __future__ import annotations

import asyncio
import contextvars
import mmap
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from .output import CURRENT_OUTPUT
from .rollouts import RolloutJob

_SIZE = 8


class CurrentRollout:
    """Eight bytes of a mapped file: the number of the rollout on the CPU plus 1, or 0.

    What is stored there outlives the process, however it dies, at the cost of one assignment. Work
    that a rollout hands to threads or other processes is not covered.

    Args:
        path: the file; made anew.
        number_of: returns the number of a rollout; None when it has none.
    """

    def __init__(self, path: Path, number_of: Callable[[RolloutJob], int | None]) -> None:
        path.write_bytes(bytes(_SIZE))
        with path.open("r+b") as file:
            self._cell = memoryview(mmap.mmap(file.fileno(), _SIZE)).cast("q")
        self._number_of = number_of

    def make_task(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, Any],
        *,
        context: contextvars.Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[Any]:
        """Make a task, as a task factory; a rollout's tasks are noted while they run."""
        output = CURRENT_OUTPUT.get() if context is None else context.get(CURRENT_OUTPUT)
        number = None if output is None else self._number_of(output.job)
        if number is not None:
            work = _Noted(self._cell, number + 1, work)
        return asyncio.Task(work, loop=loop, context=context, **kwargs)


def read_current(path: Path) -> int | None:
    """Return the number of the rollout that was on the CPU when its process died, if any."""
    try:
        value = int.from_bytes(path.read_bytes()[:_SIZE], "little")
    except OSError:
        return None
    return value - 1 if value else None


class _Noted(Coroutine[Any, Any, Any]):
    """A coroutine that is noted as the one running, at every step of it."""

    __slots__ = ("_cell", "_number", "_send", "_work")

    def __init__(self, cell: Any, number: int, work: Coroutine[Any, Any, Any]) -> None:
        self._cell = cell
        self._number = number
        self._work = work
        self._send = work.send

    def send(self, value: Any) -> Any:
        """Run the next step."""
        self._cell[0] = self._number
        try:
            return self._send(value)
        finally:
            self._cell[0] = 0

    def throw(self, *error: Any) -> Any:
        """Run the next step with an exception."""
        self._cell[0] = self._number
        try:
            return self._work.throw(*error)
        finally:
            self._cell[0] = 0

    def close(self) -> None:
        """End without running to the end."""
        self._work.close()

    def __await__(self) -> Any:
        return self._work.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)  # what others ask of a coroutine: cr_running, cr_frame
