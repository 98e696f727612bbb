from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from pytest_evals.clients.request_slots import Fixed, RequestSlots
from pytest_evals.clients.retries import Failure, GiveUp, Retries, RetryPolicy, decide, retry_after
from pytest_evals.errors import Error, ModelError, OverlongPromptError, RejectedError
from pytest_evals.messages import Message, Response

POLICY = RetryPolicy()
DOWN = Failure(ModelError("down"), retried=True)
BUSY = Failure(ModelError("busy"), retried=True, alive=True)
FULL = Failure(ModelError("full"), retried=True, refused=True)


def decision(
    failure: Failure = BUSY,
    *,
    requests: int = 1,
    elapsed: float = 0.0,
    proven: bool = True,
    draw: float = 0.0,
) -> float | GiveUp:
    return decide(POLICY, failure, requests=requests, elapsed=elapsed, proven=proven, draw=draw)


def asking_to_wait(seconds: float) -> Failure:
    return Failure(ModelError("busy"), retried=True, retry_after=seconds)


def test_waits_double_up_to_a_cap() -> None:
    waits = [decision(requests=count) for count in range(1, 8)]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0]


def test_jitter_spreads_a_wait_over_its_upper_half() -> None:
    assert decision(requests=3, draw=0.0) == 1.0
    assert decision(requests=3, draw=0.5) == 1.5


def test_retries_are_counted() -> None:
    assert not isinstance(decision(requests=7), GiveUp)
    assert decision(requests=8) == GiveUp("gave up after 8 requests")


def test_a_server_that_never_answered_gets_few_retries() -> None:
    assert not isinstance(decision(DOWN, requests=2, proven=False), GiveUp)
    assert decision(DOWN, requests=3, proven=False) == GiveUp("gave up after 3 requests")


def test_what_cannot_succeed_is_not_tried_again() -> None:
    assert decision(Failure(RejectedError("no"))) == GiveUp()


def test_retry_after_is_honoured_with_a_little_jitter() -> None:
    assert decision(asking_to_wait(7)) == 7.0
    assert decision(asking_to_wait(7), draw=0.5) == 7.25
    assert decision(asking_to_wait(0), draw=0.0) == 0.25


def test_a_long_retry_after_is_not_waited_for() -> None:
    assert decision(asking_to_wait(120)) == 120.0
    given_up = decision(asking_to_wait(3600))
    assert given_up == GiveUp("the server asks to wait 3600 s: not waited for")


def test_no_retry_starts_after_the_total_time() -> None:
    assert decision(elapsed=299.0) == 0.25
    assert decision(elapsed=299.9) == GiveUp("gave up after 1 request in 300 s")
    assert isinstance(decision(asking_to_wait(100), elapsed=250.0), GiveUp)


NOW = datetime(2030, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after-ms": "soon", "retry-after": "9"}, 9.0),
        ({"retry-after": format_datetime(datetime(2030, 1, 1, 0, 0, 30, tzinfo=UTC))}, 30.0),
        ({"retry-after": "Tue, 01 Jan 2030 00:00:30 GMT"}, 30.0),
        ({"retry-after": "Tue, 01 Jan 2030 00:00:30 -0000"}, 30.0),
        ({"retry-after": "Tue, 01 Jan 2019 00:00:30 GMT"}, 0.0),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "Tue, 99 Jan 2030 00:00:30 GMT"}, None),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, NOW) == seconds


class Rehearsal:
    """A client's loop over given outcomes, in simulated time."""

    def __init__(self, *outcomes: Response | Failure, policy: RetryPolicy = POLICY) -> None:
        self.outcomes: Iterator[Response | Failure] = iter(outcomes)
        self.now = 0.0
        self.waits: list[float] = []
        self.retries = Retries(policy, sleep=self.sleep, clock=lambda: self.now, draw=lambda: 0.0)

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds

    async def send(self) -> Response | Failure:
        return next(self.outcomes)

    async def run(self) -> Response:
        return await self.retries.run(self.send)


