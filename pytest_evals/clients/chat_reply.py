"""From the bytes of a chat completion to a Response, checked where it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..messages import FinishReason, Message, Response, ResponseMessage, Usage, as_tool_call
from .reading import count, empty, invalid, json_object, text
from .target import Target

_FINISH_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
FILTERED = "content_filter"
# With these the model was cut off before it said anything: a result, and scored as one.
_ENDED_EARLY = frozenset({"length", FILTERED})


def read_reply(raw: bytes, target: Target) -> Response:
    """Return the response in the body of a reply.

    Args:
        raw: the body.
        target: how messages name and quote the server.

    Raises:
        EmptyModelResponseError: its message has no content, tool call or refusal.
        InvalidModelResponseError: it is not a chat completion; quotes its first characters.
    """
    reply = json_object(raw, target)
    choice = choice_of(reply, raw, target)
    fields = choice.get("message")
    if not isinstance(fields, dict):
        raise invalid(raw, target, "has no message in its first choice")
    reason = choice.get("finish_reason")
    fault = _fault(fields)
    if fault:
        raise invalid(raw, target, fault)
    message = _message(fields)
    if _is_empty(message) and text(reason) not in _ENDED_EARLY:
        raise empty(raw, target)
    return Response(
        message=message,
        model=text(reply.get("model")),
        id=text(reply.get("id")),
        created=count(reply.get("created")),
        finish_reason=finish_reason_of(reason),
        usage=chat_usage(reply.get("usage")),
        was_filtered=reason == FILTERED,
    )


def choice_of(reply: Mapping[str, Any], raw: bytes, target: Target) -> Mapping[str, Any]:
    """Return the first choice of a completion.

    Raises:
        InvalidModelResponseError: there is none, or it ended in an error.
    """
    choices = reply.get("choices")
    if not isinstance(choices, list) or not choices:
        raise invalid(raw, target, "has no choices")
    choice = choices[0]
    if not isinstance(choice, dict):
        raise invalid(raw, target, "has no message in its first choice")
    # OpenRouter reports a provider that failed halfway like this, with status 200.
    if choice.get("finish_reason") == "error":
        raise invalid(raw, target, "ended in an error")
    return choice


def finish_reason_of(reason: object) -> FinishReason:
    """Return why the model stopped, None for reasons that have no word here."""
    return _FINISH_REASONS.get(reason) if isinstance(reason, str) else None


def _message(fields: Mapping[str, Any]) -> Message:
    """Return the message without fields that say nothing.

    It is sent back in the next turn, where servers refuse nulls and empty lists of tool calls that
    they wrote themselves.
    """
    message = ResponseMessage(content=None)
    for key, value in fields.items():
        if key == "content" or (value is not None and value != []):
            message[key] = value
    # OpenRouter's and newer vLLM's name for the same field.
    reasoning = message.get("reasoning")
    if isinstance(reasoning, str) and "reasoning_content" not in message:
        message["reasoning_content"] = reasoning
    calls = message.get("tool_calls")
    if calls:
        message["tool_calls"] = [as_tool_call(call) for call in calls]
    return message


def _fault(message: Mapping[str, Any]) -> str:
    """Say what is wrong with the types of a message, or ""."""
    content = message.get("content")
    if not isinstance(message.get("role"), str | None):
        return "has a message whose role is not a string"
    if not isinstance(content, str | list | None):
        return "has a message whose content is neither a string nor a list"
    if isinstance(content, list) and not all(isinstance(part, dict) for part in content):
        return "has a message whose content parts are not objects"
    calls = message.get("tool_calls")
    if calls is None:
        return ""
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        return "has a message whose tool calls are not a list of objects"
    return "" if all(map(_names_a_function, calls)) else "has a tool call that names no function"


def _names_a_function(call: Mapping[str, Any]) -> bool:
    function = call.get("function")
    return isinstance(function, dict) and isinstance(function.get("name"), str)


def _is_empty(message: Message) -> bool:
    if message["content"] is not None:
        return False
    return not any(
        message.get(key)
        for key in ("tool_calls", "refusal", "reasoning_content", "function_call", "audio")
    )


def chat_usage(counted: object) -> Usage | None:
    """Return the tokens that a server of OpenAI's older formats counted."""
    if not isinstance(counted, dict):
        return None
    details = counted.get("completion_tokens_details")
    return Usage(
        prompt_tokens=count(counted.get("prompt_tokens")),
        completion_tokens=count(counted.get("completion_tokens")),
        reasoning_tokens=count(details.get("reasoning_tokens")) if isinstance(details, dict) else 0,
    )
