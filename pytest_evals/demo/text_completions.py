"""Completions of the demo model: a text in, a text out."""

from __future__ import annotations

import time
from typing import Any

from .chat_completions import usage
from .refusal import RequestError
from .request import read_request
from .speaking import speech

# What OpenAI and vLLM take where a request names none.
_LIMIT = 16


def text_completion(body: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the completion that answers a request.

    Args:
        body: of the request, any JSON object.
        number: makes the completion's id.

    Raises:
        RequestError: the request is not one that this server answers.
    """
    prompt = body.get("prompt")
    if not isinstance(prompt, str):
        raise RequestError(400, "This server takes one prompt, a string", param="prompt")
    for name in ("messages", "tools", "max_completion_tokens"):
        if name in body:
            raise RequestError(400, f"Unrecognized request argument supplied: {name}", param=name)
    question = {"role": "user", "content": prompt}
    limit = body.get("max_tokens")
    chat = {**body, "messages": [question], "max_tokens": _LIMIT if limit is None else limit}
    said = speech(read_request(chat))
    return {
        "id": f"cmpl-demo-{number}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": said.served,
        "choices": [
            {"text": said.text, "index": 0, "logprobs": None, "finish_reason": said.reason}
        ],
        "usage": usage(said),
    }
