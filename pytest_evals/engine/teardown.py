"""Teardown: environments release what they hold, within a bounded time."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from ..lifecycle import maybe_await
from .loop import LoopHost

_CANCEL_SECONDS = 0.5
_BLOCKED_SECONDS = 1.5


_Failed: TypeAlias = list[tuple[Any, BaseException]]


def tear_down(host: LoopHost, environments: Iterable[Any], seconds: float) -> tuple[_Failed, bool]:
    """Tear down environments, side by side, each once.

    Args:
        host: runs the loop on which it happens.
        environments: those to tear down; one without a `teardown` method has nothing to do.
        seconds: how long is waited for all of them together.

    Returns:
        The environments that failed to, each with what it raised, a TimeoutError for one that did
        not end in time; and whether one of them blocks the loop.
    """
    distinct = {id(environment): environment for environment in environments}
    try:
        work = _tear_down_all(distinct, seconds)
        return host.run(work, timeout=seconds + _CANCEL_SECONDS + _BLOCKED_SECONDS), False
    except concurrent.futures.TimeoutError:
        late = TimeoutError("the event loop is blocked")
        return [(environment, late) for environment in distinct.values()], True


async def _tear_down_all(distinct: Mapping[int, Any], seconds: float) -> _Failed:
    tasks = {
        asyncio.create_task(_tear_down(environment)): environment
        for environment in distinct.values()
    }
    if not tasks:
        return []
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late, timeout=_CANCEL_SECONDS)
    failed: _Failed = []
    for task, environment in tasks.items():
        if task in late:
            failed.append((environment, TimeoutError(f"it did not end within {seconds:g} s")))
        elif task.cancelled():
            failed.append((environment, RuntimeError("it was cancelled by other code")))
        elif (error := task.result()) is not None:
            failed.append((environment, error))
    return failed


async def _tear_down(environment: Any) -> BaseException | None:
    try:
        teardown = getattr(environment, "teardown", None)
        if teardown is not None:
            await maybe_await(teardown())
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # SystemExit must not end the loop, nor stop the others
        return error
    return None
