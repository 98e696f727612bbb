from __future__ import annotations

from typing import Any

import pytest

from pytest_evals.clients.openai_completions import read_reply, request_body
from pytest_evals.clients.target import Target
from pytest_evals.errors import SetupError
from pytest_evals.messages import AssistantMessage, SystemMessage, TextMessage, UserMessage

from .formats import completion, raw

TARGET = Target("http://host/v1", 600)


def test_the_prompt_is_the_text_of_all_messages() -> None:
    prompt = [
        SystemMessage(content="Add."),
        UserMessage(content=[{"type": "text", "text": "1"}, {"type": "text", "text": "+ 1?"}]),
        AssistantMessage(content=None),
        AssistantMessage(content="2"),
        TextMessage(content="Sure?"),
    ]
    body = request_body(prompt, "m", {}, None)
    assert body == {"model": "m", "prompt": "Add.\n\n1 + 1?\n\n\n\n2\n\nSure?"}
    assert request_body([TextMessage(content="1 + 1 =")], "m", {}, [])["prompt"] == "1 + 1 ="


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [
        ({"max_tokens": 7, "n": 1, "seed": 3, "stop": ["x"], "logprobs": 1}, {}),
        ({"max_completion_tokens": 7, "echo": None}, {"max_tokens": 7}),
        ({"extra_body": {"top_k": 3}}, {"top_k": 3}),
    ],
)
def test_arguments(arguments: dict[str, Any], sent: dict[str, Any]) -> None:
    body = request_body([TextMessage(content="?")], "m", arguments, None)
    assert body == {"model": "m", "prompt": "?", **(sent or arguments)}


def test_images_cannot_be_sent() -> None:
    picture = {"type": "image_url", "image_url": {"url": "http://host/a.png"}}
    with pytest.raises(SetupError, match="cannot send a part of type 'image_url' in a user mess"):
        request_body([UserMessage(content=[picture])], "m", {}, None)


def test_tools_are_refused() -> None:
    with pytest.raises(SetupError, match="openai_completions takes no tools; ask the model ove"):
        request_body([], "m", {}, [{"name": "add"}])


@pytest.mark.parametrize(
    ("reason", "ours"),
    [("stop", "stop"), ("length", "length"), ("content_filter", None), (None, None), ([], None)],
)
def test_finish_reasons(reason: object, ours: str | None) -> None:
    assert read_reply(raw(completion("42", reason)), TARGET).finish_reason == ours


def test_token_ids_are_kept_where_they_were_asked_for() -> None:
    reply = completion("42")
    reply["choices"][0] |= {
        "prompt_token_ids": [1, 2],
        "token_ids": [3],
        "logprobs": {"token_logprobs": [-0.5]},
    }
    response = read_reply(raw(reply), TARGET)
    assert response.tokens == {
        "prompt_ids": [1, 2],
        "prompt_mask": [0, 0],
        "completion_ids": [3],
        "completion_mask": [1],
        "completion_logprobs": [-0.5],
    }
    assert response.message.tokens is response.tokens
    assert response.message == {"role": "assistant", "content": "42"}


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt_token_ids": None},
        {"token_ids": "x"},
        {"token_ids": [None]},
        {"logprobs": None},
        {"logprobs": {"token_logprobs": ["x"]}},
    ],
)
def test_half_of_the_tokens_is_none(fields: dict[str, Any]) -> None:
    reply = completion("42")
    whole = {"prompt_token_ids": [1], "token_ids": [3], "logprobs": {"token_logprobs": [-0.5]}}
    reply["choices"][0] |= whole | fields
    assert read_reply(raw(reply), TARGET).tokens is None
