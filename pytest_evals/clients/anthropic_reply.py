"""From the bytes of a reply of Anthropic's Messages API to a Response."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..messages import FinishReason, Response, ResponseMessage, ToolCall
from .anthropic_prompt import CONTENT
from .reading import empty, invalid, json_object, text, usage_of
from .target import Target

_FINISH_REASONS: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}
_MAY_BE_EMPTY = frozenset({"refusal", "max_tokens", "model_context_window_exceeded"})
_ENDED = frozenset({"end_turn", "stop_sequence"})
_PROMPT_TOKENS = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
_THINKING = {"thinking": "thinking", "redacted_thinking": "data"}
# The order in which a message's fields are put back into blocks.
_ORDER = {"thinking": 0, "redacted_thinking": 0, "text": 1, "tool_use": 2}
_REFUSED = "the model refused"


@dataclass(slots=True)
class _Said:
    """What the blocks of a reply say, and what is wrong with them."""

    texts: list[str] = field(default_factory=list)
    thinking: list[dict[str, Any]] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    fault: str = ""


def read_reply(raw: bytes, target: Target) -> Response:
    """Return the response in the body of a reply.

    Raises:
        EmptyModelResponseError: there is nothing in it, and no reason for that.
        InvalidModelResponseError: it is not a message.
    """
    reply = json_object(raw, target)
    blocks = reply.get("content")
    if not isinstance(blocks, list):
        raise invalid(raw, target, "has no content blocks")
    said = _Said()
    for block in blocks:
        _add(block, said)
    if said.fault:
        raise invalid(raw, target, said.fault)
    reason = text(reply.get("stop_reason"))
    message = _message(said, blocks)
    if reason == "refusal":
        message["refusal"] = _refusal(reply) or "".join(said.texts) or _REFUSED
    counted = reply.get("usage")
    usage = None
    if isinstance(counted, dict):
        usage = usage_of(counted, _PROMPT_TOKENS, "output_tokens", "output_tokens_details")
    if not blocks and reason not in _MAY_BE_EMPTY:
        # After tool results a model now and then ends its turn at once, which costs it a token.
        if reason not in _ENDED or usage is None or not usage.completion_tokens:
            raise empty(raw, target)
        message["content"] = ""
    return Response(
        message=message,
        model=text(reply.get("model")),
        id=text(reply.get("id")),
        created=int(time.time()),
        finish_reason=_FINISH_REASONS.get(reason),
        usage=usage,
    )


def _add(block: object, said: _Said) -> None:
    kind = block.get("type") if isinstance(block, Mapping) else None
    if not isinstance(block, Mapping) or not isinstance(kind, str):
        said.fault = "has a content block that is not an object with a type"
    elif kind == "text":
        if isinstance(block.get("text"), str):
            said.texts.append(block["text"])
        else:
            said.fault = "has a block of text without its text"
    elif kind in _THINKING:
        if isinstance(block.get(_THINKING[kind]), str):
            said.thinking.append(dict(block))
        else:
            said.fault = f"has a block of type {kind} without its {_THINKING[kind]}"
    elif kind == "tool_use":
        _add_call(block, said)


def _add_call(block: Mapping[str, Any], said: _Said) -> None:
    identity, name, given = block.get("id"), block.get("name"), block.get("input")
    if not isinstance(identity, str) or not isinstance(name, str) or not isinstance(given, dict):
        said.fault = "has a tool use without an id, a name or an input"
        return
    said.calls.append(ToolCall(id=identity, name=name, arguments=json.dumps(given)))


def _message(said: _Said, blocks: list[Any]) -> ResponseMessage:
    message = ResponseMessage(content="".join(said.texts) if said.texts else None)
    if said.thinking:
        reasoning = "".join(block.get("thinking", "") for block in said.thinking)
        if reasoning:
            message["reasoning_content"] = reasoning
        # With their signatures: a conversation with tools is refused without them.
        message["thinking_blocks"] = said.thinking
    if said.calls:
        message["tool_calls"] = said.calls
    if not _can_be_rebuilt(blocks, said):
        message[CONTENT] = [dict(block) for block in blocks]
    return message


def _can_be_rebuilt(blocks: list[Any], said: _Said) -> bool:
    """Whether the message's fields give these blocks again, in this order."""
    places = [_ORDER.get(block["type"]) for block in blocks]
    if None in places or len(said.texts) > 1:
        return False
    return places == sorted(place for place in places if place is not None)


def _refusal(reply: Mapping[str, Any]) -> str:
    details = reply.get("stop_details")
    return text(details.get("explanation")) if isinstance(details, Mapping) else ""
