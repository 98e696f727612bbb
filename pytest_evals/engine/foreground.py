"""ForegroundLoop: an event loop that runs in the main thread, and only while somebody waits."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from typing import Any

from .loop import Finish, RolloutThreads, T, end_tasks

_THREADS = 32


class ForegroundLoop:
    """An event loop for debugging: what runs on it can stop at a breakpoint, like any test.

    Its clock can be stopped: no time limit of a rollout passes while somebody is at a prompt.
    """

    def __init__(self) -> None:
        self.loop = _PausableLoop()
        self._executor = RolloutThreads(_THREADS)
        self.loop.set_default_executor(self._executor)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` when the loop runs next."""
        self.loop.call_soon(callback, *args)

    def run_until_woken(self) -> None:
        """Run the loop until `wake` is called; it may return earlier."""
        with contextlib.suppress(SystemExit):  # of a task of user code
            self.loop.run_forever()

    def wake(self) -> None:
        """Make `run_until_woken` return; safe to call from a signal handler."""
        with contextlib.suppress(RuntimeError):  # closed
            self.loop.call_soon_threadsafe(self.loop.stop)

    def pause_clock(self) -> None:
        """Let no time pass on the loop until `resume_clock`."""
        self.loop.pause()

    def resume_clock(self) -> None:
        """Let time pass again."""
        self.loop.resume()

    def held(self, seconds: float) -> contextlib.AbstractContextManager[None]:
        """Do nothing: the loop is still as long as nobody waits."""
        return contextlib.nullcontext()

    def use_threads(self, count: int) -> None:
        """Let work that is handed to threads run in up to `count` of them."""
        self._executor = RolloutThreads(count)
        self.loop.set_default_executor(self._executor)

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run `work` on the loop and return what it returns.

        Raises:
            TimeoutError: it took longer than `timeout` seconds, and was cancelled.
        """
        task = self.loop.create_task(_within(work, timeout))
        task.add_done_callback(lambda _: self.loop.stop())
        while not task.done():
            self.run_until_woken()
        return task.result()

    def close(self, finish: Finish, timeout: float) -> bool:
        """End what is on the loop, run `finish()` as the last thing, and close it.

        Returns:
            False when that was not done within `timeout` seconds.
        """
        if self.loop.is_closed():
            return True
        self.loop.resume()
        is_done = True
        for step in (end_tasks, finish, self.loop.shutdown_asyncgens):
            try:
                self.run(step(), timeout)
            except (Exception, SystemExit):  # every result is in by now
                is_done = False
        self._executor.shutdown(wait=False, cancel_futures=True)
        self.loop.close()
        return is_done


class _PausableLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock can be stopped."""

    def __init__(self) -> None:
        self._stood_still = 0.0
        self._paused_at: float | None = None
        super().__init__()

    def time(self) -> float:
        """Return the loop's own time, in seconds."""
        now = time.monotonic() if self._paused_at is None else self._paused_at
        return now - self._stood_still

    def pause(self) -> None:
        """Stop the clock."""
        if self._paused_at is None:
            self._paused_at = time.monotonic()

    def resume(self) -> None:
        """Let the clock go on from where it stopped."""
        if self._paused_at is not None:
            self._stood_still += time.monotonic() - self._paused_at
            self._paused_at = None


async def _within(work: Coroutine[Any, Any, T], seconds: float | None) -> T:
    async with asyncio.timeout(seconds):
        return await work
