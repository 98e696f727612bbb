"""The same model over each API."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI

from pytest_evals.demo.anthropic_messages import anthropic_message
from pytest_evals.demo.chat_completions import chat_completion
from pytest_evals.demo.refusal import RequestError
from pytest_evals.demo.responses import response
from pytest_evals.demo.server import ANSWERS, DemoServer
from pytest_evals.demo.text_completions import text_completion

QUESTION = "What is 17 + 25?"
PENS = "3 boxes of 12 pens and 4 boxes of 8 pencils. How many?"
NUMBER = {"type": "number"}
PARAMETERS: dict[str, Any] = {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}}
ANTHROPIC: dict[str, Any] = {
    "model": "demo-large",
    "max_tokens": 100,
    "messages": [{"role": "user", "content": QUESTION}],
}
RESPONSES: dict[str, Any] = {"model": "demo-large", "input": QUESTION}
VERSION = {"anthropic-version": "2023-06-01"}


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def test_the_sdk_reads_the_replies() -> None:
    with DemoServer() as server:
        async with AsyncOpenAI(base_url=server.url, api_key="x", max_retries=0) as sdk:
            said = await sdk.responses.create(
                model="demo-large", input=QUESTION, reasoning={"effort": "low"}
            )
            text = await sdk.completions.create(model="demo-large", prompt=QUESTION)
            cut = await sdk.responses.create(
                model="demo-large", input=QUESTION, max_output_tokens=2
            )
    assert said.output_text == text.choices[0].text == "17 + 25 = 42"
    assert said.status == "completed"
    assert said.output[0].type == "reasoning"
    assert said.usage is not None
    assert said.usage.output_tokens_details.reasoning_tokens == 3
    assert (cut.output_text, cut.status) == ("17 +", "incomplete")
    assert cut.incomplete_details is not None
    assert cut.incomplete_details.reason == "max_output_tokens"


def test_a_message_has_the_shape_of_anthropic() -> None:
    said = anthropic_message(ANTHROPIC, 3)
    assert said == {
        "id": "msg_demo_3",
        "type": "message",
        "role": "assistant",
        "model": "demo-large-2026-01",
        "content": [{"type": "text", "text": "17 + 25 = 42"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 9,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 5,
        },
    }
    cut = anthropic_message({**ANTHROPIC, "max_tokens": 2}, 1)
    assert cut["content"] == [{"type": "text", "text": "17 +"}]
    assert cut["stop_reason"] == "max_tokens"


def test_a_conversation_reads_the_same_in_every_api() -> None:
    call = {"name": "multiply", "arguments": '{"a": 3, "b": 12}'}
    chat = chat_completion(
        {
            "model": "demo-large",
            "messages": [
                {"role": "system", "content": "Use tools."},
                {"role": "user", "content": PENS},
                {
                    "role": "assistant",
                    "content": "Let me.",
                    "tool_calls": [{"id": "c1", "type": "function", "function": call}],
                },
                {"role": "tool", "tool_call_id": "c1", "content": "36"},
            ],
            "tools": [
                {"type": "function", "function": {"name": "multiply", "parameters": PARAMETERS}}
            ],
        },
        1,
    )
    items = response(
        {
            "model": "demo-large",
            "instructions": None,
            "input": [
                {"role": "system", "content": "Use tools."},
                {"role": "user", "content": PENS},
                {"role": "assistant", "content": "Let me."},
                {"type": "function_call", "call_id": "c1", **call},
                {"type": "function_call_output", "call_id": "c1", "output": "36"},
            ],
            "tools": [
                {"type": "function", "name": "multiply", "parameters": PARAMETERS, "strict": False}
            ],
        },
        1,
    )
    turns = anthropic_message(
        {
            "model": "demo-large",
            "max_tokens": 500,
            "system": "Use tools.",
            "messages": [
                {"role": "user", "content": PENS},
                {
                    "role": "assistant",
                    "content": [
                        {"type": "text", "text": "Let me."},
                        {
                            "type": "tool_use",
                            "id": "c1",
                            "name": "multiply",
                            "input": {"a": 3, "b": 12},
                        },
                    ],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "36"}],
                },
            ],
            "tools": [{"name": "multiply", "input_schema": PARAMETERS}],
        },
        1,
    )
    (expected,) = chat["choices"][0]["message"]["tool_calls"]
    (item,) = [item for item in items["output"] if item["type"] == "function_call"]
    (use,) = [block for block in turns["content"] if block["type"] == "tool_use"]
    assert json.loads(expected["function"]["arguments"]) == {"a": 4, "b": 8}
    assert item["arguments"] == expected["function"]["arguments"]
    assert item["call_id"] == use["id"] == expected["id"]
    assert use["input"] == {"a": 4, "b": 8}
    assert turns["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "gpt-9"}, "does not exist"),
        ({"seed": 3}, "Unknown parameter: 'seed'"),
        ({"max_tokens": 3}, "Unknown parameter: 'max_tokens'"),
        ({"input": None}, "input must be"),
        ({"input": []}, "input must be"),
        ({"input": ["x"]}, r"input\[0\] must be an object"),
        ({"input": [{"type": "novel"}]}, "'novel' is not supported"),
        ({"input": [{"role": "user", "content": [{"type": "text"}]}]}, "no content part of type"),
        ({"input": [{"role": "user", "content": ["x"]}]}, "no content part of type"),
        ({"input": [{"role": "critic", "content": "x"}]}, "must be one of"),
        ({"input": [{"type": "function_call_output", "call_id": "c"}]}, "content must be"),
        ({"input": [{"type": "function_call", "call_id": "c"}]}, "must have a name"),
        ({"max_output_tokens": 0}, "at least 1"),
        ({"previous_response_id": "r"}, "keeps nothing"),
        ({"reasoning": "low"}, "reasoning must be an object"),
        ({"stream": True}, "does not stream"),
        ({"tools": "x"}, "tools must be an array"),
        ({"tools": [{"type": "function", "function": {}}]}, "Missing required parameter"),
        (
            {"tools": [{"type": "function", "name": "f", "parameters": PARAMETERS}]},
            "must be false where strict is true",
        ),
    ],
)
def test_a_request_that_is_none_of_the_responses_api(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        response({**RESPONSES, **change}, 1)


def test_a_call_wants_the_reasoning_that_led_to_it() -> None:
    call = {"type": "function_call", "id": "fc_r_1_0", "call_id": "c", "name": "f", "arguments": ""}
    answer = {"type": "function_call_output", "call_id": "c", "output": "1"}
    question = {"role": "user", "content": QUESTION}
    with pytest.raises(RequestError, match="without its required 'reasoning' item"):
        response({**RESPONSES, "input": [question, call, answer]}, 1)
    reasoning = {"type": "reasoning", "id": "rs_1", "summary": []}
    assert response({**RESPONSES, "input": [question, reasoning, call, answer]}, 1)["output"]


def _user(*blocks: object) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(blocks)}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "gpt-9"}, "does not exist"),
        ({"seed": 3}, "seed: Extra inputs are not permitted"),
        ({"n": 1}, "n: Extra inputs are not permitted"),
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"messages": []}, "at least one message"),
        ({"messages": ["x"]}, "role must be"),
        ({"messages": [{"role": "system", "content": "x"}]}, "role must be"),
        ({"messages": [{"role": "user", "content": ""}]}, "non-empty content"),
        ({"messages": [{"role": "user", "content": []}]}, "non-empty content"),
        (_user({"type": "text", "text": ""}), "text content blocks must be non-empty"),
        (_user({"type": "image_url"}), "Input tag 'image_url'"),
        (_user({"type": "tool_result", "tool_use_id": "c"}), "awaits one"),
        ({"system": 3}, "must be a string"),
        ({"stream": True}, "does not stream"),
        ({"tools": [{"name": "f"}]}, "input_schema: Field required"),
        (
            {
                "tools": [{"name": "f", "input_schema": {"type": "object"}}],
                "tool_choice": {"type": "any"},
            },
            "forces no tool call",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "input": "{}"}]}]},
            "valid dictionary",
        ),
    ],
)
def test_a_request_that_is_none_of_anthropics_api(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        anthropic_message({**ANTHROPIC, **change}, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": None}, "one prompt"),
        ({"prompt": ["x"]}, "one prompt"),
        ({"messages": []}, "Unrecognized request argument supplied: messages"),
        ({"tools": []}, "Unrecognized request argument supplied: tools"),
        ({"max_completion_tokens": 3}, "Unrecognized request argument"),
        ({"max_tokens": 0}, "at least 1"),
    ],
)
def test_a_request_that_is_no_completion(change: dict[str, Any], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        text_completion({"model": "demo-large", "prompt": QUESTION, **change}, 1)


def test_a_completion_without_a_limit_is_short() -> None:
    words = " ".join(["Judge the answer <think> <answer>"] * 8)
    asked = {"model": "demo-large", "prompt": f"{words} {QUESTION}"}
    (choice,) = text_completion(asked, 1)["choices"]
    (whole,) = text_completion({**asked, "max_tokens": 500}, 1)["choices"]
    assert len(choice["text"].split()) <= 16
    assert whole["text"].startswith(choice["text"])


@pytest.mark.parametrize("path", ANSWERS)
async def test_a_key_is_asked_for_on_every_route(session: aiohttp.ClientSession, path: str) -> None:
    with DemoServer(key="right") as server:
        url = server.url.removesuffix("/v1") + path
        async with session.post(url, json={}, headers=VERSION) as reply:
            assert reply.status == 401
            kind = (await reply.json())["error"]["type"]
        async with session.post(
            url, json={}, headers={**VERSION, "Authorization": "Bearer right"}
        ) as reply:
            assert reply.status == 400
        assert server.requests == 2
    is_anthropic = path == "/v1/messages"
    assert kind == ("authentication_error" if is_anthropic else "invalid_request_error")


async def test_anthropics_errors_have_its_shape(session: aiohttp.ClientSession) -> None:
    with DemoServer(key="right", status=529, retry_after=3) as server:
        url = f"{server.url}/messages"
        async with session.post(url, json=ANTHROPIC) as reply:
            assert (reply.status, (await reply.json())["type"]) == (400, "error")
        headers = {**VERSION, "x-api-key": "right"}
        async with session.post(url, json=ANTHROPIC, headers=headers) as reply:
            assert (reply.status, reply.headers["Retry-After"]) == (529, "3")
            assert (await reply.json())["error"]["type"] == "overloaded_error"
