"""The table at the end of a session: one row per eval, with its metrics and gates below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from ..gates.figures import rounded
from ..visible import clipped, visible
from .columns import filled, shortened, width_of, wrapped
from .summary import EvalSummary, EvalVerdict

Kind: TypeAlias = Literal["header", "eval", "detail", "gate"]

VERDICT_WORDS: Final[dict[EvalVerdict, str]] = {
    "passed": "passed",
    "failed": "FAILED",
    "inconclusive": "INCONCLUSIVE",
    "not judged": "NOT JUDGED",
}

# What leaves the table, in this order, when it is too wide; it then stands below the row.
_OPTIONAL: Final = ("tokens in/out", "pass@k", "time", "cost", "model", "errors")
# Names are cut to this width before a column leaves the table.
_NAME_WIDTHS: Final = {"eval": 20, "model": 18}
_RIGHT: Final = ("n", "errors", "tokens in/out", "cost", "time")
_LEAST_WIDTH: Final = 60
# Functions and tools with errors.
_MOST_NAMED: Final = 5
_LONGEST_ERROR: Final = 300
_GAP: Final = "  "
_INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes:
        text: without a line end and without colour.
        kind: what the line is.
        verdict: of the eval or gate it is about, by which a terminal may colour it.
    """

    text: str
    kind: Kind
    verdict: EvalVerdict | None = None


def render(summaries: Sequence[EvalSummary], *, width: int) -> list[Line]:
    """Return the table of a session's evals.

    Args:
        summaries: in the order to print.
        width: columns of the terminal; below 60 the lines are made for 60.
    """
    if not summaries:
        return []
    width = max(width, _LEAST_WIDTH)
    labels = told_apart([(summary.name, summary.nodeid) for summary in summaries])
    rows = [cells(summary, label) for summary, label in zip(summaries, labels, strict=True)]
    names = list(rows[0])
    for name in ("pass@k", "cost"):
        if not any(row[name] for row in rows):
            names.remove(name)
    widths = _fitted(names, rows, width)
    # All pass@k stand below the row anyway.
    dropped = [name for name in names if name not in widths and name != "pass@k"]
    header = {name: name for name in widths}
    lines = [Line(_row(header, widths, width), "header")]
    cut = [shortened(row["eval"], widths["eval"]) for row in rows]
    times = Counter(cut)
    for summary, row, name in zip(summaries, rows, cut, strict=True):
        lines.append(Line(_row(row, widths, width), "eval", summary.verdict))
        if (
            times[name] > 1 and name != row["eval"]
        ):  # points of an ablation: nothing else says which it is
            full = wrapped([row["eval"]], width, first=_INDENT, rest=_INDENT)
            lines.extend(Line(text, "detail") for text in full)
        moved = [f"{name} {row[name]}" for name in dropped if row[name]]
        lines.extend(_details(summary, moved, width))
        lines.extend(_gates(summary, width))
    lines.extend(_worth(summaries, width))
    return lines


def told_apart(evals: Sequence[tuple[str, str]]) -> list[str]:
    """Return what evals are called: those of one name, in several files, with their file.

    Args:
        evals: name and node id of each; the latter may be "".
    """
    labels = [name for name, _ in evals]
    nodeids = [nodeid for _, nodeid in evals]
    for longer in ([nodeid.rpartition("/")[2] for nodeid in nodeids], nodeids):
        counts = Counter(labels)
        labels = [
            long if long and counts[label] > 1 else label
            for label, long in zip(labels, longer, strict=True)
        ]
    return labels


def cells(summary: EvalSummary, label: str) -> dict[str, str]:
    """Return what stands in the row of an eval, by column; `label` is what it is called."""
    verdict = VERDICT_WORDS[summary.verdict]
    best = max(summary.pass_at_k, default=None)
    return {
        "eval": _plain(label),
        "model": _plain(summary.model),
        "n": f"{summary.num_examples}x{summary.rollouts_per_example}",
        "reward": _reward(summary),
        "pass@k": "" if best is None else f"@{best} {rounded(summary.pass_at_k[best])}",
        "errors": str(summary.unmeasured + summary.broken),
        "tokens in/out": _tokens(summary),
        "cost": "" if summary.cost is None else _usd(summary.cost["total_usd"]),
        "time": _time(summary.seconds),
        "verdict": verdict if summary.gated else f"{verdict}, not gated",
    }


def _fitted(names: Sequence[str], rows: Sequence[dict[str, str]], width: int) -> dict[str, int]:
    """Return the widths of the columns that stay in the table."""
    widths = {name: max(width_of(row[name]) for row in (*rows, {name: name})) for name in names}
    for dropped in ("", *_OPTIONAL):
        widths.pop(dropped, None)
        excess = _total(widths) - width
        for name, least in _NAME_WIDTHS.items():
            if name in widths:
                excess -= max(0, widths[name] - least)
        if excess <= 0:
            break
    _narrow(widths, width, _NAME_WIDTHS)
    _narrow(widths, width, {"eval": 4})
    return widths


def _narrow(widths: dict[str, int], width: int, least: dict[str, int]) -> None:
    """Take from the widest of the names, column by column, what the table has too much."""
    while _total(widths) > width:
        candidates = [name for name in least if widths.get(name, 0) > least[name]]
        if not candidates:
            return
        widths[max(candidates, key=lambda name: widths[name])] -= 1


def _total(widths: dict[str, int]) -> int:
    return sum(widths.values()) + len(_GAP) * (len(widths) - 1)


def _row(cells: dict[str, str], widths: dict[str, int], width: int) -> str:
    row = _GAP.join(
        filled(shortened(cells[name], columns), columns, right=name in _RIGHT)
        for name, columns in widths.items()
    )
    return shortened(row.rstrip(), width)


