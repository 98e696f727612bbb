"""LiveView: the evals of a session on a terminal, drawn again and again while they run."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from . import options, settings
from .canvas import AlternateScreen, BelowOutput, Canvas
from .keyboard import Keyboard
from .standing import EvalStanding

if TYPE_CHECKING:
    from .owned_run import OwnedRun

# How often figures and keys are looked at, and how often what pytest's output has pushed away is
# put back: drawing is one write, making the lines costs some milliseconds.
_FRAME_SECONDS = 0.25
# The share of one core that making lines may take: many evals on a large screen change less often.
_MOST_TIME = 1 / 80
_KEY_SECONDS = 0.1
_REDRAW_SECONDS = 0.04


def why_not(config: pytest.Config, runs: Sequence[OwnedRun]) -> str | None:
    """Say why a session has no live view, or None where it has one."""
    reporter = config.pluginmanager.getplugin("terminalreporter")
    writer = getattr(reporter, "_tw", None)
    if not getattr(reporter, "isatty", False) or getattr(writer, "_file", None) is None:
        return "the output is no terminal"
    if is_plain(config, runs):
        return "it is disabled"
    if os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        return "the terminal can do nothing but print"
    if any(os.environ.get(name) for name in ("CI", "BUILD_NUMBER")):  # as pytest itself asks
        return "this is CI"
    if config.get_verbosity() < 0:
        return "the session is quiet"
    if config.getoption("capture", "no") in ("no", "tee-sys"):
        return "what is printed is not captured"
    if options.is_sequential(config):
        return "rollouts run one at a time"
    return None


def is_plain(config: pytest.Config, runs: Sequence[OwnedRun]) -> bool:
    """Whether the user wants plain lines: by the option, the ini file or a file of the session."""
    if config.getoption("evals_disable_tui"):
        return True
    unsaid = settings.of_the_session(config, "disable_tui")
    # A test function has no such settings of its own.
    return any(run.spec.disable_tui if run.spec.origins else unsaid for run in runs)


class LiveView:
    """Draws where the evals stand, and switches between them by the arrow keys.

    Only ever used in the main thread, between two writes of pytest's own.

    Args:
        config: has a terminal reporter.
        runs: the evals that have rollouts to run, in order.
    """

    refresh_seconds = _KEY_SECONDS

    def __init__(self, config: pytest.Config, runs: Sequence[OwnedRun]) -> None:
        from .panel import Panel

        writer: Any = config.get_terminal_writer()
        self.standings = {run.nodeid: EvalStanding(run) for run in runs}
        self._order = list(self.standings.values())
        self._fullscreen = bool(settings.of_the_session(config, "fullscreen"))
        self._canvas: Canvas = (AlternateScreen if self._fullscreen else BelowOutput)(writer)
        self._panel = Panel(
            self._order,
            has_colour=bool(writer.hasmarkup),
            encoding=getattr(writer._file, "encoding", None) or "utf-8",
        )
        self._keyboard = Keyboard()
        self._keyboard.open()
        self._selected = 0
        self._was_chosen = self._is_paused = False
        self._lines: list[str] = []
        self._next_frame = self._listened = self._drawn = 0.0
        self._size = (0, 0)
        config.add_cleanup(self.close)

    def standing_of(self, nodeid: str) -> EvalStanding | None:
        """Return the eval of an item; None of an item that is none of an eval."""
        path, _, name = nodeid.partition("::")
        function = f"{path}::{name.partition('[')[0]}"
        return self.standings.get(nodeid.rpartition("::")[0]) or self.standings.get(function)

    def draw(self, status: Callable[[], str]) -> None:
        """Bring the view up to date, if it is time for that.

        Args:
            status: returns the line about all evals.
        """
        now = time.monotonic()
        if self._is_paused or now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        if len(self._order) > 1 and now - self._listened >= _KEY_SECONDS:
            self._listened = now
            self._listen()
        size = shutil.get_terminal_size()
        is_due = now >= self._next_frame or size != self._size
        if is_due:
            if size != self._size:
                self._canvas.resized()
            begun = time.thread_time()
            before, self._lines = self._lines, self._frame(status(), *size)
            took = time.thread_time() - begun
            self._next_frame, self._size = now + max(_FRAME_SECONDS, took / _MOST_TIME), size
            if before == self._lines and self._canvas.is_shown:
                return
        if is_due or not self._canvas.is_shown:
            self._canvas.show(self._lines)

    def settle(self) -> None:
        """Put the view back where pytest's output has pushed it away."""
        if self._lines and not self._canvas.is_shown and not self._is_paused:
            self._canvas.show(self._lines)

    def _listen(self) -> None:
        for key in self._keyboard.read():
            step = 1 if key == "right" else -1
            self._selected = (self._selected + step) % len(self._order)
            self._was_chosen = True
            self._next_frame = 0.0

    def _frame(self, status: str, columns: int, rows: int) -> list[str]:
        if not self._was_chosen:
            self._selected = self._follow()
        return self._panel.lines(
            status,
            self._selected,
            columns=columns,
            rows=rows,
            room=max(1, rows - self._canvas.reserved),
            fills=self._fullscreen,
        )

    def _follow(self) -> int:
        """Return the first eval that is not done, until somebody chooses one."""
        for index, standing in enumerate(self._order):
            if standing.done < standing.planned:
                return index
        return self._selected

    def make_room(self) -> None:
        """Leave the terminal to a test that is no eval; the next eval to report draws again."""
        if not self._fullscreen:
            self._canvas.hide()

    def pause(self) -> None:
        """Leave the terminal and its keys to somebody else, such as a debugger."""
        self._is_paused = True
        self._canvas.hide()
        self._keyboard.rest()

    def resume(self) -> None:
        """Draw again."""
        self._is_paused = False

    def close(self) -> None:
        """Leave the terminal as it was; to be called again at no cost."""
        self._is_paused = True
        self._canvas.close()
        self._keyboard.close()
