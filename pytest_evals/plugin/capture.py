"""Output of rollouts while no item runs: it goes to the run's log, not to the terminal.

pytest's capture rests between items, and that is when most rollouts run: what their code prints
would stand raw on the screen, escape codes and keys included.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import pytest

from ..engine.run import CURRENT_RUN


class _RolloutOutput(io.TextIOBase):
    """A stream that writes a rollout's output to its run's log and the rest where it went."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write `text` for whoever writes it."""
        run = CURRENT_RUN.get()
        if run is None:
            return self.stream.write(text)
        if text.strip():
            run.log.info("output: %s", text.rstrip("\n"))
        return len(text)

    def flush(self) -> None:
        """Flush the stream beneath."""
        self.stream.flush()

    def isatty(self) -> bool:
        """Whether the stream beneath is a terminal."""
        return self.stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream beneath."""
        return self.stream.fileno()


@contextlib.contextmanager
def rollout_output_logged(config: pytest.Config) -> Iterator[None]:
    """Divert what rollouts print, warn of, or log without a handler, wherever capture rests.

    With `-s` nothing is diverted: the user wants it raw.
    """
    diverted = _resting_streams(config)
    for capture, name in diverted:
        stream = _RolloutOutput(capture._old)
        if getattr(sys, name) is capture._old:
            setattr(sys, name, stream)
        capture._old = stream
    try:
        yield
    finally:
        for capture, name in diverted:
            if getattr(sys, name) is capture._old:
                setattr(sys, name, capture._old.stream)
            capture._old = capture._old.stream


def _resting_streams(config: pytest.Config) -> list[tuple[Any, str]]:
    # Private: the streams that capture puts back into sys while it rests; there is no public way
    # to reach them. Checked on pytest 8.4.0, 9.1.0 and 9.2.0. Without them nothing is diverted.
    manager = config.pluginmanager.getplugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    found = []
    for side, name in (("out", "stdout"), ("err", "stderr")):
        capture = getattr(capturing, side, None)
        capture = getattr(capture, "syscapture", capture)
        if hasattr(capture, "_old"):
            found.append((capture, name))
    return found
