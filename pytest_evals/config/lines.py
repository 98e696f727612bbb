"""Lines: where each key of a TOML text stands, which the TOML parser does not tell."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]

_TOKEN = re.compile(
    r"""
      (?P<newline>\n)
    | (?P<blank>[ \t\r]+ | \#[^\n]*)
    | (?P<string>
          \"{3}(?:\\[\s\S]|[^\\])*?\"{3}(?!\")
        | '{3}[\s\S]*?'{3}(?!')
        | "(?:\\.|[^"\\\n])*"
        | '[^'\n]*'
      )
    | (?P<mark>[\[\]{},=.])
    | (?P<bare>[^\s\[\]{},=."'\#]+)
    | (?P<other>.)
    """,
    re.VERBOSE,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def locate(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from 1, of every table, key and list element of a TOML text.

    The paths are those of the parsed document: `("eval", 1, "gates", 0)` is the first gate of the
    second `[[eval]]`. The text must have been parsed without error before; only its layout is
    read here.
    """
    walk = _Walk()
    tokens = _tokens(text)
    for token in tokens:
        if walk.in_value:
            walk.read_value(token)
        elif token.text == "[" and not walk.open:
            walk.read_header(token, tokens)
        else:
            walk.read_key(token)
    return walk.lines


def line_of(path: KeyPath, lines: dict[KeyPath, int]) -> int | None:
    """Return the line of `path`, or of the nearest table around it that has one."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind != "blank":
            yield _Token(kind, match.group(), line)
        line += match.group().count("\n")


class _Open:
    """A list or an inline table whose closing bracket has not come yet."""

    __slots__ = ("index", "path")

    def __init__(self, path: KeyPath, index: int | None) -> None:
        self.path = path
        self.index = index  # of the element being read; None in an inline table


class _Walk:
    """The place in the document that the tokens have reached."""

    def __init__(self) -> None:
        self.lines: dict[KeyPath, int] = {}
        self.in_value = False
        self.open: list[_Open] = []
        self._table: KeyPath = ()  # of the last header
        self._blocks: dict[KeyPath, int] = {}  # arrays of tables: how many so far
        self._key: list[str] = []
        self._value: KeyPath = ()

    def read_header(self, first: _Token, tokens: Iterator[_Token]) -> None:
        """Take the rest of a `[table]` or `[[array]]` line."""
        parts: list[str] = []
        is_array = False
        for token in tokens:
            if token.kind == "newline":
                break
            is_array = is_array or token.text == "["
            if token.kind in ("bare", "string"):
                parts.append(_key_part(token))
        path: KeyPath = ()
        for part in parts[:-1]:
            self._record((*path, part), first.line)
            path = self._last_of((*path, part))
        path = (*path, *parts[-1:])
        if is_array:
            self._record(path, first.line)
            self._blocks[path] = self._blocks.get(path, 0) + 1
            path = self._last_of(path)
        self._record(path, first.line)
        self._table = path

    def read_key(self, token: _Token) -> None:
        """Take one token of a key, or the end of an inline table without one."""
        if token.kind in ("bare", "string"):
            self._key.append(_key_part(token))
        elif token.text == "=":
            path = self.open[-1].path if self.open else self._table
            for part in self._key:
                path = (*path, part)
                self._record(path, token.line)
            self._value = path
            self._key = []
            self.in_value = True
        elif token.text == "}":
            self._close()

    def read_value(self, token: _Token) -> None:
        """Take one token of a value, with the comma or line end behind it."""
        inside = self.open[-1] if self.open else None
        if token.kind == "newline":
            self.in_value = inside is not None
        elif token.text == "," and inside is not None:
            self._next(inside)
        elif token.text in ("]", "}"):
            self._close()
        else:
            path = self._value
            if inside is not None and inside.index is not None:
                path = (*inside.path, inside.index)
                self._record(path, token.line)
            if token.text == "[":
                self.open.append(_Open(path, 0))
            elif token.text == "{":
                self.open.append(_Open(path, None))
                self.in_value = False

    def _next(self, inside: _Open) -> None:
        if inside.index is None:
            self.in_value = False
        else:
            inside.index += 1

    def _close(self) -> None:
        if self.open:
            self.open.pop()
        self.in_value = True  # until the comma or the line end that follows

    def _last_of(self, path: KeyPath) -> KeyPath:
        """Return the newest block of an array of tables; any other path as it is."""
        return (*path, self._blocks[path] - 1) if path in self._blocks else path

    def _record(self, path: KeyPath, line: int) -> None:
        self.lines.setdefault(path, line)


def _key_part(token: _Token) -> str:
    if token.kind == "bare" or token.text.startswith("'"):
        return token.text.strip("'")
    import tomli

    part: str = tomli.loads(f"part = {token.text}")["part"]
    return part
