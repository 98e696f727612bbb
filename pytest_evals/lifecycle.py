"""Stop conditions, cleanup and teardown: marks on methods of environments and rubrics."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Mapping
from types import CoroutineType
from typing import Any, Literal, TypeAlias, TypeVar, overload

Mark: TypeAlias = Literal["stop", "cleanup", "teardown"]
Handler: TypeAlias = Callable[..., Any]
_F = TypeVar("_F", bound=Handler)

# How long a cleanup method of an environment may take, or those of a rubric together.
CLEANUP_SECONDS = 60.0

_cleaning: set[asyncio.Task[Any]] = set()


class Cleaning:
    """While this lasts, the current task calls cleanup handlers of somebody's code.

    Whoever ends rollouts early asks `is_cleaning`, and lets those handlers come to their end: what
    they would have released is paid for until somebody else does.
    """

    __slots__ = ("_task",)

    def __enter__(self) -> None:
        task = asyncio.current_task()
        # Inside of another one, that one says when it is over.
        self._task = None if task is None or task in _cleaning else task
        if self._task is not None:
            _cleaning.add(self._task)

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            _cleaning.discard(self._task)


def is_cleaning(task: asyncio.Task[Any]) -> bool:
    """Whether a task is inside cleanup handlers; in any thread."""
    return task in _cleaning


@overload
def stop(func: _F, priority: int = 0) -> _F: ...
@overload
def stop(func: None = None, priority: int = 0) -> Callable[[_F], _F]: ...
def stop(func: _F | None = None, priority: int = 0) -> _F | Callable[[_F], _F]:
    """Mark a method as a stop condition: asked before each turn, with the rollout's state.

    The rollout ends when it returns something true, and its name is the `stop_condition`. Used as
    `@stop` or `@stop(priority=10)`: higher priorities are asked first, equal ones by name.
    """
    return _mark("stop", func, priority)


@overload
def cleanup(func: _F, priority: int = 0, stage: str = "rollout") -> _F: ...
@overload
def cleanup(func: None = None, priority: int = 0, stage: str = "rollout") -> Callable[[_F], _F]: ...
def cleanup(
    func: _F | None = None, priority: int = 0, stage: str = "rollout"
) -> _F | Callable[[_F], _F]:
    """Mark a method that is called with the state when a rollout has ended, however it did."""
    return _mark("cleanup", func, priority)


@overload
def teardown(func: _F, priority: int = 0) -> _F: ...
@overload
def teardown(func: None = None, priority: int = 0) -> Callable[[_F], _F]: ...
def teardown(func: _F | None = None, priority: int = 0) -> _F | Callable[[_F], _F]:
    """Mark a method that is called without arguments after the last rollout of the session."""
    return _mark("teardown", func, priority)


def _mark(mark: Mark, func: _F | None, priority: int) -> _F | Callable[[_F], _F]:
    def marked(func: _F) -> _F:
        setattr(func, mark, True)
        setattr(func, f"{mark}_priority", priority)
        return func

    return marked if func is None else marked(func)


def marked_methods(owner: object, mark: Mark) -> list[Handler]:
    """Return the marked methods of an object, by descending priority, then by name."""
    # Looked up on the class first: reading every attribute of the object would run its properties.
    names = {
        name
        for kind in type(owner).__mro__
        for name, value in vars(kind).items()
        if inspect.isfunction(value)
    }
    methods = [getattr(owner, name) for name in names]
    found = [method for method in methods if getattr(method, mark, False) is True]
    return sorted(found, key=lambda method: (-getattr(method, f"{mark}_priority"), method.__name__))


async def call_handler(handler: Handler, available: Mapping[str, Any]) -> Any:
    """Call a marked method, sync or async, with those of the arguments that it names."""
    parameters = inspect.signature(handler).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        arguments = dict(available)
    else:
        arguments = {p.name: available[p.name] for p in parameters if p.name in available}
    return await maybe_await(handler(**arguments))


def as_awaitable(value: Any) -> Awaitable[Any]:
    """Return what a hook, sync or async, returned as something to await."""
    if type(value) is CoroutineType:
        return value
    return maybe_await(value)


async def maybe_await(value: Awaitable[Any] | Any) -> Any:
    """Return the value, awaited first where it can be."""
    if type(value) is CoroutineType or inspect.isawaitable(value):  # the first is the usual one
        return await value
    return value
