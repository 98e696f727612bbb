from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_evals.clients.openai_responses import request_body
from pytest_evals.clients.responses_reply import read_reply
from pytest_evals.clients.target import Target
from pytest_evals.errors import OverlongPromptError, SetupError
from pytest_evals.messages import (
    AssistantMessage,
    Message,
    Response,
    SystemMessage,
    ToolMessage,
    Usage,
    UserMessage,
)

from .formats import INCOMPLETE, function_call, output_text, raw, response, said

TARGET = Target("http://host/v1", 600)
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
TOOL = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}


def items(*prompt: Message) -> Any:
    return request_body(prompt, "m", {}, None)["input"]


def body(arguments: dict[str, Any], tools: Sequence[dict[str, Any]] | None = None) -> Any:
    written = request_body([UserMessage(content="?")], "m", arguments, tools)
    del written["model"], written["input"]
    return written


def read(*output: object, **fields: Any) -> Response:
    return read_reply(raw(response(*output, **fields)), TARGET)


# What is sent


def test_a_conversation_becomes_items() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    assert items(
        SystemMessage(content="Add."),
        UserMessage(content="?"),
        AssistantMessage(content="Let me.", tool_calls=[call]),
        ToolMessage(tool_call_id="c1", content="1"),
        AssistantMessage(content="1"),
        AssistantMessage(content=None, refusal="no"),
    ) == [
        {"type": "message", "role": "system", "content": "Add."},
        {"type": "message", "role": "user", "content": "?"},
        {"type": "message", "role": "assistant", "content": "Let me."},
        {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "message", "role": "assistant", "content": "1"},
        {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "refusal", "refusal": "no"}],
        },
    ]


def test_parts_have_names_of_their_own() -> None:
    parts = [
        {"type": "text", "text": "?"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
        {"type": "image_url", "image_url": "https://host/a.png"},
        {"type": "file", "file": {"file_id": "f1"}},
        {"type": "input_text", "text": "!"},
    ]
    data = "data:image/png;base64,AA=="
    expected = [
        {"type": "input_text", "text": "?"},
        {"type": "input_image", "image_url": data, "detail": "low"},
        {"type": "input_image", "image_url": "https://host/a.png", "detail": "auto"},
        {"type": "input_file", "file_id": "f1"},
        {"type": "input_text", "text": "!"},
    ]
    assert items(UserMessage(content=parts))[0]["content"] == expected
    assert items(ToolMessage(tool_call_id="c", content=parts))[0]["output"] == expected


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([{"type": "input_audio", "input_audio": {}}], "'input_audio': the API takes no audio"),
        ([{"type": "image_url"}], "an image_url part without a url"),
        ([3], "a part like 3"),
        (3, "content like 3"),
    ],
)
def test_what_cannot_be_sent_is_named(content: Any, words: str) -> None:
    with pytest.raises(SetupError, match=r"^openai_responses cannot send ") as caught:
        items(UserMessage(content=content))
    assert words in str(caught.value)


def test_a_role_of_nobody_is_named() -> None:
    with pytest.raises(SetupError, match="a message with the role 'critic'"):
        items(Message(role="critic", content="?"))


def test_tools_are_not_enforced_unless_they_say_so() -> None:
    function = {"type": "function", "function": TOOL}
    assert body({}, [TOOL, function, TOOL | {"strict": True}])["tools"] == [
        {"type": "function", "strict": False, **TOOL},
        {"type": "function", "strict": False, **TOOL},
        {"type": "function", "strict": True, **TOOL},
    ]


