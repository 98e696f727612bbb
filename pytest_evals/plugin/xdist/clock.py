"""Clock: wakes the main thread of a controller to which no worker reports anything."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Clock:
    """Calls a function again and again, from a thread of its own, until it is stopped.

    Args:
        wake: what to call.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._is_over = threading.Event()

    def start(self, seconds: float) -> None:
        """Begin to call it every so many seconds."""
        thread = threading.Thread(
            target=self._run, args=(seconds,), name="pytest-evals-clock", daemon=True
        )
        thread.start()

    def _run(self, seconds: float) -> None:
        while not self._is_over.wait(seconds):
            self._wake()

    def stop(self) -> None:
        """Call it no more; nothing happens where it was not started."""
        self._is_over.set()
