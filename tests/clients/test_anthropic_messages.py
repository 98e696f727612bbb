from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_evals.clients.anthropic_messages import MAX_TOKENS, request_body
from pytest_evals.clients.anthropic_reply import read_reply
from pytest_evals.clients.target import Target
from pytest_evals.demo.server import DemoServer
from pytest_evals.errors import ModelError, RejectedError, SetupError
from pytest_evals.messages import (
    AssistantMessage,
    Message,
    Response,
    SystemMessage,
    ToolMessage,
    Usage,
    UserMessage,
)

from .formats import client_of, message, raw, text_block, tool_use
from .servers import http, recording

TARGET = Target("http://host/v1", 600)
TOOLS = [{"name": "add", "description": "Adds.", "parameters": {"type": "object"}, "strict": True}]
CALLS = [{"id": f"c{n}", "name": "add", "arguments": json.dumps({"a": n})} for n in (1, 2)]
THINKING = {"type": "thinking", "thinking": "hm", "signature": "s1"}
REDACTED = {"type": "redacted_thinking", "data": "xyz"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def turns(*prompt: Message) -> Any:
    return request_body(prompt, "m", {}, None)["messages"]


def body(arguments: dict[str, Any], tools: Sequence[dict[str, Any]] | None = None) -> Any:
    written = request_body([UserMessage(content="?")], "m", arguments, tools)
    del written["model"], written["messages"]
    return written


def read(*blocks: object, **fields: Any) -> Response:
    return read_reply(raw(message(*blocks, **fields)), TARGET)


# What is sent


def test_a_conversation_becomes_turns() -> None:
    prompt = [
        SystemMessage(content="Add."),
        UserMessage(content="1 and 2?"),
        AssistantMessage(content="", tool_calls=CALLS),
        ToolMessage(tool_call_id="c1", content="1"),
        ToolMessage(tool_call_id="c2", content="2"),
        AssistantMessage(content="3"),
        UserMessage(content="Sure?"),
    ]
    assert request_body(prompt, "m", {}, TOOLS) == {
        "model": "m",
        "system": "Add.",
        "messages": [
            {"role": "user", "content": "1 and 2?"},
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}},
                    {"type": "tool_use", "id": "c2", "name": "add", "input": {"a": 2}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c1", "content": "1"},
                    {"type": "tool_result", "tool_use_id": "c2", "content": "2"},
                ],
            },
            {"role": "assistant", "content": "3"},
            {"role": "user", "content": "Sure?"},
        ],
        "tools": [
            {
                "name": "add",
                "description": "Adds.",
                "strict": True,
                "input_schema": {"type": "object"},
            }
        ],
        "max_tokens": MAX_TOKENS,
    }


def test_results_of_two_turns_stay_apart() -> None:
    result = ToolMessage(tool_call_id="c1", content="1")
    called = AssistantMessage(content=None, tool_calls=CALLS[:1])
    roles = [turn["role"] for turn in turns(called, result, called, result)]
    assert roles == ["assistant", "user"] * 2


def test_system_messages_are_joined_wherever_they_are() -> None:
    prompt = [
        SystemMessage(content="a"),
        UserMessage(content="?"),
        Message(role="developer", content="b"),
    ]
    assert request_body(prompt, "m", {}, None)["system"] == "a\n\nb"
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    prompt[0] = SystemMessage(content=[marked])
    assert request_body(prompt, "m", {}, None)["system"] == [marked, text_block("b")]
    assert "system" not in request_body(prompt[1:2], "m", {}, None)
    with pytest.raises(SetupError, match="cannot send a part of type 'image_url' in a system"):
        request_body([SystemMessage(content=[IMAGE])], "m", {}, None)


def test_images_and_files_become_sources() -> None:
    parts = [
        {"type": "text", "text": "?"},
        IMAGE,
        {"type": "image_url", "image_url": {"url": "https://host/a.png", "detail": "low"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,BB=="}},
        {"type": "document", "source": {"type": "text"}},
    ]
    png = {"type": "base64", "media_type": "image/png", "data": "AA=="}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "BB=="}
    expected = [
        {"type": "text", "text": "?"},
        {"type": "image", "source": png},
        {"type": "image", "source": {"type": "url", "url": "https://host/a.png"}},
        {"type": "document", "source": pdf},
        {"type": "document", "source": {"type": "text"}},
    ]
    assert turns(UserMessage(content=parts))[0]["content"] == expected
    result = ToolMessage(tool_call_id="c1", content=parts[:2])
    assert turns(result)[0]["content"][0]["content"] == expected[:2]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"type": "input_audio", "input_audio": {}}], "'input_audio': the API takes no audio"),
        ([{"type": "image_url"}], "an image_url part without a url"),
        ([{"type": "image_url", "image_url": {"url": 3}}], "an image_url part without a url"),
        ([{"type": "image_url", "image_url": "data:image/svg+xml,<svg>"}], "give an http URL"),
        ([{"type": "file", "file": {"file_id": "f"}}], "a file part without file_data"),
        (["x"], "a part like 'x'"),
        ({"x": 1}, "content like {'x': 1}"),
    ],
)
def test_what_cannot_be_sent_is_named(content: Any, words: str) -> None:
    with pytest.raises(SetupError, match=r"^anthropic_messages cannot send ") as caught:
        turns(UserMessage(content=content))
    assert words in str(caught.value)


