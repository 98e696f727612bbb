"""The body of a request to Anthropic's Messages API, as that of a chat completion."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .refusal import RequestError

_KNOWN = frozenset(
    {
        "container", "max_tokens", "messages", "metadata", "model", "output_config",
        "service_tier", "stop_sequences", "stream", "system", "temperature", "thinking",
        "tool_choice", "tools", "top_k", "top_p",
    }
)  # fmt: skip
_THINKING = frozenset({"thinking", "redacted_thinking"})


def signature_of(thinking: str) -> str:
    """Return what the server signs its thinking with."""
    return hashlib.sha256(thinking.encode(errors="replace")).hexdigest()[:16]


def chat_body(body: dict[str, Any]) -> dict[str, Any]:
    """Return the chat completion request that asks for the same.

    Raises:
        RequestError: it is not a request of this API.
    """
    for name in body:
        if name not in _KNOWN:
            raise RequestError(400, f"{name}: Extra inputs are not permitted")
    if body.get("max_tokens") is None:
        raise RequestError(400, "max_tokens: Field required")
    turns = body.get("messages")
    if not isinstance(turns, list) or not turns:
        raise RequestError(400, "messages: at least one message is required")
    messages = _system(body.get("system"))
    for index, turn in enumerate(turns):
        messages += _messages(turn, f"messages.{index}", thinks=body.get("thinking") is not None)
    chat = {"model": body.get("model"), "messages": messages, "max_tokens": body["max_tokens"]}
    if "stream" in body:
        chat["stream"] = body["stream"]
    if body.get("tools"):
        chat["tools"] = [_tool(tool) for tool in body["tools"]]
        chat.update(_choice(body.get("tool_choice")))
    return chat


def _system(system: object) -> list[dict[str, Any]]:
    if isinstance(system, list):
        return [{"role": "system", "content": [_part(part, "system") for part in system]}]
    return [] if system is None else [{"role": "system", "content": system}]


def _messages(turn: object, where: str, *, thinks: bool) -> list[dict[str, Any]]:
    if not isinstance(turn, dict) or turn.get("role") not in ("user", "assistant"):
        raise RequestError(400, f"{where}: role must be user or assistant")
    content = turn.get("content")
    if isinstance(content, str):
        if not content:
            raise RequestError(400, f"{where}: all messages must have non-empty content")
        return [{"role": turn["role"], "content": content}]
    if not isinstance(content, list) or not content:
        raise RequestError(400, f"{where}: all messages must have non-empty content")
    blocks = [block for block in content if isinstance(block, dict)]
    if turn["role"] == "user":
        return _of_user(blocks, where)
    return [_of_assistant(blocks, where, thinks=thinks)]


def _of_user(blocks: list[dict[str, Any]], where: str) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    parts: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") == "tool_result":
            result = block.get("content")
            if isinstance(result, list):
                result = [_part(part, where) for part in result]
            identity = block.get("tool_use_id")
            messages.append({"role": "tool", "tool_call_id": identity, "content": result or ""})
        else:
            parts.append(_part(block, where))
    return [*messages, {"role": "user", "content": parts}] if parts else messages


def _of_assistant(blocks: list[dict[str, Any]], where: str, *, thinks: bool) -> dict[str, Any]:
    for index, block in enumerate(blocks):
        signed = signature_of(str(block.get("thinking")))
        if block.get("type") == "thinking" and block.get("signature") != signed:
            place = f"{where}.content.{index}"
            raise RequestError(400, f"{place}: Invalid `signature` in `thinking` block")
    calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
    if thinks and calls and blocks[0].get("type") not in _THINKING:
        found = blocks[0].get("type")
        raise RequestError(
            400,
            f"{where}.content.0.type: Expected `thinking` or `redacted_thinking`, "
            f"but found `{found}`",
        )
    said = [block for block in blocks if block.get("type") not in {"tool_use", *_THINKING}]
    texts = [_part(block, where)["text"] for block in said if block.get("type") == "text"]
    message: dict[str, Any] = {"role": "assistant", "content": "".join(texts) or None}
    return {**message, "tool_calls": calls} if calls else message


def _call(block: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(block.get("input"), dict):
        raise RequestError(400, "tool_use.input: Input should be a valid dictionary")
    function = {"name": block.get("name"), "arguments": json.dumps(block["input"])}
    return {"id": block.get("id"), "type": "function", "function": function}


def _part(part: object, where: str) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if isinstance(part, dict) and kind == "text":
        if not part.get("text"):
            raise RequestError(400, f"{where}: text content blocks must be non-empty")
        return {"type": "text", "text": part["text"]}
    if isinstance(part, dict) and kind == "image" and isinstance(part.get("source"), dict):
        source = part["source"]
        url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
        return {"type": "image_url", "image_url": {"url": url}}
    raise RequestError(400, f"{where}: Input tag {kind!r} does not match any of the expected tags")


def _tool(tool: object) -> dict[str, Any]:
    if not isinstance(tool, dict) or not isinstance(tool.get("input_schema"), dict):
        raise RequestError(400, "tools.0.input_schema: Field required")
    function = {name: tool[name] for name in ("name", "description") if name in tool}
    return {"type": "function", "function": {**function, "parameters": tool["input_schema"]}}


def _choice(choice: object) -> dict[str, Any]:
    if choice is None:
        return {}
    if not isinstance(choice, dict) or choice.get("type") not in ("auto", "none"):
        raise RequestError(400, "This server forces no tool call; set tool_choice to auto or none")
    one_only = bool(choice.get("disable_parallel_tool_use"))
    return {"tool_choice": choice["type"], "parallel_tool_calls": not one_only}
