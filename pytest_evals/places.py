"""Places: where in the user's code something is or went wrong, as messages name it."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable
from pathlib import Path
from types import CodeType
from typing import Any

_PACKAGE = f"{Path(__file__).resolve().parent}{os.sep}"


def place_of(function: Callable[..., Any]) -> str:
    """Return `file:line` of a function, below the current folder if it is there; "" if unknown."""
    code = _code_of(function)
    return "" if code is None else _shown(code.co_filename, code.co_firstlineno)


def place_in(error: BaseException, function: Callable[..., Any] | None = None) -> str:
    """Return `file:line` at which the user's code raised an exception; "" where none did.

    Args:
        error: it may have been raised further inside, by a library.
        function: the user's; its own file counts where the exception came through it.
    """
    frames = []
    step = error.__traceback__
    while step is not None:
        frames.append((step.tb_frame.f_code.co_filename, step.tb_lineno))
        step = step.tb_next
    code = None if function is None else _code_of(function)
    own = [frame for frame in frames if code is not None and frame[0] == code.co_filename]
    others = [frame for frame in frames if not frame[0].startswith(_PACKAGE)]
    found = own or others
    return _shown(*found[-1]) if found else ""


def was_raised_here(error: BaseException) -> bool:
    """Whether this package raised an exception, or Python did when this package called."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    return step is None or step.tb_frame.f_code.co_filename.startswith(_PACKAGE)


def _code_of(function: Any) -> CodeType | None:
    while isinstance(function, functools.partial):
        function = function.func
    try:
        written = inspect.unwrap(function)
        code = getattr(written, "__code__", None) or getattr(type(written).__call__, "__code__", 0)
    except Exception:  # of an object's own code: a message must not fail
        return None
    return code if isinstance(code, CodeType) else None


def _shown(filename: str, line: int) -> str:
    try:
        base = f"{Path.cwd()}{os.sep}"
    except OSError:  # the folder is gone
        base = ""
    return f"{filename.removeprefix(base)}:{line}"
