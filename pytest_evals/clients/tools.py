"""Tools and calls of them in the plain form that each wire format wraps in its own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..messages import ToolCall, as_tool_call
from .parts import objects_of

_FIELDS = ("name", "description", "parameters", "strict")


def function_of(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return name, description, parameters and strict of a tool, without those that are None.

    Args:
        tool: this package's form, or OpenAI's, which wraps it in `function`.
    """
    function = tool.get("function")
    given = function if isinstance(function, Mapping) else tool
    return {name: given[name] for name in _FIELDS if given.get(name) is not None}


def calls_of(message: Mapping[str, Any], client_type: str) -> list[ToolCall]:
    """Return the tool calls of a message, in whichever form they are written.

    Raises:
        SetupError: they are no list of calls.
    """
    return [as_tool_call(call) for call in objects_of(message, "tool_calls", client_type)]
