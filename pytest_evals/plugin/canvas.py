"""Canvas: where lines are drawn on a terminal to which pytest writes as well."""

from __future__ import annotations

import atexit
import io
from collections.abc import Sequence
from typing import Any, Protocol

_SAVE, _RESTORE = "\x1b7", "\x1b8"
_NEXT_LINE = "\x1b[B\r"
_ERASE_REST = "\x1b[J"
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE = "\x1b[?25h\x1b[?1049l"


class Canvas(Protocol):
    """A part of the terminal.

    Attributes:
        is_shown: whether what was drawn last is there.
        reserved: lines of the screen that are not its own.
    """

    is_shown: bool
    reserved: int

    def show(self, lines: Sequence[str]) -> None:
        """Draw lines in place of those that are there."""

    def resized(self) -> None:
        """Begin anew: the terminal has another size."""

    def hide(self) -> None:
        """Leave the terminal to pytest."""

    def close(self) -> None:
        """Hide, for good; to be called again at no cost."""


class BelowOutput:
    """The lines below the one that pytest is writing.

    They go before pytest moves down, whatever it is that it writes: its writer's `write` is where
    all of that passes.

    Args:
        writer: pytest's terminal writer.
    """

    # What pytest wrote last stays in sight.
    reserved = 4

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._file = writer._file
        self.is_shown = False
        self._is_open = True
        self._pytests = writer.write
        writer.write = self._write

    def show(self, lines: Sequence[str]) -> None:
        """Draw lines in place of those that are there."""
        writer = self._writer
        column = writer.width_of_current_line
        if not lines or (column and not column % writer.fullwidth):
            return  # moving the cursor would undo the wrap that the next letter relies on
        room = "\x1bD" * len(lines) + f"\x1b[{len(lines)}A"  # scrolls at the bottom of the screen
        drawn = "".join(f"{_NEXT_LINE}\x1b[2K{line}" for line in lines)
        self._paint(f"{room}{_SAVE}{drawn}{_ERASE_REST}{_RESTORE}")
        self.is_shown = True

    def resized(self) -> None:
        """Begin anew below: where the cursor is now, and what the lines became, is not known."""
        if self.is_shown:
            self.is_shown = False
            self._paint(_ERASE_REST)
            if self._writer.width_of_current_line:
                self._pytests("\n")

    def hide(self) -> None:
        """Erase them."""
        if self.is_shown:
            self.is_shown = False
            self._paint(f"{_SAVE}{_NEXT_LINE}{_ERASE_REST}{_RESTORE}")

    def close(self) -> None:
        """Erase them, and let pytest write as it did."""
        self.hide()
        if self._is_open:
            self._is_open = False
            if self._writer.write == self._write:
                self._writer.write = self._pytests

    def _write(self, msg: str, **options: Any) -> None:
        if self.is_shown and self._moves_down(msg):
            self.hide()
        self._pytests(msg, **options)

    def _moves_down(self, text: str) -> bool:
        if "\n" in text:
            return True
        columns = len(text) if text.isascii() else 2 * len(text)
        writer = self._writer
        return bool(writer.width_of_current_line + columns > writer.fullwidth)

    def _paint(self, codes: str) -> None:
        # `line_width`, which pytest wraps its letters by, must not count these: past `write`.
        put(self._file, codes)


class AlternateScreen:
    """A screen of its own. What pytest writes meanwhile is kept, and there once it is left.

    Args:
        writer: pytest's terminal writer.
    """

    reserved = 0

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._file = writer._file
        self.is_shown = False

    def show(self, lines: Sequence[str]) -> None:
        """Draw lines in place of those that are there."""
        enter = ""
        if not self.is_shown:
            self.is_shown = True
            enter = _ENTER
            self._writer._file = io.StringIO()
            atexit.register(self.close)
        drawn = "\x1b[K\r\n".join(lines)
        put(self._file, f"{enter}\x1b[H{drawn}\x1b[K{_ERASE_REST}")

    def resized(self) -> None:
        """Begin with an empty screen."""
        if self.is_shown:
            put(self._file, "\x1b[2J")

    def hide(self) -> None:
        """Go back to the screen that pytest writes to."""
        if not self.is_shown:
            return
        self.is_shown = False
        kept, self._writer._file = self._writer._file, self._file
        atexit.unregister(self.close)
        put(self._file, _LEAVE + kept.getvalue())

    def close(self) -> None:
        """Go back for good."""
        self.hide()


def put(file: Any, text: str) -> None:
    """Write text to a terminal, whatever it can show."""
    encoding = getattr(file, "encoding", None) or "utf-8"
    file.write(text.encode(encoding, "replace").decode(encoding))
    file.flush()
