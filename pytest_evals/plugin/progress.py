"""Progress: one live line below pytest's output on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ..engine.oldest import Oldest

# Redrawing costs two writes; a person reads no faster.
_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 15.0
# While nothing is reported: the time that has elapsed goes on.
_LIVE_SECONDS = 0.2
# A rollout in flight for this long is named: it may hang.
_OLD_SECONDS = 30.0

# Index (scrolls at the bottom of the screen), up, save the cursor, down, to the left, erase line.
_BELOW = "\x1bD\x1b[A\x1b7\x1b[B\r\x1b[2K"
_RESTORE = "\x1b8"
_ERASE_BELOW = "\x1b7\x1b[B\r\x1b[2K\x1b8"


class Progress:
    """Counts the rollouts that reported, and shows where the session stands.

    Only ever used in the main thread, between two writes of pytest's own.

    Attributes:
        planned: rollouts that were selected.
        done, errors: rollouts that reported, and those of them that ended in an error.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        reporter = config.pluginmanager.getplugin("terminalreporter")
        # What rollouts print with -s comes at any time, from any thread: into the live line.
        is_captured = config.getoption("capture", "no") not in ("no", "tee-sys")
        self._is_live = is_captured and bool(getattr(reporter, "isatty", False))
        self._is_quiet = config.get_verbosity() < 0
        self._has_reporter = reporter is not None
        self._is_shown = False
        self._line = ""
        self._begun = self._drawn = 0.0
        self.planned = self.done = self.errors = 0
        self._scored = 0
        self._rewards = 0.0

    @property
    def refresh_seconds(self) -> float | None:
        """How often there is something new to show; None where nothing is shown."""
        if self._is_quiet or not self._has_reporter:
            return None
        return _LIVE_SECONDS if self._is_live else _LINE_SECONDS / 15

    def stay_plain(self) -> None:
        """Print plain lines on a terminal too."""
        self._is_live = False

    def begin(self, planned: int) -> None:
        """Note that rollouts start now."""
        self.planned = planned
        self._begun = self._drawn = time.monotonic()

    def count(self, reward: float | None, *, is_error: bool) -> None:
        """Count a rollout that reported; None is one without a reward."""
        self.done += 1
        self.errors += is_error
        if reward is not None:
            self._scored += 1
            self._rewards += reward

    def text(self, in_flight: int, oldest: Oldest | None = None, refusing: str = "") -> str:
        """Return the line: done, in flight, refusals, what hangs, mean reward, errors, time."""
        parts = [f"{self.done}/{self.planned} done", f"{in_flight} in flight"]
        if refusing:
            parts.append(refusing)
        if oldest is not None and oldest.seconds >= _OLD_SECONDS:
            name = "::".join(oldest.name.split("::")[-2:])
            parts.append(f"oldest {name} {oldest.phase} {_clock(oldest.seconds)}")
        if self._scored:
            parts.append(f"mean reward {self._rewards / self._scored:.3f}")
        parts.append(f"{self.errors} {'error' if self.errors == 1 else 'errors'}")
        elapsed = time.monotonic() - self._begun
        parts.append(f"{_clock(elapsed)} elapsed")
        if 0 < self.done < self.planned:
            left = elapsed / self.done * (self.planned - self.done)
            parts.append(f"{_clock(left)} left")
        return ", ".join(parts)

    def draw(
        self,
        in_flight: int,
        oldest: Callable[[], Oldest | None] = lambda: None,
        refusing: str = "",
    ) -> None:
        """Show the line, with new figures if it is time for them.

        Args:
            in_flight: rollouts under way.
            oldest: returns the one that began first.
            refusing: that requests are being refused; "" while none are.
        """
        if self._is_quiet or self.done == self.planned:
            return
        now = time.monotonic()
        if now - self._drawn >= (_REDRAW_SECONDS if self._is_live else _LINE_SECONDS):
            self._drawn = now
            self._line = f"evals: {self.text(in_flight, oldest(), refusing)}"
            if not self._is_live:
                self._write_line(self._line)
        if self._is_live and self._line:
            self._paint(self._line)

    def erase(self) -> None:
        """Clear the live line, before pytest writes something that moves the cursor down."""
        if self._is_shown:
            self._is_shown = False
            self._write(_ERASE_BELOW)

    def _paint(self, text: str) -> None:
        writer = self._config.get_terminal_writer()
        if writer.width_of_current_line and not writer.width_of_current_line % writer.fullwidth:
            return  # moving the cursor would undo the wrap that the next letter relies on
        width = writer.fullwidth - 1
        self._is_shown = True
        self._write(f"{_BELOW}{text[:width]}{_RESTORE}")

    def _write(self, codes: str) -> None:
        writer = self._config.get_terminal_writer()
        # `line_width`, which pytest wraps its letters by, must not count these: past `write`.
        file: Any = getattr(writer, "_file", None)
        if file is not None:
            file.write(codes)
            file.flush()

    def _write_line(self, text: str) -> None:
        reporter = self._config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            if self._config.get_terminal_writer().width_of_current_line:
                reporter.write_line("")  # the reporter does not know of a line of xdist's
            reporter.write_line(text)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
