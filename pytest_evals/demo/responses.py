"""Responses of the demo model: OpenAI's Responses API, without anything that the server keeps."""

from __future__ import annotations

import time
from typing import Any

from .refusal import RequestError
from .request import read_request
from .responses_request import chat_body
from .speaking import Speech, speech


def response(body: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the response that answers a request.

    Where the request has `reasoning`, the model shows some: it has to come back with its calls.

    Args:
        body: of the request, any JSON object.
        number: makes the response's id.

    Raises:
        RequestError: the request is not one that this server answers.
    """
    reasons = body.get("reasoning") is not None
    if reasons and not isinstance(body["reasoning"], dict):
        raise RequestError(400, "reasoning must be an object", param="reasoning")
    said = speech(read_request(chat_body(body)))
    is_cut = said.reason == "length"
    thoughts = 3 if reasons else 0
    return {
        "id": f"resp-demo-{number}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "incomplete" if is_cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "model": said.served,
        "output": _output(said, number, reasons=reasons),
        "usage": {
            "input_tokens": said.asked,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": said.tokens + thoughts,
            "output_tokens_details": {"reasoning_tokens": thoughts},
            "total_tokens": said.asked + said.tokens + thoughts,
        },
    }


def _output(said: Speech, number: int, *, reasons: bool) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if reasons:
        summary = [{"type": "summary_text", "text": "Let me see."}]
        items.append({"type": "reasoning", "id": f"rs_{number}", "summary": summary})
    if said.text or not said.calls:
        part = {"type": "output_text", "text": said.text, "annotations": []}
        items.append(
            {
                "type": "message",
                "id": f"msg_{number}",
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        )
    for index, call in enumerate(said.calls):
        items.append(
            {
                "type": "function_call",
                # The server knows by the id that it was made after reasoning.
                "id": f"fc_{'r' if reasons else 'p'}_{number}_{index}",
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
                "status": "completed",
            }
        )
    return items
