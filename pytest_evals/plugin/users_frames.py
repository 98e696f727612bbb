"""Users' frames: where in a traceback the code of the user is, for a debugger to open there."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

_PACKAGE = Path(__file__).resolve().parent.parent.name
# What calls the code of the user.
_CALLERS = frozenset(
    {
        "_pytest", "asyncio", "concurrent", "importlib", "pluggy", "pytest", "verifiers", _PACKAGE,
    }
)  # fmt: skip
# What this package calls, and users do: what goes wrong inside, or deeper, is no code of theirs.
_LIBRARIES = frozenset(
    {
        "aiohttp", "anyio", "httpcore", "httpcore2", "httpx", "httpx2", "openai", "pydantic",
        "pydantic_core",
    }
)  # fmt: skip


def users_part(error: BaseException | None) -> TracebackType | None:
    """Return the part of a traceback from the user's first frame to the user's last one.

    That of `error`, or of what led to it; None when no code of the user was running. What the
    standard library did when it was called by the user belongs to it, as in any traceback.
    """
    for cause in _chain(error):
        steps = list(_steps(cause.__traceback__))
        of_user = list(_of_user(steps))
        if of_user:
            part: TracebackType | None = None
            for step in reversed(steps[of_user[0] : of_user[-1] + 1]):
                part = TracebackType(part, step.tb_frame, step.tb_lasti, step.tb_lineno)
            return part
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what led to it, also where it was raised `from None`."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _steps(step: TracebackType | None) -> Iterator[TracebackType]:
    while step is not None:
        yield step
        step = step.tb_next


def _of_user(steps: list[TracebackType]) -> Iterator[int]:
    nearest = "caller"  # of the frames so far, what the last one that tells belongs to
    for index, step in enumerate(steps):
        package = _package(step.tb_frame)
        if package in _CALLERS:
            nearest = "caller"
        elif package in _LIBRARIES:
            nearest = "library"
        elif nearest == "user" or (nearest == "caller" and package not in sys.stdlib_module_names):
            nearest = "user"
            yield index


def _package(frame: FrameType) -> str:
    name: object = frame.f_globals.get("__name__")
    return name.partition(".")[0] if isinstance(name, str) else ""
