"""LoopThread: one event loop on a background thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """An event loop that runs on a thread of its own until it is closed.

    The thread is a daemon: code that blocks the loop for ever must not keep the process alive.
    """

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    def _main(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_forever()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback(*args)` on the loop; returns at once."""
        self.loop.call_soon_threadsafe(callback, *args)

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run `work` on the loop and return what it returns.

        Raises:
            TimeoutError: it took longer than `timeout` seconds; it goes on.
        """
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout)

    def close(self, timeout: float) -> bool:
        """Stop the loop and wait for its thread; False when it is still blocked after `timeout`."""
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(timeout)
        return not self._thread.is_alive()
