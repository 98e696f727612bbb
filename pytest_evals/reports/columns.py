"""Columns: cutting, filling and wrapping text by the columns it takes on a terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

# What takes no column: combining marks, and format characters such as joiners.
_NO_WIDTH: Final = ("Mn", "Me", "Cf")


def width_of(text: str) -> int:
    """Return how many columns a line takes: 2 for a wide character, 0 for a combining mark.

    Emoji made of several characters count as the sum, which some terminals draw narrower.
    """
    if text.isascii():
        return len(text)
    return sum(map(_width, text))


def shortened(text: str, width: int) -> str:
    """Return `text`, or its two ends around an ellipsis, in at most `width` columns (1 or more)."""
    if width_of(text) <= width:
        return text
    room = width - 1
    head, tail = _first(text, room - room // 2), _first(text[::-1], room // 2)[::-1]
    return f"{head}…{tail}"


def filled(text: str, width: int, *, right: bool = False) -> str:
    """Return `text` with spaces up to `width` columns, at its left when `right` is given."""
    spaces = " " * (width - width_of(text))
    return spaces + text if right else text + spaces


def wrapped(parts: Sequence[str], width: int, *, first: str, rest: str) -> list[str]:
    """Set parts one after the other in lines of at most `width` columns; a part stays whole.

    Args:
        parts: what must not be broken, unless it is longer than a line.
        width: of a line, with its indent.
        first: what the first line begins with.
        rest: what the other lines begin with.
    """
    lines = []
    line, empty = first, True
    for part in parts:
        if not empty and width_of(line) + 1 + width_of(part) > width:
            lines.append(line)
            line, empty = rest, True
        line += part if empty else f" {part}"
        empty = False
        while width_of(line) > width:
            head = _first(line, width)
            lines.append(head)
            line = rest + line[len(head) :]
    return [*lines, line]


def _first(text: str, width: int) -> str:
    """Return as many leading characters as fit in `width` columns."""
    used = 0
    for place, character in enumerate(text):
        used += _width(character)
        if used > width:
            return text[:place]
    return text


def _width(character: str) -> int:
    if unicodedata.east_asian_width(character) in ("W", "F"):
        return 2
    return 0 if unicodedata.category(character) in _NO_WIDTH else 1
