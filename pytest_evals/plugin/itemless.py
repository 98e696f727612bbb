"""Reports of what no item reports, so that exit code, counts and JUnit file tell it all."""

from __future__ import annotations

from typing import Literal

import pytest

from ..gates.grammar import Gate
from .outcomes import short_text
from .owned_run import OwnedRun
from .owner import EvalOwner


def report_untold(run: OwnedRun, session: pytest.Session) -> None:
    """Report as failed what a started run has against it and none of its items has reported.

    That is a gate nobody judged, because it was not selected or its item was skipped, unless the
    user accepted it; a gate that did not pass although its item did (a mark can turn red into
    green); a run of which the budget left rollouts out, where no gate says so; and one in which
    nothing was scored.
    """
    if not run.was_started:
        return
    for gate in run.spec.gates:
        problem = _problem(run, gate)
        if problem is not None and gate.name not in run.red_items:
            report_failure(run, gate.name, problem, session)
    if not run.red_items and run.not_started:
        report_failure(run, "budget", f"{run.not_started} rollouts were not started", session)
    if not run.red_items and not run.measurements().scored:
        report_failure(run, "nothing-scored", "no rollout was scored", session)


def report_overrun(owner: EvalOwner, session: pytest.Session) -> None:
    """Report as failed that the budget was spent, where nothing else says so.

    All that it would have left out had started by then: those evals keep their verdicts.
    """
    runs = [run for run in owner.owned if run.was_started]
    spent = [run for run in runs if run.stopped_by is not None]
    if not spent or any(run.red_items for run in runs):
        return
    text = f"{spent[0].stopped_by}: all rollouts had started, but over its budget nothing is green"
    # Of no eval: a space is in no name.
    _report(spent[0], f"{spent[0].nodeid.partition('::')[0]}::budget of the session", text, session)


def complete(owner: EvalOwner, run: OwnedRun, session: pytest.Session) -> None:
    """Complete a run on disk and report what goes wrong with that.

    Where the session's outcome was settled already, it can still become worse: `pytest.exit()` of
    a test can settle it as green while a gate has not passed.
    """
    problem = owner.complete(run)
    if problem is not None:
        name = "results" if run.problem else "pytest_evals_run_complete"
        report_failure(run, name, problem, session)
    has_failed = problem is not None or (
        run.was_started
        and (run.stopped_by or any(_problem(run, gate) is not None for gate in run.spec.gates))
    )
    if has_failed and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _problem(run: OwnedRun, gate: Gate) -> str | None:
    verdict = run.verdicts.get(gate.name)
    if verdict is not None:
        return verdict.line if verdict.is_red else None
    if run.accepts_partial:
        return None
    return f"NOT JUDGED: {gate.text}: {run.why_not_judged}"


def report_failure(run: OwnedRun, name: str, text: str, session: pytest.Session) -> None:
    """Send the reports of an item of the run that failed, as pytest's own protocol would."""
    run.red_items.add(name)
    _report(run, f"{run.nodeid}::{name}", text, session, title=f"{run.heading}::{name}")


def _report(
    run: OwnedRun, nodeid: str, text: str, session: pytest.Session, title: str = ""
) -> None:
    location = (str(run.spec.path), run.spec.line - 1, title or nodeid.partition("::")[2])
    hook = session.config.hook
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
