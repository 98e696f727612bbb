from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_evals.clients.chat_reply import read_reply
from pytest_evals.clients.target import Target
from pytest_evals.endpoints.secrets import Secrets
from pytest_evals.errors import EmptyModelResponseError, InvalidModelResponseError
from pytest_evals.messages import Response, Usage

TARGET = Target("http://host/v1", 600)


def reply(message: Any, finish_reason: Any = "stop", **fields: Any) -> bytes:
    choice = {"message": message, "finish_reason": finish_reason}
    return json.dumps({"choices": [choice]} | fields).encode()


def read(message: Any, finish_reason: Any = "stop", **fields: Any) -> Response:
    return read_reply(reply(message, finish_reason, **fields), TARGET)


def test_a_reply_becomes_a_response() -> None:
    response = read(
        {"role": "assistant", "content": "42"},
        id="chatcmpl-1",
        created=1_700_000_000,
        model="gpt-9-2030-01-01",
        usage={
            "prompt_tokens": 5,
            "completion_tokens": 7,
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    )
    assert response == Response(
        message=response.message,
        model="gpt-9-2030-01-01",
        id="chatcmpl-1",
        created=1_700_000_000,
        finish_reason="stop",
        usage=Usage(5, 7, 3),
    )
    assert response.message == {"role": "assistant", "content": "42"}


def test_fields_of_a_message_are_kept_unless_they_say_nothing() -> None:
    message = {
        "role": "assistant",
        "content": "42",
        "reasoning_content": "hm",
        "thinking_blocks": [{"x": 1}],
        "novel": 3,
        "refusal": None,
        "tool_calls": [],
    }
    kept = read(message).message
    assert kept == {
        "role": "assistant",
        "content": "42",
        "reasoning_content": "hm",
        "thinking_blocks": [{"x": 1}],
        "novel": 3,
    }


def test_reasoning_has_one_name() -> None:
    assert read({"content": "42", "reasoning": "hm"}).message.reasoning_content == "hm"
    both = read({"content": "42", "reasoning": "a", "reasoning_content": "b"})
    assert both.message.reasoning_content == "b"


@pytest.mark.parametrize(
    ("given", "ours"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("function_call", "tool_calls"),
        ("content_filter", None),
        ("novel", None),
        (None, None),
        (3, None),
        ([], None),
    ],
)
def test_finish_reasons(given: object, ours: str | None) -> None:
    assert read({"content": "42"}, given).finish_reason == ours


@pytest.mark.parametrize(
    "message",
    [
        {"content": ""},
        {"content": None, "refusal": "I will not"},
        {"content": None, "reasoning_content": "hm"},
        {"content": None, "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": ""}}]},
        {"content": [{"type": "text", "text": "42"}]},
    ],
)
def test_these_are_answers(message: dict[str, Any]) -> None:
    assert read(message).message.role == "assistant"


@pytest.mark.parametrize("message", [{}, {"content": None}, {"content": None, "tool_calls": []}])
def test_a_message_that_says_nothing_is_empty(message: dict[str, Any]) -> None:
    with pytest.raises(EmptyModelResponseError, match=r"http://host/v1 has no content"):
        read(message)
    assert read(message, "length").is_truncated
    assert read(message, "content_filter").message.content is None


@pytest.mark.parametrize(
    "usage", [None, 3, [], {}, {"prompt_tokens": "5"}, {"completion_tokens_details": 3}]
)
def test_odd_usage_does_not_lose_the_answer(usage: object) -> None:
    response = read({"content": "42"}, usage=usage, model=3, id=None, created="now")
    assert response.usage in (None, Usage(0, 0, 0))
    assert (response.model, response.id, response.created) == ("", "", 0)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (b"", "is not JSON: (nothing)"),
        (b"<html>Gateway</html>", "is not JSON: <html>Gateway</html>"),
        (b'{"choices": [{"mess', "is not JSON"),
        (b"\xff\xfe\xfa", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"{}", "has no choices"),
        (b'{"error": {"message": "overloaded"}}', "has no choices"),
        (b'{"choices": []}', "has no choices"),
        (b'{"choices": {"0": 1}}', "has no choices"),
        (b'{"choices": [3]}', "has no message"),
        (b'{"choices": [{}]}', "has no message"),
        (reply(None), "has no message"),
        (reply("42"), "has no message"),
        (reply({"content": ""}, "error"), "ended in an error"),
        (reply({"content": 42}), "content is neither"),
        (reply({"content": {}}), "content is neither"),
        (reply({"content": ["42"]}), "parts are not objects"),
        (reply({"content": "42", "role": 3}), "role is not a string"),
        (reply({"content": "42", "tool_calls": "x"}), "tool calls"),
        (reply({"content": "42", "tool_calls": [3]}), "tool calls"),
    ],
)
def test_what_is_no_chat_completion_is_refused(raw: bytes, fault: str) -> None:
    with pytest.raises(InvalidModelResponseError) as caught:
        read_reply(raw, TARGET)
    assert fault in str(caught.value)
    assert str(caught.value).startswith("the reply of http://host/v1 ")


def test_a_quote_is_short_and_harmless() -> None:
    secrets = Secrets()
    secrets.add("sk-1234567890")
    raw = "no\n\x1b[31m\u202e sk-1234567890 ".encode() + b"x" * 5_000_000
    with pytest.raises(InvalidModelResponseError) as caught:
        read_reply(raw, Target("http://host/v1", 600, secrets))
    message = str(caught.value)
    assert len(message) < 260
    assert message.isprintable()
    assert "no \\x1b[31m\\u202e *** xxx" in message
