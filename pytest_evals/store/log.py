"""The run's log: a handler for run.log that masks secrets and shows control characters."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from ..visible import visible


class _RunLogFormatter(logging.Formatter):
    def __init__(self, mask: Callable[[str], str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text, traceback included, masked."""
        return visible(self._mask(super().format(record)))


def run_log_handler(path: Path, mask: Callable[[str], str]) -> logging.Handler:
    """Return a handler that appends to `path`, which is made by the first record.

    Args:
        path: the log's file; other processes, such as a managed server, may append to it too.
        mask: replaces the secrets in a text.
    """
    handler = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace", delay=True)
    return format_as_run_log(handler, mask)


def format_as_run_log(handler: logging.Handler, mask: Callable[[str], str]) -> logging.Handler:
    """Have a handler format records as the run's log holds them, and return it."""
    handler.setFormatter(_RunLogFormatter(mask))
    return handler
