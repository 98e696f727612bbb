from __future__ import annotations

import asyncio
import itertools

import pytest

from pytest_evals.clients.asking import TURN
from pytest_evals.clients.replicas import ReplicatedClient
from pytest_evals.errors import ModelError, OverlongPromptError, RejectedError
from pytest_evals.messages import Message, Response


class Server:
    """Answers with its name, or raises what it is told to."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.error: Exception | None = None
        self.asked = 0
        self.hold: asyncio.Event | None = None
        self.is_closed = False

    async def get_response(self, *_: object, **__: object) -> Response:
        self.asked += 1
        if self.hold is not None:
            await self.hold.wait()
        if self.error is not None:
            raise self.error
        return Response(Message(role="assistant", content=self.name))

    async def close(self) -> None:
        self.is_closed = True


class Farm:
    """Three servers, asked by groups at a time that the test tells."""

    def __init__(self) -> None:
        self.now = 0.0
        self.servers = [Server("a"), Server("b"), Server("c")]
        self.client = ReplicatedClient(self.servers, clock=lambda: self.now)

    async def ask(self, group: int) -> str:
        TURN.set(group)
        response = await self.client.get_response([], "m", {})
        return str(response.message.content)


async def test_groups_take_turns_and_stay_where_they_are() -> None:
    farm = Farm()
    assert [await farm.ask(group) for group in (0, 1, 2, 3, 4, 0, 1)] == list("abcabab")


async def test_the_groups_of_a_server_that_fails_move_on_and_come_back() -> None:
    farm = Farm()
    farm.servers[1].error = ModelError("down")
    assert [await farm.ask(group) for group in (1, 1, 4, 0, 2)] == list("cccac")
    assert farm.servers[1].asked == 1, "it rests"
    farm.now = 4.9
    assert await farm.ask(1) == "c"
    farm.servers[1].error = None
    farm.now = 5.0
    assert await farm.ask(1) == "b"
    assert farm.servers[1].asked == 2


async def test_the_rest_grows_with_each_failure() -> None:
    farm = Farm()
    farm.servers[0].error = ModelError("down")
    times = []
    for second in range(1000):
        farm.now = float(second)
        before = farm.servers[0].asked
        await farm.ask(0)
        if farm.servers[0].asked > before:
            times.append(second)
    assert times[:6] == [0, 5, 15, 35, 75, 155]
    assert {later - earlier for earlier, later in itertools.pairwise(times[5:])} == {120}


async def test_after_a_rest_one_request_tries_it_and_the_others_go_on_elsewhere() -> None:
    farm = Farm()
    server = farm.servers[0]
    server.error = ModelError("down")
    await farm.ask(0)
    farm.now, server.error, server.hold = 6.0, None, asyncio.Event()
    trying = asyncio.create_task(farm.ask(0))
    await asyncio.sleep(0)
    assert [await farm.ask(0) for _ in range(3)] == ["b"] * 3
    server.hold.set()
    assert await trying == "a"
    assert await farm.ask(0) == "a"


async def test_one_that_is_cancelled_while_it_tries_lets_another_try() -> None:
    farm = Farm()
    server = farm.servers[0]
    server.error = ModelError("down")
    await farm.ask(0)
    farm.now, server.error, server.hold = 6.0, None, asyncio.Event()
    trying = asyncio.create_task(farm.ask(0))
    await asyncio.sleep(0)
    trying.cancel()
    await asyncio.gather(trying, return_exceptions=True)
    server.hold = None
    assert await farm.ask(0) == "a"


async def test_a_flight_that_fails_together_is_one_failure() -> None:
    farm = Farm()
    server = farm.servers[0]
    server.error, server.hold = ModelError("down"), asyncio.Event()
    flight = [asyncio.create_task(farm.ask(0)) for _ in range(50)]
    await asyncio.sleep(0)
    server.hold.set()
    assert set(await asyncio.gather(*flight)) == {"b"}
    server.error = server.hold = None
    farm.now = 5.0
    assert await farm.ask(0) == "a"


async def test_when_all_fail_each_was_asked_once_and_the_last_error_is_raised() -> None:
    farm = Farm()
    for server in farm.servers:
        server.error = ModelError(f"{server.name} is down")
    with pytest.raises(ModelError, match="a is down"):
        await farm.ask(1)
    assert [server.asked for server in farm.servers] == [1, 1, 1]
    farm.servers[2].error = None
    assert await farm.ask(1) == "c", "all rest: they are asked all the same"


@pytest.mark.parametrize("error", [RejectedError("bad key"), OverlongPromptError("too long")])
async def test_what_no_other_server_would_answer_is_raised_at_once(error: Exception) -> None:
    farm = Farm()
    farm.servers[0].error = error
    with pytest.raises(type(error)):
        await farm.ask(0)
    assert [server.asked for server in farm.servers] == [1, 0, 0]


async def test_all_are_closed() -> None:
    farm = Farm()
    await farm.client.close()
    assert all(server.is_closed for server in farm.servers)
