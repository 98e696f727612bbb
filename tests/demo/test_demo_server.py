from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from pytest_evals.demo.faults import Faults
from pytest_evals.demo.server import DemoServer

QUESTION: dict[str, Any] = {
    "model": "demo-small",
    "messages": [{"role": "user", "content": "What is 17 + 25?"}],
}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def chat(
    session: aiohttp.ClientSession, server: DemoServer, body: object = QUESTION, **kwargs: Any
) -> tuple[int, Any]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with session.post(f"{server.url}/chat/completions", data=raw, **kwargs) as reply:
        return reply.status, json.loads(await reply.read())


async def test_a_completion_has_the_shape_of_openai(session: aiohttp.ClientSession) -> None:
    with DemoServer() as server:
        status, reply = await chat(session, server)
        assert server.requests == 1
        assert server.bodies == [QUESTION]
    assert status == 200
    assert reply["object"] == "chat.completion"
    assert reply["model"] == "demo-small-2026-01"
    (choice,) = reply["choices"]
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].startswith("17 + 25 = ")
    assert reply["usage"] == {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}


async def test_the_same_request_gets_the_same_answer(session: aiohttp.ClientSession) -> None:
    async def answers(server: DemoServer) -> list[str]:
        replies = [await chat(session, server, QUESTION | {"seed": seed}) for seed in range(30)]
        return [reply["choices"][0]["message"]["content"] for _, reply in replies]

    with DemoServer() as first, DemoServer() as second:
        assert await answers(first) == await answers(second)
        unseeded = await chat(session, first)
        assert (
            unseeded[1]["choices"]
            == (await chat(session, first, QUESTION | {"seed": 0}))[1]["choices"]
        )


@pytest.mark.parametrize("key", ["max_tokens", "max_completion_tokens"])
async def test_a_token_limit_cuts_the_answer(session: aiohttp.ClientSession, key: str) -> None:
    with DemoServer() as server:
        _, reply = await chat(session, server, QUESTION | {key: 2})
        _, whole = await chat(session, server, QUESTION | {key: 5})
    assert reply["choices"][0]["message"]["content"] == "17 +"
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] == 2
    assert whole["choices"][0]["finish_reason"] == "stop"


async def test_it_lists_its_models(session: aiohttp.ClientSession) -> None:
    with DemoServer() as server:
        async with session.get(f"{server.url}/models") as reply:
            listed = await reply.json()
    assert [model["id"] for model in listed["data"]] == ["demo-small", "demo-large"]


async def test_an_unknown_model_is_refused_as_openai_does(session: aiohttp.ClientSession) -> None:
    with DemoServer() as server:
        status, reply = await chat(session, server, QUESTION | {"model": "gpt-9"})
    assert status == 404
    assert reply["error"]["message"] == "The model `gpt-9` does not exist"
    assert reply["error"]["code"] == "model_not_found"


async def test_an_unknown_route_is_an_error_in_json(session: aiohttp.ClientSession) -> None:
    with DemoServer() as server:
        async with session.post(f"{server.url}/embeddings", data=b"{}") as reply:
            assert reply.status == 404
            assert "POST /v1/embeddings" in (await reply.json())["error"]["message"]
        assert server.requests == 0


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 400, "JSON"),
        (b"not json", 400, "JSON"),
        (b"\xff\xfe\x00", 400, "JSON"),
        (b"[" * 100_000, 400, "JSON"),
        (b"[]", 400, "object"),
        (b"null", 400, "object"),
        ({}, 400, "model"),
        ({"model": 3}, 400, "model"),
        ({"model": "demo-small"}, 400, "messages"),
        (QUESTION | {"messages": []}, 400, "messages"),
        (QUESTION | {"messages": "hello"}, 400, "messages"),
        (QUESTION | {"messages": ["hello"]}, 400, "messages[0]"),
        (QUESTION | {"messages": [{"role": "user", "content": 3}]}, 400, "messages[0]"),
        (QUESTION | {"messages": [{"role": None, "content": ""}]}, 400, "messages[0]"),
        (QUESTION | {"stream": True}, 400, "stream"),
        (QUESTION | {"seed": "x"}, 400, "seed"),
        (QUESTION | {"seed": True}, 400, "seed"),
        (QUESTION | {"max_tokens": 0}, 400, "max_tokens"),
        (QUESTION | {"max_completion_tokens": 1.5}, 400, "max_completion_tokens"),
        (QUESTION | {"n": 2}, 400, "n to 1"),
    ],
)
async def test_a_bad_request_is_refused_with_a_reason(
    session: aiohttp.ClientSession, body: object, status: int, words: str
) -> None:
    with DemoServer() as server:
        given, reply = await chat(session, server, body)
        assert (given, reply["error"]["type"]) == (status, "invalid_request_error")
        assert words in reply["error"]["message"]
        assert (await chat(session, server))[0] == 200


