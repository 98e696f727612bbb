"""Chat completions of the demo model: from the body of a request to the body of its reply."""

from __future__ import annotations

import re
import time
from typing import Any

from .model import MODELS, answer, text_of

_WORD = re.compile(r"\S+")


class RequestError(Exception):
    """A request that is answered with an error in OpenAI's shape."""

    def __init__(
        self, status: int, message: str, *, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.param = param


def completion(body: dict[str, Any], number: int) -> dict[str, Any]:
    """Return the chat completion that answers a request.

    Args:
        body: of the request, any JSON object.
        number: makes the completion's id.

    Raises:
        RequestError: the request is not one that this server answers.
    """
    model = _model_of(body)
    messages = _messages_of(body)
    if body.get("stream"):
        raise RequestError(400, "This server does not stream; set stream to false", param="stream")
    if _whole_number(body, "n", 1) not in {None, 1}:
        raise RequestError(400, "This server gives one choice; set n to 1", param="n")
    limit = _whole_number(body, "max_completion_tokens", 1)
    if limit is None:
        limit = _whole_number(body, "max_tokens", 1)
    text = answer(messages, _whole_number(body, "seed") or 0, model)
    text, words, finish_reason = _cut(text, limit)
    asked = sum(4 + len(text_of(message.get("content")).split()) for message in messages)
    return {
        "id": f"chatcmpl-demo-{number}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": MODELS[model].served,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "logprobs": None,
                "finish_reason": finish_reason,
            }
        ],
        "usage": {
            "prompt_tokens": asked,
            "completion_tokens": words,
            "total_tokens": asked + words,
        },
    }


def _cut(text: str, limit: int | None) -> tuple[str, int, str]:
    """Return the first `limit` words of `text`, how many they are, and the finish reason."""
    words = list(_WORD.finditer(text))
    if limit is None or len(words) <= limit:
        return text, len(words), "stop"
    return text[: words[limit - 1].end()], limit, "length"


def _model_of(body: dict[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str):
        raise RequestError(400, "You must provide a model parameter", param="model")
    if model not in MODELS:
        message = f"The model `{model}` does not exist"
        raise RequestError(404, message, code="model_not_found", param="model")
    return model


def _messages_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise RequestError(400, "messages must be an array with a message", param="messages")
    for index, message in enumerate(messages):
        if (
            not isinstance(message, dict)
            or not isinstance(message.get("role"), str)
            or not isinstance(message.get("content"), str | list | None)
        ):
            where = f"messages[{index}]"
            raise RequestError(400, f"{where} must have a role and a content", param=where)
    return messages


def _whole_number(body: dict[str, Any], key: str, least: int | None = None) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise RequestError(400, f"{key} must be an integer", param=key)
    if least is not None and value < least:
        raise RequestError(400, f"{key} must be at least {least}", param=key)
    return value
