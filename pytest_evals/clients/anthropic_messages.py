"""The client of Anthropic's Messages API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import urlsplit

from ..endpoints.endpoint import Endpoint
from ..messages import Message
from .anthropic_prompt import CLIENT_TYPE, system_of, turns_of
from .anthropic_reply import read_reply
from .arguments import drop_unspoken, name_limit, split_arguments, table_of
from .headers import anthropic_headers
from .http_client import HttpClient
from .tools import function_of

# The API wants a limit on every answer; this is verifiers'.
MAX_TOKENS = 4096
# Models that reason only as much as they see fit; an effort without this would have no effect.
_ADAPTIVE = ("claude-opus-4-7", "claude-opus-4-6", "claude-sonnet-4-6")
_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def request_body(
    prompt: Sequence[Message],
    model: str,
    sampling_args: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Return the body of a request; see `HttpClient._body`."""
    arguments, extra = split_arguments(sampling_args)
    drop_unspoken(arguments, CLIENT_TYPE)
    name_limit(arguments, "max_tokens")
    arguments.setdefault("max_tokens", MAX_TOKENS)
    if "stop" in arguments:
        stop = arguments.pop("stop")
        arguments.setdefault("stop_sequences", [stop] if isinstance(stop, str) else stop)
    _say_effort(arguments, model)
    _say_choice(arguments, has_tools=bool(tools))
    body: dict[str, Any] = {"model": model}
    system = system_of(prompt)
    if system:
        body["system"] = system
    body["messages"] = turns_of(prompt)
    if tools:
        body["tools"] = [_tool(tool) for tool in tools]
    return {**body, **arguments, **extra}


def _say_effort(arguments: dict[str, Any], model: str) -> None:
    effort = arguments.pop("reasoning_effort", None)
    if effort is None:
        return
    given = table_of(arguments, "output_config", CLIENT_TYPE)
    arguments["output_config"] = {"effort": effort, **given}
    name = model.lower().rpartition("/")[2].replace(".", "-")
    if any(name == known or name.startswith(f"{known}-") for known in _ADAPTIVE):
        arguments.setdefault("thinking", {"type": "adaptive"})


def _say_choice(arguments: dict[str, Any], *, has_tools: bool) -> None:
    """Turn the choice of tools from OpenAI's words into Anthropic's."""
    several = arguments.pop("parallel_tool_calls", True)
    choice = arguments.get("tool_choice")
    if isinstance(choice, str):
        arguments["tool_choice"] = {"type": _CHOICES.get(choice, choice)}
    elif isinstance(choice, Mapping) and isinstance(choice.get("function"), Mapping):
        arguments["tool_choice"] = {"type": "tool", "name": choice["function"].get("name")}
    if several is False and has_tools:
        arguments["tool_choice"] = {
            "type": "auto",
            **table_of(arguments, "tool_choice", CLIENT_TYPE),
            "disable_parallel_tool_use": True,
        }


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = function_of(tool)
    schema = function.pop("parameters", None) or {"type": "object", "properties": {}}
    return {**function, "input_schema": schema}


class AnthropicMessagesClient(HttpClient):
    """Speaks Anthropic's Messages API; arguments are those of `HttpClient`.

    The endpoint's URL may end before the API's version, as `https://api.anthropic.com` does.
    """

    path: ClassVar = "/messages"

    _write = staticmethod(request_body)
    _read = staticmethod(read_reply)

    def _headers(self, endpoint: Endpoint, key: str | None) -> Mapping[str, str]:
        return anthropic_headers(endpoint, key)

    @staticmethod
    def _base(url: str) -> str:
        parts = urlsplit(url)
        path = parts.path.rstrip("/")
        if path.rpartition("/")[2] == "v1":
            return url
        return parts._replace(path=f"{path}/v1").geturl()