async def test_a_huge_body_is_refused(session: aiohttp.ClientSession) -> None:
    with DemoServer() as server, warnings.catch_warnings():
        # aiohttp warns that bytes this large block its loop.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            status, _ = await chat(session, server, b" " * 10_000_000)
        except aiohttp.ClientConnectionError:
            status = 413  # closed while the body was still on its way
        assert status == 413
        assert (await chat(session, server))[0] == 200


async def test_a_key_is_asked_for(session: aiohttp.ClientSession) -> None:
    with DemoServer(key="right") as server:
        missing, reply = await chat(session, server)
        wrong, _ = await chat(session, server, headers={"Authorization": "Bearer wrong"})
        right, _ = await chat(session, server, headers={"Authorization": "Bearer right"})
        async with session.get(f"{server.url}/models") as models:
            assert models.status == 401
    assert (missing, wrong, right) == (401, 401, 200)
    assert reply["error"]["code"] == "invalid_api_key"


async def test_a_status_is_answered_to_every_request(session: aiohttp.ClientSession) -> None:
    with DemoServer(status=500, retry_after=7) as server:
        async with session.post(f"{server.url}/chat/completions", json=QUESTION) as reply:
            assert reply.status == 500
            assert reply.headers["Retry-After"] == "7"
            assert (await reply.json())["error"]["type"] == "server_error"


async def test_faults_on_the_wire(session: aiohttp.ClientSession) -> None:
    url = "/chat/completions"
    with DemoServer(fault_rate=1, fault_kinds=("429",)) as server:
        async with session.post(server.url + url, json=QUESTION) as reply:
            assert reply.status == 429
    with DemoServer(fault_rate=1, fault_kinds=("html",)) as server:
        async with session.post(server.url + url, json=QUESTION) as reply:
            assert (reply.status, reply.content_type) == (200, "text/html")
    with DemoServer(fault_rate=1, fault_kinds=("truncated",)) as server:
        async with session.post(server.url + url, json=QUESTION) as reply:
            text = await reply.text()
            assert text.startswith('{"id"')
            with pytest.raises(ValueError, match=r"Unterminated|Expecting"):
                json.loads(text)
    resetting = DemoServer(fault_rate=1, fault_kinds=("reset",))
    with resetting, pytest.raises(aiohttp.ClientConnectionError):
        await chat(session, resetting)


def test_waiting_for_requests_that_do_not_come_ends() -> None:
    with DemoServer() as server, pytest.raises(TimeoutError, match="0 requests"):
        server.wait_for_requests(1, timeout=0.01)


async def test_a_hang_lasts_until_the_client_leaves_or_the_server_stops() -> None:
    with DemoServer(fault_rate=1, fault_kinds=("hang",)) as server:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(chat(session, server), 0.05)
            hanging = asyncio.create_task(chat(session, server))
            await asyncio.to_thread(server.wait_for_requests, 2)
            server.stop()
            with pytest.raises(aiohttp.ClientConnectionError):
                await hanging
        assert server.in_flight == 0


async def test_only_the_first_request_is_a_straggler(session: aiohttp.ClientSession) -> None:
    with DemoServer(straggler=0.2) as server:
        first = asyncio.create_task(chat(session, server))
        await asyncio.to_thread(server.wait_for_requests, 1)
        await chat(session, server)
        assert not first.done()
        assert (await first)[0] == 200
        assert server.peak == 2


def test_faults_are_a_function_of_seed_and_number() -> None:
    def kinds(seed: int) -> list[str | None]:
        faults = Faults(rate=0.3, kinds=("429", "reset"), seed=seed)
        return [faults.kind_of(number) for number in range(1, 501)]

    assert kinds(1) == kinds(1) != kinds(2)
    assert 100 < sum(kind is not None for kind in kinds(1)) < 200
    assert set(kinds(1)) == {None, "429", "reset"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rate": 1.5, "kinds": ("429",)}, "fault rate"),
        ({"rate": 0.5}, "kinds"),
        ({"rate": 0.5, "kinds": ("explode",)}, "explode"),
        ({"kinds": ("200",)}, "200"),
        ({"status": 200}, "status"),
    ],
)
def test_impossible_faults_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Faults(**settings)


def test_a_taken_port_is_an_error_where_it_is_asked_for() -> None:
    with DemoServer() as server:
        port = int(server.url.split(":")[2].partition("/")[0])
        with pytest.raises(OSError, match=r"in use"):
            DemoServer(port=port).start()


def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    DemoServer().stop()
    with DemoServer() as server:
        server.stop()
    server.stop()
    assert server.requests == 0
