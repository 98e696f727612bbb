"""Reports on their way from a worker to its controller."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

from ..nodes import RolloutItem
from ..outcomes import ShortText
from .results import encode_result

_SHORT = "evals_short"


class WorkerReports:
    """Adds to reports what the controller needs of them and cannot be sent as it is.

    Args:
        mask: replaces the session's secrets in a text.
    """

    def __init__(self, mask: Callable[[str], str]) -> None:
        self._mask = mask

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Put the rollout itself on its report where a hook at the controller looks at it."""
        report = yield
        if report.when == "setup" and report.passed:
            return report  # the report of the call follows
        hook = item.config.hook.pytest_evals_rollout_complete
        if isinstance(item, RolloutItem) and item.result is not None and hook.get_hookimpls():
            vars(report)["evals_rollout"] = encode_result(item.result, self._mask)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_report_to_serializable(
        self, report: pytest.CollectReport | pytest.TestReport
    ) -> Generator[None, Any, Any]:
        """Keep the place of a short text, and make numbers of libraries Python's own."""
        data = yield
        if data is None:
            return None
        short = report.longrepr
        if isinstance(short, ShortText):
            crash = short.reprcrash
            data[_SHORT] = {"text": short.text, "path": crash.path, "line": crash.lineno}
        for name in data:
            if name.startswith("evals_"):
                data[name] = _sendable(data[name])
        if "user_properties" in data:
            data["user_properties"] = [
                (name, _sendable(value)) for name, value in data["user_properties"]
            ]
        return data


def restore(report: Any, data: dict[str, Any]) -> None:
    """Give a report at the controller back the short text that it had in the worker."""
    short = data.get(_SHORT)
    if short is not None:
        report.longrepr = ShortText(short["text"], Path(short["path"]), short["line"])


def _sendable(value: Any) -> Any:
    if isinstance(value, float) and type(value) is not float:
        return float(value)
    return value
