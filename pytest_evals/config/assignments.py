"""Assignments: what `--evals-set key=value` says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..errors import SetupError
from .schema import ALIASES, check_table
from .settings import OPTION_SET

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*')"""
_KEY = re.compile(rf"\s*({_PART}(?:\s*\.\s*{_PART})*)\s*=(.*)", re.DOTALL)
# They say which eval it is: one value for all of them would make them the same.
_IDENTITY = ("env_id", "name")

_LONGEST_TOLD = 80


@dataclass(frozen=True, slots=True)
class Assignment:
    """A value for a key of every eval.

    Attributes:
        path: the key, aliases replaced, and those inside its table: `("env_args", "difficulty")`.
        value: as TOML reads it.
    """

    path: tuple[str, ...]
    value: Any


def read_assignments(texts: Iterable[str]) -> tuple[Assignment, ...]:
    """Return what each `key=value` says, in order.

    Raises:
        SetupError: one is not of that form, its value is not TOML, or no eval can have it.
    """
    return tuple(map(_read, texts))


def _read(text: str) -> Assignment:
    import tomli

    match = _KEY.fullmatch(text)
    if match is None:
        told = text if len(text) <= _LONGEST_TOLD else f"{text[: _LONGEST_TOLD - 3]}..."
        raise SetupError(
            f"{OPTION_SET} {told!r}: write it key=value, such as num_examples=20 or"
            " env_args.level=3"
        )
    written, value_text = match[1], match[2].strip()
    # The value is not repeated: it may be a key.
    where = f"{OPTION_SET} {written}"
    try:
        path = _path_of(tomli.loads(f"{written} = 0"))
        parsed = tomli.loads(f"value = {value_text}")
    except RecursionError:
        raise SetupError(f"{where}: its value is nested too deeply") from None
    except ValueError:
        raise SetupError(
            f"""{where}: the value is not TOML; a text is quoted: {OPTION_SET} '{written}="..."'"""
        ) from None
    if len(parsed) != 1:
        raise SetupError(f"{where}: it holds several lines; give {OPTION_SET} once for each key")
    key = ALIASES.get(path[0], path[0])
    if key in _IDENTITY:
        raise SetupError(f"{where}: {key!r} says which eval it is and cannot be set for all")
    value = parsed["value"]
    table = value
    for part in reversed(path[1:]):
        table = {part: table}
    checked, problems = check_table({path[0]: table}, "settings")
    if problems:
        raise SetupError(f"{where}: {problems[0][1]}")
    if len(path) > 1 and not isinstance(checked[key], dict):
        raise SetupError(f"{where}: {key!r} is no table")
    return Assignment((key, *path[1:]), value if len(path) > 1 else checked[key])


def _path_of(table: Any) -> tuple[str, ...]:
    path: list[str] = []
    while isinstance(table, dict):
        ((key, table),) = table.items()
        path.append(key)
    return tuple(path)
