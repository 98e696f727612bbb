"""CleanRecords: warnings and log records of a session with evals, without what must not be shown.

Environments warn and log while they are loaded, asyncio logs what tasks of rollouts raised, and
pytest warns of what threads and destructors raised: keys and text of models are in all of these.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Callable
from typing import Any, TypeAlias

import pytest

Clean: TypeAlias = Callable[[str], str]

# Private: the handlers of pytest's own. Checked on pytest 8.4.0 and 9.2.0; without them only what
# rollouts log is clean. Not that of `caplog`, which tests look at and nobody is shown.
_HANDLERS = ("log_cli_handler", "log_file_handler", "report_handler")


class CleanRecords:
    """Cleans what pytest is told of warnings and log records, until the session ends.

    Args:
        config: says what pytest logs, and how.
        clean: masks a text and makes its control characters visible.
    """

    def __init__(self, config: pytest.Config, clean: Clean) -> None:
        self._clean = clean
        plugin = config.pluginmanager.getplugin("logging-plugin")
        with contextlib.ExitStack() as undo:
            for name in _HANDLERS:
                handler = getattr(plugin, name, None)
                if isinstance(handler, logging.Handler) and handler.formatter is not None:
                    undo.callback(handler.setFormatter, handler.formatter)
                    handler.setFormatter(CleanFormatter(handler.formatter, clean))
            config.add_cleanup(undo.pop_all().close)

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Clean a warning before others show it or send it on."""
        text = str(warning_message.message)
        clean = self._clean(text)
        if clean != text:
            warning_message.message = clean


class CleanFormatter(logging.Formatter):
    """Formats records as `inner` does, clean."""

    def __init__(self, inner: logging.Formatter, clean: Clean) -> None:
        super().__init__()
        self._inner = inner
        self._clean = clean

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def format(self, record: logging.LogRecord) -> str:
        """Return the text of a record."""
        return self._inner.format(self.cleaned(record))

    def cleaned(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return the record with all its text clean."""
        record = copy.copy(record)
        record.msg, record.args = self._clean(record.getMessage()), None
        if record.exc_info and not record.exc_text:
            record.exc_text = self._inner.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._clean(record.exc_text)
        if record.stack_info:
            record.stack_info = self._clean(record.stack_info)
        return record
