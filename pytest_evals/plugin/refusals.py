"""RefusalLog: tells in the logs of runs that providers refuse the session's requests."""

from __future__ import annotations

import time
from collections.abc import Iterable

from .owned_run import OwnedRun

# Not more often than a reader wants to be told the same.
_LINE_SECONDS = 15.0


class RefusalLog:
    """Writes to run.log, now and then, why nothing gets on."""

    def __init__(self) -> None:
        self._written: float | None = None

    def note(self, refusing: str, runs: Iterable[OwnedRun]) -> None:
        """Write a line to the log of each run that is under way, if it is time for one.

        Args:
            refusing: what is going on, as the status line says it; "" while no request is refused.
            runs: those of the session.
        """
        now = time.monotonic()
        if not refusing or (self._written is not None and now - self._written < _LINE_SECONDS):
            return
        self._written = now
        for run in runs:
            if run.was_started and not run.stopped:
                run.log.warning("requests of this session were %s", refusing)
