"""Gates that a selection left out: each fails, so that no run is green by chance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import pytest

from ..gates.grammar import Gate
from .outcomes import short_text
from .runs import Run


def report(runs: Iterable[Run], session: pytest.Session) -> None:
    """Report every gate of a started run whose item was not selected, unless that was accepted."""
    if session.config.getoption("evals_partial"):
        return
    for run in runs:
        selected = {item.gate.name for item in run.gates}
        for gate in run.spec.gates:
            if run.was_started and gate.name not in selected:
                _report_gate(run, gate, session)


def _report_gate(run: Run, gate: Gate, session: pytest.Session) -> None:
    """Send the reports of an item that failed, as pytest's own protocol would."""
    nodeid = f"{run.nodeid}::{gate.name}"
    location = (str(run.spec.path), run.spec.line - 1, f"{run.spec.name}::{gate.name}")
    hook = session.config.hook
    session.testscollected += 1  # or the progress would exceed 100 %
    hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
    phases: tuple[Literal["setup", "call", "teardown"], ...] = ("setup", "call", "teardown")
    for when in phases:
        failed = when == "call"
        text = f"NOT JUDGED: {gate.text}: {run.why_not_judged}"
        hook.pytest_runtest_logreport(
            report=pytest.TestReport(
                nodeid=nodeid,
                location=location,
                keywords={},
                outcome="failed" if failed else "passed",
                longrepr=short_text(text, run) if failed else None,
                when=when,
                evals_kind="gate",
            )
        )
    hook.pytest_runtest_logfinish(nodeid=nodeid, location=location)