def _details(summary: EvalSummary, moved: Sequence[str], width: int) -> Iterator[Line]:
    """Yield what has no column: all pass@k, the metrics, what was not scored, who served."""
    figures = [*moved, *_pass_figures(summary)]
    figures.extend(f"{_plain(name)} {rounded(value)}" for name, value in summary.metrics.items())
    if figures:
        yield from _indented([f"{figure}," for figure in figures[:-1]] + figures[-1:], width)
    not_scored = {
        "unmeasured": summary.unmeasured,
        "broken": summary.broken,
        "without a result": summary.missing,
    }
    if any(not_scored.values()):
        kinds = ", ".join(f"{count} {kind}" for kind, count in not_scored.items() if count)
        note = f"{summary.scored} of {summary.planned} rollouts scored: {kinds}"
        yield from _indented(note.split(" "), width)
    if summary.cached_answers:
        answers = "answer" if summary.cached_answers == 1 else "answers"
        note = f"{summary.cached_answers} {answers} came from the response cache"
        if summary.paid is not None:
            note += f"; paid {_usd(summary.paid['total_usd'])}"
        yield from _indented(note.split(" "), width)
    if summary.timeouts is not None:
        count, seconds = summary.timeouts
        note = f"timeouts: {count} of {summary.scored} scored rollouts ran out of their"
        yield from _indented([*note.split(" "), _time(seconds)], width)
    if summary.reward_errors:
        errors = "reward error" if summary.reward_errors == 1 else "reward errors"
        yield Line(f"{_INDENT}{summary.reward_errors} {errors} counted as 0", "detail")
    for count, first in summary.first_reward_errors[:_MOST_NAMED]:
        yield Line(f"{_INDENT * 2}{count}x {_clipped(first)}", "detail")
    for line in summary.tool_errors[:_MOST_NAMED]:
        yield Line(f"{_INDENT}{_clipped(line)}", "detail")
    others = [_plain(model) for model in summary.served_models if model != summary.model]
    if others:
        yield from _indented(["served", "by", *", ".join(others).split(" ")], width)


def _pass_figures(summary: EvalSummary) -> list[str]:
    """Return each pass@k and pass^k; pass^1 is pass@1."""
    figures = [f"pass@{k} {rounded(value)}" for k, value in summary.pass_at_k.items()]
    figures += [f"pass^{k} {rounded(value)}" for k, value in summary.pass_hat_k.items() if k > 1]
    return figures


def _indented(parts: Sequence[str], width: int) -> Iterator[Line]:
    for text in wrapped(parts, width, first=_INDENT, rest=_INDENT * 2):
        yield Line(text, "detail")


def _gates(summary: EvalSummary, width: int) -> Iterator[Line]:
    for verdict in summary.verdicts:
        # Capitals are for what turns the build red.
        word = VERDICT_WORDS[verdict.outcome] if verdict.is_red else verdict.outcome
        advisory = "advisory, " if verdict.gate.tier == "advisory" else ""
        first = f"{_INDENT}{advisory}{word}{_GAP}"
        words = _plain(verdict.line).split(" ")
        is_harmless = verdict.outcome == "failed" and not verdict.is_red
        for text in wrapped(words, width, first=first, rest=" " * 10):
            yield Line(text, "gate", "inconclusive" if is_harmless else verdict.outcome)
        if verdict.moved:
            moved = _plain(verdict.moved).split(" ")
            for text in wrapped(moved, width, first=_INDENT * 2, rest=" " * 10):
                yield Line(text, "detail")


def _worth(summaries: Sequence[EvalSummary], width: int) -> Iterator[Line]:
    """Say what a gate is worth that noise alone often turns red: of the first such gate."""
    verdicts = [verdict for summary in summaries for verdict in summary.verdicts]
    told = next((v.worth for v in verdicts if v.worth and v.gate.tier == "blocking"), "")
    if told:
        for text in wrapped(_plain(told).split(" "), width, first="", rest=_INDENT):
            yield Line(text, "detail")


def _reward(summary: EvalSummary) -> str:
    if summary.mean_reward is None:
        return "n/a"
    error = summary.standard_error
    return f"{rounded(summary.mean_reward)} ± {'n/a' if error is None else rounded(error)}"


def _tokens(summary: EvalSummary) -> str:
    if summary.input_tokens is None and summary.output_tokens is None:
        return "n/a"
    return f"{_count(summary.input_tokens)}/{_count(summary.output_tokens)}"


def _count(number: int | None) -> str:
    """Print a token count in at most four characters up to a billion: 950, 1.2k, 34k, 5.6M."""
    if number is None:
        return "n/a"
    if number < 1000:
        return str(number)
    for size, unit in ((1e3, "k"), (1e6, "M"), (1e9, "G")):
        scaled = number / size
        text = f"{scaled:.1f}" if scaled < 9.95 else f"{scaled:.0f}"
        if float(text) < 1000:
            return f"{text}{unit}"
    return f"{number:.2g}"


def _usd(amount: float) -> str:
    """Print an amount: $12.34, $0.1234 below one dollar."""
    if 0 < amount < 0.0001:
        return "<$0.0001"
    return f"${amount:.4f}" if amount < 1 else f"${amount:.2f}"


def _time(seconds: float) -> str:
    """Print a duration: 4.1s, 42s, 2m05s, 1h02m."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    minutes = round(seconds / 60)
    return f"{minutes // 60}h{minutes % 60:02d}m"


def _clipped(text: str) -> str:
    """Return the two ends of a line that a user's code wrote."""
    return _plain(clipped(text, _LONGEST_ERROR))


def _plain(text: str) -> str:
    """Return names and messages that may come from elsewhere as one harmless line."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")
