"""Speaking: what the model says to a request, cut to its limit and counted in tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from .answering import answer
from .conversation import text_of
from .model import MODELS
from .request import Request
from .turn import Call, Reply

_WORD = re.compile(r"\S+")
# Tokens of a tool call besides the words of its arguments; of a message besides its words.
_CALL_TOKENS = 4
_MESSAGE_TOKENS = 4


@dataclass(frozen=True, slots=True)
class Speech:
    """What the model says.

    Attributes:
        text: "" where it only calls tools.
        calls: with arguments that may end early.
        reason: why it stopped: stop, length or tool_calls, as in chat completions.
        asked: tokens of the prompt.
        tokens: tokens of the text and the calls.
        served: the model's id as the server says it.
    """

    text: str
    calls: tuple[Call, ...]
    reason: str
    asked: int
    tokens: int
    served: str


def speech(request: Request) -> Speech:
    """Return the model's answer to a request."""
    reply = answer(request.messages, request.seed, request.model, request.tools)
    if not request.several_calls:
        reply = Reply(reply.text, reply.calls[:1])
    limit = request.limit
    text, tokens, reason = _cut(reply.text or "", limit)
    calls: list[Call] = []
    for call in reply.calls:
        if reason == "length":
            break
        left = None if limit is None else limit - tokens - _CALL_TOKENS
        if left is not None and left < 1:
            tokens, reason = limit or 0, "length"
            break
        arguments, words, reason = _cut(call.arguments, left)
        tokens += _CALL_TOKENS + words
        calls.append(replace(call, arguments=arguments))
    if reason == "stop" and reply.calls:
        reason = "tool_calls"
    served = MODELS[request.model].served
    return Speech(text, tuple(calls), reason, _prompt_tokens(request), tokens, served)


def _cut(text: str, limit: int | None) -> tuple[str, int, str]:
    """Return the first `limit` words of `text`, how many they are, and the finish reason."""
    words = list(_WORD.finditer(text))
    if limit is None or len(words) <= limit:
        return text, len(words), "stop"
    return text[: words[limit - 1].end()], limit, "length"


def _prompt_tokens(request: Request) -> int:
    tokens = sum(
        _MESSAGE_TOKENS + len(text_of(message.get("content")).split())
        for message in request.messages
    )
    for message in request.messages:
        for call in message.get("tool_calls") or ():
            tokens += _CALL_TOKENS + len(call["function"]["arguments"].split())
    for tool in request.tools:
        tokens += len(str(tool["function"]).split())
    return tokens
