"""Messages and tools as OpenAI's chat completions take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .tools import function_of


def wire_message(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a message with its tool calls in OpenAI's form; without any, as it is.

    A prompt that is text and no chat (role "text") is what a user says.
    """
    calls = message.get("tool_calls")
    if not calls:
        return {**message, "role": "user"} if message.get("role") == "text" else message
    return {**message, "tool_calls": [_wire_call(call) for call in calls]}


def _wire_call(call: Mapping[str, Any]) -> Mapping[str, Any]:
    if "function" in call:
        return call
    function = {"name": call.get("name"), "arguments": call.get("arguments") or ""}
    others = {name: value for name, value in call.items() if name not in function}
    return {"type": "function", **others, "function": function}


def wire_tools(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return tools in OpenAI's form: function tools, without fields that are None."""
    return [_wire_tool(tool) for tool in tools]


def _wire_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") == "function" and "function" in tool:
        return dict(tool)
    return {"type": "function", "function": function_of(tool)}
