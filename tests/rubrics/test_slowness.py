from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterator
from typing import Any

import pytest

from pytest_evals.rubrics import slowness
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.rubrics.slowness import Timed, timed_call
from pytest_evals.state import State, new_state


class Clock:
    """Seconds that pass only when the code under test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(slowness, "perf_counter", clock)
    monkeypatch.setattr("pytest_evals.rubrics.scoring.perf_counter", clock)
    return clock


async def test_it_gives_what_the_awaitable_gives() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, 7)

    assert await Timed(work()) == "done"
    assert await Timed(future) == 7
    assert await Timed(asyncio.create_task(work())) == "done"
    assert tuple(await asyncio.gather(Timed(work()), work())) == ("done", "done")


async def test_the_longest_step_counts_and_waiting_does_not(clock: Clock) -> None:
    async def work() -> None:
        clock.passes(0.2)
        await asyncio.sleep(0)
        clock.passes(0.3)
        await asyncio.sleep(0)
        clock.passes(0.1)

    def others() -> None:
        clock.passes(100.0)

    asyncio.get_running_loop().call_soon(others)
    timed = Timed(work())
    await timed

    assert timed.longest == pytest.approx(0.3)


async def test_an_exception_comes_out_with_its_traceback_and_its_step_counts(clock: Clock) -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        clock.passes(0.5)
        raise KeyError("mine")

    timed = Timed(work())
    with pytest.raises(KeyError, match="mine") as caught:
        await timed

    assert timed.longest == 0.5
    assert caught.traceback[-1].name == "work"


async def test_what_is_awaited_may_fail_and_be_caught_inside() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError

    async def work() -> str:
        try:
            await asyncio.create_task(fails())
        except ValueError:
            await asyncio.sleep(0)
            return "caught"
        return "missed"

    assert await Timed(work()) == "caught"


async def test_cancellation_reaches_the_code_inside() -> None:
    seen = []
    started = asyncio.Event()

    async def work() -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)  # cleaning up may wait
            seen.append("cleaned")
            raise

    async def scoring() -> None:
        await Timed(work())

    task = asyncio.create_task(scoring())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert seen == ["cancelled", "cleaned"]


async def test_limits_inside_and_outside_work() -> None:
    async def patient() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "gave up"
        return ""

    async def stubborn() -> None:
        await asyncio.Event().wait()

    assert await Timed(patient()) == "gave up"
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await Timed(stubborn())


def test_closing_closes_the_code_inside() -> None:
    seen = []

    class Bare:
        def __await__(self) -> Generator[None, None, None]:
            yield

    async def work() -> None:
        try:
            await Bare()
        finally:
            seen.append("closed")

    async def scoring() -> None:
        await Timed(work())

    coroutine = scoring()
    coroutine.send(None)
    coroutine.close()

    assert seen == ["closed"]


class Plain:
    """An awaitable whose iterator has neither `send` nor `throw` nor `close`."""

    def __await__(self) -> Generator[Any, Any, Any]:
        return iter([None, None])  # type: ignore[return-value]


def test_an_iterator_without_send_and_throw() -> None:
    async def scoring() -> Any:
        return await Timed(Plain())

    finishes = scoring()
    assert (finishes.send(None), finishes.send(None)) == (None, None)
    with pytest.raises(StopIteration):
        finishes.send(None)
    fails = scoring()
    fails.send(None)
    with pytest.raises(ZeroDivisionError):
        fails.throw(ZeroDivisionError())
    closes = scoring()
    closes.send(None)
    closes.close()


class Echo:
    """An awaitable that answers what it is sent: not only None goes through."""

    def __await__(self) -> Generator[str, str, str]:
        got = yield "first"
        got = yield f"got {got}"
        return f"last {got}"


def test_values_sent_in_go_through() -> None:
    steps: Iterator[Any] = Timed(Echo()).__await__()
    assert isinstance(steps, Generator)

    assert next(steps) == "first"
    assert steps.send("a") == "got a"
    with pytest.raises(StopIteration) as end:
        steps.send("b")
    assert end.value.value == "last b"


def finished() -> State:
    row = {"example_id": 0, "prompt": [], "answer": ""}
    return new_state(row, client=None, model="m", sampling_args={})


async def test_functions_that_block_the_loop_are_named(clock: Clock) -> None:
    def fast() -> float:
        clock.passes(0.1)
        return 1.0

    def slow() -> float:
        clock.passes(0.25)
        return 1.0

    async def slow_step() -> float:
        clock.passes(0.04)
        await asyncio.sleep(0)
        clock.passes(0.5)
        return 1.0

    async def slow_before_awaiting() -> float:
        clock.passes(0.2)
        await asyncio.sleep(0)
        return 1.0

    def slow_and_broken_metric() -> float:
        clock.passes(1.0)
        raise ValueError

    rubric = Rubric([fast, slow, slow_step, slow_before_awaiting, slow_and_broken_metric])
    state = finished()
    await rubric.score_rollout(state)

    assert state["slow_calls"] == [
        ("reward function 'slow'", pytest.approx(0.25)),
        ("reward function 'slow_step'", pytest.approx(0.5)),
        ("reward function 'slow_before_awaiting'", pytest.approx(0.2)),
        ("reward function 'slow_and_broken_metric'", pytest.approx(1.0)),
    ]


async def test_the_longest_of_a_group_function_is_told_of_each_rollout(clock: Clock) -> None:
    async def compare(states: Any) -> list[float]:
        clock.passes(0.2)
        await asyncio.sleep(0)
        clock.passes(0.3)
        return [1.0] * len(states)

    states = [finished(), finished()]
    await Rubric([compare]).score_group(states)

    told = [("reward function 'compare'", pytest.approx(0.3))]
    assert [state["slow_calls"] for state in states] == [told] * 2


async def test_a_group_function_that_fails_slowly_is_named_too(clock: Clock) -> None:
    def compare(states: Any) -> list[float]:
        clock.passes(0.2)
        raise ValueError

    async def compare_later(states: Any) -> list[float]:
        clock.passes(0.3)
        raise ValueError

    for function, seconds in ((compare, 0.2), (compare_later, 0.3)):
        state = finished()
        await Rubric([function]).score_group([state])

        name = f"reward function {function.__name__!r}"
        assert state["slow_calls"] == [(name, pytest.approx(seconds))]


async def test_nothing_is_said_of_fast_ones() -> None:
    state = finished()
    await Rubric([lambda: 1.0]).score_rollout(state)

    assert "slow_calls" not in state


async def test_a_call_is_named_unless_something_in_it_was(clock: Clock) -> None:
    state = finished()

    async def inner() -> str:
        clock.passes(0.4)
        return "said"

    async def outer() -> Any:
        clock.passes(0.01)
        return await timed_call(state, "tool 'inner'", inner)

    assert await timed_call(state, "env_response of Env", outer) == "said"
    assert state["slow_calls"] == [("tool 'inner'", pytest.approx(0.4))]


async def test_a_call_may_be_sync_and_may_raise(clock: Clock) -> None:
    state = finished()

    def hook(seconds: float, *, error: Exception | None = None) -> float:
        clock.passes(seconds)
        if error is not None:
            raise error
        return seconds

    async def later(error: Exception) -> None:
        clock.passes(0.3)
        raise error

    assert await timed_call(state, "fast", hook, 0.05) == 0.05
    assert await timed_call(state, "slow", hook, 0.2) == 0.2
    with pytest.raises(ValueError, match="x"):
        await timed_call(state, "broken", hook, 0.5, error=ValueError("x"))
    with pytest.raises(ValueError, match="y"):
        await timed_call(state, "broken later", later, ValueError("y"))
    assert state["slow_calls"] == [
        ("slow", pytest.approx(0.2)),
        ("broken", pytest.approx(0.5)),
        ("broken later", pytest.approx(0.3)),
    ]
