"""What holds for every wire format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.errors import (
    EmptyModelResponseError,
    InvalidModelResponseError,
    ModelError,
    OverlongPromptError,
    RejectedError,
)
from pytest_evals.messages import (
    Message,
    Response,
    ResponseMessage,
    SystemMessage,
    TextMessage,
    ToolMessage,
    Usage,
    UserMessage,
)

from .formats import FORMATS, NAMES, ODD, Format, Waits, client_of, raw
from .servers import http, raw_server, recording, replying

PROMPT = [UserMessage(content="What is 17 + 25?")]
PENS = "3 boxes of 12 pens and 4 boxes of 8 pencils. How many?"
NUMBER = {"type": "number"}
MULTIPLY = {
    "name": "multiply",
    "description": "Multiply.",
    "parameters": {
        "type": "object",
        "properties": {"a": NUMBER, "b": NUMBER},
        "required": ["a", "b"],
    },
}
every = pytest.mark.parametrize("form", FORMATS, ids=NAMES)
with_tools = pytest.mark.parametrize(
    "form", [form for form in FORMATS if form.name != "openai_completions"], ids=lambda f: f.name
)
# The demo model reasons where it is asked to, and wants to see its reasoning again.
REASONING: dict[str, dict[str, Any]] = {
    "openai_responses": {"reasoning_effort": "low"},
    "anthropic_messages": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
}


async def ask(form: Format, *replies: bytes, key: str | None = None, **arguments: Any) -> Response:
    """Return the response to replies with the given bytes."""
    async with (
        raw_server(replying(*replies)) as url,
        client_of(form.name, url, key) as client,
    ):
        return await client.get_response(PROMPT, "m", arguments)


@every
async def test_a_plain_answer(form: Format) -> None:
    with DemoServer(key="right") as server:
        async with client_of(form.name, server.url, "right") as client:
            response = await client.get_response(PROMPT, "demo-large", {"n": 1, "extra_body": {}})
            assert client.url == server.url
        assert server.requests == 1
    assert response.message == {"role": "assistant", "content": "17 + 25 = 42"}
    assert isinstance(response.message, ResponseMessage)
    assert response.message.finish_reason == response.finish_reason == "stop"
    assert response.model == "demo-large-2026-01"
    assert response.id
    assert response.created > 0
    assert response.usage == Usage(9, 5)
    assert response.tokens is None


@every
async def test_the_limit_on_tokens_has_every_formats_name(form: Format) -> None:
    with DemoServer() as server:
        async with client_of(form.name, server.url) as client:
            for name in ("max_tokens", "max_completion_tokens"):
                response = await client.get_response(PROMPT, "demo-large", {name: 2})
                assert response.message.content == "17 +"
                assert response.is_truncated


@with_tools
@pytest.mark.parametrize("reasons", [False, True])
async def test_a_conversation_with_tools(form: Format, reasons: bool) -> None:
    arguments = REASONING.get(form.name, {}) if reasons else {}
    prompt: list[Message] = [SystemMessage(content="Use tools."), UserMessage(content=PENS)]
    with DemoServer() as server:
        async with client_of(form.name, server.url) as client:
            first = await client.get_response(prompt, "demo-large", arguments, [MULTIPLY])
            calls = first.message.tool_calls
            assert first.finish_reason == "tool_calls"
            assert [json.loads(call.arguments) for call in calls] == [
                {"a": 3, "b": 12},
                {"a": 4, "b": 8},
            ]
            assert {call.name for call in calls} == {"multiply"}
            results = [
                ToolMessage(tool_call_id=call.id, content=str(number))
                for call, number in zip(calls, (36, 32), strict=True)
            ]
            prompt += [first.message, *results]
            last = await client.get_response(prompt, "demo-large", arguments, [MULTIPLY])
    assert "68" in last.message.content
    assert last.finish_reason == "stop"
    assert (last.message.reasoning_content is not None) == (arguments != {})


@every
async def test_text_that_is_no_chat_is_a_prompt(form: Format) -> None:
    with DemoServer() as server:
        async with client_of(form.name, server.url) as client:
            text = [TextMessage(content="What is 17 + 25?")]
            response = await client.get_response(text, "demo-large", {})
    assert response.message.content == "17 + 25 = 42"


@every
async def test_hostile_text_arrives_whole_both_ways(form: Format) -> None:
    text = "naïve 数学 \ud800 \x00\x1b[31m\u202e\u2028</script> \U0001f600"
    async with (
        recording(http(raw(form.answer(text)))) as (url, requests),
        client_of(form.name, url) as client,
    ):
        response = await client.get_response([UserMessage(content=text)], "m", {})
    assert response.message.content == text
    assert text in _strings(json.loads(requests[0].body))
    assert requests[0].line == f"POST /v1{form.path} HTTP/1.1"


@every
async def test_a_huge_answer_arrives_whole(form: Format) -> None:
    text = "word " * 1_000_000
    assert (await ask(form, http(raw(form.answer(text))))).message.content == text


@every
async def test_an_empty_text_is_an_answer(form: Format) -> None:
    response = await ask(form, http(raw(form.answer(""))))
    assert response.message.content == ""
    assert response.finish_reason == "stop"


@every
async def test_what_the_server_says_besides_the_answer(form: Format) -> None:
    response = await ask(form, http(raw(form.answer("42"))))
    assert (response.id, response.model, response.usage) == ("r1", "m-2", Usage(7, 5))
    cut = await ask(form, http(raw(form.cut("4"))))
    assert (cut.finish_reason, cut.message.content) == ("length", "4")
    odd = form.answer("42") | {"id": None, "model": 3, "usage": [], "created": "x"}
    bare = await ask(form, http(raw(odd)))
    assert (bare.id, bare.model, bare.usage) == ("", "", None)


@every
async def test_a_refusal_is_a_result(form: Format) -> None:
    if form.refusal is None:
        pytest.skip("the format has no word for it")
    response = await ask(form, http(raw(form.refusal("I will not"))))
    assert response.message["refusal"] == "I will not"
    assert not response.message.content


@every
@pytest.mark.parametrize("status", [400, 401, 402, 403, 404])
async def test_refused_requests_are_not_tried_again(form: Format, status: int) -> None:
    body = raw(form.error("the \x1b[31mwords", "some_error"))
    async with (
        recording(http(body, f"{status} No")) as (url, requests),
        client_of(form.name, url, "sk-very-secret") as client,
    ):
        with pytest.raises(ModelError, match=r"the \\x1b\[31mwords") as caught:
            await client.get_response(PROMPT, "m", {})
    assert isinstance(caught.value, RejectedError) == (status != 400)
    assert caught.value.requests == len(requests) == 1
    assert f"{url} " in str(caught.value)
    assert "such as /v1" not in str(caught.value)


@every
@pytest.mark.parametrize("start", ["data: ", "event: message_start\ndata: ", ": waiting\n\ndata: "])
async def test_a_server_that_only_streams_is_refused_at_once(form: Format, start: str) -> None:
    events = (start + '{"choices": [{"delta": {"content": "4"}}]}\n\ndata: [DONE]\n\n').encode()
    async with (
        recording(http(events, "200 OK", "Content-Type: text/event-stream")) as (url, requests),
        client_of(form.name, url, "sk-very-secret") as client,
    ):
        with pytest.raises(RejectedError, match="is a stream of events, which is not read") as told:
            await client.get_response(PROMPT, "m", {})
    assert len(requests) == 1
    assert url in str(told.value)
    assert "data: " in str(told.value)


@every
async def test_a_server_that_asks_for_streaming_is_quoted(form: Format) -> None:
    body = raw(form.error("this model must be called with stream=true", "invalid_request_error"))
    with pytest.raises(ModelError, match="must be called with stream=true"):
        await ask(form, http(body, "400 Bad Request"))


@every
@pytest.mark.parametrize("status", [408, 429, 500, 503, 529])
async def test_requests_that_may_pass_are_tried_again(form: Format, status: int) -> None:
    failed = http(raw(form.error("overloaded", "overloaded_error")), f"{status} No")
    response = await ask(form, failed, failed, http(raw(form.answer("42"))))
    assert response.requests == 3


@every
async def test_a_server_that_says_when_is_asked_then(form: Format) -> None:
    waits = Waits()
    busy = http(raw(form.error("slow", "rate_limit_error")), "429 Slow", "Retry-After: 7")
    async with (
        raw_server(replying(busy, http(raw(form.answer("42"))))) as url,
        client_of(form.name, url, waits=waits) as client,
    ):
        await client.get_response(PROMPT, "m", {})
    assert waits == [7.0]


@every
async def test_a_prompt_that_is_too_long_ends_the_rollout(form: Format) -> None:
    for body in form.too_long:
        with pytest.raises(OverlongPromptError, match=r"^the prompt is too long for http://127"):
            await ask(form, http(raw(body), "400 Bad Request"))


@every
async def test_a_limit_that_fills_the_context_is_a_mistake_in_the_settings(form: Format) -> None:
    is_anthropic = form.name == "anthropic_messages"
    limit = 200_000 if is_anthropic else 4096
    body = form.too_long[1 if is_anthropic else 0]
    with pytest.raises(RejectedError, match=rf"refuses max_tokens = {limit}"):
        await ask(form, http(raw(body), "400 No"), max_tokens=limit)


@every
async def test_a_reply_without_an_answer_is_asked_for_again(form: Format) -> None:
    for body in form.nothing:
        answered = await ask(form, http(raw(body)), http(raw(form.answer("42"))))
        assert answered.requests == 2
        with pytest.raises(EmptyModelResponseError, match=r"has no content: \{"):
            await ask(form, http(raw(body)))


@every
async def test_what_is_no_reply_is_quoted(form: Format) -> None:
    for body, words in (*ODD, *form.odd):
        with pytest.raises(InvalidModelResponseError) as caught:
            await ask(form, http(raw(body)))
        text = str(caught.value)
        assert words in text, body
        assert text.startswith("the reply of http://127.0.0.1:")
        assert "gave up after 3 requests" in text
        assert len(text) < 450


@every
@pytest.mark.parametrize("body", [b"", b"<html>\x1b[31m", b'{"id"', b"\xff\xfe", b"[" * 99_999])
async def test_what_is_no_json_is_quoted(form: Format, body: bytes) -> None:
    with pytest.raises(InvalidModelResponseError, match=r"is not JSON: ") as caught:
        await ask(form, http(body))
    assert str(caught.value).isprintable()


@every
async def test_a_header_of_the_endpoint_replaces_one_of_ours(form: Format) -> None:
    own = {"User-Agent": "me", "X-Team": "a"}
    async with (
        recording(http(raw(form.answer("42")))) as (url, requests),
        client_of(form.name, url, "k", headers=own) as client,
    ):
        await client.get_response(PROMPT, "m", {})
    assert requests[0].headers["user-agent"] == "me"
    assert requests[0].headers["x-team"] == "a"


@every
async def test_a_query_of_the_url_keeps_its_place(form: Format) -> None:
    async with (
        recording(http(raw(form.answer("42")))) as (url, requests),
        client_of(form.name, f"{url}/?version=3") as client,
    ):
        await client.get_response(PROMPT, "m", {})
    assert requests[0].line == f"POST /v1{form.path}?version=3 HTTP/1.1"


@every
async def test_extra_body_comes_last_and_none_is_left_out(form: Format) -> None:
    extra = {"temperature": 0.25, "top_k": None}
    async with (
        recording(http(raw(form.answer("42")))) as (url, requests),
        client_of(form.name, url) as client,
    ):
        arguments = {"temperature": 1, "top_p": None, "max_tokens": None, "extra_body": extra}
        await client.get_response(PROMPT, "m", arguments)
        with pytest.raises(TypeError, match="extra_body must be a table"):
            await client.get_response(PROMPT, "m", {"extra_body": "x"})
    body = json.loads(requests[0].body)
    assert body["temperature"] == 0.25
    assert body["top_k"] is None
    assert "top_p" not in body


@every
async def test_faults_that_pass_are_ridden_out(form: Format) -> None:
    kinds = ("429", "500", "529", "reset", "truncated", "html")
    with DemoServer(fault_rate=0.4, fault_kinds=kinds, fault_seed=5) as server:
        async with client_of(form.name, server.url, retries=30) as client:
            responses = [await client.get_response(PROMPT, "demo-large", {}) for _ in range(20)]
        assert sum(response.requests for response in responses) == server.requests > 20
    assert {response.message.content for response in responses} == {"17 + 25 = 42"}


def _strings(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for part in value.values() for text in _strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in _strings(part)]
    return [value] if isinstance(value, str) else []
