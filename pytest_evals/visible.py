"""Text written by a model or a server, made safe to show: nothing in it acts on the reader."""

from __future__ import annotations

import re
from typing import Final

# What moves the cursor, colours, reorders or hides text: C0 but \t and \n, DEL, C1, marks and
# overrides of the writing direction, line separators, invisible operators, interlinear
# annotations, tags, lone surrogates. The joiners U+200C and U+200D are left alone: Persian, Indic
# scripts and emoji need them.
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
# CI services run what follows these in a log: `::error::` at the start of a line, `##[error]` and
# `##vso[...]` anywhere.
_COMMAND: Final = re.compile(r"(?m)^(?P<indent>[^\S\n]*):(?=:)|(?<=#)#(?=(?:vso)?\[)")


def visible(text: str) -> str:
    r"""Return `text` with everything that is not plain text written out, as `\x1b` or `\u202e`.

    Line feeds and tabs stay, a carriage return becomes `\r`. The first character of a command to
    a CI service becomes `\x3a` or `\x23`, so that a model cannot set annotations or variables.
    """
    text = _CONTROL.sub(_escaped, text)
    return _COMMAND.sub(_disarmed, text)


def clipped(text: str, limit: int) -> str:
    """Return `text`, or its two ends with a note of what is left out between them.

    Args:
        text: any text.
        limit: characters to keep, at least 2.
    """
    if len(text) <= limit:
        return text
    head = limit - limit // 2
    tail = limit // 2
    left_out = len(text) - head - tail
    return f"{text[:head]}\n[... {left_out:,} characters left out ...]\n{text[-tail:]}"


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character == "\r":
        return "\\r"
    code = ord(character)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _disarmed(match: re.Match[str]) -> str:
    if match[0] == "#":
        return "\\x23"
    return f"{match['indent']}\\x3a"
