"""Ctrl-C and SIGTERM: when they arrive, and when they are acted on."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

_PATIENCE_SECONDS = 1.0
_SIGTERM_EXIT_CODE = 128 + signal.SIGTERM


class StopSignals:
    """The signals that end a session.

    CI services cancel a job with SIGTERM; by default Python dies of it at once and saves nothing.
    While eval items are reported both are noted and acted on between two items: an exception that
    strikes anywhere can tear a report, and pytest cannot print one that strikes where Python 3.11
    has no line number. People press Ctrl-C twice: a second signal strikes only when the first has
    not been acted on for a second, and none does while the session ends after a Ctrl-C.

    Args:
        wake: called when one is noted; makes whoever waits for a result look. It must be safe to
            call from a signal handler.

    Attributes:
        was_terminated: SIGTERM has come, whatever became of it.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._is_deferring = False
        self._stands_back = False
        self._noted: int | None = None
        self._noted_at = 0.0
        self.was_terminated = False

    @contextlib.contextmanager
    def caught(self) -> Iterator[None]:
        """Catch SIGTERM, where nobody else does."""
        with self._handled(signal.SIGTERM, only_instead_of=signal.SIG_DFL):
            yield

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Note both signals instead of acting on them."""
        self._is_deferring, self._stands_back = True, False
        try:
            with self._handled(signal.SIGINT, only_instead_of=signal.default_int_handler):
                yield
        finally:
            self._is_deferring = False

    def stand_back(self) -> None:
        """Let signals strike at once while a debugger has the terminal: it takes Ctrl-C itself."""
        self._stands_back = True

    def come_back(self) -> None:
        """Note signals again."""
        self._stands_back = False

    @property
    def is_noted(self) -> bool:
        """Whether a signal was noted and not acted on."""
        return self._noted is not None

    def act(self) -> None:
        """Raise what the signal that was noted raises, if one was."""
        if self._noted is not None:
            self._strike(self._noted)

    @contextlib.contextmanager
    def _handled(self, number: signal.Signals, *, only_instead_of: Any) -> Iterator[None]:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if not in_main_thread or signal.getsignal(number) is not only_instead_of:
            yield
            return
        signal.signal(number, self._arrived)
        try:
            yield
        finally:
            is_ending = number == self._noted == signal.SIGINT
            signal.signal(number, signal.SIG_IGN if is_ending else only_instead_of)

    def release(self) -> None:
        """Let Ctrl-C interrupt again, now that the session has ended."""
        if self._noted == signal.SIGINT and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self._noted = None

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self.was_terminated |= number == signal.SIGTERM
        if not self._is_deferring or self._stands_back:
            self._strike(number)
        if self._noted is None:
            self._noted, self._noted_at = number, time.monotonic()
            self._wake()
        elif time.monotonic() - self._noted_at > _PATIENCE_SECONDS:
            self._strike(number)

    def _strike(self, number: int) -> None:
        if number == signal.SIGTERM:
            pytest.exit("SIGTERM", returncode=_SIGTERM_EXIT_CODE)
        raise KeyboardInterrupt


@contextlib.contextmanager
def interrupts_ignored(then: Callable[[], None] | None = None) -> Iterator[None]:
    """Let a second Ctrl-C not tear up what the first one brings to an end within seconds.

    Args:
        then: called instead, for one that is not the second half of a double stroke.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    begun = time.monotonic()

    def arrived(number: int, frame: FrameType | None) -> None:
        if then is not None and time.monotonic() - begun > _PATIENCE_SECONDS:
            then()

    handler = signal.signal(signal.SIGINT, arrived if then is not None else signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
