"""Calls: what a call of an eval function came to, whatever it returned or raised."""

from __future__ import annotations

import contextlib
import inspect
import math
import traceback
import unittest
from pathlib import Path
from typing import Any

import pytest

from ...errors import InfraError, RewardError

# What fails on behalf of whoever calls it: pytest.fail, the assertions of mocks.
_HELPERS = tuple(str(Path(inspect.getfile(each)).parent) for each in (pytest.Item, unittest))


class SkippedError(InfraError):
    """The function skipped its rollout."""


def _place_of(error: BaseException) -> tuple[Path, int]:
    """Return the file and line in which the user's code failed."""
    frames = [
        (frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [frame for frame in frames if not frame[0].startswith(_HELPERS)]
    path, line = (own or frames)[-1]
    return Path(path), line


def reward_of(name: str, returned: Any) -> float:
    """Return the reward that a function returned.

    Raises:
        RewardError: it is none.
    """
    if returned is None:
        return 1.0
    reward: float | None = None
    if hasattr(returned, "__float__") and not isinstance(returned, str | bytes):
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            reward = float(returned)
    if reward is None or not math.isfinite(reward):
        shown = repr(returned)
        shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
        raise RewardError(
            name,
            f"returned {shown} ({type(returned).__name__}): an eval returns nothing, or its reward"
            " as a finite number",
        )
    return reward


def failure_of(error: BaseException, root: Path) -> str:
    """Say which assertion failed and where; of a group of them, each on lines of its own.

    Args:
        error: an AssertionError, what `pytest.fail` raises, or a group of such.
        root: places below it are written from there.
    """
    if isinstance(error, BaseExceptionGroup):
        return "\n".join(failure_of(each, root) for each in error.exceptions)
    path, line = _place_of(error)
    with contextlib.suppress(ValueError):
        path = path.relative_to(root)
    return f"{path}:{line}: {str(error) or type(error).__name__}"