def answered() -> Response:
    return Response(Message(role="assistant", content="42"))


async def test_a_response_counts_the_requests_it_took() -> None:
    rehearsal = Rehearsal(BUSY, BUSY, answered())
    assert (await rehearsal.run()).requests == 3
    assert rehearsal.waits == [0.25, 0.5]


async def test_the_last_error_says_why_there_was_no_other_try() -> None:
    cause = OSError("refused")
    error = ModelError("cannot connect")
    error.__cause__ = cause
    rehearsal = Rehearsal(*[Failure(error, retried=True)] * 3)
    with pytest.raises(
        ModelError, match=r"^cannot connect \(gave up after 3 requests\)$"
    ) as caught:
        await rehearsal.run()
    assert caught.value.requests == 3
    assert caught.value.__cause__ is cause


@pytest.mark.parametrize("error", [RejectedError("no"), OverlongPromptError("long")])
async def test_an_error_that_is_final_is_raised_as_it_is(error: Error) -> None:
    rehearsal = Rehearsal(Failure(error))
    with pytest.raises(type(error)) as caught:
        await rehearsal.run()
    assert caught.value is error
    assert rehearsal.waits == []


async def test_once_answered_an_endpoint_is_tried_longer() -> None:
    rehearsal = Rehearsal(answered(), *[DOWN] * 7, answered())
    await rehearsal.run()
    assert (await rehearsal.run()).requests == 8


async def test_a_conflict_shows_that_the_server_is_up() -> None:
    rehearsal = Rehearsal(*[BUSY] * 7, answered())
    assert (await rehearsal.run()).requests == 8


async def test_a_server_that_only_refuses_is_soon_given_up() -> None:
    rehearsal = Rehearsal(*[FULL] * 9)
    with pytest.raises(ModelError, match=r"^full \(gave up after 4 requests\)$"):
        await rehearsal.run()
    rehearsal = Rehearsal(answered(), *[FULL] * 7, answered())
    await rehearsal.run()
    assert (await rehearsal.run()).requests == 8


async def test_after_one_was_given_up_the_others_that_were_refused_are_too() -> None:
    sent: list[int] = []
    retries = Retries(POLICY, sleep=lambda _: asyncio.sleep(0), draw=lambda: 0.0)

    def sender(number: int) -> Callable[[], Awaitable[Failure]]:
        async def send() -> Failure:
            sent.append(number)
            return FULL

        return send

    outcomes = await asyncio.gather(
        *(retries.run(sender(number)) for number in range(32)), return_exceptions=True
    )
    assert all(isinstance(outcome, ModelError) for outcome in outcomes)
    assert set(sent) == set(range(32))
    assert len(sent) < 4 * 32
    assert any("as all others were refused too" in str(outcome) for outcome in outcomes)


async def test_refusals_are_waited_out_while_a_slow_server_seems_to_serve() -> None:
    may_answer = asyncio.Event()
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds
        await asyncio.sleep(0)

    slots = RequestSlots(Fixed(), None)
    retries = Retries(POLICY, slots, sleep=sleep, clock=lambda: now[0], draw=lambda: 0.0)

    async def slow() -> Response:
        await may_answer.wait()
        return answered()

    refusals = iter([*[FULL] * 6])

    async def refused() -> Response | Failure:
        outcome = next(refusals, None)
        return answered() if outcome is None else outcome

    serving = asyncio.create_task(retries.run(slow))
    await asyncio.sleep(0)
    assert (await retries.run(refused)).requests == 7
    may_answer.set()
    await serving


async def test_the_clock_bounds_a_request_that_keeps_being_put_off() -> None:
    rehearsal = Rehearsal(*[asking_to_wait(90)] * 9, policy=RetryPolicy(retries_unproven=7))
    with pytest.raises(ModelError, match=r"gave up after 4 requests in 270 s"):
        await rehearsal.run()
