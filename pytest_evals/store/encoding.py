"""JSON text of any value: what JSON cannot hold becomes the nearest readable thing."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Set
from datetime import date, time
from pathlib import PurePath
from types import NoneType
from typing import Any

# Other JSON parsers stop at 128 levels, and our own must read back what it wrote from deep inside
# pytest's call stack.
MAX_DEPTH = 100

_JSON_TYPES = (str, int, float, list, tuple, dict, NoneType)


def to_json(value: Any) -> str:
    """Return `value` as one line of ASCII JSON; never fails on what a user put in it.

    Models are dumped, dates become ISO 8601, paths POSIX, exceptions and bytes their repr, sets
    lists, arrays lists, NaN and infinities null; anything else becomes its `str`. Circular
    references and what is nested deeper than `MAX_DEPTH` become a placeholder.
    """
    try:
        return _encode(value)
    except Exception:
        # Rare, so only now paid for: NaN, a tuple as a key, a cycle, a container that raises.
        return _encode(_plain(value, frozenset()))


def readable(value: Any, render: Callable[[Any], str] = str) -> str:
    """Return `render(value)`, or a placeholder where that raises."""
    try:
        return render(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"


def mask_json(text: str, mask: Callable[[str], str]) -> str:
    """Return the JSON object `text` with secrets masked, still a JSON object.

    Where `mask` changes the text, it is applied to each string by itself instead: a secret that
    looks like a number or a key would otherwise leave a line that no reader understands. The
    object's own keys and its `state` are this package's words and stay.
    """
    if mask(text) == text:
        return text
    masked = {
        key: value if key == "state" else _masked(value, mask)
        for key, value in json.loads(text).items()
    }
    return to_json(masked) + ("\n" if text.endswith("\n") else "")


def _masked(value: Any, mask: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_masked(item, mask) for item in value]
    if isinstance(value, dict):
        return {mask(key): _masked(item, mask) for key, item in value.items()}
    return value


def _replacement(value: Any) -> Any:
    """Return what stands for a value that JSON has no type for."""
    try:
        converted = _converted(value)
    except Exception:
        return readable(value)
    # A mock answers every conversion with another mock, without end.
    return converted if isinstance(converted, _JSON_TYPES) else readable(value)


def _converted(value: Any) -> Any:
    if isinstance(value, type):
        return readable(value)
    if callable(dump := getattr(value, "model_dump", None)):
        return dump(exclude_none=True)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, PurePath):
        return value.as_posix()
    if isinstance(value, BaseException | bytes | bytearray):
        return repr(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Set):
        return sorted(value, key=repr)
    if callable(tolist := getattr(value, "tolist", None)):
        return tolist()  # numpy and torch: numbers stay numbers
    return str(value)


def _plain(value: Any, enclosing: frozenset[int]) -> Any:
    """Rebuild `value` of types that JSON holds; `enclosing` are the ids of what it is inside."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        return _plain_int(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if id(value) in enclosing:
        return "<circular reference>"
    if len(enclosing) >= MAX_DEPTH:
        return "<nested too deeply>"
    inside = enclosing | {id(value)}
    try:
        if isinstance(value, Mapping):
            return {_plain_key(key): _plain(item, inside) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [_plain(item, inside) for item in value]
    except Exception:
        return readable(value)
    return _plain(_replacement(value), inside)


def _plain_int(value: int) -> int | str:
    try:
        int.__repr__(value)
    except ValueError:  # beyond sys.get_int_max_str_digits()
        return hex(value)
    return value


def _plain_key(key: Any) -> Any:
    return key if key is None or isinstance(key, str | bool) else readable(key)


_encode = json.JSONEncoder(default=_replacement, allow_nan=False).encode
