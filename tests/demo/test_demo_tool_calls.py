from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_evals.demo.chat_completions import chat_completion
from pytest_evals.demo.refusal import RequestError

PARAMETERS = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
FUNCTION = {"name": "multiply", "description": "Multiply.", "parameters": PARAMETERS}
TOOL = {"type": "function", "function": {**FUNCTION, "strict": True}}
ASKED = [{"role": "user", "content": "3 boxes of 12 pens and 4 boxes of 8 pencils. How many?"}]
REQUEST: dict[str, Any] = {"model": "demo-large", "messages": ASKED, "tools": [TOOL], "seed": 0}

CALL = {"id": "c1", "type": "function", "function": {"name": "multiply", "arguments": "{}"}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
TEXT = {"type": "text", "text": "36"}
ANSWERED = {"role": "tool", "tool_call_id": "c1", "content": "36"}


def choice(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = chat_completion({**REQUEST, **changes}, 1)["choices"][0]
    return found


def refusal(body: dict[str, Any]) -> str:
    with pytest.raises(RequestError) as caught:
        chat_completion(body, 1)
    assert caught.value.status == 400
    return str(caught.value)


def test_tool_calls_have_the_shape_of_openai() -> None:
    reply = chat_completion(REQUEST, 1)
    (found,) = reply["choices"]
    message = found["message"]

    assert found["finish_reason"] == "tool_calls"
    assert message["role"] == "assistant"
    assert set(message) == {"role", "content", "refusal", "tool_calls"}
    assert [json.loads(c["function"]["arguments"]) for c in message["tool_calls"]] == [
        {"a": 3, "b": 12},
        {"a": 4, "b": 8},
    ]
    for call in message["tool_calls"]:
        assert set(call) == {"id", "type", "function"}
        assert call["type"] == "function"
        assert call["id"].startswith("call_")
        assert set(call["function"]) == {"name", "arguments"}
    assert reply["usage"]["completion_tokens"] > 8


def test_results_are_counted_and_answered() -> None:
    called = choice()["message"]
    results = [
        {"role": "tool", "tool_call_id": call["id"], "content": result}
        for call, result in zip(called["tool_calls"], ("36", "32"), strict=True)
    ]
    messages = [*ASKED, {k: v for k, v in called.items() if v is not None}, *results]
    reply = chat_completion({**REQUEST, "messages": messages}, 2)

    assert reply["choices"][0]["message"]["content"] == "The answer is 68."
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert reply["usage"]["prompt_tokens"] > chat_completion(REQUEST, 1)["usage"]["prompt_tokens"]


def test_what_the_request_says_of_calls() -> None:
    assert len(choice(parallel_tool_calls=False)["message"]["tool_calls"]) == 1
    assert len(choice(tool_choice="auto")["message"]["tool_calls"]) == 2
    assert "tool_calls" not in choice(tool_choice="none")["message"]


@pytest.mark.parametrize("limit", range(1, 20))
def test_a_token_limit_cuts_calls(limit: int) -> None:
    whole = chat_completion(REQUEST, 1)["usage"]["completion_tokens"]
    reply = chat_completion({**REQUEST, "max_completion_tokens": limit}, 1)
    found, used = reply["choices"][0], reply["usage"]["completion_tokens"]

    assert used == min(limit, whole)
    assert found["finish_reason"] == ("length" if limit < whole else "tool_calls")
    calls = found["message"].get("tool_calls", [])
    assert (len(calls) == 2) == (limit >= whole - 3)
    assert calls or found["message"]["content"] == ""


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([CALLED], "did not have response messages: c1"),
        ([CALLED, *ASKED], "did not have response messages: c1"),
        ([CALLED, CALLED], "did not have response messages: c1"),
        ([ANSWERED], "must be a response to a preceding message"),
        ([CALLED, ANSWERED, ANSWERED], "no call 'c1' awaits one"),
        ([CALLED, {**ANSWERED, "tool_call_id": "c2"}], "no call 'c2' awaits one"),
        ([CALLED, {"role": "tool", "content": "36"}], "messages[2].tool_call_id is missing"),
        ([CALLED, {**ANSWERED, "content": None}], "messages[2].content must be"),
        ([CALLED, {**ANSWERED, "content": 36}], "messages[2].content must be"),
        (
            [{**CALLED, "content": "x", "tool_calls": []}],
            "tool_calls must be an array with",
        ),
        ([{**CALLED, "content": "x", "tool_calls": {}}], "messages[1].tool_calls must be"),
        ([{**CALLED, "tool_calls": [CALL, CALL]}], "'c1' is used twice"),
        ([{**CALLED, "tool_calls": ["x"]}], "tool_calls[0] must be an object"),
        ([{**CALLED, "tool_calls": [{**CALL, "id": None}]}], "tool_calls[0].id is missing"),
        ([{**CALLED, "tool_calls": [{**CALL, "type": None}]}], "type must be 'function'"),
        (
            [{**CALLED, "tool_calls": [{"id": "c1", "name": "multiply", "arguments": "{}"}]}],
            "tool_calls[0].type must be 'function'",
        ),
        (
            [{**CALLED, "tool_calls": [{**CALL, "function": {"name": "x", "arguments": {}}}]}],
            "function must have a name and arguments, both strings",
        ),
        ([{"role": "assistant", "content": None}], "messages[1].content must be"),
        ([{"role": "user", "content": []}], "messages[1].content must be"),
        ([{"role": "user", "content": ["hello"]}], "content[0] must have a type: text, image_url"),
        ([{"role": "user", "content": [{"type": "text"}]}], "content[0] must have a text"),
        ([{"role": "user", "content": [{"type": "image"}]}], "content[0] must have a type"),
        ([{"role": "text", "content": "x"}], "messages[1].role must be one of developer, system"),
    ],
)
def test_messages_that_openai_refuses(messages: list[Any], words: str) -> None:
    assert words in refusal({**REQUEST, "messages": [*ASKED, *messages]})


