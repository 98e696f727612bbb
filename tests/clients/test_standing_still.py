from __future__ import annotations

import asyncio

import pytest

from pytest_evals import Rubric, SingleTurnEnv
from pytest_evals.clients.standing_still import Counted, PausableTimeout, StandingStill
from pytest_evals.engine.time_limit import TimeLimit
from pytest_evals.messages import Message, Response

EXAMPLE = {"example_id": 0, "prompt": [{"role": "user", "content": "hi"}], "answer": ""}


class Waiting:
    """A client that waits for its provider, then answers after a while."""

    def __init__(self, *, waits: float, answers_after: float = 0.0) -> None:
        self.waits, self.answers_after = waits, answers_after

    async def get_response(self, *_: object, **__: object) -> Response:
        with StandingStill():
            await asyncio.sleep(self.waits)
        await asyncio.sleep(self.answers_after)
        return Response(Message(role="assistant", content="42"))

    async def close(self) -> None:
        pass


def environment(seconds: float) -> SingleTurnEnv:
    env = SingleTurnEnv(dataset=[{"question": "hi"}], rubric=Rubric())
    env.set_kwargs(timeout_seconds=seconds)
    return env


async def test_waiting_for_the_provider_is_not_time_of_the_rollout() -> None:
    # Half a second, as a busy machine may take a part of it for itself.
    state = await environment(0.5).rollout(EXAMPLE, Waiting(waits=0.6), "m", {})
    assert not state.get("timed_out")
    assert len(state.trajectory) == 1


async def test_waiting_for_the_answer_is() -> None:
    slow = Waiting(waits=0.01, answers_after=30)
    state = await environment(0.05).rollout(EXAMPLE, slow, "m", {})
    assert state["timed_out"]
    assert state["stop_condition"] == "timeout_reached"


async def test_what_was_left_of_a_limit_is_left_after_the_wait() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1) as timeout:
            with Counted(PausableTimeout(timeout)):
                await asyncio.sleep(0.05)
                with StandingStill():
                    await asyncio.sleep(0.2)
                await asyncio.sleep(30)
    assert 0.29 <= loop.time() - began < 5


async def test_waits_of_several_requests_may_overlap() -> None:
    async def wait(seconds: float) -> None:
        with StandingStill():
            await asyncio.sleep(seconds)

    async with asyncio.timeout(0.5) as timeout:
        with Counted(PausableTimeout(timeout)):
            await asyncio.gather(wait(0.1), wait(0.7))
    assert not timeout.expired()


async def test_a_task_that_outlives_its_rollout_moves_no_limit() -> None:
    go_on = asyncio.Event()

    async def wait() -> None:
        with StandingStill():
            await go_on.wait()

    async with asyncio.timeout(5) as timeout:
        with Counted(PausableTimeout(timeout)):
            task = asyncio.create_task(wait())
            await asyncio.sleep(0)
    limit = TimeLimit(5)
    with limit:
        other = asyncio.create_task(wait())
        await asyncio.sleep(0)
    go_on.set()
    await asyncio.gather(task, other)
    assert not limit.has_expired


async def test_the_engines_own_limit_stands_still() -> None:
    limit = TimeLimit(0.05)
    with limit:
        with StandingStill(), StandingStill():
            await asyncio.sleep(0.15)
        await asyncio.sleep(0)
    assert not limit.has_expired


async def test_and_runs_out_afterwards() -> None:
    limit = TimeLimit(0.05)
    with pytest.raises(TimeoutError), limit:
        with StandingStill():
            await asyncio.sleep(0.1)
        await asyncio.sleep(30)
    assert limit.has_expired