SCHEMA = {"name": "s", "schema": {"type": "object"}, "strict": True}


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"n": 1, "seed": 3, "top_p": None, "stop": None, "modalities": ["text"]}, {}),
        ({"max_tokens": 7}, {"max_output_tokens": 7}),
        ({"max_tokens": 7, "max_completion_tokens": 8}, {"max_output_tokens": 8}),
        ({"max_tokens": 7, "max_output_tokens": 9}, {"max_output_tokens": 9}),
        ({"temperature": 0.5, "store": False}, {"temperature": 0.5, "store": False}),
        ({"reasoning_effort": "low"}, {"reasoning": {"effort": "low"}}),
        (
            {"reasoning_effort": "low", "reasoning": {"effort": "high", "summary": "auto"}},
            {"reasoning": {"effort": "high", "summary": "auto"}},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": SCHEMA}, "verbosity": "low"},
            {"text": {"verbosity": "low", "format": {"type": "json_schema", **SCHEMA}}},
        ),
        (
            {"response_format": {"type": "json_object"}},
            {"text": {"format": {"type": "json_object"}}},
        ),
        (
            {"tool_choice": {"type": "function", "function": {"name": "add"}}},
            {"tool_choice": {"type": "function", "name": "add"}},
        ),
        ({"tool_choice": "required"}, {"tool_choice": "required"}),
        ({"extra_body": {"stop": "x", "store": None}}, {"stop": "x", "store": None}),
    ],
)
def test_arguments_in_the_words_of_the_api(arguments: dict[str, Any], sent: Any) -> None:
    given = json.loads(json.dumps(arguments))
    assert body(given) == sent
    assert given == arguments


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"stop": ["x"]}, "takes no stop sequences; leave stop out"), ({"n": 2}, "takes no n = 2")],
)
def test_what_the_api_has_no_word_for_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SetupError, match=f"^openai_responses {words}"):
        body(arguments)


# What comes back


def test_items_become_fields() -> None:
    answer = read(said(output_text("Let "), output_text("me.")), function_call())
    assert answer.message == {
        "role": "assistant",
        "content": "Let me.",
        "tool_calls": [{"id": "c1", "name": "add", "arguments": '{"a": 1}'}],
    }
    assert answer.finish_reason == "tool_calls"
    assert (answer.created, answer.usage) == (3, Usage(7, 5))


def test_reasoning_comes_back_with_all_that_followed() -> None:
    deep = REASONING | {"content": [{"type": "reasoning_text", "text": "so"}], "status": None}
    answer = read(deep, function_call()).message
    assert answer.reasoning_content == "hm\nso"
    del deep["status"]
    assert items(answer) == [deep, function_call()]


def test_reasoning_alone_is_no_empty_reply() -> None:
    answer = read({"type": "reasoning", "id": "rs_1", "summary": []}).message
    assert (answer.content, answer.reasoning_content) == (None, None)
    assert items(answer)[0]["id"] == "rs_1"


def test_items_of_other_kinds_come_back_as_they_were() -> None:
    search = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    answer = read(search, said(output_text("42"))).message
    assert answer.content == "42"
    assert items(answer) == [search, said(output_text("42"))]


@pytest.mark.parametrize(
    ("fields", "ours"),
    [
        ({}, "stop"),
        (INCOMPLETE, "length"),
        ({"status": "incomplete"}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, None),
        ({"status": None}, "stop"),
    ],
)
def test_finish_reasons(fields: dict[str, Any], ours: str | None) -> None:
    assert read(said(output_text("4")), **fields).finish_reason == ours
    if fields.get("status") == "incomplete":
        assert read(**fields).message.content is None
        assert read(function_call(), **fields).finish_reason == ours


def test_tokens_of_reasoning() -> None:
    usage = {
        "input_tokens": 7,
        "input_tokens_details": {"cached_tokens": 4},
        "output_tokens": 9,
        "output_tokens_details": {"reasoning_tokens": 6},
    }
    assert read(said(output_text("4")), usage=usage).usage == Usage(7, 9, 6)


@pytest.mark.parametrize("created", [3.7, 10**400, float("nan"), -1, "x"])
def test_odd_times_do_not_lose_the_answer(created: object) -> None:
    assert read(said(output_text("4")), created_at=created).message.content == "4"


def test_a_prompt_that_is_too_long_can_be_told_with_status_200() -> None:
    error = {"code": "context_length_exceeded", "message": "too \x1b[31mlong"}
    with pytest.raises(OverlongPromptError, match=r"http://host/v1: too \\x1b\[31mlong$"):
        read(status="failed", error=error)