@pytest.mark.parametrize(
    "messages",
    [
        [CALLED, ANSWERED],
        [
            {**CALLED, "content": "I call."},
            {**ANSWERED, "content": [{"type": "text", "text": "3"}]},
        ],
        [{"role": "assistant", "content": None, "refusal": "No."}, *ASKED],
        [{"role": "assistant", "content": None, "reasoning_content": "Hm."}, *ASKED],
        [{"role": "assistant", "content": "", "provider_field": 1}, *ASKED],
        [{"role": "assistant", "content": "Yes.", "tool_calls": None}, *ASKED],
        [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": ""}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:"}}]}],
    ],
)
def test_messages_that_openai_takes(messages: list[Any]) -> None:
    assert choice(messages=[*ASKED, *messages])["finish_reason"] in {"stop", "tool_calls"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tools": []}, "tools must be an array with a tool"),
        ({"tools": None}, "tools must be an array with a tool"),
        ({"tools": [FUNCTION]}, "tools[0].type must be 'function'"),
        ({"tools": [{"type": "function", **FUNCTION}]}, "tools[0].function is missing"),
        ({"tools": [TOOL, TOOL]}, "'multiply' is used twice"),
        ({"tool_choice": "required"}, "forces no tool call"),
        ({"tool_choice": {"type": "function"}}, "forces no tool call"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls must be true or false"),
    ],
)
def test_tools_that_openai_refuses(changes: dict[str, Any], words: str) -> None:
    assert words in refusal({**REQUEST, **changes})


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ({"name": "my tool"}, "function.name does not match"),
        ({"name": ""}, "function.name does not match"),
        ({"name": "x" * 65}, "function.name does not match"),
        ({"description": None}, "description must be a string"),
        ({"strict": "yes"}, "strict must be true or false"),
        ({"parameters": None}, "parameters must be a JSON schema of type object"),
        ({"parameters": {"properties": {}}}, "parameters must be a JSON schema of type object"),
        (
            {"parameters": {"type": "object", "properties": {"a": 1}}},
            "must be an object of schemas",
        ),
        (
            {"parameters": {**PARAMETERS, "additionalProperties": True}},
            "must be false where strict",
        ),
        ({"parameters": {**PARAMETERS, "required": ["a"]}}, "where strict is true; see b"),
        ({"parameters": {**PARAMETERS, "required": None}}, "where strict is true; see a, b"),
    ],
)
def test_functions_that_openai_refuses(function: dict[str, Any], words: str) -> None:
    tool = {"type": "function", "function": {**TOOL["function"], **function}}  # type: ignore[dict-item]
    assert words in refusal({**REQUEST, "tools": [tool]})


def test_settings_of_calls_need_tools() -> None:
    bare = {"model": "demo-small", "messages": ASKED}
    for setting in ({"tool_choice": "auto"}, {"parallel_tool_calls": True}):
        assert "only allowed when 'tools' are specified" in refusal({**bare, **setting})
