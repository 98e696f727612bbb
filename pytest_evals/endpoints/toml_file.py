"""TOML files of rows: a registry of `[[endpoint]]`s, a table of `[[price]]`s."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import ConfigError
from ..nearest import did_you_mean

Table: TypeAlias = dict[str, Any]


def read_rows(path: Path, kind: str, what: str) -> tuple[str, list[tuple[Table, int | None]]]:
    """Return the text of a file, and its rows.

    Args:
        path: the file.
        kind: of its rows, the one key at its top level.
        what: what it is, for errors.

    Returns:
        With each row, the index of the line that heads it; None where that is not plain.

    Raises:
        ConfigError: it cannot be read, is no TOML, or holds something else than rows.
    """
    text = _read(path, what)
    document = _parse(path, text)
    for key in document:
        if key != kind:
            raise ConfigError(
                path,
                _line_of(text, key),
                f"unknown key {key!r} at the top level{did_you_mean(key, [kind])};"
                f" {what} holds [[{kind}]] rows",
            )
    rows = document.get(kind, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        where = _line_of(text, kind)
        raise ConfigError(path, where, f"{kind!r} must be rows headed [[{kind}]], two brackets")
    header = re.compile(rf"\s*\[\[\s*[\"']?{kind}[\"']?\s*\]\]")
    # On line feeds alone, as TOML counts: a string may hold other characters that end lines.
    heads: list[int | None] = [at for at, line in enumerate(text.split("\n")) if header.match(line)]
    if len(heads) != len(rows):
        # Rows written inline, or a head within a string.
        heads = [None] * len(rows)
    return text, list(zip(rows, heads, strict=True))


def _line_of(text: str, key: str) -> int | None:
    """Return the line where a top-level key or table first stands, as far as that is plain."""
    starts = (f"[{key}]", f"[[{key}]]", f"[{key}.", f"{key} ", f"{key}=", f"{key}.", f'["{key}')
    for number, line in enumerate(text.split("\n"), start=1):
        if line.lstrip().startswith(starts):
            return number
    return None


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(path, None, f"{what} does not exist") from None
    except OSError as error:
        raise ConfigError(path, None, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(path, None, f"is not UTF-8 (byte {error.start})") from None


def _parse(path: Path, text: str) -> Table:
    # Imported here: sessions without such a file do not need it.
    import tomli

    try:
        return tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise ConfigError(path, error.lineno, f"is not TOML: {error.msg}") from None
    except (ValueError, RecursionError) as error:
        raise ConfigError(path, None, f"is not TOML that can be read: {error}") from None
