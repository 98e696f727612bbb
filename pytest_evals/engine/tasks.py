"""RolloutTasks: what is under way on the loop, a task for each."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

from ..clients.asking import TURN
from .attempts import Attempt
from .output import CURRENT_OUTPUT


class RolloutTasks(dict[asyncio.Task[None], Attempt]):
    """The tasks in flight, in the order they began, each with its rollout."""

    def __init__(self) -> None:
        super().__init__()
        # What rollouts start from: one must not see the context variables of another.
        self._context = contextvars.copy_context()

    def spawn(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Coroutine[Any, Any, None],
        attempt: Attempt,
    ) -> asyncio.Task[None]:
        """Start a task of a rollout, with its own output and place in the order."""
        context = self._context.copy()
        context.run(CURRENT_OUTPUT.set, attempt.output)
        if attempt.job.turn:
            context.run(TURN.set, attempt.job.turn)
        task = loop.create_task(work, context=context)
        self[task] = attempt
        return task

    def landed(self, task: asyncio.Task[None]) -> BaseException | None:
        """Forget a task that has ended; return what it raised, unless it was cancelled."""
        self.pop(task, None)
        # Asked for in any case: asyncio complains of an exception that nobody looked at.
        return None if task.cancelled() else task.exception()
