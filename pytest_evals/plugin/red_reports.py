"""RedReports: the hook by which a session learns which of its eval items are red."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from .nodes import EvalItem


class RedReports:
    """Notes red items on their runs; for the plugins that run the items of a session."""

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note which items are red, whoever made them so."""
        report = yield
        if isinstance(item, EvalItem):
            item.run.note_red(item.name, has_failed=report.failed, when=report.when)
        return report
