"""Chat completions of the demo model: from the body of a request to the body of its reply."""

from __future__ import annotations

import time
from typing import Any

from .request import read_request
from .speaking import Speech, speech
from .turn import Call


def chat_completion(body: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the chat completion that answers a request.

    Args:
        body: of the request, any JSON object.
        number: makes the completion's id.

    Raises:
        RequestError: the request is not one that this server answers.
    """
    said = speech(read_request(body))
    return {
        "id": f"chatcmpl-demo-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": said.served,
        "choices": [
            {
                "index": 0,
                "message": _message(said),
                "logprobs": None,
                "finish_reason": said.reason,
            }
        ],
        "usage": usage(said),
    }


def usage(said: Speech) -> dict[str, int]:
    """Return the tokens of an answer, as chat completions and completions count them."""
    return {
        "prompt_tokens": said.asked,
        "completion_tokens": said.tokens,
        "total_tokens": said.asked + said.tokens,
    }


def _message(said: Speech) -> dict[str, Any]:
    if not said.calls:
        return {"role": "assistant", "content": said.text, "refusal": None}
    return {
        "role": "assistant",
        "content": said.text or None,
        "refusal": None,
        "tool_calls": [_wire_call(call) for call in said.calls],
    }


def _wire_call(call: Call) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }
