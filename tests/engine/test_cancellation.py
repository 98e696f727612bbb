"""Ending early: what is in flight stops, nothing starts, nothing hangs and nothing is said."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.clients.factory import make_client
from pytest_evals.demo.model import MODELS
from pytest_evals.demo.server import DemoServer
from pytest_evals.endpoints.endpoint import Endpoint
from pytest_evals.engine import clients as engine_clients
from pytest_evals.engine import loop as loop_module
from pytest_evals.engine import shutdown as shutdown_module
from pytest_evals.engine.engine import Engine
from pytest_evals.engine.loop import LoopThread
from pytest_evals.engine.rollouts import RolloutResult
from pytest_evals.errors import ModelError
from pytest_evals.state import State

from .bench import (
    PATIENCE,
    Bench,
    FakeClient,
    Scripted,
    Signal,
    agreeable,
    jobs_of,
    rows_of,
    single_turn,
)


class TestCancel:
    def test_ends_what_is_in_flight_at_once(self, bench: Bench) -> None:
        ended: list[str] = []

        async def step(state: State) -> State:
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            finally:
                ended.append("cleaned up")
            return state

        entered = Signal()
        run = bench.run(Scripted(step), bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start(limit=1)
        engine.submit(jobs_of(run))
        entered.wait()
        start = time.monotonic()
        engine.cancel()

        assert time.monotonic() - start < 1.0
        assert ended == ["cancelled", "cleaned up"]
        assert engine.in_flight == 0
        assert bench.results.empty()
        assert rows_of(run) == []

    def test_starts_nothing_that_waits(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(5), bench.endpoint(lambda: client))
        engine = bench.start(limit=2)
        engine.submit(jobs_of(run))
        client.take_all(2)
        engine.cancel()
        engine.close()

        assert len(client.asked) == 2
        assert bench.results.empty()

    def test_lets_nothing_be_submitted(self, bench: Bench) -> None:
        client = FakeClient(agreeable)
        run = bench.run(single_turn(2), bench.endpoint(lambda: client))
        engine = bench.start()
        engine.cancel()
        engine.submit(jobs_of(run))
        engine.close()
        engine.submit(jobs_of(run))

        assert client.asked == []
        assert bench.results.empty()

    def test_ends_scoring(self, bench: Bench) -> None:
        async def reward() -> float:
            entered.set()
            await asyncio.Event().wait()
            return 1.0

        entered = Signal()
        run = bench.run(single_turn(1, reward), bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start()
        engine.submit(jobs_of(run))
        entered.wait()
        engine.cancel()

        assert engine.in_flight == 0
        assert bench.results.empty()
        assert [row["state"] for row in rows_of(run)] == ["generated"]  # only scored on resume

    def test_ends_the_scoring_of_groups(self, bench: Bench) -> None:
        async def reward(completions: list[Any]) -> list[float]:
            entered.set()
            await asyncio.Event().wait()
            return [1.0 for _ in completions]

        entered = Signal()
        endpoint = bench.endpoint(lambda: FakeClient(agreeable))
        run = bench.run(single_turn(1, reward), endpoint, rollouts_per_example=3)
        engine = bench.start()
        engine.submit(jobs_of(run))
        entered.wait()
        engine.cancel()

        assert bench.results.empty()
        assert [row["state"] for row in rows_of(run)] == ["generated"] * 3

    def test_before_anything_was_submitted(self, bench: Bench) -> None:
        engine = bench.start()
        engine.cancel()
        engine.cancel()
        engine.close()

        assert engine.in_flight == 0
        assert bench.results.empty()

    @pytest.mark.parametrize("kind", [ValueError, ModelError, SystemExit, GeneratorExit])
    def test_hears_nothing_of_rollouts_that_fail_at_it(
        self, bench: Bench, kind: type[BaseException]
    ) -> None:
        async def step(state: State) -> State:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                # Made here: one that outlives the test would keep its task from being collected.
                raise kind("while cleaning up")
            return state

        entered = Signal()
        run = bench.run(Scripted(step), bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start(limit=1)
        engine.submit(jobs_of(run))
        entered.wait()
        engine.cancel()

        assert bench.results.empty()
        assert engine.in_flight == 0
        del engine
        bench.close()
        bench.engines.clear()
        gc.collect()  # the fixture sees what asyncio says of it

    def test_keeps_withheld_failures_to_itself(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(2), bench.endpoint(lambda: client))
        engine = bench.start()
        engine.submit(jobs_of(run))
        client.take_all(2)["q0"].fail(ModelError("reset"))
        bench.settle()
        engine.cancel()

        assert bench.results.empty()
        assert rows_of(run) == []  # missing: resume asks again


class TestStubbornRollout:
    """One that swallows its cancellation."""

    @pytest.mark.parametrize("times", [1, 1000])
    def test_hangs_nothing(self, bench: Bench, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        for module in (shutdown_module, loop_module):
            monkeypatch.setattr(module, "_CANCEL_SECONDS", 0.05)

        async def step(state: State) -> State:
            entered.set()
            for _ in range(times):
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    swallowed.append(1)
            return state

        entered = Signal()
        swallowed: list[int] = []
        run = bench.run(Scripted(step), bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start(limit=1)
        engine.submit(jobs_of(run))
        entered.wait()
        start = time.monotonic()
        engine.close()

        assert time.monotonic() - start < 1.0
        assert swallowed
        assert isinstance(engine._host, LoopThread)
        assert not engine._host._thread.is_alive()
        assert engine._host.loop.is_closed()
        assert bench.results.empty()  # nobody waits for it any more
        del engine
        bench.engines.clear()
        gc.collect()  # the fixture sees what asyncio says of it
        assert bench.results.empty()

    def test_is_not_scored_any_more(self, bench: Bench) -> None:
        async def step(state: State) -> State:
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return state
            return state

        def reward() -> float:
            scored.append(1)
            return 1.0

        entered = Signal()
        scored: list[int] = []
        environment = Scripted(step)
        environment.rubric.add_reward_func(reward)
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start()
        engine.submit(jobs_of(run)[:1])
        entered.wait()
        engine.cancel()

        assert scored == []
        assert [row["state"] for row in rows_of(run)] == ["generated"]


class TestBlockedLoop:
    def test_is_left_to_itself(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("_CANCEL_SECONDS", "_BLOCKED_SECONDS"):
            monkeypatch.setattr(shutdown_module, name, 0.05)
        release, entered = threading.Event(), threading.Event()

        def step(state: State) -> State:
            entered.set()
            assert release.wait(PATIENCE)  # as time.sleep() would
            return state

        client = FakeClient(agreeable)
        run = bench.run(Scripted(step), bench.endpoint(lambda: client))
        engine = bench.start()
        engine.submit(jobs_of(run))
        assert entered.wait(PATIENCE)
        start = time.monotonic()
        try:
            engine.cancel()
            engine.close()
            took = time.monotonic() - start
            assert isinstance(engine._host, LoopThread)
            thread = engine._host._thread
            assert thread.is_alive() and thread.daemon
        finally:
            release.set()
        thread.join(PATIENCE)

        assert took < 1.0
        assert not thread.is_alive()  # once it is free it ends by itself
        assert client.closed_on == [engine._host.loop]


class TestClients:
    def test_are_closed_once_on_the_loop_they_were_used_on(self, bench: Bench) -> None:
        clients = [FakeClient(agreeable), FakeClient(agreeable)]
        endpoints = [
            bench.endpoint(lambda: clients[0], "a"),
            bench.endpoint(lambda: clients[1], "b"),
        ]
        runs = [bench.run(single_turn(3), endpoint) for endpoint in endpoints]
        engine = bench.start()
        engine.submit([job for run in runs for job in jobs_of(run)])
        bench.take_all(6)
        assert [client.closed_on for client in clients] == [[], []]
        engine.cancel()
        assert [client.closed_on for client in clients] == [[], []]
        engine.close()
        engine.close()

        loop = engine._host.loop
        for client in clients:
            assert client.closed_on == [loop]
            assert set(client.loops) == {loop}

    @pytest.mark.parametrize(
        "error", [ValueError("a bug"), asyncio.CancelledError(), SystemExit(3)], ids=repr
    )
    def test_are_closed_although_one_fails_to(self, bench: Bench, error: BaseException) -> None:
        class Failing(FakeClient):
            async def close(self) -> None:
                raise error

        last = FakeClient(agreeable)
        self.use_two(bench, Failing(agreeable), last)
        engine = bench.engines[0]
        engine.close()

        assert last.closed_on == [engine._host.loop]
        assert engine._host.loop.is_closed()

    def test_are_closed_although_one_does_not_end(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(engine_clients, "_CLOSE_SECONDS", 0.05)

        class Hanging(FakeClient):
            async def close(self) -> None:
                await asyncio.Event().wait()

        last = FakeClient(agreeable)
        self.use_two(bench, Hanging(agreeable), last)
        engine = bench.engines[0]
        engine.close()

        assert last.closed_on == [engine._host.loop]
        assert engine._host.loop.is_closed()

    def use_two(self, bench: Bench, first: FakeClient, last: FakeClient) -> None:
        endpoints = [bench.endpoint(lambda: first, "a"), bench.endpoint(lambda: last, "b")]
        jobs = [job for e in endpoints for job in jobs_of(bench.run(single_turn(1), e))]
        bench.start().submit(jobs)
        assert {result.outcome for result in bench.take_all(2)} == {"scored"}

    def test_are_closed_after_the_rollouts_have_ended(self, bench: Bench) -> None:
        events: list[str] = []

        class Noting(FakeClient):
            async def close(self) -> None:
                events.append("closed")

        async def step(state: State) -> State:
            entered.set()
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                events.append("ended")
            return state

        entered = Signal()
        run = bench.run(Scripted(step), bench.endpoint(lambda: Noting(agreeable)))
        engine = bench.start(limit=1)
        engine.submit(jobs_of(run))
        entered.wait()
        engine.close()

        assert events == ["ended", "closed"]

    def test_of_a_real_server_leave_nothing_open(self, bench: Bench) -> None:
        """Over HTTP, cancelled in the middle: an open socket or session would warn."""
        with DemoServer(latency=0.02) as server:
            endpoint = Endpoint(
                model=next(iter(MODELS)), url=server.url, key_var=None, label="demo"
            )
            run = bench.run(single_turn(40), endpoint)
            first = Signal()

            def deliver(result: RolloutResult) -> None:
                bench.results.put(result)
                if not first.is_set:
                    first.set()

            engine = Engine(limit=8, make_client=lambda e: make_client(e, None), deliver=deliver)
            bench.engines.append(engine)
            engine.submit(jobs_of(run))
            first.wait()
            engine.close()
        del engine
        bench.engines.clear()
        gc.collect()

        ended = [bench.take() for _ in range(bench.results.qsize())]
        assert {result.outcome for result in ended} == {"scored"}
        assert len(ended) < 40


class TestConnect:
    def test_makes_the_client_before_the_first_rollout(self, bench: Bench) -> None:
        made: list[asyncio.AbstractEventLoop] = []

        def make() -> FakeClient:
            made.append(asyncio.get_running_loop())
            return FakeClient(agreeable)

        endpoint = bench.endpoint(make)
        engine = bench.start()
        engine.connect(endpoint)
        assert made == [engine._host.loop]
        engine.submit(jobs_of(bench.run(single_turn(2), endpoint)))
        bench.take_all(2)

        assert len(made) == 1

    def test_gives_up_an_endpoint_whose_client_cannot_be_made(self, bench: Bench) -> None:
        def make() -> FakeClient:
            raise ValueError("no such wire format")

        endpoint = bench.endpoint(make)
        engine = bench.start()
        engine.connect(endpoint)
        engine.submit(jobs_of(bench.run(single_turn(2), endpoint)))

        assert {str(result.error) for result in bench.take_all(2)} == {"no such wire format"}


class TestLoopThread:
    @staticmethod
    async def nothing() -> None:
        pass

    def test_runs_work_on_its_own_thread(self) -> None:
        thread = LoopThread("engine-test")

        async def where() -> str:
            return threading.current_thread().name

        try:
            assert thread.run(where(), timeout=PATIENCE) == "engine-test"
        finally:
            assert thread.close(self.nothing, timeout=PATIENCE)
        assert thread.loop.is_closed()

    def test_passes_errors_on(self) -> None:
        thread = LoopThread("engine-test")

        async def fails() -> None:
            raise ValueError("of the work")

        try:
            with pytest.raises(ValueError, match="of the work"):
                thread.run(fails(), timeout=PATIENCE)
        finally:
            thread.close(self.nothing, timeout=PATIENCE)

    def test_gives_up_waiting(self) -> None:
        thread = LoopThread("engine-test")

        async def endless() -> None:
            await asyncio.Event().wait()

        with pytest.raises(TimeoutError):
            thread.run(endless(), timeout=0.0)
        assert thread.close(self.nothing, timeout=PATIENCE)

    def test_ends_what_user_code_left_before_it_finishes(self) -> None:
        thread = LoopThread("engine-test")
        events: list[str] = []

        async def background() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                events.append("ended")

        async def leave() -> asyncio.Task[None]:
            task = asyncio.create_task(background())
            await asyncio.sleep(0)
            return task

        async def finish() -> None:
            events.append("finished")

        task = thread.run(leave(), timeout=PATIENCE)
        assert thread.close(finish, timeout=PATIENCE)
        assert task.cancelled()
        assert events == ["ended", "finished"]

    def test_survives_what_ends_a_loop(self) -> None:
        thread = LoopThread("engine-test")

        async def exits() -> None:
            raise SystemExit(3)

        with pytest.raises(SystemExit):
            thread.run(exits(), timeout=PATIENCE)
        thread.call_soon(thread.loop.stop)
        thread.run(self.nothing(), timeout=PATIENCE)
        assert thread.close(self.nothing, timeout=PATIENCE)

    def test_closing_twice_is_once(self) -> None:
        thread = LoopThread("engine-test")
        finished: list[int] = []

        async def finish() -> None:
            finished.append(1)

        assert thread.close(finish, timeout=PATIENCE)
        assert thread.close(finish, timeout=PATIENCE)
        assert finished == [1]

    def test_closing_while_it_closes_does_not_disturb(self) -> None:
        thread = LoopThread("engine-test")
        finishing, release, finished = Signal(), Signal(), Signal()

        async def finish() -> None:
            finishing.set()
            await release.reached()
            finished.set()

        assert not thread.close(finish, timeout=0.0)
        finishing.wait()
        assert not thread.close(finish, timeout=0.0)
        release.set()
        assert thread.close(finish, timeout=PATIENCE)
        finished.wait()


SCRIPT = """
import asyncio, tempfile, threading, time
from pathlib import Path
from tests.engine.bench import Bench, FakeClient, Scripted, agreeable, jobs_of

entered = threading.Event()

def blocks(state):
    entered.set()
    time.sleep(60)

async def swallows(state):
    entered.set()
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

async def waits(state):
    entered.set()
    await asyncio.Event().wait()

with tempfile.TemporaryDirectory() as folder:
    bench = Bench(Path(folder))
    run = bench.run(Scripted({step}, count=5), bench.endpoint(lambda: FakeClient(agreeable)))
    engine = bench.start()
    engine.submit(jobs_of(run))
    assert entered.wait(10)
    start = time.monotonic()
    engine.cancel()
    bench.close()
    assert time.monotonic() - start < 3.0
"""


@pytest.mark.parametrize("step", ["waits", "swallows", "blocks"])
def test_the_process_ends_without_a_word(step: str) -> None:
    root = Path(__file__).parents[2]
    script = textwrap.dedent(SCRIPT).replace("{step}", step)
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", script],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=30,  # half of what the blocking one sleeps
        check=False,
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
