"""Handlers: the stop, cleanup and teardown methods of an environment, ready to be called."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import InfraError, one_line
from ..lifecycle import Cleaning, Handler, Mark, marked_methods, maybe_await

# Says whether a rollout is over, or returns an awaitable that does.
StopCheck: TypeAlias = Callable[[Any], Any]

# What user code may raise that must not keep other handlers from being called.
FAILURES = (Exception, asyncio.CancelledError, SystemExit)


@dataclass(frozen=True, slots=True)
class BoundHandler:
    """A marked method and which of the arguments on offer it takes: read once, called often.

    Attributes:
        name: the method's.
        method: what is called.
        takes: its parameters; None when it takes everything.
        is_ours: this package wrote it, so it needs no limit, which takes longer to set up.
    """

    name: str
    method: Handler
    takes: tuple[str, ...] | None
    is_ours: bool = False

    def __call__(self, offered: Mapping[str, Any]) -> Any:
        """Call the method with those of the arguments that it takes; may return an awaitable."""
        if self.takes is None:
            return self.method(**offered)
        return self.method(**{name: offered[name] for name in self.takes if name in offered})


def handlers_of(owner: object, mark: Mark) -> list[BoundHandler]:
    """Return the marked methods of an object in the order in which they are called."""
    return [_bound(method) for method in marked_methods(owner, mark)]


def _bound(method: Handler) -> BoundHandler:
    parameters = inspect.signature(method).parameters.values()
    takes_all = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    names = tuple(parameter.name for parameter in parameters)
    is_ours = method.__module__.partition(".")[0] == __name__.partition(".")[0]
    return BoundHandler(method.__name__, method, None if takes_all else names, is_ours)


def stop_checks_of(
    owner: object, plain: Mapping[Handler, Callable[[Any, Any], bool]]
) -> list[tuple[str, StopCheck]]:
    """Return the stop conditions of an environment by name, in the order in which they are asked.

    Args:
        owner: the environment.
        plain: functions that decide the same as a method, without a coroutine.
    """
    checks: list[tuple[str, StopCheck]] = []
    for handler in handlers_of(owner, "stop"):
        decide = plain.get(getattr(handler.method, "__func__", handler.method))
        if decide is not None:
            checks.append((handler.name, functools.partial(decide, owner)))
        else:
            checks.append((handler.name, functools.partial(_ask, handler, owner)))
    return checks


def _ask(handler: BoundHandler, owner: object, state: Any) -> Any:
    return handler({"state": state, "env": owner, "task": state.get("task")})


async def call_all(
    handlers: Iterable[BoundHandler], offered: Mapping[str, Any], seconds: float | None = None
) -> BaseException | None:
    """Call every handler, also after one that raised.

    Args:
        handlers: in their order.
        offered: arguments, by name.
        seconds: that each may take, else it ends in an `InfraError`, while a session that is
            stopped waits for it (`Cleaning`); None for no limit.

    Returns:
        The first exception, with a note for each that followed; None as a rule.
    """
    first: BaseException | None = None
    for handler in handlers:
        try:
            if seconds is None or handler.is_ours:
                await maybe_await(handler(offered))
            else:
                await _in_time(handler, offered, seconds)
        except FAILURES as error:
            first = error if first is None else noted(first, error, handler.name)
    return first


async def _in_time(handler: BoundHandler, offered: Mapping[str, Any], seconds: float) -> None:
    try:
        with Cleaning():
            async with asyncio.timeout(seconds) as limit:
                await maybe_await(handler(offered))
    except TimeoutError as error:
        if limit.expired():
            raise InfraError(f"{handler.name}() did not end within {seconds:.0f} s") from error
        raise


def noted(first: BaseException, later: BaseException, name: str) -> BaseException:
    """Add to an exception that another one followed it; return the first."""
    if first is not later:
        first.add_note(f"after that, {name}() raised {one_line(later)}")
    return first
