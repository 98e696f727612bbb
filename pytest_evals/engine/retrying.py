"""Retrying: what failed in a rollout through no fault of its own is tried again.

That is apart from the requests that a client sends again: it has given up by then.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from ..errors import InfraError, InvalidModelResponseError, one_line

# Seconds of the first wait, which doubles, and of the longest.
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0
# Those of verifiers. What a client failed at after its own retries is not tried again as a whole.
_RETRIED: Final = (InfraError, InvalidModelResponseError)


def may_pass(errors: Sequence[BaseException | None]) -> bool:
    """Whether another try may succeed where these are what went wrong."""
    return bool(errors) and all(isinstance(error, _RETRIED) for error in errors)


def described(error: BaseException) -> dict[str, str]:
    """Return what a row keeps of a try that failed."""
    return {"error": type(error).__name__, "message": one_line(error)}


async def wait(retry: int) -> None:
    """Wait before a try.

    Args:
        retry: 0 for the first after the one that failed.
    """
    longest = min(_LONGEST_WAIT, _FIRST_WAIT * 2.0**retry)
    await asyncio.sleep(longest * random.uniform(0.5, 1.0))
