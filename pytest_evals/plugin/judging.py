"""Judging: what sessions have in common that run gates and no rollouts."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from . import itemless
from .nodes import GateItem
from .red_reports import RedReports
from .session import EvalSession


class JudgeLoop(RedReports):
    """Leaves the gates of a session, and reports what comes of them."""

    def __init__(self, session: EvalSession) -> None:
        self._session = session

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Leave out what is no gate."""
        others = [item for item in items if not isinstance(item, GateItem)]
        if others:
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if isinstance(item, GateItem)]

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which gates of each eval were selected."""
        session.items[:] = dict.fromkeys(session.items)
        for item in session.items:
            assert isinstance(item, GateItem)
            item.run.select(item)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Let the exit code be red where a gate is, whoever settled it."""
        try:
            for run in self._session.owned:
                itemless.complete(self._session, run, session)
            return (yield)
        finally:
            self._session.close()


class NoTests:
    """Keeps Python modules from being imported: what is judged needs none of them."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: Any) -> pytest.Collector:
        """Return a module without tests."""
        return _Unread.from_parent(parent, path=module_path)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what to do when no eval was found."""
        if not EvalSession.is_made(terminalreporter.config):
            terminalreporter.write_line("evals: gates are those of eval files, and none is named")


class _Unread(pytest.File):
    """A test module that is not read."""

    def collect(self) -> Iterable[pytest.Item]:
        """Return nothing."""
        return []
