"""Turns: the loop stands still while results are reported, for a bounded time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from pytest_evals.engine.loop import LoopThread


async def _nothing() -> None:
    pass


@pytest.fixture
def thread() -> Iterator[LoopThread]:
    thread = LoopThread("turns")
    yield thread
    assert thread.close(_nothing, 5.0) is not False


def test_nothing_runs_on_the_loop_meanwhile(thread: LoopThread) -> None:
    ran = threading.Event()
    with thread.held(30.0):
        thread.call_soon(ran.set)
        assert not ran.wait(0.02)
    assert ran.wait(10.0)


def test_a_turn_that_takes_too_long_does_not_stop_the_loop(thread: LoopThread) -> None:
    ran = threading.Event()
    with thread.held(0.01):
        thread.call_soon(ran.set)
        assert ran.wait(10.0)


def test_a_busy_loop_is_not_waited_for(thread: LoopThread) -> None:
    busy, free = threading.Event(), threading.Event()

    def block() -> None:
        busy.set()
        free.wait(30.0)

    thread.call_soon(block)
    assert busy.wait(10.0)
    with thread.held(0.01):
        assert not free.is_set()
    free.set()


def test_a_turn_that_raises_lets_the_loop_go(thread: LoopThread) -> None:
    with pytest.raises(KeyboardInterrupt), thread.held(30.0):
        raise KeyboardInterrupt
    assert thread.run(asyncio.sleep(0, "on"), timeout=10.0) == "on"


def test_the_loop_runs_for_a_moment_between_two_turns(thread: LoopThread) -> None:
    with thread.held(30.0):
        start = thread.loop.time()
    with thread.held(30.0):
        assert thread.loop.time() - start >= 0.02
