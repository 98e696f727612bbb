"""Slowness: how long code of an environment keeps the event loop from everything else."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Generator
from time import perf_counter
from typing import Any

from ..state import State

# While code blocks the loop, no other rollout's reply is read. Seconds.
SLOW = 0.1
_KEY = "slow_calls"


def note_slow(state: State, what: str, seconds: float) -> None:
    """Note in `state["slow_calls"]`, a list of pairs, what blocked the loop, if it was for long.

    Args:
        state: the rollout it was a part of.
        what: as in "tool 'search'".
        seconds: the longest it ran without a wait.
    """
    if seconds > SLOW:
        state.setdefault(_KEY, []).append((what, seconds))


async def timed_call(
    state: State, what: str, function: Callable[..., Any], *arguments: Any, **named: Any
) -> Any:
    """Call code of the environment, sync or async, and note it if it blocks the loop.

    Where something that it called was noted meanwhile, that is to blame.

    Args:
        state, what: as for `note_slow`.
        function, *arguments, **named: the call.
    """
    known = len(dict.get(state, _KEY, ()))
    longest = 0.0
    timed: Timed | None = None
    start = perf_counter()
    try:
        returned = function(*arguments, **named)
        longest = perf_counter() - start
        if inspect.isawaitable(returned):
            timed = Timed(returned)
            returned = await timed
    except BaseException:
        longest = longest or perf_counter() - start
        raise
    finally:
        longest = longest if timed is None else max(longest, timed.longest)
        if longest > SLOW and len(dict.get(state, _KEY, ())) == known:
            note_slow(state, what, longest)
    return returned


class Timed(Awaitable[Any]):
    """An awaitable whose steps are timed; awaiting it gives what the awaitable gives.

    A step is what runs between two waits, when nothing else can.

    Args:
        awaitable: awaited once.

    Attributes:
        longest: seconds of the longest step so far.
    """

    __slots__ = ("_awaitable", "longest")

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable
        self.longest = 0.0

    def __await__(self) -> Generator[Any, Any, Any]:
        # `yield from` with a clock: what is sent or thrown in (a result, a cancellation) goes to
        # the awaitable, what it waits for comes out.
        steps: Any = self._awaitable.__await__()
        step: Callable[[Any, Any], Any] = _send
        argument = None
        while True:
            start = perf_counter()
            try:
                waits_for = step(steps, argument)
            except StopIteration as end:
                return end.value
            finally:
                argument = None  # an exception kept here would keep its frames, this one too
                self.longest = max(self.longest, perf_counter() - start)
            try:
                step, argument = _send, (yield waits_for)
            except GeneratorExit:
                _close(steps)
                raise
            except BaseException as thrown:
                step, argument = _throw, thrown


def _send(steps: Any, value: Any) -> Any:
    # An iterator that is no generator has no `send`.
    return next(steps) if value is None else steps.send(value)


def _throw(steps: Any, error: BaseException) -> Any:
    if not hasattr(steps, "throw"):
        raise error
    return steps.throw(error)


def _close(steps: Any) -> None:
    if hasattr(steps, "close"):
        steps.close()
