"""The client of OpenAI's chat completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..messages import Message
from .arguments import split_arguments
from .chat_reply import read_reply
from .chat_wire import wire_message, wire_tools
from .http_client import HttpClient


def request_body(
    prompt: Sequence[Message],
    model: str,
    sampling_args: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Return the body of a request.

    Arguments that are None are left out, `max_tokens` becomes `max_completion_tokens`, and the
    content of `extra_body` is put in the body last, as it is.

    Raises:
        TypeError: `extra_body` is not a mapping.
    """
    arguments, extra = split_arguments(sampling_args)
    body: dict[str, Any] = {
        "model": model,
        "messages": [wire_message(message) for message in prompt],
    }
    if tools:
        body["tools"] = wire_tools(tools)
    body.update(arguments)
    if "max_tokens" in body:
        limit = body.pop("max_tokens")
        body.setdefault("max_completion_tokens", limit)
    body.update(extra)
    return body


class OpenAIChatCompletionsClient(HttpClient):
    """Speaks OpenAI's chat completions; arguments are those of `HttpClient`."""

    path: ClassVar = "/chat/completions"
    limit: ClassVar = "max_completion_tokens"

    _write = staticmethod(request_body)
    _read = staticmethod(read_reply)
