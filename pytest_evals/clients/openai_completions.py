"""The client of OpenAI's completions: text in, text out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..messages import Message, Response, ResponseMessage
from .arguments import name_limit, refused, split_arguments
from .chat_reply import FILTERED, chat_usage, choice_of, finish_reason_of
from .http_client import HttpClient
from .parts import only_text
from .reading import count, empty, invalid, json_object, text
from .target import Target
from .tokens import completion_tokens_of

CLIENT_TYPE = "openai_completions"
# Between the messages of a prompt, which have no other mark of who speaks.
_BETWEEN = "\n\n"


def request_body(
    prompt: Sequence[Message],
    model: str,
    sampling_args: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Return the body of a request; see `HttpClient._body`."""
    if tools:
        raise refused(CLIENT_TYPE, "tools", "ask the model over openai_chat_completions")
    arguments, extra = split_arguments(sampling_args)
    name_limit(arguments, "max_tokens")
    written = _BETWEEN.join([only_text(message, CLIENT_TYPE) for message in prompt])
    return {"model": model, "prompt": written, **arguments, **extra}


def read_reply(raw: bytes, target: Target) -> Response:
    """Return the response in the body of a reply.

    Raises:
        EmptyModelResponseError: it has no text, not even an empty one.
        InvalidModelResponseError: it is not a completion.
    """
    reply = json_object(raw, target)
    choice = choice_of(reply, raw, target)
    written = choice.get("text")
    if written is None:
        raise empty(raw, target)
    if not isinstance(written, str):
        raise invalid(raw, target, "has a text that is not a string")
    return Response(
        message=ResponseMessage(content=written),
        model=text(reply.get("model")),
        id=text(reply.get("id")),
        created=count(reply.get("created")),
        finish_reason=finish_reason_of(choice.get("finish_reason")),
        usage=chat_usage(reply.get("usage")),
        tokens=completion_tokens_of(choice),
        was_filtered=choice.get("finish_reason") == FILTERED,
    )


class OpenAICompletionsClient(HttpClient):
    """Speaks OpenAI's completions; arguments are those of `HttpClient`.

    The prompt is the text of all messages. For base models: a chat model is not told who speaks.
    """

    path: ClassVar = "/completions"

    _write = staticmethod(request_body)
    _read = staticmethod(read_reply)
