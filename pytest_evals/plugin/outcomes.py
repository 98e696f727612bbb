"""Outcomes: how a rollout or a verdict becomes a pytest report, a letter and a word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import pytest

from ..engine.rollouts import RolloutResult
from ..errors import ModelError
from ..gates.verdicts import Verdict
from ..reports.transcript import transcript
from ..reports.visible import visible
from . import junit, tracebacks

if TYPE_CHECKING:
    from .nodes import EvalItem, GateItem, RolloutItem
    from .runs import Run


@dataclass(frozen=True, slots=True)
class _Crash:
    """Where and why, as pytest's short summary and its JUnit file read it."""

    path: str
    lineno: int
    message: str


class ShortText:
    """The text of a failed report that needs no traceback: its first line is the message.

    pytest prints any object with `toterminal`, and takes the short summary and the JUnit message
    from `reprcrash`.
    """

    def __init__(self, text: str, path: Path, line: int) -> None:
        self.text = text
        self.reprcrash = _Crash(str(path), line, text.partition("\n")[0])

    def __str__(self) -> str:
        return self.text

    def toterminal(self, tw: Any) -> None:
        """Write the text to a terminal writer."""
        for line in self.text.splitlines():
            tw.line(line)


def short_text(text: str, run: Run) -> Any:
    """Return `text` as the representation of a failed report of the run's eval."""
    return ShortText(text, run.spec.path, run.spec.line)


class EvalFailedError(Exception):
    """What an item raises to fail with a short text."""


def check_measured(item: RolloutItem, result: RolloutResult) -> None:
    """Take the rollout of an item; raise unless it was scored.

    An unmeasured rollout is skipped when another one's failure explains it, or when the eval
    tolerates errors; its error_rate gate counts it either way.
    """
    item.result = result
    junit.describe_rollout(item, result)
    if result.outcome == "scored":
        return
    if result.outcome == "broken":
        raise EvalFailedError(_broken(item, result))
    text = f"unmeasured: {_described(result)}"
    if result.cause is not None:
        pytest.skip(f"not measured for the same reason as {result.cause}")
    if item.run.tolerates_errors:
        pytest.skip(_clean(item, text))
    raise EvalFailedError(_clean(item, text))


def check_reward(item: RolloutItem, result: RolloutResult) -> None:
    """Raise when the reward is below the eval's `pass_reward`."""
    needed = item.run.spec.pass_reward
    if needed is not None and result.reward is not None and result.reward < needed:
        raise EvalFailedError(f"reward {result.reward:g} < {needed:g} (pass_reward)")


def check_gate(item: GateItem, verdict: Verdict | None) -> None:
    """Raise unless the gate was judged and passed."""
    if verdict is None:
        text = f"NOT JUDGED: {item.gate.text}: {item.run.why_not_judged}"
        if item.config.getoption("evals_partial"):
            pytest.skip(text)
        raise EvalFailedError(text)
    junit.describe_gate(item, verdict)
    if verdict.outcome == "failed":
        raise EvalFailedError(verdict.line)
    if verdict.outcome == "inconclusive":
        raise EvalFailedError(f"INCONCLUSIVE: {verdict.line}")


def _described(result: RolloutResult) -> str:
    error = result.error
    text = f"{type(error).__name__}: {error}"
    label = result.run.endpoint.label
    return f"{label}: {text}" if isinstance(error, ModelError) and label not in text else text


def _broken(item: RolloutItem, result: RolloutResult) -> str:
    """The text of a broken rollout: with a traceback the first time its eval meets the error.

    Rendering the same traceback for each of a thousand rollouts takes minutes and tells nothing.
    """
    error = result.error
    assert error is not None
    text = f"broken: {_described(result)}"
    if result.cause is not None:
        return _clean(item, f"{text}\nthe same error as {result.cause}")
    at_fault = error.__cause__ or error
    path, line = tracebacks.place_of(at_fault)
    known = item.run.broken_before(f"{type(at_fault).__name__} {path}:{line}", item.name)
    if known is not None:
        return _clean(item, f"{text}\nat {path}:{line}, as in {item.run.nodeid}::{known}")
    return _clean(item, f"{text}\n\n{tracebacks.of_user_code(at_fault)}")


def _clean(item: EvalItem, text: str) -> str:
    return visible(item.run.mask(text))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> pytest.TestReport | None:
    """Report eval items without the cost of pytest's tracebacks; leave the rest to pytest."""
    from .nodes import EvalItem

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
            longrepr = (str(item.run.spec.path), item.run.spec.line, str(raised))
        else:
            return None  # raised by another plugin: pytest knows best
    report = pytest.TestReport(
        nodeid=item.nodeid,
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


def add_rollout(item: RolloutItem, report: pytest.TestReport) -> None:
    """Put the rollout's own times, reward and, where it is read, transcript on a report."""
    result = item.result
    deciding = report.when == "call" or (report.when == "setup" and not report.passed)
    if result is None or not deciding:
        report.duration = 0.0  # waiting for the rollout is not the item's own time
        return
    report.start, report.stop = result.start, result.stop
    report.duration = max(0.0, result.stop - result.start)
    vars(report)["evals_reward"] = result.reward
    if result.completion and (report.failed or _shows_passed(item.config)):
        text = transcript(result.prompt, result.completion)
        report.sections.append((f"rollout {item.name}", item.run.mask(text)))


def _shows_passed(config: pytest.Config) -> bool:
    return any(letter in config.getoption("reportchars", "") for letter in "AP")


def _captured(item: EvalItem) -> list[tuple[str, str]]:
    # Private: what the capture and logging plugins add through add_report_section, which has no
    # public reading side. Checked on pytest 8.4.0, 9.1.0 and 9.2.0; without it nothing is shown.
    sections = getattr(item, "_report_sections", ())
    return [(f"Captured {key} {when}", _clean(item, text)) for when, key, text in sections]


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Give what passed its letter and word; the rest, and all categories, are pytest's own."""
    kind = getattr(report, "evals_kind", None)
    if kind is None or report.when != "call" or not report.passed:
        return None
    if kind == "gate":
        return "passed", "G", "GATE PASSED"
    reward: float | None = vars(report).get("evals_reward")
    if reward is None:
        return None
    letter = "." if reward >= 1 else "o" if reward > 0 else "0"
    return "passed", letter, f"SCORED {reward:.3g}"
