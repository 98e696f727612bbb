"""LoopHost: what runs the engine's event loop; as a rule a LoopThread, in the background."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
Finish: TypeAlias = Callable[[], Coroutine[Any, Any, None]]

_CANCEL_SECONDS = 0.5
_BUSY_SECONDS = 0.5
# How long the loop runs between two holds.
_FREE_SECONDS = 0.02


class RolloutThreads(ThreadPoolExecutor):
    """Threads for work of rollouts, which stays known as theirs.

    `asyncio.to_thread` hands on the context variables of its caller, `run_in_executor` does not.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run `fn` with the context variables of the caller."""
        return super().submit(contextvars.copy_context().run, fn, *args, **kwargs)


class LoopHost(Protocol):
    """Where the engine's event loop runs."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop."""
        ...

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` on the loop; returns at once."""
        ...

    def held(self, seconds: float) -> AbstractContextManager[None]:
        """Keep the loop still while this lasts, for at most `seconds`."""
        ...

    def use_threads(self, count: int) -> None:
        """Let work that is handed to threads run in up to `count` of them."""
        ...

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run `work` on the loop and return what it returns; TimeoutError after `timeout`."""
        ...

    def close(self, finish: Finish, timeout: float) -> bool:
        """End what is on the loop, run `finish()` as the last thing; whether it did in time."""
        ...


class LoopThread:
    """An event loop that runs on a thread of its own until it is closed.

    The thread is a daemon: code that blocks the loop for ever must not keep the process alive.

    Args:
        name: of the thread.
        task_factory: makes the loop's tasks; None for asyncio's own.
    """

    def __init__(self, name: str, task_factory: Any = None) -> None:
        self.loop = asyncio.new_event_loop()
        self.loop.set_task_factory(task_factory)
        self._finish: Finish | None = None
        self._held_until = 0.0  # on the clock of `time.monotonic`
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        # A task of user code that raises SystemExit or KeyboardInterrupt ends run_forever, and so
        # does loop.stop(); everything else on the loop has to go on.
        while self._finish is None:
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                self.loop.run_forever()
        steps = (end_tasks, self._finish, self.loop.shutdown_asyncgens)
        for step in (*steps, self.loop.shutdown_default_executor):
            with contextlib.suppress(SystemExit, KeyboardInterrupt):
                self.loop.run_until_complete(step())
        self.loop.close()

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` on the loop; returns at once."""
        self.loop.call_soon_threadsafe(callback, *args)

    @contextlib.contextmanager
    def held(self, seconds: float) -> Iterator[None]:
        """Keep the loop still while this lasts, for at most `seconds`.

        Two threads that both want the interpreter hand it to each other at nearly every system
        call; taking turns instead saves a quarter of their CPU time. So this waits a moment where
        the loop has only just been let go: a turn for each result would be no better. A loop that
        is busy for half a second, because user code blocks it, is not waited for.
        """
        time.sleep(max(0.0, self._held_until + _FREE_SECONDS - time.monotonic()))
        reached, over = threading.Event(), threading.Event()

        def hold() -> None:
            reached.set()
            over.wait(seconds)

        self.call_soon(hold)
        # One pass over hundreds of ready callbacks may take longer than a turn.
        reached.wait(_BUSY_SECONDS)
        try:
            yield
        finally:
            over.set()
            self._held_until = time.monotonic()

    def use_threads(self, count: int) -> None:
        """Let work that is handed to threads run in up to `count` of them."""
        self.call_soon(self.loop.set_default_executor, RolloutThreads(count))

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run `work` on the loop and return what it returns.

        Raises:
            TimeoutError: it took longer than `timeout` seconds; it goes on.
        """
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def close(self, finish: Finish, timeout: float) -> bool:
        """End what is on the loop, run `finish()` there as the last thing, and close it.

        Returns:
            False when that was not done within `timeout` seconds; it goes on.
        """
        with contextlib.suppress(RuntimeError):  # closed before
            self.loop.call_soon_threadsafe(self._stop, finish)
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _stop(self, finish: Finish) -> None:
        if self._finish is None:  # else it is closing already
            self._finish = finish
            self.loop.stop()


async def end_tasks() -> None:
    """Cancel the tasks that user code left behind, and keep asyncio quiet about the stubborn."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    ended, stubborn = await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
    for task in ended:
        if not task.cancelled():
            task.exception()  # looked at, or asyncio complains that nobody did
    for task in stubborn:
        task._log_destroy_pending = False  # type: ignore[attr-defined]
