"""Markdown of a session: what a CI service shows beside the log."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..visible import clipped, visible
from .summary import EvalSummary
from .table import VERDICT_WORDS, cells, told_apart

# Makes one harmless line of a text.
_Safe: TypeAlias = Callable[[str], str]

_COLUMNS = ("eval", "model", "n", "reward", "pass@k", "errors", "tokens in/out", "cost", "time")
_NUMBERS = ("n", "errors", "tokens in/out", "cost", "time")
_LONGEST_CELL = 1000
# Everything that Markdown or HTML could read as something else than itself.
# GitHub makes links of what begins with www, too.
_SPECIAL = re.compile(r"(?i)[^\w .,()%=+/\u0080-\U0010ffff-]|_|(?<=www)\.")
_CUT = "\n\nThe rest does not fit here: {count} more lines.\n"


@dataclass(frozen=True, slots=True)
class EvalNotes:
    """What a report says of an eval beside its figures.

    Attributes:
        summary: its figures.
        unjudged: the gates without a verdict.
        why: why they have none.
        lines: whatever else is to be told, a line each.
    """

    summary: EvalSummary
    unjudged: Sequence[str] = ()
    why: str = ""
    lines: Sequence[str] = ()


def markdown(
    evals: Sequence[EvalNotes],
    *,
    outcome: str,
    errors: Sequence[tuple[str, str]] = (),
    mask: Callable[[str], str] = str,
    most_bytes: int = 1 << 20,
) -> str:
    """Return a session in Markdown: a table of evals, one of gates, and what went wrong.

    Args:
        evals: in order.
        outcome: of the session, in words.
        errors: node id and text of what could not be collected.
        mask: replaces secrets in a text; they would not be found in what is escaped.
        most_bytes: what is beyond that is left out, whole lines, and counted.
    """

    def safe(text: str) -> str:
        return escaped(mask(text))

    lines = [f"### Evals: {safe(outcome)}"]
    labels = told_apart([(each.summary.name, each.summary.nodeid) for each in evals])
    if evals:
        lines += ["", *_table(evals, labels, safe), "", *_gates(evals, labels, safe)]
    notes = [f"- {safe(line)}" for each in evals for line in each.lines]
    notes += [f"- **{safe(nodeid)}**: {safe(text)}" for nodeid, text in errors]
    if notes:
        lines += ["", *notes]
    return _fitted(lines, most_bytes)


def escaped(text: str) -> str:
    """Return text of a model, a server or a user as one line that Markdown takes as it is."""
    line = clipped(" ".join(visible(text).split()), _LONGEST_CELL)
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line.replace("\n", " "))


def _table(evals: Sequence[EvalNotes], labels: Sequence[str], safe: _Safe) -> Iterator[str]:
    rows = [cells(each.summary, label) for each, label in zip(evals, labels, strict=True)]
    names = [name for name in _COLUMNS if any(row[name] for row in rows)]
    yield _row([*names, "verdict"])
    yield _row(["---:" if name in _NUMBERS else "---" for name in [*names, "verdict"]])
    for each, row in zip(evals, rows, strict=True):
        verdict = safe(row["verdict"])
        shown = verdict if each.summary.verdict == "passed" else f"**{verdict}**"
        yield _row([*(safe(row[name]) for name in names), shown])


def _gates(evals: Sequence[EvalNotes], labels: Sequence[str], safe: _Safe) -> Iterator[str]:
    yield _row(["eval", "gate", "verdict", "what it says"])
    yield _row(["---"] * 4)
    for each, label in zip(evals, labels, strict=True):
        for verdict in each.summary.verdicts:
            word: str = verdict.outcome
            if verdict.is_red:
                word = f"**{VERDICT_WORDS[verdict.outcome]}**"
            elif verdict.gate.tier == "advisory":
                word = f"advisory, {word}"
            told = [label, verdict.gate.text, verdict.line]
            name, gate, line = map(safe, told)
            yield _row([name, gate, word, line])
        for text in each.unjudged:
            yield _row([safe(label), safe(text), "**NOT JUDGED**", safe(each.why)])


def _row(texts: Iterable[str]) -> str:
    return f"| {' | '.join(texts)} |"


def _fitted(lines: Sequence[str], most_bytes: int) -> str:
    text = "\n".join(lines) + "\n"
    if len(text.encode()) <= most_bytes:
        return text
    room = most_bytes - len(_CUT.format(count=len(lines)))
    kept = 0
    for line in lines:
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept += 1
    if not kept:
        return ""
    return "\n".join(lines[:kept]) + _CUT.format(count=len(lines) - kept)