def test_a_role_of_nobody_is_named() -> None:
    with pytest.raises(SetupError, match="a message with the role 'critic'"):
        turns(Message(role="critic", content="?"))


def test_an_assistant_that_says_nothing_is_left_out() -> None:
    said = turns(UserMessage(content="?"), AssistantMessage(content=None), UserMessage(content="!"))
    assert [turn["content"] for turn in said] == ["?", "!"]
    assert turns(AssistantMessage(content=None, refusal="no"))[0]["content"] == "no"


@pytest.mark.parametrize("arguments", ["{", "[1]", "", None, "[" * 50_000])
def test_arguments_that_are_no_object_are_none(arguments: Any) -> None:
    call = {"id": "c1", "name": "add", "arguments": arguments}
    (turn,) = turns(AssistantMessage(content=None, tool_calls=[call]))
    assert turn["content"] == [tool_use(input={})]


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"n": 1, "seed": 3, "temperature": None}, {}),
        ({"max_tokens": 7}, {"max_tokens": 7}),
        ({"max_completion_tokens": 7}, {"max_tokens": 7}),
        ({"stop": "x"}, {"stop_sequences": ["x"]}),
        ({"stop": ["x", "y"]}, {"stop_sequences": ["x", "y"]}),
        ({"top_k": 3, "temperature": 0.5}, {"top_k": 3, "temperature": 0.5}),
        ({"tool_choice": "required"}, {"tool_choice": {"type": "any"}}),
        ({"tool_choice": {"type": "any"}}, {"tool_choice": {"type": "any"}}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "add"}}},
            {"tool_choice": {"type": "tool", "name": "add"}},
        ),
        (
            {"parallel_tool_calls": False},
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        ),
        ({"parallel_tool_calls": True}, {}),
        ({"reasoning_effort": "low"}, {"output_config": {"effort": "low"}}),
        ({"extra_body": {"max_tokens": 1, "seed": 2}}, {"max_tokens": 1, "seed": 2}),
    ],
)
def test_arguments_in_the_words_of_the_api(arguments: dict[str, Any], sent: Any) -> None:
    given = json.loads(json.dumps(arguments))
    written = body(given, TOOLS)
    del written["tools"]
    assert written == {"max_tokens": MAX_TOKENS, **sent}
    assert given == arguments


def test_one_call_at_a_time_means_nothing_without_tools() -> None:
    assert body({"parallel_tool_calls": False}) == {"max_tokens": MAX_TOKENS}


def test_an_effort_makes_models_that_adapt_think() -> None:
    arguments = {"reasoning_effort": "low"}
    for model in ("claude-opus-4-6", "anthropic/claude-sonnet-4.6-20260101"):
        assert request_body([], model, arguments, None)["thinking"] == {"type": "adaptive"}
    assert "thinking" not in request_body([], "claude-haiku-4-5", arguments, None)


def test_several_choices_are_refused() -> None:
    with pytest.raises(SetupError, match="anthropic_messages takes no n = 2; one reply is one"):
        body({"n": 2})


@pytest.mark.parametrize("place", ["", "/v1", "/v1/"])
async def test_the_url_may_end_before_the_version(place: str) -> None:
    async with (
        recording(http(raw(message(text_block("42"))))) as (url, requests),
        client_of("anthropic_messages", url.removesuffix("/v1") + place, "k") as client,
    ):
        await client.get_response([UserMessage(content="?")], "m", {})
    assert requests[0].line == "POST /v1/messages HTTP/1.1"
    assert requests[0].headers["x-api-key"] == "k"
    assert requests[0].headers["anthropic-version"] == "2023-06-01"
    assert "authorization" not in requests[0].headers


async def test_a_gateway_has_the_version_below_its_own_path() -> None:
    async with recording(http(raw(message(text_block("42"))))) as (url, requests):
        place = url.replace("/v1", "/gateway?team=3")
        async with client_of("anthropic_messages", place) as client:
            await client.get_response([UserMessage(content="?")], "m", {})
    assert requests[0].line == "POST /gateway/v1/messages?team=3 HTTP/1.1"
    assert requests[0].headers["x-api-key"] == "EMPTY"


