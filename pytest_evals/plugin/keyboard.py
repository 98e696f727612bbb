"""Keyboard: the arrow keys, read from the terminal without waiting and without an echo."""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import termios
from typing import Any, Final, Literal, TypeAlias

Key: TypeAlias = Literal["left", "right"]

_KEYS: Final[dict[bytes, Key]] = {b"C": "right", b"D": "left"}
# As terminals send them in their normal and in their application mode.
_ARROW: Final = re.compile(rb"\x1b[\[O]([CD])")
_LFLAG: Final = 3


class Keyboard:
    """The terminal that controls the process, with letters coming one by one.

    Ctrl-C, Ctrl-Z and the like go on to be signals. What the shell or a debugger makes of the
    terminal is left alone: in the background nothing is read or changed, and after it the mode is
    set again.

    Args:
        path: the device; another one for tests.
    """

    def __init__(self, path: str = "/dev/tty") -> None:
        self._path = path
        self._descriptor: int | None = None
        self._before: list[Any] | None = None

    def open(self) -> None:
        """Begin to listen; without a terminal of its own the process hears nothing."""
        flags = os.O_RDONLY | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC
        with contextlib.suppress(OSError):
            # Not stdin, which pytest's capture has replaced.
            self._descriptor = os.open(self._path, flags)
            atexit.register(self.close)
            self._quieten()

    def read(self) -> list[Key]:
        """Return the arrow keys that were pressed since the last call."""
        if self._descriptor is None or not self._is_in_foreground():
            return []
        self._quieten()
        try:
            typed = os.read(self._descriptor, 4096)
        except OSError:  # nothing was typed, or the terminal has gone
            return []
        return [_KEYS[letter] for letter in _ARROW.findall(typed)]

    def rest(self) -> None:
        """Leave the terminal as it was, until keys are read again."""
        if self._descriptor is None or self._before is None:
            return
        before, self._before = self._before, None
        if self._is_in_foreground():
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._descriptor, termios.TCSANOW, before)

    def close(self) -> None:
        """Leave the terminal as it was; to be called again at no cost."""
        self.rest()
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            atexit.unregister(self.close)

    def _quieten(self) -> None:
        """Have letters come one by one and without an echo, if they do not."""
        assert self._descriptor is not None
        if not self._is_in_foreground():
            return
        with contextlib.suppress(termios.error):
            mode = termios.tcgetattr(self._descriptor)
            wanted = mode[_LFLAG] & ~(termios.ICANON | termios.ECHO)
            if mode[_LFLAG] == wanted:
                return
            if self._before is None:
                self._before = termios.tcgetattr(self._descriptor)
            mode[_LFLAG] = wanted
            termios.tcsetattr(self._descriptor, termios.TCSANOW, mode)

    def _is_in_foreground(self) -> bool:
        # Whoever reads or changes a terminal in the background is stopped by the kernel.
        assert self._descriptor is not None
        try:
            return os.tcgetpgrp(self._descriptor) == os.getpgrp()
        except OSError:
            return False
