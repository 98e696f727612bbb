"""CiReports: what a session leaves for a CI service: a step summary, a JSON document."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .owned_run import OwnedRun
    from .owner import EvalOwner

# Where GitHub takes the Markdown of a step from, and how much of it.
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
_MOST_BYTES = 1024 * 1024
_LONGEST_TEXT = 20_000
_NAME = "evals-ci-reports"


def begin(config: pytest.Config, owner: EvalOwner | None = None) -> None:
    """See to it that a session reports what it is asked for.

    Args:
        owner: of its evals; None as long as there is none. A worker has no report.

    Raises:
        pytest.UsageError: the JSON document cannot be written where it is to be.
    """
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    known = config.pluginmanager.getplugin(_NAME)
    if known is None:
        path = config.getoption("evals_report_json")
        if not path and not os.environ.get(STEP_SUMMARY):
            return
        known = CiReports(config, config.invocation_params.dir / path if path else None)
        config.pluginmanager.register(known, _NAME)
    known.owner = owner


class CiReports:
    """Writes the reports at the end, whatever came of the session.

    Attributes:
        owner: of the session's evals; None where none was collected.
    """

    owner: EvalOwner | None = None

    def __init__(self, config: pytest.Config, path: Path | None) -> None:
        if path is not None and path.is_dir():
            raise pytest.UsageError(f"--evals-report-json: {path} is a folder")
        self._config = config
        self._path = path
        self._errors: dict[str, str] = {}
        self._problems: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what could not be collected."""
        if report.failed:
            text = getattr(report.longrepr, "text", None) or str(report.longrepr)
            self._errors.setdefault(report.nodeid, text)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the reports: once every run is complete, before its folder is closed."""
        from . import options

        if options.is_dry(self._config):
            return
        if os.environ.get(STEP_SUMMARY):
            self._append_step_summary(session)
        if self._path is not None:
            self._write_json(session)

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Tell what could not be written."""
        for text in self._problems:
            terminalreporter.write_line(f"evals: {text}", yellow=True)

    @property
    def _runs(self) -> list[OwnedRun]:
        return [] if self.owner is None else list(self.owner.owned)

    def _clean(self, text: str) -> str:
        from ..endpoints.secret_variables import secret_variables
        from ..endpoints.secrets import Secrets
        from ..visible import clipped, visible

        if self.owner is not None:
            return clipped(self.owner.clean(text), _LONGEST_TEXT)
        secrets = Secrets()
        secrets.add(*secret_variables())
        return clipped(visible(secrets.mask(text)), _LONGEST_TEXT)

    # The step summary.

    def _append_step_summary(self, session: pytest.Session) -> None:
        from ..reports.markdown import EvalNotes, markdown

        evals = [
            EvalNotes(
                run.summary(),
                [gate.text for gate in run.spec.gates if gate.name not in run.verdicts],
                run.why_not_judged,
                [*_notes(run), *run.red_lines, *run.warnings],
            )
            for run in self._runs
            if run.was_started
        ]
        errors = [(nodeid, self._clean(text)) for nodeid, text in self._errors.items()]
        if self.owner is None or not (evals or errors):
            return
        path = Path(os.environ[STEP_SUMMARY])
        try:
            taken = path.stat().st_size if path.exists() else 0
            text = markdown(
                evals,
                outcome=_outcome(session),
                errors=errors,
                mask=self.owner.secrets.mask,
                most_bytes=_MOST_BYTES - taken - 2,
            )
            with path.open("ab") as file:
                # An own paragraph, whatever stands before.
                file.write((b"\n\n" if taken else b"") + text.encode())
        except OSError as error:
            self._problems.append(
                self._clean(f"the step summary was not written ({STEP_SUMMARY}): {error}")
            )

    # The JSON document.

    def _write_json(self, session: pytest.Session) -> None:
        from ..store.encoding import mask_json, to_json
        from ..store.replacing import replacing

        assert self._path is not None
        document = {
            "schema": 1,
            "version": _version(),
            "exit_status": int(session.exitstatus),
            "outcome": _outcome(session),
            "session": None if self.owner is None else self.owner.session_id,
            "judged_again": bool(self._config.getoption("evals_regate")),
            "collection_errors": [
                {"nodeid": nodeid, "text": self._clean(text)}
                for nodeid, text in self._errors.items()
            ],
            "evals": [_eval(run) for run in self._runs],
        }
        mask = self._clean if self.owner is None else self.owner.secrets.mask
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(self._path) as file:
                file.write(mask_json(to_json(document), mask).encode() + b"\n")
        except OSError as error:
            text = f"--evals-report-json: the report was not written: {error}"
            self._problems.append(self._clean(text))
            # It was asked for, so whoever reads it next must not find an old one and go on.
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _eval(run: OwnedRun) -> dict[str, Any]:
    """Return what the document says of an eval: a few words, and all that metadata.json says."""
    from .run_metadata import metadata_of

    if not run.was_started:
        return {
            "nodeid": run.nodeid,
            "name": run.spec.name,
            "model": run.facts.model,
            "verdict": "not run",
            "folder": None,
        }
    unjudged = [gate.text for gate in run.spec.gates if gate.name not in run.verdicts]
    return {
        "nodeid": run.nodeid,
        "folder": str(run.folder.path) if run.spec.save_results else None,
        **metadata_of(run, run.summary(), run.base_url),
        "not_judged": unjudged,
        "why_not_judged": run.why_not_judged if unjudged else None,
        "red_rollouts": len(run.red_rollouts),
        "first_unmeasured": run.first_unmeasured,
        "warnings": list(run.warnings),
    }


def _notes(run: OwnedRun) -> Iterator[str]:
    """Yield what is told of a run below the table at the end."""
    name = run.spec.name
    if run.first_unmeasured is not None:
        first = run.first_unmeasured.partition("\n")[0]
        yield f"first unmeasured rollout of {name}: {first}"
    if run.not_started:
        yield f"{run.not_started} rollouts of {name} not started: {run.stopped_by}"


def _outcome(session: pytest.Session) -> str:
    """Return the exit status in a word."""
    try:
        code = pytest.ExitCode(session.exitstatus)
    except ValueError:  # of another plugin
        return f"exit status {int(session.exitstatus)}"
    words = {pytest.ExitCode.OK: "passed", pytest.ExitCode.TESTS_FAILED: "failed"}
    return words.get(code, code.name.lower().replace("_", " "))


def _version() -> str:
    import importlib.metadata

    return importlib.metadata.version("pytest-rollouts")
