"""AsyncFixtures: async fixtures of evals live on the loop that the rollouts run on."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Sequence
from typing import Any

import pytest

from ...engine.engine import Engine
from .arranging import PATCHING
from .items import EvalFunction
from .surface import bound_function, definitions, requesting_item, scope_of


class AsyncFixtures:
    """Runs the async fixtures of evals, whatever other plugin would run async fixtures.

    Args:
        engine: returns what has the loop.
    """

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._engine = engine

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Put a plain function in the place of an async one: to other plugins it is any fixture."""
        __tracebackhide__ = True
        item = requesting_item(request)
        if not isinstance(item, EvalFunction):
            return (yield)
        if item.is_ahead and fixturedef.argname in PATCHING:
            pytest.fail(
                f"{fixturedef.argname!r} changes the whole process and was asked for by"
                " request.getfixturevalue: make it a parameter of the fixture, or of the eval, so"
                " that the rollout runs alone",
                pytrace=False,
            )
        function: Any = fixturedef.func
        definition: Any = fixturedef
        if inspect.iscoroutinefunction(function):
            definition.func = self._of_coroutine(bound_function(fixturedef, request), request)
        elif inspect.isasyncgenfunction(function):
            definition.func = self._of_generator(bound_function(fixturedef, request), request)
        else:
            return (yield)
        try:
            return (yield)
        finally:
            definition.func = function

    def _of_coroutine(
        self, function: Callable[..., Coroutine[Any, Any, Any]], request: pytest.FixtureRequest
    ) -> Callable[..., Any]:
        def set_up(**arguments: Any) -> Any:
            __tracebackhide__ = True
            context = contextvars.copy_context()
            value = self._run(_in(context, function(**arguments)))
            _adopt(context, request)
            return value

        return set_up

    def _of_generator(
        self, function: Callable[..., AsyncGenerator[Any, None]], request: pytest.FixtureRequest
    ) -> Callable[..., Any]:
        def set_up(**arguments: Any) -> Any:
            __tracebackhide__ = True
            context = contextvars.copy_context()
            fixture = _GeneratorFixture(function(**arguments), context)
            value = self._run(fixture.set_up())
            request.addfinalizer(lambda: self._run(fixture.tear_down()))
            _adopt(context, request)
            return value

        return set_up

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        __tracebackhide__ = True
        return self._engine().run(work)

    def refuse_shared(self, items: Sequence[pytest.Item]) -> None:
        """Refuse the rollouts that share a lasting async fixture with plain tests.

        Its value would belong to the loop of whoever asks first.
        """
        functions = [item for item in items if isinstance(item, EvalFunction)]
        shared = {each for item in functions for each in _lasting(item)}
        if not shared:
            return
        users: dict[Any, pytest.Item] = {}
        for item in items:
            if not isinstance(item, EvalFunction):
                users |= dict.fromkeys(shared & _lasting(item), item)
        for function in functions:
            for definition in users.keys() & _lasting(function):
                function.refusal = (
                    f"fixture {definition.argname!r} is async, lasts for the {definition.scope},"
                    f" and {users[definition].nodeid} uses it too; evals have an event loop of"
                    " their own. Give them a fixture of their own, or make it function-scoped"
                )


def _lasting(item: pytest.Item) -> set[Any]:
    """Return the definitions of async fixtures that an item uses and that outlive it."""
    return {
        definition
        for name, definition in definitions(item)
        if (
            inspect.iscoroutinefunction(definition.func)
            or inspect.isasyncgenfunction(definition.func)
        )
        and isinstance(item, pytest.Function)
        and scope_of(item, name, definition) != "function"
    }


class _GeneratorFixture:
    """An async generator fixture, in one task from its setup to its teardown.

    What it holds open, a task group or a timeout, has to be left in the task that entered it.
    """

    def __init__(self, generator: AsyncGenerator[Any, None], context: contextvars.Context) -> None:
        self._generator = generator
        self._context = context
        self._over = asyncio.Event()

    async def set_up(self) -> Any:
        """Return the value of the fixture."""
        loop = asyncio.get_running_loop()
        self._value: asyncio.Future[Any] = loop.create_future()
        self._task = loop.create_task(self._live(), context=self._context)
        await asyncio.wait([self._task, self._value], return_when=asyncio.FIRST_COMPLETED)
        if not self._value.done():
            self._task.result()  # raises what it raised instead of yielding
        return self._value.result()

    async def _live(self) -> None:
        try:
            value = await anext(self._generator)
        except StopAsyncIteration:
            raise ValueError("an async fixture did not yield a value") from None
        self._value.set_result(value)
        try:
            await self._over.wait()
        except asyncio.CancelledError as cancelled:
            await self._generator.athrow(cancelled)  # by a task group that it holds open
            return
        try:
            await anext(self._generator)
        except StopAsyncIteration:
            return
        await self._generator.aclose()
        raise ValueError("an async fixture has more than one yield")

    async def tear_down(self) -> None:
        """Run what comes after the yield."""
        self._over.set()
        await self._task


async def _in(context: contextvars.Context, work: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.get_running_loop().create_task(work, context=context)


def _adopt(context: contextvars.Context, request: pytest.FixtureRequest) -> None:
    """Let the item see the context variables that a fixture set on the loop, until its teardown."""
    tokens = [
        (variable, variable.set(value))
        for variable, value in context.items()
        if variable.get(context) is not value
    ]
    if not tokens:
        return

    def restore() -> None:
        for variable, token in reversed(tokens):
            with contextlib.suppress(ValueError):  # asked for while another item was set up
                variable.reset(token)

    request.addfinalizer(restore)
