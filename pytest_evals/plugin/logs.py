"""RolloutLogs: what rollouts log, kept apart from the logs of whatever item is running."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import pytest

from ..engine.output import CURRENT_OUTPUT, RolloutOutput
from .clean_records import CleanFormatter

Keep: TypeAlias = Callable[[RolloutOutput, str], None]


class RolloutLogs:
    """Takes the records of rollouts, which the items of plain tests then do not see.

    `log_cli` and `log_file` get them as well. The live lines wait for the main thread:
    pytest suspends its capture to write one, which no second thread may do.

    Args:
        config: says what pytest logs, and how; with `-p no:logging` nothing is kept.
        keep: takes a line that a rollout logged, in any thread.
    """

    def __init__(self, config: pytest.Config, keep: Keep) -> None:
        self._undo = contextlib.ExitStack()
        self._waiting: deque[logging.LogRecord] = deque()
        self._live: logging.Handler | None = None
        plugin = config.pluginmanager.getplugin("logging-plugin")
        # Private: the handlers and the level of pytest's own. Checked on pytest 8.4.0 and 9.2.0.
        # Without them the items that run meanwhile show the records too.
        self._level: int | None = getattr(plugin, "log_level", None)
        if plugin is None:
            return
        self._attach(_Keeper(config, keep, self._level or logging.NOTSET))
        for name in ("caplog_handler", "report_handler"):
            self._filter(getattr(plugin, name, None), _is_of_no_rollout)
        live = getattr(plugin, "log_cli_handler", None)
        if isinstance(live, logging.Handler) and not isinstance(live, logging.NullHandler):
            self._live = live
            self._filter(live, self._is_for_now)

    @contextlib.contextmanager
    def level(self) -> Iterator[None]:
        """Log from the level on that pytest sets for the phases of an item, also between them."""
        root = logging.getLogger()
        before = root.level
        if self._level is not None:
            root.setLevel(min(before, self._level))
        try:
            yield
        finally:
            root.setLevel(before)

    @property
    def has_live(self) -> bool:
        """Whether live lines wait."""
        return bool(self._waiting)

    def show_live(self) -> None:
        """Write the live lines that wait; for the main thread."""
        while self._waiting and self._live is not None:
            self._live.handle(self._waiting.popleft())

    def close(self) -> None:
        """Leave everything as it was."""
        self.show_live()
        self._undo.close()

    def _attach(self, handler: logging.Handler) -> None:
        root = logging.getLogger()
        others = [each for each in root.manager.loggerDict.values() if _stands_alone(each)]
        for logger in (root, *others):
            assert isinstance(logger, logging.Logger)
            logger.addHandler(handler)
            self._undo.callback(logger.removeHandler, handler)

    def _filter(self, handler: Any, accepts: Callable[[logging.LogRecord], bool]) -> None:
        if isinstance(handler, logging.Handler):
            handler.addFilter(accepts)
            self._undo.callback(handler.removeFilter, accepts)

    def _is_for_now(self, record: logging.LogRecord) -> bool:
        if CURRENT_OUTPUT.get() is None or threading.current_thread() is threading.main_thread():
            return True
        assert self._live is not None
        formatter = self._live.formatter
        # As it is now: what its arguments are may change until it is written.
        self._waiting.append(
            formatter.cleaned(record) if isinstance(formatter, CleanFormatter) else record
        )
        return False


class _Keeper(logging.Handler):
    """Keeps the records of rollouts."""

    def __init__(self, config: pytest.Config, keep: Keep, level: int) -> None:
        super().__init__(level)
        self._keep = keep
        # Without the colours that pytest's own has on a terminal.
        form = (_setting(config, "log_format"), _setting(config, "log_date_format"))
        self.setFormatter(logging.Formatter(*form))

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the record if it is a rollout's."""
        output = CURRENT_OUTPUT.get()
        if output is None:
            return
        try:
            self._keep(output, self.format(record) + "\n")
        except Exception:  # of the code whose record it is: its arguments do not fit
            self.handleError(record)


def _is_of_no_rollout(record: logging.LogRecord) -> bool:
    return CURRENT_OUTPUT.get() is None


def _stands_alone(logger: object) -> bool:
    return isinstance(logger, logging.Logger) and not logger.propagate


def _setting(config: pytest.Config, name: str) -> str | None:
    value = config.getoption(name)
    return (config.getini(name) if value is None else value) or None
