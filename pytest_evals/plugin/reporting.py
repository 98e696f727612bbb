"""Reporting: the reports of eval items, their letters and words."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal, cast

import pytest

from ..visible import visible
from .nodes import Eval, EvalItem
from .outcomes import EvalFailedError, clean, short_text
from .session import EvalSession


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Capture what an environment prints while it is loaded, as pytest does with test modules.

    A logging handler that it makes for sys.stderr writes to that stream to the end, also when a
    rollout logs: it must not be the terminal.
    """
    capture = collector.config.pluginmanager.getplugin("capturemanager")
    if not isinstance(collector, Eval) or capture is None:
        return (yield)
    capture.resume_global_capture()
    try:
        report = yield
    finally:
        capture.suspend_global_capture()
    mask = EvalSession.of(collector.config).secrets.mask
    texts = zip(("stdout", "stderr"), capture.read_global_capture(), strict=True)
    report.sections += [(f"Captured {name}", visible(mask(text))) for name, text in texts if text]
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> pytest.TestReport | None:
    """Report eval items without the cost of pytest's tracebacks; leave the rest to pytest."""
    if not isinstance(item, EvalItem):
        return None
    outcome: Literal["passed", "failed", "skipped"] = "passed"
    longrepr: Any = None
    if call.excinfo is not None:
        raised = call.excinfo.value
        if isinstance(raised, EvalFailedError):
            outcome = "failed"
            longrepr = short_text(str(raised), item.run)
        elif isinstance(raised, pytest.skip.Exception):
            outcome = "skipped"
            longrepr = (str(item.run.spec.path), item.run.spec.line, clean(item, str(raised)))
        else:
            # Raised by another plugin or a fixture: pytest knows best how to tell it.
            return _cleaned(pytest.TestReport.from_item_and_call(item, call), item)
    report = pytest.TestReport(
        nodeid=getattr(item, "id", item.nodeid),  # since pytest 9.2; the text has to be parsed
        location=item.location,
        keywords=item.run.keywords_of(item),
        outcome=outcome,
        longrepr=longrepr,
        when=cast("Literal['setup', 'call', 'teardown']", call.when),
        sections=_captured(item),
        duration=call.duration,
        start=call.start,
        stop=call.stop,
        user_properties=() if call.when == "setup" else item.user_properties,
        evals_kind=item.kind,
    )
    item.complete_report(report)
    return report


def _cleaned(report: pytest.TestReport, item: EvalItem) -> pytest.TestReport:
    """Return a report of pytest's own without what must not be shown."""
    report.sections = [(title, clean(item, text)) for title, text in report.sections]
    if report.outcome == "failed":
        text = str(report.longrepr)
        shown = visible(item.run.mask(text))
        if shown != text:  # what has nothing to hide keeps its colours
            crash = getattr(report.longrepr, "reprcrash", None)
            text = f"{crash.message}\n\n{text}" if crash else text
            report.longrepr = short_text(clean(item, text), item.run)
    return report


def _captured(item: EvalItem) -> list[tuple[str, str]]:
    # Private: what the capture and logging plugins add through add_report_section, which has no
    # public reading side. Checked on pytest 8.4.0, 9.1.0 and 9.2.0; without it nothing is shown.
    sections = getattr(item, "_report_sections", ())
    return [(f"Captured {key} {when}", clean(item, text)) for when, key, text in sections]


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Give what passed its letter and word; the rest, and all categories, are pytest's own."""
    kind = getattr(report, "evals_kind", None)
    if kind is None or not report.passed:
        return None
    if report.when != "call":
        return "", "", ""  # as pytest's own, without asking the others
    if kind == "gate":
        return "passed", "G", "GATE PASSED"
    reward: float | None = vars(report).get("evals_reward")
    if reward is None:
        return None
    letter = "." if reward >= 1 else "o" if reward > 0 else "0"
    earlier = " (earlier)" if vars(report).get("evals_earlier") else ""
    return "passed", letter, f"SCORED {reward:.3g}{earlier}"
