from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from pytest_evals.clients.adaptive_limit import AdaptiveLimit
from pytest_evals.clients.request_slots import RequestSlots, own_slots
from pytest_evals.clients.retries import Failure, Retries, RetryPolicy
from pytest_evals.errors import ModelError
from pytest_evals.messages import Message, Response

NO_WAIT = RetryPolicy(first_wait=0.0)


def refused(pause: float | None = None) -> Failure:
    error = ModelError("too many")
    return Failure(error, retried=True, retry_after=pause, alive=True, refused=True)


class Server:
    """Answers `capacity` requests at once and refuses the others; each takes until `step`."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.in_flight = self.peak = self.refused = self.sent = 0
        self._turn = asyncio.Event()

    async def send(self) -> Response | Failure:
        self.sent += 1
        if self.in_flight >= self.capacity:
            self.refused += 1
            return refused()
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        await self._turn.wait()
        self.in_flight -= 1
        return Response(Message(role="assistant", content="42"))

    async def serve(self, tasks: list[asyncio.Task[Response]]) -> None:
        while not all(task.done() for task in tasks):
            for _ in range(5):
                await asyncio.sleep(0)
            self._turn.set()
            self._turn = asyncio.Event()


async def asked(server: Server, slots: RequestSlots, count: int) -> list[Response | BaseException]:
    retries = Retries(RetryPolicy(first_wait=0.0, retries=50), slots)
    tasks = [asyncio.create_task(retries.run(server.send)) for _ in range(count)]
    await server.serve(tasks)
    return await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_server_that_refuses_too_many_is_refused_few() -> None:
    server = Server(capacity=32)
    slots = own_slots(AdaptiveLimit(16))
    answers = await asked(server, slots, 2000)
    assert all(isinstance(answer, Response) for answer in answers)
    assert server.refused < 40
    assert slots.in_flight == slots.waiting == 0


async def test_a_server_that_refuses_none_is_soon_asked_all_at_once() -> None:
    server = Server(capacity=10_000)
    await asked(server, own_slots(AdaptiveLimit(16)), 2000)
    assert server.peak > 512


async def test_no_more_than_the_limit_are_in_flight() -> None:
    server = Server(capacity=10_000)

    class Still(AdaptiveLimit):
        def answered(self, count: int, now: float) -> None:
            pass

    await asked(server, own_slots(Still(7)), 100)
    assert server.peak == 7


async def test_those_that_are_tried_again_come_first() -> None:
    slots = RequestSlots(own_slots(AdaptiveLimit(1))._governor, 0)
    order: list[str] = []

    async def one(name: str, *, first: bool) -> None:
        await slots.wait(first=first)
        order.append(name)

    tasks = [asyncio.create_task(one(name, first=name == "again")) for name in ("a", "b", "again")]
    await asyncio.sleep(0)
    slots.go_by(3, 0)
    await asyncio.gather(*tasks)
    assert order == ["again", "a", "b"]


async def test_one_that_is_cancelled_while_it_waits_leaves_no_trace() -> None:
    slots = own_slots(AdaptiveLimit(1))
    assert slots.take()
    waiting = asyncio.create_task(slots.wait(first=False))
    next_one = asyncio.create_task(slots.wait(first=False))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    assert slots.waiting == 1
    slots.give_back()
    await next_one
    assert slots.in_flight == 1


async def test_one_that_is_cancelled_as_its_turn_comes_gives_it_on() -> None:
    slots = own_slots(AdaptiveLimit(1))
    assert slots.take()
    waiting = asyncio.create_task(slots.wait(first=False))
    next_one = asyncio.create_task(slots.wait(first=False))
    await asyncio.sleep(0)
    slots.give_back()  # the turn of the first, which does not know yet
    waiting.cancel()
    await next_one
    assert waiting.cancelled()
    assert slots.in_flight == 1


async def test_one_in_flight_and_one_that_waits_are_cancelled_at_once() -> None:
    slots = own_slots(AdaptiveLimit(1))

    async def one() -> None:
        await slots.wait(first=False)
        try:
            await asyncio.Event().wait()
        finally:
            slots.give_back()

    tasks = [asyncio.create_task(one()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in tasks[:2]:
        task.cancel()
    await asyncio.wait(tasks[:2])
    assert [task.cancelled() for task in tasks[:2]] == [True, True]
    await asyncio.sleep(0)
    assert (slots.in_flight, slots.waiting) == (1, 0), "the third has its turn"
    tasks[2].cancel()
    await asyncio.wait(tasks)
    assert slots.in_flight == 0


async def test_a_request_that_raises_gives_its_slot_back() -> None:
    slots = own_slots(AdaptiveLimit(1))

    async def broken() -> Response:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        await Retries(NO_WAIT, slots).run(broken)
    assert slots.take()


async def test_nothing_starts_during_the_pause_that_the_server_asks_for() -> None:
    loop = asyncio.get_running_loop()
    slots = own_slots(AdaptiveLimit(8))
    began = loop.time()
    assert [slots.take() for _ in range(5)] == [True] * 5
    slots.refused(0, 0.05)
    for _ in range(4):
        slots.give_back()
    assert not slots.take()
    await asyncio.gather(*[slots.wait(first=False) for _ in range(4)])
    assert loop.time() - began >= 0.045


async def test_the_wait_for_a_turn_does_not_use_up_the_time_for_retries() -> None:
    now = 0.0
    slots = RequestSlots(own_slots(AdaptiveLimit(None))._governor, 0)
    outcomes: Iterator[Response | Failure] = iter(
        [refused(), Response(Message(role="assistant", content="42"))]
    )

    async def send() -> Response | Failure:
        return next(outcomes)

    async def sleep(seconds: float) -> None:
        pass

    retries = Retries(
        RetryPolicy(total=10.0), slots, sleep=sleep, clock=lambda: now, draw=lambda: 0.0
    )
    task = asyncio.create_task(retries.run(send))
    await asyncio.sleep(0)
    now = 10_000.0
    slots.go_by(4, 0)
    assert (await task).requests == 2
