"""Outcomes: which rollouts and verdicts fail or skip their items, and with what text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..engine.groups import is_scored_by_group
from ..engine.rollouts import RolloutResult
from ..errors import BudgetSpentError, CacheMissError, ModelError, RewardError, one_line
from ..gates.verdicts import Verdict
from ..reports.slice_table import slice_table
from ..reports.transcript import transcript
from ..visible import clipped, visible
from . import junit, tracebacks, verbose

if TYPE_CHECKING:
    from .nodes import EvalItem, GateItem, RolloutItem
    from .owned_run import OwnedRun


# What was left out of a rollout once the budget was spent.
_LEFT_OUT = {"missing": "started", "unmeasured": "scored"}
_PLACE_FIRST = re.compile(r"(?P<place>/[^:]*(?::\d+)?): (?P<cause>.+)")
# Of one failure: the rest of a text this long is in the rows.
_LONGEST_TEXT = 20_000
# Of one that says no more than an earlier one.
_SHORT_TEXT = 300


@dataclass(frozen=True, slots=True)
class _Crash:
    """Where and why, as pytest's short summary and its JUnit file read it."""

    path: str
    lineno: int
    message: str

    def __str__(self) -> str:  # what --tb=line prints
        return f"{self.path}:{self.lineno}: {self.message}"


class ShortText:
    """The text of a failed report that needs no traceback: its first line is the message.

    The message has the cause first, then the place: the short summary cuts it at the width of the
    terminal. pytest prints any object with `toterminal`, and takes the short summary and the JUnit
    message from `reprcrash`.
    """

    def __init__(self, text: str, path: Path, line: int) -> None:
        self.text = text
        self.reprcrash = _Crash(str(path), line, _cause_first(text.partition("\n")[0]))

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        """Tell one collection error that several workers met from several: xdist asks."""
        return isinstance(other, ShortText) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(self.text)

    def toterminal(self, tw: Any) -> None:
        """Write the text to a terminal writer."""
        for line in self.text.splitlines():
            tw.line(line)


def _cause_first(message: str) -> str:
    """Return `/where/pytest/runs/bench.toml:3: cause` as `cause (bench.toml:3)`."""
    found = _PLACE_FIRST.match(message)
    if found is None:
        return message
    return f"{found['cause']} ({found['place'].removeprefix(f'{Path.cwd()}/')})"


def short_text(text: str, run: OwnedRun) -> Any:
    """Return `text` as the representation of a failed report of the run's eval."""
    return ShortText(text, run.spec.path, run.spec.line)


class EvalFailedError(Exception):
    """What an item raises to fail with a short text."""


class HookRaisedError(EvalFailedError):
    """Somebody's hook raised: its text is the hook, the error and the traceback from there on."""


def check_measured(item: RolloutItem, result: RolloutResult) -> None:
    """Take the rollout of an item; raise unless it was scored, or only to be generated.

    An unmeasured rollout is skipped when another one's failure explains it, or when the eval
    tolerates errors, unless it is the one that explains the others; its error_rate gate counts it
    in any case.
    """
    item.result = result
    if isinstance(result.error, BudgetSpentError):
        item.run.not_started += result.outcome == "missing"
        junit.describe_rollout(item, result)
        pytest.skip(f"not {_LEFT_OUT[result.outcome]}: {result.error}")
    for text in result.warnings:
        item.run.warn(f"{item.run.spec.name}: {text}")
    junit.describe_rollout(item, result)
    if item.run.spec.verbose:
        verbose.note(item, result)
    if result.outcome in ("scored", "generated"):
        return
    if is_scored_by_group(item.run.job(item.example, item.rollout)):
        item.scored = result
    # What a debugger shows of an exception is where its traceback ends: in the user's code.
    assert result.error is not None
    place = (result.error.__cause__ or result.error).__traceback__
    if result.outcome == "broken":
        raise EvalFailedError(_broken(item, result)).with_traceback(place)
    text = _unmeasured(item, result)
    item.run.first_unmeasured = item.run.first_unmeasured or clean(item, f"{item.name}: {text}")
    if item.is_repeat and isinstance(result.error, CacheMissError):
        first = item.run.failed_before(_described(result), item.name)
        pytest.skip(f"not measured for the same reason as {item.run.nodeid}::{first}")
    if result.cause is not None:
        pytest.skip(f"not measured for the same reason as {result.cause}")
    if item.run.tolerates_errors and not result.ends_endpoint:
        pytest.skip(clean(item, text))
    raise EvalFailedError(clean(item, text)).with_traceback(place)


