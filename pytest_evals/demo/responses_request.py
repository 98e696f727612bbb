"""The body of a request to the Responses API, as that of a chat completion."""

from __future__ import annotations

from typing import Any

from .refusal import RequestError

_KNOWN = frozenset(
    {
        "background", "conversation", "include", "input", "instructions", "max_output_tokens",
        "max_tool_calls", "metadata", "model", "parallel_tool_calls", "previous_response_id",
        "prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store", "stream",
        "temperature", "text", "tool_choice", "tools", "top_logprobs", "top_p", "truncation",
        "user",
    }
)  # fmt: skip
_KEPT = ("previous_response_id", "conversation", "background")
_SAME = ("model", "parallel_tool_calls", "tool_choice", "stream")
_PARTS = {"input_text": "text", "output_text": "text", "refusal": "refusal"}


def chat_body(body: dict[str, Any]) -> dict[str, Any]:
    """Return the chat completion request that asks for the same.

    Raises:
        RequestError: it is not a request of this API.
    """
    for name in body:
        if name not in _KNOWN:
            raise RequestError(400, f"Unknown parameter: '{name}'.", param=name)
    for name in _KEPT:
        if body.get(name):
            raise RequestError(400, f"This server keeps nothing; leave {name} out", param=name)
    chat = {name: body[name] for name in _SAME if name in body}
    chat["messages"] = _instructions(body) + _messages(body.get("input"))
    if "tools" in body:
        chat["tools"] = _tools(body["tools"])
    if body.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = body["max_output_tokens"]
    return chat


def _instructions(body: dict[str, Any]) -> list[dict[str, Any]]:
    said = body.get("instructions")
    return [] if said is None else [{"role": "developer", "content": said}]


def _messages(given: object) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not given:
        raise RequestError(400, "input must be a string or an array of items", param="input")
    messages: list[dict[str, Any]] = []
    has_reasoned = False
    for index, item in enumerate(given):
        where = f"input[{index}]"
        if not isinstance(item, dict):
            raise RequestError(400, f"{where} must be an object", param=where)
        kind = item.get("type", "message")
        if kind == "reasoning":
            has_reasoned = True
        elif kind == "function_call":
            _add_call(item, where, messages, has_reasoned=has_reasoned)
        elif kind == "function_call_output":
            content = _content(item.get("output"), where)
            messages.append(
                {"role": "tool", "tool_call_id": item.get("call_id"), "content": content}
            )
        elif kind == "message":
            content = _content(item.get("content"), where)
            messages.append({"role": item.get("role"), "content": content})
        else:
            raise RequestError(400, f"{where}.type: {kind!r} is not supported", param=where)
        has_reasoned = has_reasoned and kind != "function_call_output"
    return messages


def _add_call(
    item: dict[str, Any], where: str, messages: list[dict[str, Any]], *, has_reasoned: bool
) -> None:
    identity = item.get("id")
    if isinstance(identity, str) and identity.startswith("fc_r_") and not has_reasoned:
        raise RequestError(
            400,
            f"Item '{identity}' of type 'function_call' was provided without its required "
            "'reasoning' item",
            param=where,
        )
    if not messages or messages[-1].get("role") != "assistant":
        messages.append({"role": "assistant", "content": None})
    function = {"name": item.get("name"), "arguments": item.get("arguments")}
    call = {"id": item.get("call_id"), "type": "function", "function": function}
    messages[-1].setdefault("tool_calls", []).append(call)


def _content(content: object, where: str) -> object:
    if not isinstance(content, list):
        return content
    return [_part(part, where) for part in content]


def _part(part: object, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, dict) and kind in _PARTS:
        return {"type": "text", "text": part.get(_PARTS[kind])}
    if isinstance(part, dict) and kind == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    raise RequestError(400, f"{where}: no content part of type {kind!r}", param=where)


def _tools(tools: object) -> object:
    if not isinstance(tools, list):
        return tools
    wrapped: list[object] = []
    for tool in tools:
        if not isinstance(tool, dict) or "function" in tool:
            raise RequestError(400, "Missing required parameter: 'tools[0].name'.", param="tools")
        function = {name: value for name, value in tool.items() if name != "type"}
        # Without a word on it this API enforces the schema.
        wrapped.append({"type": tool.get("type"), "function": {"strict": True, **function}})
    return wrapped
