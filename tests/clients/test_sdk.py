from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx2
import openai
import pytest

from pytest_evals.clients.sdk import ask_sdk, is_sdk, sdk_url
from pytest_evals.errors import InvalidModelResponseError, ModelError

KEY = "sk-very-secret-123456"
Handler = Callable[[httpx2.Request], httpx2.Response]


def sdk(handler: Handler, retries: int = 0) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        api_key=KEY,
        base_url="http://judge.test/v1",
        max_retries=retries,
        http_client=httpx2.AsyncClient(transport=httpx2.MockTransport(handler)),
    )


def reply(message: Any) -> httpx2.Response:
    return httpx2.Response(200, json={"choices": [{"index": 0, "message": message}]})


async def test_one_user_message_is_sent_and_the_answer_comes_back() -> None:
    sent: list[httpx2.Request] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return reply({"role": "assistant", "content": "yes"})

    message = await ask_sdk(sdk(handler), "m", "correct?", {"temperature": 0.5})

    assert message == {"role": "assistant", "content": "yes", "refusal": None}
    assert str(sent[0].url) == "http://judge.test/v1/chat/completions"
    assert b'"messages":[{"role":"user","content":"correct?"}]' in sent[0].content
    assert b'"temperature":0.5' in sent[0].content


async def test_a_synchronous_client_does_not_block_the_loop() -> None:
    threads: list[threading.Thread] = []

    def handler(request: httpx2.Request) -> httpx2.Response:
        threads.append(threading.current_thread())
        return reply({"role": "assistant", "content": "yes"})

    client = openai.OpenAI(
        api_key=KEY,
        base_url="http://judge.test/v1",
        http_client=httpx2.Client(transport=httpx2.MockTransport(handler)),
    )
    message = await ask_sdk(client, "m", "correct?", {})

    assert message.content == "yes"
    assert threads[0] is not threading.current_thread()


async def test_a_stand_in_needs_no_more_than_create() -> None:
    async def create(**call: Any) -> Any:
        message = SimpleNamespace(content=call["messages"][0]["content"].upper())
        return SimpleNamespace(choices=[SimpleNamespace(message=message)])

    stand_in = SimpleNamespace(chat=SimpleNamespace(completions=SimpleNamespace(create=create)))

    assert is_sdk(stand_in)
    assert sdk_url(stand_in) == ""
    assert (await ask_sdk(stand_in, "m", "yes", {})).content == "YES"


async def test_failures_are_retried_as_the_client_was_told_to() -> None:
    answers = [
        httpx2.Response(500, headers={"retry-after-ms": "1"}),
        reply({"role": "assistant", "content": "yes"}),
    ]

    message = await ask_sdk(sdk(lambda request: answers.pop(0), retries=1), "m", "?", {})

    assert message.content == "yes"


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500])
async def test_a_refused_request_is_a_model_error_without_the_key(status: int) -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, text=f"bad\x1b[2J key {KEY}\n" + "x" * 10_000)

    with pytest.raises(ModelError) as caught:
        await ask_sdk(sdk(handler), "m", "?", {})

    text = str(caught.value)
    assert text.startswith("http://judge.test/v1 did not answer: ")
    assert str(status) in text
    assert KEY not in text
    assert "\x1b" not in text
    assert "\n" not in text
    assert len(text) < 400
    assert type(caught.value.__cause__).__module__ == "openai"


async def test_a_connection_that_fails_is_a_model_error() -> None:
    def handler(request: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    with pytest.raises(ModelError, match="did not answer: APIConnectionError"):
        await ask_sdk(sdk(handler), "m", "?", {})


@pytest.mark.parametrize(
    "body", [{}, {"choices": []}, {"choices": None}, {"choices": [{"index": 0}]}, {"error": "x"}]
)
async def test_a_reply_without_a_message(body: Any) -> None:
    with pytest.raises(InvalidModelResponseError, match=r"judge\.test/v1 holds no message"):
        await ask_sdk(sdk(lambda request: httpx2.Response(200, json=body)), "m", "?", {})


async def test_a_mistake_in_the_arguments_is_not_the_servers() -> None:
    with pytest.raises(TypeError, match="temprature"):
        await ask_sdk(sdk(lambda request: httpx2.Response(200)), "m", "?", {"temprature": 1})


def test_what_is_a_client_and_what_is_not() -> None:
    assert is_sdk(sdk(lambda request: httpx2.Response(200)))
    assert sdk_url(sdk(lambda request: httpx2.Response(200))) == "http://judge.test/v1"
    for other in (None, "client", SimpleNamespace(chat=None), object()):
        assert not is_sdk(other)
