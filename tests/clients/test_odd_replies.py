"""Every reply that is nearly right is read, or refused as no reply; prompts likewise."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_evals.clients.factory import make_client
from pytest_evals.clients.http_client import HttpClient, encoded
from pytest_evals.endpoints.endpoint import Endpoint
from pytest_evals.errors import InvalidModelResponseError, SetupError
from pytest_evals.messages import Message, Response, UserMessage

from .formats import (
    FORMATS,
    INCOMPLETE,
    NAMES,
    chat,
    completion,
    function_call,
    message,
    output_text,
    raw,
    response,
    said,
    text_block,
    tool_use,
)

FUNCTION = {"name": "add", "arguments": '{"a": 1}'}
CALL = {"id": "c1", "type": "function", "function": FUNCTION}
CHAT = [
    chat({"role": "assistant", "content": "4", "reasoning": "hm", "refusal": None}),
    chat({"role": "assistant", "content": [text_block("4")], "tool_calls": [CALL]}, "tool_calls"),
]
WITH_TOKENS = chat({"role": "assistant", "content": "4"})
WITH_TOKENS["prompt_token_ids"] = [1]
WITH_TOKENS["choices"][0] |= {"token_ids": [2], "logprobs": {"content": [{"logprob": -0.5}]}}
REASONING = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}]}
GOOD: dict[str, list[Any]] = {
    "openai_chat_completions": CHAT,
    "openai_chat_completions_token": [*CHAT, WITH_TOKENS],
    "openai_completions": [completion("4", "length")],
    "openai_responses": [
        response(REASONING, said(output_text("4")), function_call()),
        response(said({"type": "refusal", "refusal": "no"}), **INCOMPLETE),
        response(error={"code": "server_error", "message": "oops"}, status="failed"),
    ],
    "anthropic_messages": [
        message(
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            text_block("4"),
            tool_use(),
            {"type": "redacted_thinking", "data": "x"},
        ),
        message(stop_reason="refusal", stop_details={"type": "refusal", "explanation": "no"}),
        message(usage={"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3}),
    ],
}
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    2.5,
    1e300,
    "",
    "x",
    "\ud800",
    [],
    [None],
    [[]],
    {},
    {"type": "text"},
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    for key in keys:
        yield from _paths(value[key], (*path, key))


def _changed(reply: Any) -> Iterator[Any]:
    """Yield a reply with each of its values replaced or left out."""
    for path in _paths(reply):
        if not path:
            continue
        for odd in ODD:
            changed = copy.deepcopy(reply)
            parent = _at(changed, path[:-1])
            parent[path[-1]] = odd
            yield changed
        changed = copy.deepcopy(reply)
        del _at(changed, path[:-1])[path[-1]]
        yield changed


def _at(value: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        value = value[key]
    return value


def _client(name: str) -> HttpClient:
    endpoint = Endpoint("m", "http://host/v1", key_var=None, label="x", client_type=name)
    client = make_client(endpoint, None)
    assert isinstance(client, HttpClient)
    return client


@pytest.mark.parametrize("name", NAMES)
def test_it_is_read_or_refused_and_can_be_sent_back(name: str) -> None:
    client = _client(name)
    read = refused = 0
    for reply in (changed for good in GOOD[name] for changed in _changed(good)):
        try:
            answer = client._read(raw(reply), client._target)
        except InvalidModelResponseError:
            refused += 1
            continue
        read += 1
        _check(answer)
        body = client._write([UserMessage(content="?"), answer.message], "m", {}, None)
        assert encoded(body)
    assert read > 100
    assert refused > 10


def _check(answer: Response) -> None:
    assert isinstance(answer.message.content, str | list | None)
    assert answer.finish_reason in ("stop", "length", "tool_calls", None)
    assert answer.usage is None or answer.usage.total_tokens >= 0
    assert isinstance(answer.message.get("reasoning_content"), str | None)
    json.dumps(answer.message)
    for call in answer.message.get("tool_calls") or ():
        assert isinstance(call.name, str)


def test_every_format_has_a_good_reply() -> None:
    assert set(GOOD) == {form.name for form in FORMATS}


PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
PROMPT = [
    {"role": "system", "content": [text_block("s")]},
    {"role": "user", "content": [text_block("?"), PART]},
    {
        "role": "assistant",
        "content": "x",
        "thinking_blocks": [{"type": "thinking", "thinking": "a", "signature": "b"}],
        "tool_calls": [{"id": "c1", "name": "add", "arguments": "{}"}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "1"},
    {
        "role": "assistant",
        "content": "y",
        "openai_responses_output": [{"type": "reasoning"}],
        "anthropic_content": [{"type": "text", "text": "y"}],
    },
]
ARGUMENTS = {
    "n": 1,
    "max_tokens": 3,
    "tool_choice": {"type": "function", "function": {"name": "add"}},
    "parallel_tool_calls": False,
    "reasoning": {"summary": "auto"},
    "reasoning_effort": "low",
    "output_config": {"format": None},
    "response_format": {"type": "json_schema", "json_schema": {"name": "x"}},
    "text": {"verbosity": "low"},
    "modalities": ["text"],
}
TRANSLATING = ("openai_completions", "openai_responses", "anthropic_messages")


@pytest.mark.parametrize("name", TRANSLATING)
def test_an_odd_prompt_is_sent_or_its_mistake_is_named(name: str) -> None:
    client = _client(name)
    refused = 0
    for changed in _changed(PROMPT):
        prompt = [Message(fields) for fields in changed if isinstance(fields, dict)]
        try:
            assert encoded(client._write(prompt, "m", {}, None))
        except SetupError as error:
            refused += 1
            assert str(error).startswith(f"{name} cannot send ")
            assert len(str(error)) < 200
    assert refused > 20


@pytest.mark.parametrize("name", TRANSLATING)
def test_odd_arguments_are_sent_or_named(name: str) -> None:
    client = _client(name)
    tools = None if name == "openai_completions" else [{"name": "add"}]
    for arguments in _changed(ARGUMENTS):
        try:
            assert encoded(client._write([UserMessage(content="?")], "m", arguments, tools))
        except SetupError as error:
            assert str(error).startswith(f"{name} takes no ")
