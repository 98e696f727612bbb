"""Controller: the hooks of the process that distributes the items of a session."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from . import surface
from .distributor import Distributor
from .mail import Mail


class Controller:
    """Tells workers what to do of evals, and counts what they report.

    Where no worker collects an eval it only opens a channel to each.
    """

    def __init__(self, session: pytest.Session) -> None:
        self._config = session.config
        self._mail = Mail(session.config, lambda: self._work.tick())
        self._work = Distributor(session, self._mail)

    @pytest.hookimpl
    def pytest_configure_node(self, node: Any) -> None:
        """Open a channel to a worker before it starts."""
        self._mail.open(node)

    @pytest.hookimpl(wrapper=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> Generator[None, object, object]:
        """Put the scheduler of evals before the one that was made."""
        inner = yield
        if inner is None:
            return None
        from .scheduler import EvalScheduling

        self._work.scheduler = EvalScheduling(config, inner, self._work, self._work.num_workers)
        return self._work.scheduler

    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        """Compare what a worker collected with the others; begin where xdist schedules alone."""
        self._mail.read()
        self._work.collected(node)

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Keep the rows of a worker that died, and lend to others what it had."""
        self._work.lost(node, error)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_report_from_serializable(self, data: dict[str, Any]) -> Generator[None, Any, Any]:
        """Give a report back the short text that it had in the worker."""
        report = yield
        if report is not None and "evals_short" in data:
            from .reports import restore

            restore(report, data)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which items of evals are red."""
        self._work.note(report)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Report at the end what no item has reported."""
        with self._work.signals:
            try:
                result = yield
            finally:
                self._work.end_line()
            self._mail.read()
            if self._work.problem is not None:
                raise session.Failed(self._work.problem)
            evals = self._work.evals
            if evals is not None and evals.have_begun:
                if not self._work.runs_ahead:
                    evals.judge_rest(session)
                evals.end(session)
        return result

    def pytest_keyboard_interrupt(self) -> None:
        """Stop every worker: it need not have had the signal."""
        self._work.stop()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Complete every run once no worker writes any more, then let the others report."""
        evals = self._work.evals
        if evals is None:
            return (yield)
        from .. import itemless
        from ..signals import interrupts_ignored

        try:
            with interrupts_ignored():
                self._work.stop()
                surface.end_workers(self._config)
                self._mail.read()
                for run in evals.owned:
                    itemless.complete(evals, run, session)
                evals.last_failed.note(evals.owned)
            return (yield)
        finally:
            self._work.end_line()
            evals.close()
