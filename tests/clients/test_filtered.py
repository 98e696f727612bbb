"""Answers that a provider's content filter cut off say so, in every wire format that can."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_evals.clients import (
    anthropic_reply,
    chat_reply,
    openai_completions,
    responses_reply,
)
from pytest_evals.clients.cache import is_refusal
from pytest_evals.clients.target import Target
from pytest_evals.messages import Response

TARGET = Target("http://host/v1", 600)
SAID = {"type": "message", "content": [{"type": "output_text", "text": "No"}]}
NO = {"type": "message", "content": [{"type": "refusal", "refusal": "No"}]}


def chat(reason: str, **message: Any) -> dict[str, Any]:
    return {"choices": [{"message": {"content": "No", **message}, "finish_reason": reason}]}


def completion(reason: str) -> dict[str, Any]:
    return {"choices": [{"text": "No", "finish_reason": reason}]}


def ended(reason: str | None) -> dict[str, Any]:
    return {
        "status": "completed" if reason is None else "incomplete",
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": [SAID],
    }


@pytest.mark.parametrize(
    ("read", "reply", "is_refused"),
    [
        (chat_reply.read_reply, chat("content_filter"), True),
        (chat_reply.read_reply, chat("stop", refusal="No"), True),
        (chat_reply.read_reply, chat("length"), False),
        (openai_completions.read_reply, completion("content_filter"), True),
        (openai_completions.read_reply, completion("stop"), False),
        (responses_reply.read_reply, ended("content_filter"), True),
        (responses_reply.read_reply, ended("max_output_tokens"), False),
        (responses_reply.read_reply, ended(None), False),
        (responses_reply.read_reply, {"status": "completed", "output": [NO]}, True),
        (anthropic_reply.read_reply, {"content": [], "stop_reason": "refusal"}, True),
        (
            anthropic_reply.read_reply,
            {"content": [{"type": "text", "text": "No"}], "stop_reason": "end_turn"},
            False,
        ),
    ],
)
def test_refusals_are_known_as_such(
    read: Callable[[bytes, Target], Response], reply: dict[str, Any], is_refused: bool
) -> None:
    assert is_refusal(read(json.dumps(reply).encode(), TARGET)) is is_refused
