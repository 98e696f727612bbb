"""Messages of the demo model: Anthropic's Messages API."""

from __future__ import annotations

import json
from typing import Any

from .anthropic_request import chat_body, signature_of
from .request import read_request
from .speaking import Speech, speech

_STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_THOUGHT = "Let me see."


def anthropic_message(body: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the message that answers a request.

    Where the request has `thinking`, the model shows some: it has to come back with its calls.

    Args:
        body: of the request, any JSON object.
        number: makes the message's id.

    Raises:
        RequestError: the request is not one that this server answers.
    """
    said = speech(read_request(chat_body(body)))
    thinks = body.get("thinking") is not None
    return {
        "id": f"msg_demo_{number}",
        "type": "message",
        "role": "assistant",
        "model": said.served,
        "content": _blocks(said, thinks=thinks),
        "stop_reason": _STOP_REASONS[said.reason],
        "stop_sequence": None,
        "usage": {
            "input_tokens": said.asked,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": said.tokens,
        },
    }


def _blocks(said: Speech, *, thinks: bool) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if thinks:
        blocks.append(
            {"type": "thinking", "thinking": _THOUGHT, "signature": signature_of(_THOUGHT)}
        )
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _input(call.arguments)}
        for call in said.calls
    ]
    return blocks


def _input(arguments: str) -> dict[str, Any]:
    """Return arguments as the object that this API has, {} for those that are none."""
    try:
        given = json.loads(arguments)
    except ValueError:
        return {}
    return given if isinstance(given, dict) else {}
