"""The loop for debugging: it runs in the main thread, and only while somebody waits."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.engine.engine import Engine
from pytest_evals.engine.foreground import ForegroundLoop
from pytest_evals.engine.rollouts import RolloutResult

from .bench import Bench, FakeClient, agreeable, jobs_of, rows_of, single_turn


async def nothing() -> None:
    pass


@pytest.fixture
def host() -> Iterator[ForegroundLoop]:
    host = ForegroundLoop()
    yield host
    host.close(nothing, 1.0)


class TestForegroundLoop:
    def test_runs_work_in_the_thread_that_waits(self, host: ForegroundLoop) -> None:
        async def where() -> str:
            return threading.current_thread().name

        assert host.run(where()) == threading.current_thread().name

    def test_runs_nothing_while_nobody_waits(self, host: ForegroundLoop) -> None:
        calls: list[int] = []
        host.call_soon(calls.append, 1)
        assert calls == []
        host.run(nothing())
        assert calls == [1]

    def test_runs_until_woken(self, host: ForegroundLoop) -> None:
        async def work() -> None:
            await asyncio.sleep(0)
            host.wake()

        task = host.loop.create_task(work())
        host.run_until_woken()
        assert task.done()

    def test_is_woken_from_a_thread(self, host: ForegroundLoop) -> None:
        thread = threading.Thread(target=host.wake)
        host.call_soon(thread.start)
        host.run_until_woken()
        thread.join(10)

        assert thread.ident is not None
        assert not thread.is_alive()

    def test_work_outlasts_an_early_wake(self, host: ForegroundLoop) -> None:
        async def work() -> int:
            host.wake()
            await asyncio.sleep(0.001)
            return 7

        assert host.run(work()) == 7

    def test_gives_up_work_that_takes_too_long(self, host: ForegroundLoop) -> None:
        async def forever() -> None:
            await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            host.run(forever(), 0.01)

    def test_does_not_end_by_a_task_that_wants_to_exit(self, host: ForegroundLoop) -> None:
        async def leave() -> None:
            raise SystemExit(3)

        task = host.loop.create_task(leave())
        host.run_until_woken()
        assert isinstance(task.exception(), SystemExit)

    def test_lets_an_interrupt_through(self, host: ForegroundLoop) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        host.call_soon(interrupt)
        with pytest.raises(KeyboardInterrupt):
            host.run_until_woken()
        host.run(nothing())

    def test_holds_the_time_while_its_clock_is_stopped(
        self, host: ForegroundLoop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        host.resume_clock()  # nothing was stopped
        begun = host.loop.time()
        host.pause_clock()
        now += 3600
        host.pause_clock()
        now += 3600
        assert host.loop.time() == begun
        host.resume_clock()
        assert host.loop.time() == begun
        now += 1
        assert host.loop.time() == begun + 1

    def test_close_ends_what_is_on_it(self) -> None:
        async def work() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("work")

        async def finish() -> None:
            ended.append("finish")

        ended: list[str] = []
        host = ForegroundLoop()
        host.loop.create_task(work())
        host.run(nothing())
        assert host.close(finish, 1.0) is True
        assert ended == ["work", "finish"]
        assert host.loop.is_closed()
        assert host.close(finish, 1.0) is True
        host.wake()

    def test_close_does_not_wait_for_ever(self) -> None:
        async def finish() -> None:
            await asyncio.Event().wait()

        host = ForegroundLoop()
        assert host.close(finish, 0.01) is False
        assert host.loop.is_closed()


class TestEngineOnIt:
    @pytest.fixture
    def results(self) -> queue.SimpleQueue[RolloutResult]:
        return queue.SimpleQueue()

    def start(
        self, client: Any, results: queue.SimpleQueue[RolloutResult], host: ForegroundLoop
    ) -> Engine:
        def deliver(result: RolloutResult) -> None:
            results.put(result)
            host.wake()

        return Engine(limit=1, make_client=lambda _: client, deliver=deliver, host=host)

    def test_rolls_out_where_the_caller_is(
        self, bench: Bench, host: ForegroundLoop, results: queue.SimpleQueue[RolloutResult]
    ) -> None:
        threads: list[str] = []

        def reward() -> float:
            threads.append(threading.current_thread().name)
            return 1.0

        run = bench.run(single_turn(2, reward), bench.endpoint(FakeClient))
        engine = self.start(FakeClient(agreeable), results, host)
        for job in jobs_of(run):
            engine.submit([job])
            assert results.empty()
            while results.empty():
                host.run_until_woken()
            assert results.get().key == job.key
        engine.close()

        assert threads == [threading.current_thread().name] * 2
        assert [row["state"] for row in rows_of(run)] == ["scored"] * 2

    def test_is_cancelled_between_two_waits(
        self, bench: Bench, host: ForegroundLoop, results: queue.SimpleQueue[RolloutResult]
    ) -> None:
        client = FakeClient()
        run = bench.run(single_turn(1), bench.endpoint(FakeClient))
        engine = self.start(client, results, host)
        engine.submit(jobs_of(run))
        host.run(asyncio.sleep(0.01))
        assert client.in_flight == 1
        engine.cancel()
        assert engine.in_flight == 0
        assert engine.tear_down([run.environment]) == []
        engine.close()
        engine.close()

        assert results.empty()
        assert client.closed_on == [host.loop]


def test_it_leaves_no_thread_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    host = ForegroundLoop()
    assert host.run(asyncio.to_thread(threading.current_thread)) is not threading.main_thread()
    host.close(nothing, 1.0)
    for thread in threading.enumerate():
        if thread.name.startswith("ThreadPoolExecutor"):
            thread.join(10)
    assert threading.active_count() <= before
