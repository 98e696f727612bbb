"""First examples: the settings of each eval, and what one rollout of it looks like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..gates.figures import rounded
from ..visible import visible
from .columns import shortened, wrapped
from .transcript import told_messages, transcript

# Evals that are shown, and the lines of messages that all of them share.
MOST_EVALS: Final = 5
_LINES: Final = 30
_MOST_LINES: Final = 6  # of one message
_MOST_MESSAGES: Final = 5
_LEAST_WIDTH: Final = 40
_INDENT: Final = "  "


@dataclass(frozen=True, slots=True)
class FirstExample:
    """An eval and the first of its rows.

    Attributes:
        name, model, base_url: of the eval.
        num_examples, rollouts_per_example: as planned.
        settings: others that are not the default ones, by name; values are shown as they are.
        row: None when there is none.
    """

    name: str
    model: str
    base_url: str
    num_examples: int
    rollouts_per_example: int
    row: Mapping[str, Any] | None
    settings: Mapping[str, Any] = field(default_factory=dict)


def render_first_examples(
    examples: Sequence[FirstExample],
    mask: Callable[[str], str],
    *,
    width: int,
    in_full: bool,
    more: int = 0,
) -> list[str]:
    """Return what to print of the evals of a session.

    The more evals there are, the less is said of each: a few lines, then one for each message,
    then nothing but how many more there are.

    Args:
        examples: in the order of the evals.
        mask: replaces the secrets in a text.
        width: columns of the terminal; below 40 the lines are made for 40.
        in_full: print whole transcripts, cut only where they are longer than anyone reads.
        more: evals besides these.
    """
    width = max(width, _LEAST_WIDTH)
    shown = examples[:MOST_EVALS]
    lines: list[str] = []
    for example in shown:
        lines += _settings(example, mask, width)
        if example.row is not None:
            room = _LINES // len(shown)
            lines += _rollout(example.row, mask, width, room, in_full=in_full)
    left_out = len(examples) - len(shown) + more
    if left_out:
        noun = "eval" if left_out == 1 else "evals"
        lines.append(f"({left_out} more {noun}: what they said is in their results)")
    return [visible(line) for line in lines]


def _settings(example: FirstExample, mask: Callable[[str], str], width: int) -> Iterator[str]:
    where = f" at {example.base_url}" if example.base_url else ""
    rollouts = "rollout" if example.rollouts_per_example == 1 else "rollouts"
    text = (
        f"{example.name}: {example.model}{where}, {example.num_examples} examples x"
        f" {example.rollouts_per_example} {rollouts}"
    )
    texts = [f"{name} = {value}" for name, value in example.settings.items()]
    for place, each in enumerate([text, *texts]):
        indent = _INDENT if place else ""
        yield shortened(f"{indent}{_one_line(mask(each))}", 2 * width if not place else width)


def _rollout(
    row: Mapping[str, Any], mask: Callable[[str], str], width: int, room: int, *, in_full: bool
) -> Iterator[str]:
    which = f"example {row.get('example_id')}, rollout {row.get('rollout')}"
    yield shortened(_INDENT + _one_line(f"{which}: {_outcome(row, mask)}"), width)
    if in_full:
        text = transcript(row.get("prompt"), row.get("completion"), mask)
        yield from (f"{_INDENT * 2}{line}" for line in text.splitlines())
    else:
        told = told_messages(row.get("prompt"), "prompt", mask)
        if not row.get("error"):
            told += told_messages(row.get("completion"), "completion", mask)
        yield from _messages(told, width, room)


def _outcome(row: Mapping[str, Any], mask: Callable[[str], str]) -> str:
    error = row.get("error")
    if error:
        table = error if isinstance(error, Mapping) else {"message": error}
        kind = f"{table['error']}: " if table.get("error") else ""
        return mask(f"{row.get('state')}: {kind}{table.get('message', '')}")
    reward = row.get("reward")
    is_number = isinstance(reward, int | float)
    return f"reward {rounded(float(reward)) if is_number else 'none'}"  # type: ignore[arg-type]


def _messages(told: Sequence[tuple[str, str]], width: int, room: int) -> Iterator[str]:
    left_out = len(told) - _MOST_MESSAGES
    shown = list(told)
    if left_out > 0:
        shown[2 : 2 + left_out] = []
    room = min(_MOST_LINES, max(1, room // max(1, len(shown)) - 1))
    for place, (role, text) in enumerate(shown):
        if place == 2 and left_out > 0:
            yield f"{_INDENT * 2}({left_out} {'message' if left_out == 1 else 'messages'} left out)"
        yield from _message(_one_line(_without_id(role)), text, width, room)


def _message(role: str, text: str, width: int, room: int) -> list[str]:
    """Return a message in at most `room` lines; where more are needed, its two ends."""
    first = f"{_INDENT * 2}{shortened(role, 20)}: "
    if room == 1:
        return [shortened(first + _one_line(text[: 8 * width]), width)]
    rest = _INDENT * 3
    # Of a long text only the two ends are looked at; a letter takes a column or none.
    half = 4 * width * room
    ends = [text] if len(text) <= 2 * half else [text[:half], text[-half:]]
    parts: list[str] = []
    for end in ends:
        for line in end.strip("\n").split("\n"):
            start = rest if parts else first
            parts += wrapped(visible(line).expandtabs(4).split(" "), width, first=start, rest=rest)
    if len(ends) == 1 and len(parts) <= room:
        return parts
    head = (room + 1) // 2
    tail = room - head - 1
    return [*parts[:head], f"{rest}[...]", *(parts[-tail:] if tail else [])]


def _without_id(role: str) -> str:
    """Return `tool add` of `tool add call_17`."""
    return " ".join(role.split()[:2])


def _one_line(text: str) -> str:
    """Return a text on one line: breaks are spaces, what could act on the reader is written out."""
    return visible(" ".join(text.split()))
