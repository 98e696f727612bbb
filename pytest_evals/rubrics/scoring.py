"""Scoring: one reward function at work on rollouts, and what becomes of its failures."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterable, Sequence
from time import perf_counter
from typing import Any

from ..errors import InfraError, RewardError, one_line, outcome_of
from .injection import Source
from .reward_function import RewardFunction
from .slowness import Timed
from .tally import Tally

# What user code may raise that says nothing about the user's code.
PASS_ON = (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit)


async def score_each(function: RewardFunction, tallies: Sequence[Tally]) -> None:
    """Score rollouts one by one; where the function waits, all of them wait together."""
    waiting: list[Awaitable[None]] = []
    for tally in tallies:
        start = perf_counter()
        try:
            returned = function.call(tally.source)
            if type(returned) is not float and inspect.isawaitable(returned):
                waiting.append(_score_later(function, tally, returned))
            else:
                tally.add(function, function.number(returned))
        except PASS_ON:
            raise
        except BaseException as error:  # sys.exit() in a reward function must not end the loop
            tally.fail(function, function.failed(error))
        tally.took(function, perf_counter() - start)
    if len(waiting) == 1:
        await waiting[0]
    elif waiting:
        await asyncio.gather(*waiting)


async def _score_later(function: RewardFunction, tally: Tally, returned: Awaitable[Any]) -> None:
    timed = Timed(returned)
    try:
        tally.add(function, function.number(await timed))
    except PASS_ON:
        raise
    except BaseException as error:
        tally.fail(function, function.failed(error))
    tally.took(function, timed.longest)


async def score_together(
    function: RewardFunction, source: Source, tallies: Sequence[Tally]
) -> None:
    """Score a group; those of its rollouts that have an error are shown to the function alone."""
    scored = [tally for tally in tallies if tally.error is None]
    longest = 0.0
    try:
        start = perf_counter()
        try:
            returned = function.call(source)
        finally:
            longest = perf_counter() - start
        if inspect.isawaitable(returned):
            timed = Timed(returned)
            try:
                returned = await timed
            finally:
                longest = max(longest, timed.longest)
        scores = function.numbers(returned, len(tallies))
    except PASS_ON:
        raise
    except BaseException as error:
        failure = function.failed(error)
        for tally in scored:
            tally.fail(function, failure)
    else:
        for tally, score in zip(tallies, scores, strict=True):
            if tally.error is None:
                tally.add(function, score)
    for tally in scored:
        tally.took(function, longest)


def first_missing(tallies: Iterable[Tally]) -> BaseException | None:
    """Return the error of the first rollout that a group function cannot judge, if any."""
    for tally in tallies:
        error = tally.error
        # One whose scoring is merely broken is there to be compared with.
        if error and (not isinstance(error, RewardError) or outcome_of(error) == "unmeasured"):
            return error
    return None


def leave_unmeasured(
    tallies: Iterable[Tally], function: RewardFunction, failed: BaseException | None
) -> None:
    """Leave rollouts without a reward, since `function` cannot compare them with the others."""
    fate = "some are missing" if failed is None else f"one ended in {one_line(failed)}"
    error = InfraError(
        f"reward function {function.name!r} needs every rollout of the group, and {fate}"
    )
    error.__cause__ = failed
    for tally in tallies:
        tally.error = error
