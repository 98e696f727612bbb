"""Engines that share limits through leases, as workers do, in one process."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.engine.engine import Engine
from pytest_evals.engine.rollouts import RolloutJob
from pytest_evals.engine.slots import Demand, Limits
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.plugin.xdist import lending
from pytest_evals.plugin.xdist.leases import Grant, Key, Leases
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State
from tests.engine.bench import Bench, FakeClient, agreeable, always_one, jobs_of, questions


class Meter:
    """Counts what is in flight over all engines, by eval and in all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now: Counter[str] = Counter()
        self.peak: Counter[str] = Counter()

    def add(self, name: str, count: int) -> None:
        with self._lock:
            for each in (name, "all"):
                self.now[each] += count
                self.peak[each] = max(self.peak[each], self.now[each])


class Metered(SingleTurnEnv):
    """Is in flight from the first step of a rollout to the end of its scoring."""

    def __init__(self, name: str, count: int, meter: Meter, seconds: float = 0.002) -> None:
        async def leave() -> float:
            await asyncio.sleep(seconds)
            meter.add(name, -1)
            return 1.0

        super().__init__(dataset=questions(count), rubric=Rubric(funcs=[leave, always_one]))
        self._name, self._meter = name, meter

    async def setup_state(self, state: State) -> State:
        self._meter.add(self._name, 1)
        return state


class Shared:
    """Leases, and engines that hear of grants and tell their demand through messages."""

    def __init__(self, bench: Bench, limits: dict[Key, int]) -> None:
        self._bench = bench
        self._lock = threading.Lock()
        self._leases = Leases(limits)
        self.engines: dict[str, Engine] = {}
        self.messages = 0

    def join(self, *names: str) -> None:
        for name in names:
            engine = self._bench.start(1, partial(self._hear, name))
            engine.resize(Limits(0))
            self.engines[name] = engine
        with self._lock:
            self._send(self._leases.join(names))

    def leave(self, name: str) -> None:
        self.engines.pop(name).cancel()
        with self._lock:
            self._send(self._leases.leave(name))

    def _hear(self, name: str, demand: Demand) -> None:
        with self._lock:
            number, needs = lending.decode_demand(lending.encode_demand(demand))
            self._send(self._leases.told(name, number, needs))

    def _send(self, grants: dict[str, Grant]) -> None:
        for name, grant in grants.items():
            self.messages += 1
            if name in self.engines:
                data = lending.encode_grant(grant)
                self.engines[name].resize(lending.decode_grant(data))


@pytest.fixture
def bench(tmp_path: Path) -> Any:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def jobs(bench: Bench, name: str, count: int, meter: Meter, **fields: Any) -> list[RolloutJob]:
    endpoint = bench.endpoint(lambda: FakeClient(agreeable))
    return jobs_of(bench.run(Metered(name, count, meter), endpoint, name, **fields))


@pytest.mark.parametrize("limit", [1, 5, 16])
def test_together_they_reach_the_limit_and_never_pass_it(bench: Bench, limit: int) -> None:
    meter = Meter()
    shared = Shared(bench, {(): limit, ("a",): 3})
    shared.join("gw0", "gw1", "gw2")
    work = [*jobs(bench, "a", 40, meter, max_concurrent=3), *jobs(bench, "b", 200, meter)]

    for position, engine in enumerate(shared.engines.values()):
        engine.submit(work[position::3])

    assert {result.outcome for result in bench.take_all(240)} == {"scored"}
    assert meter.peak["all"] == limit
    assert meter.peak["a"] == min(3, limit)


def test_one_that_has_no_work_lends_its_slots(bench: Bench) -> None:
    meter = Meter()
    shared = Shared(bench, {(): 8})
    shared.join("gw0", "gw1")
    shared.engines["gw0"].submit(jobs(bench, "b", 60, meter))

    bench.take_all(60)

    assert meter.peak["all"] == 8


def test_one_that_ends_and_one_that_comes(bench: Bench) -> None:
    meter = Meter()
    shared = Shared(bench, {(): 6})
    shared.join("gw0", "gw1")
    work = jobs(bench, "b", 120, meter)
    shared.engines["gw0"].submit(work[:30])
    shared.engines["gw1"].submit(work[30:60])
    done = {result.key for result in bench.take_all(20)}

    shared.leave("gw1")
    while not bench.results.empty():
        done.add(bench.take().key)
    shared.join("gw2")
    lost = [job for job in work[30:60] if job.key not in done]
    shared.engines["gw2"].submit([*lost, *work[60:]])

    rest = bench.take_all(120 - len(done))
    assert done | {result.key for result in rest} == {job.key for job in work}


def test_nothing_is_limited_where_there_is_no_limit(bench: Bench) -> None:
    meter = Meter()
    shared = Shared(bench, {(): 0})
    shared.join("gw0", "gw1")
    work = jobs(bench, "b", 50, meter)
    for position, engine in enumerate(shared.engines.values()):
        engine.submit(work[position::2])

    bench.take_all(50)

    assert meter.peak["all"] > 32
    assert shared.messages == 2
