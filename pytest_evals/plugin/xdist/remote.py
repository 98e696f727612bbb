"""Remote workers: what they would write into a run's folder travels to the controller instead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ...store.encoding import mask_json
from ...store.log import format_as_run_log
from ...store.run_folder import RunFolder
from ..owned_run import OwnedRun
from .link import Link


class RemoteFolder(RunFolder):
    """The folder of a run, on the controller's machine, as a worker on another one has it.

    Args:
        path: the folder; it does not exist here.
        mask: replaces the secrets in a text.
        link: to the controller.
        nodeid: of the run.
    """

    def __init__(self, path: Path, mask: Callable[[str], str], link: Link, nodeid: str) -> None:
        super().__init__(path, mask)
        self._link = link
        self._nodeid = nodeid

    def append(self, line: str) -> None:
        """Send a row's line; it is on its way, before anything that is sent after it."""
        self._link.send("row", nodeid=self._nodeid, line=mask_json(line, self._mask))

    def log_handler(self) -> logging.Handler:
        """Return a handler that sends what the run's log is to hold."""
        return format_as_run_log(_LogSender(self._link, self._nodeid), self._mask)


class _LogSender(logging.Handler):
    def __init__(self, link: Link, nodeid: str) -> None:
        super().__init__()
        self._link = link
        self._nodeid = nodeid

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record."""
        try:
            self._link.send("log", nodeid=self._nodeid, text=self.format(record))
        except Exception:  # of the code whose record it is: its arguments do not fit
            self.handleError(record)


def keep_row(run: OwnedRun, worker: str, line: str) -> None:
    """Add a row that a remote worker sent to the file that it would have itself."""
    folder = RunFolder(run.folder.path, run.mask, writer=worker)
    try:
        with run.noting_problems():
            folder.append(line)
    finally:
        folder.close()


def keep_log(run: OwnedRun, text: str) -> None:
    """Add what a remote worker logged to the run's log."""
    with run.folder.log_path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text + "\n")
