"""The client of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from ..messages import Message
from .arguments import drop_unspoken, name_limit, refused, split_arguments, table_of
from .http_client import HttpClient
from .responses_input import CLIENT_TYPE, input_items
from .responses_reply import read_reply
from .tools import function_of


def request_body(
    prompt: Sequence[Message],
    model: str,
    sampling_args: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Return the body of a request; see `HttpClient._body`."""
    arguments, extra = split_arguments(sampling_args)
    drop_unspoken(arguments, CLIENT_TYPE)
    if arguments.pop("stop", None):
        raise refused(CLIENT_TYPE, "stop sequences", "leave stop out, or use another client type")
    name_limit(arguments, "max_output_tokens")
    if arguments.get("modalities") == ["text"]:
        del arguments["modalities"]
    _nest(arguments, "reasoning_effort", "reasoning", "effort")
    _nest(arguments, "verbosity", "text", "verbosity")
    if "response_format" in arguments:
        arguments["response_format"] = _flat(arguments["response_format"], "json_schema")
        _nest(arguments, "response_format", "text", "format")
    if "tool_choice" in arguments:
        arguments["tool_choice"] = _flat(arguments["tool_choice"], "function")
    body: dict[str, Any] = {"model": model, "input": input_items(prompt)}
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    return {**body, **arguments, **extra}


def _nest(arguments: dict[str, Any], name: str, table: str, key: str) -> None:
    """Move an argument into a table, where what the table says already wins."""
    if name in arguments:
        given = table_of(arguments, table, CLIENT_TYPE)
        arguments[table] = {key: arguments.pop(name), **given}


def _flat(value: Any, key: str) -> Any:
    """Return `{"type": key, key: {...}}` as this API has it: without the inner table."""
    inner = value.get(key) if isinstance(value, Mapping) else None
    return {"type": key, **inner} if isinstance(inner, Mapping) else value


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    # Unlike chat completions, this API enforces schemas unless it is told not to.
    return {"type": "function", "strict": False, **function_of(tool)}


class OpenAIResponsesClient(HttpClient):
    """Speaks OpenAI's Responses API; arguments are those of `HttpClient`."""

    path: ClassVar = "/responses"
    limit: ClassVar = "max_output_tokens"

    _write = staticmethod(request_body)
    _read = staticmethod(read_reply)
