"""The wire formats as tests see them: a client of each, and how its server says things."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from pytest_evals.clients.factory import make_client
from pytest_evals.clients.http_client import HttpClient
from pytest_evals.clients.retries import Retries, RetryPolicy
from pytest_evals.endpoints.endpoint import Endpoint

Fields = dict[str, Any]

TOO_LONG_FOR_OPENAI = {
    "error": {
        "message": "This model's maximum context length is 4096 tokens. However, you requested 9",
        "type": "invalid_request_error",
        "code": "context_length_exceeded",
    }
}


@dataclass(frozen=True, slots=True)
class Format:
    """A wire format.

    Attributes:
        name: the client type.
        path: below the base URL.
        answer: the body of a reply with this text.
        cut: the same, ended by the limit on tokens.
        refusal: the same, of a model that refuses with this text; None where it has no word for it.
        nothing: bodies of replies in which nothing is said.
        odd: bodies of no reply of this format, and words of the error each becomes.
        error: the body of an error: its message, its kind.
        too_long: bodies of errors of a prompt that is too long.
    """

    name: str
    path: str
    answer: Callable[[str], Fields]
    cut: Callable[[str], Fields]
    error: Callable[[str, str], Fields]
    nothing: Sequence[Fields]
    odd: Sequence[tuple[Fields, str]]
    too_long: Sequence[Fields] = field(default=(TOO_LONG_FOR_OPENAI,))
    refusal: Callable[[str], Fields] | None = None


def openai_error(message: str, kind: str) -> Fields:
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def anthropic_error(message: str, kind: str) -> Fields:
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}


def chat(message: object, reason: object = "stop") -> Fields:
    choice = {"index": 0, "message": message, "finish_reason": reason}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    return {"id": "r1", "created": 3, "model": "m-2", "choices": [choice], "usage": usage}


def completion(text: object, reason: object = "stop") -> Fields:
    return chat(None) | {"choices": [{"index": 0, "text": text, "finish_reason": reason}]}


def response(*items: object, **fields: Any) -> Fields:
    usage = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    return {
        "id": "r1",
        "created_at": 3,
        "model": "m-2",
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "output": list(items),
        "usage": usage,
        **fields,
    }


def said(*parts: object) -> Fields:
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": list(parts)}


def output_text(text: object) -> Fields:
    return {"type": "output_text", "text": text, "annotations": []}


def function_call(**fields: Any) -> Fields:
    call = {"id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'}
    return {"type": "function_call", "status": "completed", **call, **fields}


def message(*blocks: object, **fields: Any) -> Fields:
    return {
        "id": "r1",
        "type": "message",
        "role": "assistant",
        "model": "m-2",
        "content": list(blocks),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 7, "output_tokens": 5},
        **fields,
    }


def text_block(text: object) -> Fields:
    return {"type": "text", "text": text}


def tool_use(**fields: Any) -> Fields:
    return {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}, **fields}


INCOMPLETE = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
# What no format's reply may look like.
ODD: Sequence[tuple[Any, str]] = (
    ([], "is not a JSON object"),
    (None, "is not a JSON object"),
    ("x", "is not a JSON object"),
    ({}, "has no "),
    ({"choices": None, "output": None, "content": None}, "has no "),
    ({"choices": 3, "output": 3, "content": 3}, "has no "),
    ({"error": {"message": "oops", "code": "server_error"}}, "oops"),
)
ODD_CHAT = (
    (chat([]), "has no message"),
    (chat({"content": "4", "tool_calls": [{"id": "c"}]}), "names no function"),
    (chat({"content": None}, []), "has no content"),
    (chat({"content": "4"}, "error"), "ended in an error"),
)
CHAT = Format(
    "openai_chat_completions",
    "/chat/completions",
    answer=lambda text: chat({"role": "assistant", "content": text}),
    cut=lambda text: chat({"role": "assistant", "content": text}, "length"),
    refusal=lambda text: chat({"role": "assistant", "content": None, "refusal": text}),
    error=openai_error,
    nothing=(chat({"role": "assistant", "content": None}), chat({})),
    odd=ODD_CHAT,
)
FORMATS = (
    CHAT,
    Format(
        "openai_chat_completions_token",
        CHAT.path,
        CHAT.answer,
        CHAT.cut,
        CHAT.error,
        CHAT.nothing,
        CHAT.odd,
        refusal=CHAT.refusal,
    ),
    Format(
        "openai_completions",
        "/completions",
        answer=completion,
        cut=lambda text: completion(text, "length"),
        error=openai_error,
        nothing=(completion(None),),
        odd=(
            (completion(3), "text that is not a string"),
            (completion(["x"]), "text that is not a string"),
            (chat(None) | {"choices": ["x"]}, "has no "),
            (completion("4", "error"), "ended in an error"),
        ),
    ),
    Format(
        "openai_responses",
        "/responses",
        answer=lambda text: response(said(output_text(text))),
        cut=lambda text: response(said(output_text(text)), **INCOMPLETE),
        refusal=lambda text: response(said({"type": "refusal", "refusal": text})),
        error=openai_error,
        nothing=(response(), response(said())),
        odd=(
            (response("x"), "output item that is not an object"),
            (response({"text": "x"}), "output item that is not an object"),
            (response(said("x")), "content is not a list of objects"),
            (response({"type": "message"}), "content is not a list of objects"),
            (response(said(output_text(3))), "output_text without its text"),
            (response(said({"type": "refusal"})), "refusal without its text"),
            (response(function_call(name=None)), "function call without"),
            (response(function_call(arguments={})), "function call without"),
            (response(status="failed"), "failed"),
            (response(error={"code": "server_error", "message": "oops"}), "oops"),
            (response(error="oops"), "oops"),
            (response(status="in_progress"), "has the status 'in_progress'"),
            (response(status=[1]), "has the status"),
        ),
        too_long=(
            TOO_LONG_FOR_OPENAI,
            openai_error("Your input exceeds the context window of this model.", "x"),
        ),
    ),
    Format(
        "anthropic_messages",
        "/messages",
        answer=lambda text: message(text_block(text)),
        cut=lambda text: message(text_block(text), stop_reason="max_tokens"),
        refusal=lambda text: message(
            stop_reason="refusal", stop_details={"type": "refusal", "explanation": text}
        ),
        error=anthropic_error,
        nothing=(
            message(stop_reason=None),
            message(usage={"input_tokens": 7, "output_tokens": 0}),
            message(usage=None),
            message(stop_reason="tool_use"),
        ),
        odd=(
            (message("x"), "content block that is not an object"),
            (message({"text": "x"}), "content block that is not an object"),
            (message(text_block(3)), "text without its text"),
            (message({"type": "thinking"}), "thinking without its thinking"),
            (message({"type": "redacted_thinking"}), "redacted_thinking without its data"),
            (message(tool_use(id=None)), "tool use without"),
            (message(tool_use(name=3)), "tool use without"),
            (message(tool_use(input="{}")), "tool use without"),
            (anthropic_error("Overloaded", "overloaded_error"), "Overloaded"),
        ),
        too_long=(
            anthropic_error("prompt is too long: 210000 tokens > 200000 maximum", "x"),
            anthropic_error(
                "input length and `max_tokens` exceed context limit: 198000 + 4096 > 200000", "x"
            ),
        ),
    ),
)
NAMES = [known.name for known in FORMATS]


class Waits(list[float]):
    """Records the waits between requests instead of waiting."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@asynccontextmanager
async def client_of(
    name: str,
    url: str,
    key: str | None = None,
    *,
    waits: Waits | None = None,
    retries: int = 7,
    **fields: Any,
) -> AsyncIterator[HttpClient]:
    """Give a client of a type that does not wait."""
    endpoint = Endpoint("m", url=url, key_var=None, label="x", client_type=name, **fields)
    client = make_client(endpoint, key)
    assert isinstance(client, HttpClient)
    client._retries = Retries(
        RetryPolicy(retries=retries), sleep=Waits() if waits is None else waits, draw=lambda: 0.0
    )
    try:
        yield client
    finally:
        await client.close()


def raw(body: object) -> bytes:
    return json.dumps(body).encode()
