"""Messages as OpenAI's Responses API takes them: a list of items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..messages import ToolCall, text_of
from .parts import image_url_of, kind_of, objects_of, unsendable
from .tools import calls_of

CLIENT_TYPE = "openai_responses"
# The field of a message that holds the items of the reply it was, where they say more than the
# message; verifiers' name.
OUTPUT = "openai_responses_output"

Item = dict[str, Any]


def input_items(prompt: Sequence[Mapping[str, Any]]) -> list[Item]:
    """Return the items of a conversation.

    Raises:
        SetupError: a message has content that this API does not take.
    """
    return [item for message in prompt for item in _items_of(message)]


def _items_of(message: Mapping[str, Any]) -> list[Item]:
    role = message.get("role")
    if role == "assistant":
        return _assistant(message)
    content = _content(message.get("content"))
    if role == "tool":
        call = message.get("tool_call_id")
        return [{"type": "function_call_output", "call_id": call, "output": content}]
    if role not in ("system", "developer", "user", "text"):
        raise unsendable(CLIENT_TYPE, f"a message with the role {role!r}")
    said_by = "user" if role == "text" else role
    return [{"type": "message", "role": said_by, "content": content}]


def _assistant(message: Mapping[str, Any]) -> list[Item]:
    kept = objects_of(message, OUTPUT, CLIENT_TYPE)
    if kept:
        return kept
    items: list[Item] = []
    said = text_of(message)
    refusal = message.get("refusal")
    if said:
        items.append({"type": "message", "role": "assistant", "content": said})
    elif refusal:
        part = {"type": "refusal", "refusal": refusal}
        items.append({"type": "message", "role": "assistant", "content": [part]})
    items += [_call(call) for call in calls_of(message, CLIENT_TYPE)]
    return items or [{"type": "message", "role": "assistant", "content": ""}]


def _call(call: ToolCall) -> Item:
    return {
        "type": "function_call",
        "call_id": call.get("id"),
        "name": call.get("name"),
        "arguments": call.get("arguments") or "",
    }


def _content(content: object) -> str | list[Item]:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise unsendable(CLIENT_TYPE, f"content like {content!r:.60}")
    return [_part(part) for part in content]


def _part(part: object) -> Item:
    if not isinstance(part, Mapping):
        raise unsendable(CLIENT_TYPE, kind_of(part))
    kind = part.get("type")
    if kind == "text":
        return {"type": "input_text", "text": part.get("text")}
    if kind == "image_url":
        image = part["image_url"] if isinstance(part.get("image_url"), Mapping) else {}
        url = image_url_of(part, CLIENT_TYPE)
        return {"type": "input_image", "image_url": url, "detail": image.get("detail") or "auto"}
    if kind == "file" and isinstance(part.get("file"), Mapping):
        return {"type": "input_file", **part["file"]}
    if kind == "input_audio":
        raise unsendable(CLIENT_TYPE, f"{kind_of(part)}: the API takes no audio")
    return dict(part)
