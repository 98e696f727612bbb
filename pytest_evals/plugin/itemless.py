"""Reports of what no item reports, so that exit code, counts and JUnit file tell it all."""

from __future__ import annotations

from typing import Literal

import pytest

from ..gates.grammar import Gate
from .outcomes import short_text
from .owned_run import OwnedRun


def report_untold(run: OwnedRun, session: pytest.Session) -> None:
    """Report as failed what a started run has against it and none of its items has reported.

    That is a gate nobody judged, because it was not selected or its item was skipped, unless the
    user accepted it; a gate that did not pass although its item did (a mark can turn red into
    green); and a run in which nothing was scored.
    """
    if not run.was_started:
        return
    for gate in run.spec.gates:
        problem = _problem(run, gate)
        if problem is not None and gate.name not in run.red_items:
            report_failure(run, gate.name, problem, session)
    if not run.red_items and not run.measurements().scored:
        report_failure(run, "nothing-scored", "no rollout was scored", session)


def _problem(run: OwnedRun, gate: Gate) -> str | None:
    verdict = run.verdicts.get(gate.name)
    if verdict is not None:
        return None if verdict.outcome == "passed" else verdict.line
    if run.accepts_partial:
        return None
    return f"NOT JUDGED: {gate.text}: {run.why_not_judged}"


def report_failure(run: OwnedRun, name: str, text: str, session: pytest.Session) -> None:
    """Send the reports of an item of the run that failed, as pytest's own protocol would."""
    nodeid = f"{run.nodeid}::{name}"
    location = (str(run.spec.path), run.spec.line - 1, f"{run.spec.name}::{name}")
    hook = session.config.hook
    run.red_items.add(name)
    session.testscollected += 1  # or the progress would exceed 100 %
    hook.pytest_runtest_logstart(nodeid=nodeid, location=location)
    phases: tuple[Literal["setup", "call", "teardown"], ...] = ("setup", "call", "teardown")
    for when in phases:
        failed = when == "call"
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