@pytest.mark.parametrize("in_url", [False, True])
async def test_another_credential_takes_the_keys_place(in_url: bool) -> None:
    headers = {} if in_url else {"Authorization": "Bearer t", "Anthropic-Version": "2099-01-01"}
    async with recording(http(raw(message(text_block("42"))))) as (url, requests):
        place = url.replace("//", "//me:pass@") if in_url else url
        async with client_of("anthropic_messages", place, "k", headers=headers) as client:
            await client.get_response([UserMessage(content="?")], "m", {})
    sent = requests[0].headers
    assert sent["authorization"] == ("Basic bWU6cGFzcw==" if in_url else "Bearer t")
    assert "x-api-key" not in sent
    assert sent["anthropic-version"] == ("2023-06-01" if in_url else "2099-01-01")


async def test_an_account_without_credit_is_rejected() -> None:
    said = {"type": "invalid_request_error", "message": "Your credit balance is too low to access"}
    async with (
        recording(http(raw({"type": "error", "error": said}), "400 No")) as (url, _),
        client_of("anthropic_messages", url) as client,
    ):
        with pytest.raises(RejectedError, match="says the account has no credit"):
            await client.get_response([UserMessage(content="?")], "m", {})


# What comes back


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", None),
        ("pause_turn", None),
        ("novel", None),
        (None, None),
        (["end_turn"], None),
    ],
)
def test_stop_reasons(reason: object, ours: str | None) -> None:
    assert read(text_block("42"), stop_reason=reason).finish_reason == ours


def test_blocks_become_fields() -> None:
    answer = read(THINKING, REDACTED, text_block("Let me."), tool_use(), tool_use(id="c2")).message
    assert answer == {
        "role": "assistant",
        "content": "Let me.",
        "reasoning_content": "hm",
        "thinking_blocks": [THINKING, REDACTED],
        "tool_calls": [
            {"id": "c1", "name": "add", "arguments": '{"a": 1}'},
            {"id": "c2", "name": "add", "arguments": '{"a": 1}'},
        ],
    }
    assert turns(answer)[0]["content"] == [
        THINKING,
        REDACTED,
        text_block("Let me."),
        tool_use(),
        tool_use(id="c2"),
    ]


@pytest.mark.parametrize(
    "blocks",
    [
        [THINKING, text_block("a"), THINKING, tool_use()],
        [tool_use(), text_block("a")],
        [text_block("a"), text_block("b")],
        [{"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}],
        [{"type": "compaction", "content": None}, text_block("a")],
    ],
)
def test_blocks_that_no_field_holds_come_back_as_they_were(blocks: list[Any]) -> None:
    answer = read(*blocks).message
    assert turns(answer)[0]["content"] == blocks
    assert answer.content == ("".join(b["text"] for b in blocks if "text" in b) or None)


async def test_the_server_recognizes_its_thinking() -> None:
    arguments = {"thinking": {"type": "enabled"}}
    pens = UserMessage(content="3 boxes of 12 pens and 4 boxes of 8 pencils. How many?")
    number = {"type": "number"}
    parameters = {"type": "object", "properties": {"a": number, "b": number}}
    tool = {"name": "multiply", "parameters": parameters}
    with DemoServer() as server:
        async with client_of("anthropic_messages", server.url) as client:
            answer = (await client.get_response([pens], "demo-large", arguments, [tool])).message
            results = [ToolMessage(tool_call_id=call.id, content="1") for call in answer.tool_calls]
            again = [pens, answer, *results]
            await client.get_response(again, "demo-large", arguments, [tool])
            answer["thinking_blocks"][0]["signature"] = "forged"
            with pytest.raises(ModelError, match="Invalid `signature`"):
                await client.get_response(again, "demo-large", arguments, [tool])
            del answer["thinking_blocks"]
            with pytest.raises(ModelError, match="Expected `thinking`"):
                await client.get_response(again, "demo-large", arguments, [tool])


def test_tokens_from_the_cache_belong_to_the_prompt() -> None:
    counted = {
        "input_tokens": 7,
        "cache_creation_input_tokens": 100,
        "cache_read_input_tokens": 20,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
    }
    assert read(text_block("42"), usage=counted).usage == Usage(127, 9, 4)
    assert read(text_block("42"), usage={"input_tokens": "x"}).usage == Usage(0, 0)


def test_a_turn_that_ends_at_once_is_an_empty_answer() -> None:
    answered = read(usage={"input_tokens": 7, "output_tokens": 2})
    assert (answered.message.content, answered.finish_reason) == ("", "stop")
    cut = read(stop_reason="max_tokens")
    assert (cut.message.content, cut.is_truncated) == (None, True)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"stop_details": {"type": "refusal", "explanation": "It is harmful."}}, "It is harmful."),
        ({"stop_details": None}, "the model refused"),
        ({}, "the model refused"),
    ],
)
def test_a_refusal_is_told(fields: dict[str, Any], refusal: str) -> None:
    assert read(stop_reason="refusal", **fields).message["refusal"] == refusal
    half = read(text_block("Half an"), stop_reason="refusal")
    assert (half.message.content, half.message["refusal"]) == ("Half an", "Half an")
