"""Time limits: what they cancel, in what order, and what they leave alone."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from pytest_evals.engine.time_limit import TimeLimit


async def test_work_that_takes_too_long_is_a_timeout() -> None:
    limit = TimeLimit(0.01)
    with pytest.raises(TimeoutError), limit:
        await asyncio.Event().wait()
    assert limit.has_expired
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_work_in_time_is_left_alone() -> None:
    limit = TimeLimit(0.01)
    with limit:
        pass
    await asyncio.sleep(0.03)
    assert not limit.has_expired


async def test_each_of_many_limits_ends_its_own_task() -> None:
    async def work(does_end: bool) -> str:
        try:
            with TimeLimit(0.02):
                await (asyncio.sleep(0) if does_end else asyncio.Event().wait())
        except TimeoutError:
            return "late"
        return "in time"

    async def begin_later() -> str:
        await asyncio.sleep(0.01)
        return await work(False)

    outcomes = await asyncio.gather(work(False), work(True), begin_later(), work(False))
    assert list(outcomes) == ["late", "in time", "late", "late"]


async def test_limits_of_several_lengths_do_not_wait_for_each_other() -> None:
    with pytest.raises(TimeoutError), TimeLimit(60), TimeLimit(0.01):
        await asyncio.Event().wait()


async def test_a_cancellation_from_outside_goes_on() -> None:
    entered = asyncio.Event()

    async def work() -> None:
        with TimeLimit(60):
            entered.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_that_comes_with_the_limit_goes_on() -> None:
    async def work() -> None:
        with TimeLimit(0.01):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                raise

    with pytest.raises(asyncio.CancelledError):
        await asyncio.create_task(work())


async def test_another_error_on_the_way_out_stays_what_it_is() -> None:
    limit = TimeLimit(0.01)
    with pytest.raises(ValueError, match="mine"), limit:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("mine") from None
    assert limit.has_expired


def test_a_loop_that_is_over_is_let_go() -> None:
    async def work() -> weakref.ref[asyncio.AbstractEventLoop]:
        with TimeLimit(60):
            return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(work())
    gc.collect()
    assert loop() is None
