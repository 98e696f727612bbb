"""From the bytes of a reply of OpenAI's Responses API to a Response."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import OverlongPromptError
from ..messages import FinishReason, Response, ResponseMessage, ToolCall
from .chat_reply import FILTERED
from .reading import count, empty, invalid, json_object, text, usage_of
from .responses_input import OUTPUT
from .target import Target

_CUT = "max_output_tokens"
_TOO_LONG = "context_length_exceeded"
_SAYS_ALL = frozenset({"message", "function_call"})
_QUOTED = 300


@dataclass(slots=True)
class _Said:
    """What the items of a reply say, and what is wrong with them.

    `is_more` is whether an item says something that the message has no field for.
    """

    texts: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    calls: list[ToolCall] = field(default_factory=list)
    is_more: bool = False
    fault: str = ""


def read_reply(raw: bytes, target: Target) -> Response:
    """Return the response in the body of a reply.

    Raises:
        EmptyModelResponseError: the model says, calls and reasons nothing.
        InvalidModelResponseError: it is no such reply, or one that failed.
        OverlongPromptError: it failed because the prompt does not fit.
    """
    reply = json_object(raw, target)
    _raise_failure(reply, raw, target)
    items = reply.get("output")
    if not isinstance(items, list):
        raise invalid(raw, target, "has no output")
    said = _Said()
    for item in items:
        _add(item, said)
    if said.fault:
        raise invalid(raw, target, said.fault)
    if reply.get("status") not in ("completed", "incomplete", None):
        raise invalid(raw, target, f"has the status {str(reply['status'])[:40]!r}")
    ended_early = reply.get("status") == "incomplete"
    if not ended_early and not (said.texts or said.refusals or said.calls or said.is_more):
        raise empty(raw, target)
    return Response(
        message=_message(said, items),
        model=text(reply.get("model")),
        id=text(reply.get("id")),
        created=_whole(reply.get("created_at")),
        finish_reason=_finish_reason(reply, said),
        usage=usage_of(reply["usage"], ("input_tokens",), "output_tokens", "output_tokens_details")
        if isinstance(reply.get("usage"), dict)
        else None,
        was_filtered=_early_end(reply) == FILTERED,
    )


def _raise_failure(reply: Mapping[str, Any], raw: bytes, target: Target) -> None:
    error = reply.get("error")
    if error is None and reply.get("status") != "failed":
        return
    fields = error if isinstance(error, Mapping) else {}
    if fields.get("code") == _TOO_LONG:
        words = target.quote(text(fields.get("message")), _QUOTED)
        raise OverlongPromptError(f"the prompt is too long for {target.url}: {words}")
    raise invalid(raw, target, "is of a response that failed")


def _add(item: object, said: _Said) -> None:
    kind = item.get("type") if isinstance(item, Mapping) else None
    if not isinstance(item, Mapping) or not isinstance(kind, str):
        said.fault = "has an output item that is not an object with a type"
        return
    said.is_more = said.is_more or kind not in _SAYS_ALL
    if kind == "message":
        _add_message(item, said)
    elif kind == "function_call":
        _add_call(item, said)
    elif kind == "reasoning":
        for part in (*_list(item.get("summary")), *_list(item.get("content"))):
            if isinstance(part, Mapping) and isinstance(part.get("text"), str):
                said.reasoning.append(part["text"])


def _add_message(item: Mapping[str, Any], said: _Said) -> None:
    parts = item.get("content")
    if isinstance(parts, str):
        said.texts.append(parts)
        return
    if not isinstance(parts, list) or not all(isinstance(part, Mapping) for part in parts):
        said.fault = "has a message whose content is not a list of objects"
        return
    for part in parts:
        for kind, key, words in (
            ("output_text", "text", said.texts),
            ("refusal", "refusal", said.refusals),
        ):
            if part.get("type") == kind:
                if not isinstance(part.get(key), str):
                    said.fault = f"has a part of type {kind} without its text"
                    return
                words.append(part[key])


def _add_call(item: Mapping[str, Any], said: _Said) -> None:
    call = {
        "id": item.get("call_id"),
        "name": item.get("name"),
        "arguments": item.get("arguments"),
    }
    if not all(isinstance(value, str) for value in call.values()):
        said.fault = "has a function call without an id, a name or arguments"
        return
    said.calls.append(ToolCall(call))


def _message(said: _Said, items: list[Any]) -> ResponseMessage:
    message = ResponseMessage(content="".join(said.texts) if said.texts else None)
    if said.refusals:
        message["refusal"] = "".join(said.refusals)
    if said.reasoning:
        message["reasoning_content"] = "\n".join(said.reasoning)
    if said.calls:
        message["tool_calls"] = said.calls
    if said.is_more:
        # Sent back as they came: the server knows its reasoning by id or by encrypted content. It
        # refuses some nulls that it wrote itself.
        message[OUTPUT] = [
            {name: value for name, value in item.items() if value is not None} for item in items
        ]
    return message


def _early_end(reply: Mapping[str, Any]) -> object:
    """Return why the reply is not whole; None where it is, or says nothing that is a reason."""
    details = reply.get("incomplete_details")
    if isinstance(details, Mapping):
        return details.get("reason") or "unknown"
    return _CUT if reply.get("status") == "incomplete" else None


def _finish_reason(reply: Mapping[str, Any], said: _Said) -> FinishReason:
    ended_by = _early_end(reply)
    if ended_by is not None:
        return "length" if ended_by == _CUT else None
    if said.calls:
        return "tool_calls"
    return "stop"


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole(value: object) -> int:
    return int(value) if isinstance(value, float) and 0 <= value < 1e12 else count(value)
