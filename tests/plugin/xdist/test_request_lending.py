from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_evals.clients.adaptive_limit import START
from pytest_evals.clients.request_slots import RequestSlots
from pytest_evals.demo.server import DemoServer
from pytest_evals.endpoints.endpoint import Endpoint
from pytest_evals.plugin.xdist.request_lending import RequestBorrower, RequestLender

from ..conftest import Project

REMOTE = Endpoint("m", "https://api.example/v1", "KEY", "")
LOCAL = Endpoint("m", "http://127.0.0.1:1/v1", None, "")


class Worker:
    """A worker whose messages arrive soon and in order, and its node at the controller."""

    def __init__(self, name: str, lender: RequestLender) -> None:
        self.gateway = SimpleNamespace(id=name)
        self._lender = lender
        self.borrower = RequestBorrower(self)  # type: ignore[arg-type]

    def send(self, name: str, news: dict[str, Any]) -> None:
        assert name == "requests"
        asyncio.get_running_loop().call_soon(self._lender.heard, self, news)


def crew(count: int) -> tuple[RequestLender, list[Worker]]:
    def tell(node: Worker, name: str, **grant: Any) -> None:
        assert name == "request_limit"
        node.borrower.granted(grant)

    lender = RequestLender(tell)
    workers = [Worker(f"gw{number}", lender) for number in range(count)]
    lender.join(workers)
    return lender, workers


async def held(slots: RequestSlots, requests: int, hold: asyncio.Event) -> None:
    async def one() -> None:
        await slots.wait(first=False)
        await hold.wait()
        slots.answered()

    await asyncio.gather(*[one() for _ in range(requests)])


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- it depends on many things
            await asyncio.sleep(0.005)


async def test_workers_share_what_an_endpoint_begins_with() -> None:
    _, workers = crew(2)
    every = [worker.borrower.slots_of(REMOTE) for worker in workers]
    assert [slots.limit for slots in every] == [0, 0]
    hold = asyncio.Event()
    tasks = [asyncio.create_task(held(slots, 40, hold)) for slots in every]
    await until(lambda: sum(slots.in_flight for slots in every) == START)
    await asyncio.sleep(0.1)
    assert [slots.in_flight for slots in every] == [START // 2] * 2
    hold.set()
    await asyncio.gather(*tasks)


async def test_a_refusal_in_one_worker_makes_the_limit_of_all_smaller() -> None:
    lender, workers = crew(2)
    every = [worker.borrower.slots_of(REMOTE) for worker in workers]
    hold = asyncio.Event()
    tasks = [asyncio.create_task(held(slots, 40, hold)) for slots in every]
    await until(lambda: sum(slots.in_flight for slots in every) == START)
    every[0].refused(0, 0.3)
    await until(lambda: every[1].epoch == 1)
    await until(lambda: [slots.limit for slots in every] == [6, 6])
    assert lender.held_back()[0].endswith("down to 12 in flight there, 12 at the end")
    every[1].give_back()
    assert not every[1].take(), "the pause is for all workers"
    every[1].in_flight += 1
    every[0].in_flight += 1
    hold.set()
    await asyncio.gather(*tasks)


async def test_a_server_of_ones_own_costs_no_message_until_it_refuses() -> None:
    lender, workers = crew(2)
    one, other = (worker.borrower.slots_of(LOCAL) for worker in workers)
    for _ in range(100):
        assert one.take()
        assert other.take()
    for _ in range(50):
        one.answered()
    await asyncio.sleep(0.05)
    assert lender.held_back() == []
    one.refused(0, None)
    await until(lambda: other.limit is not None)
    assert (one.limit or 0) + (other.limit or 0) <= START


async def test_what_a_worker_that_died_had_goes_to_the_others() -> None:
    lender, workers = crew(2)
    every = [worker.borrower.slots_of(REMOTE) for worker in workers]
    hold = asyncio.Event()
    tasks = [asyncio.create_task(held(slots, 40, hold)) for slots in every]
    await until(lambda: sum(slots.in_flight for slots in every) == START)
    lender.leave(workers[0])
    tasks[0].cancel()
    await until(lambda: every[1].in_flight == START)
    newcomer = Worker("gw2", lender)
    lender.join([newcomer])
    slots = newcomer.borrower.slots_of(REMOTE)
    tasks[0] = asyncio.create_task(held(slots, 4, hold))
    hold.set()
    await asyncio.gather(*tasks)


@pytest.mark.parametrize("busy", [0, 1])
async def test_a_worker_that_asks_for_nothing_keeps_no_slot(busy: int) -> None:
    lender, workers = crew(2)
    slots = workers[busy].borrower.fixed_slots("scoring", 1)
    done = asyncio.Event()
    done.set()
    async with asyncio.timeout(10):
        for _ in range(3):
            await held(slots, 2, done)
            await asyncio.sleep(0.05)  # without demand, which is told
        lender.leave(workers[1 - busy])
        newcomer = Worker("gw2", lender)
        lender.join([newcomer])
        await held(slots, 2, done)
        await held(newcomer.borrower.fixed_slots("scoring", 1), 2, done)
        await held(slots, 2, done)


async def test_the_workers_together_never_exceed_the_limit() -> None:
    draw = random.Random(5)
    _, workers = crew(3)
    every = [worker.borrower.slots_of(REMOTE) for worker in workers]
    capacity, in_flight, refused = 20, 0, 0

    async def one(slots: RequestSlots) -> None:
        nonlocal in_flight, refused
        for attempt in range(200):
            if not slots.take():
                await slots.wait(first=attempt > 0)
            epoch = slots.epoch
            if in_flight >= capacity:
                refused += 1
                slots.refused(epoch, None)
                await asyncio.sleep(0.1 + draw.random() / 10)
                continue
            in_flight += 1
            await asyncio.sleep(0.02 + draw.random() / 50)
            in_flight -= 1
            slots.answered()
            return
        raise AssertionError("refused 200 times")

    async with asyncio.timeout(30):
        await asyncio.gather(*[one(draw.choice(every)) for _ in range(600)])
    assert refused < 60
    assert all(slots.in_flight == slots.waiting == 0 for slots in every)


EVAL = """
    max_concurrent = 64

    [[eval]]
    env_id = "sums"
    env_args = { examples = 150 }
    num_examples = -1
    rollouts_per_example = 1
    gates = ["reward >= 0.1"]
"""


def test_a_provider_that_refuses_too_many_is_told_and_loses_nothing(project: Project) -> None:
    with DemoServer(latency=0.05, capacity=10) as server:
        project.evals(EVAL, url=server.url)
        result = project.run("bench.toml", "-n2")

    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(
        ["*demo-small at http://127.0.0.1:*/v1 held the run back: * refused as too many; down to *"]
    )
    assert server.requests == 150 + server.refused
    assert len(project.rows()) == 150


def test_in_one_process(project: Project) -> None:
    with DemoServer(latency=0.05, capacity=10) as server:
        project.evals(EVAL, url=server.url)
        result = project.run("bench.toml")

    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(["*held the run back: * refused as too many; down to *"])
    assert server.requests == 150 + server.refused
    assert server.refused < 100
