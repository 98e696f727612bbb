"""Sections: captured output on the reports of evals, kept no longer than somebody reads it."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from .outcomes import shows_passed


class Sections:
    """Empties the captured sections of what passed, once its item has reported.

    pytest keeps every report to the end. Other plugins have had them by then; only `-rA` and `-rP`
    read them later.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._reported: dict[str, list[pytest.TestReport]] = {}

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        """Take note of what has sections, and empty them after the last report of an item."""
        yield
        if getattr(report, "evals_kind", None) is None:
            return
        if report.sections:
            self._reported.setdefault(report.nodeid, []).append(report)
        if report.when != "teardown" or not self._reported:
            return
        reports = self._reported.pop(report.nodeid, [])
        if any(each.failed for each in reports) or shows_passed(self._config):
            return
        for each in reports:
            each.sections.clear()