def check_reward(item: RolloutItem, result: RolloutResult) -> None:
    """Raise when the reward is below the eval's `pass_reward`; skip where there is none to be."""
    if result.outcome == "generated":
        pytest.skip("generated and kept, not scored: the environment has score_rollouts = False")
    needed = item.run.spec.pass_reward
    if needed is not None and result.reward is not None and result.reward < needed:
        item.scored = result
        raise EvalFailedError(f"reward {result.reward:g} < {needed:g} (pass_reward)")


def check_gate(item: GateItem, verdict: Verdict | None) -> None:
    """Raise unless the gate was judged and passed."""
    if verdict is None:
        text = f"NOT JUDGED: {item.gate.text}: {item.run.why_not_judged}"
        if item.run.accepts_partial and item.run.was_started:
            pytest.skip(text)
        raise EvalFailedError(text)
    junit.describe_gate(item, verdict)
    if not verdict.is_red:
        return
    doubt = "INCONCLUSIVE: " if verdict.outcome == "inconclusive" else ""
    # What examples and settings of files are called is shown here.
    told = (*slice_table(verdict), verdict.worst, verdict.moved)
    details = "".join(f"\n{text}" for text in told if text)
    raise EvalFailedError(clean(item, f"{doubt}{verdict.line}{details}"))


def _unmeasured(item: RolloutItem, result: RolloutResult) -> str:
    """The text of an unmeasured rollout: short where its eval has met the same before."""
    text = _described(result)
    known = None if result.cause is not None else item.run.failed_before(text, item.name)
    if known is None:
        return f"unmeasured: {text}"
    item.is_repeat = True
    return f"unmeasured like {known}: {clipped(text, _SHORT_TEXT)}"


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
        return clean(item, f"{text}\nthe same error as {result.cause}")
    at_fault = error.__cause__ or error
    path, line = tracebacks.place_of(at_fault)
    if not path or (isinstance(error, RewardError) and error.__cause__ is None):
        # It names the function and what it returned, or nothing more is known.
        known, short = item.run.failed_before(text, item.name), _described(result)
    else:
        place = f"{relative(path, item.config)}:{line}"
        known = item.run.failed_before(f"{type(at_fault).__name__} {path}:{line}", item.name)
        short = f"{one_line(at_fault)} at {place}"
        text += f"\n\n{tracebacks.of_user_code(at_fault)}" if known is None else ""
    if known is None:
        return clean(item, text)
    item.is_repeat = True
    return clean(item, f"broken like {known}: {short}")


def clean(item: EvalItem, text: str) -> str:
    """Return a text of the user's code or a server as it may be shown: masked, all visible."""
    return clipped(visible(item.run.mask(text)), _LONGEST_TEXT)


def relative(path: object, config: pytest.Config) -> str:
    """Return a path as seen from the directory that pytest was called from, if it is below it."""
    return str(path).removeprefix(f"{config.invocation_params.dir}/")


def add_rollout(item: RolloutItem, report: pytest.TestReport) -> None:
    """Put the rollout's own times, reward and, where it is read, transcript on a report."""
    result = item.result
    if result is None or not is_deciding(report):
        report.duration = 0.0  # waiting for the rollout is not the item's own time
        return
    if result.is_earlier:
        report.duration = 0.0  # of this session
        vars(report)["evals_earlier"] = True
    else:
        report.start, report.stop = result.start, result.stop
        report.duration = max(0.0, result.stop - result.start)
    vars(report)["evals_reward"] = result.reward
    vars(report)["evals_state"] = result.outcome
    if result.completion and ((report.failed and not item.is_repeat) or shows_passed(item.config)):
        text = transcript(result.prompt, result.completion, item.run.mask)
        report.sections.append((f"rollout {item.name}", text))


def is_deciding(report: pytest.TestReport) -> bool:
    """Whether what a report says is what its item comes to, as far as setup and call go."""
    return report.when == "call" or (report.when == "setup" and not report.passed)


def shows_passed(config: pytest.Config) -> bool:
    """Whether what passed is read at the end of the session."""
    return any(letter in config.getoption("reportchars", "") for letter in "AP")
