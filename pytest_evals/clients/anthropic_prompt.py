"""Messages as Anthropic's Messages API takes them: a system prompt, and turns made of blocks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..messages import ToolCall, text_of
from .parts import data_of, image_url_of, kind_of, objects_of, only_text, unsendable
from .tools import calls_of

CLIENT_TYPE = "anthropic_messages"
# The field of a message that holds the blocks of the reply it was, where they say more than the
# message.
CONTENT = "anthropic_content"

Block = dict[str, Any]

_SYSTEM = ("system", "developer")


def system_of(prompt: Sequence[Mapping[str, Any]]) -> str | list[Block]:
    """Return the system prompt: the text of all system messages, "" for none.

    Blocks, where one of them has parts: those may hold a mark for the cache.
    """
    messages = [message for message in prompt if message.get("role") in _SYSTEM]
    if all(isinstance(message.get("content"), str) for message in messages):
        return "\n\n".join([message["content"] for message in messages])
    blocks: list[Block] = []
    for message in messages:
        said = only_text(message, CLIENT_TYPE)
        content = message.get("content")
        blocks += _content(content) if isinstance(content, list) else [_text(said)]
    return blocks


def turns_of(prompt: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return the turns of a conversation without its system messages.

    The results of one turn's calls become one turn, as the API demands. An assistant's message
    that says nothing is left out: the API refuses it.

    Raises:
        SetupError: a message has content that this API does not take.
    """
    turns: list[Block] = []
    results: list[Block] = []
    for message in prompt:
        role = message.get("role")
        if role == "tool":
            if not results:
                turns.append({"role": "user", "content": results})
            results.append(_result(message))
            continue
        results = []
        if role == "assistant":
            content = _assistant(message)
            if content:
                turns.append({"role": "assistant", "content": content})
        elif role in ("user", "text"):
            turns.append({"role": "user", "content": _said(message.get("content"))})
        elif role not in _SYSTEM:
            raise unsendable(CLIENT_TYPE, f"a message with the role {role!r}")
    return turns


def _result(message: Mapping[str, Any]) -> Block:
    return {
        "type": "tool_result",
        "tool_use_id": message.get("tool_call_id"),
        "content": _said(message.get("content")),
    }


def _assistant(message: Mapping[str, Any]) -> str | list[Block]:
    kept = objects_of(message, CONTENT, CLIENT_TYPE)
    if kept:
        return kept
    blocks = objects_of(message, "thinking_blocks", CLIENT_TYPE)
    calls = calls_of(message, CLIENT_TYPE)
    said = text_of(message) or message.get("refusal") or ""
    if not blocks and not calls:
        return said
    # An empty block of text is refused.
    if said:
        blocks.append(_text(said))
    return [*blocks, *(_use(call) for call in calls)]


def _use(call: ToolCall) -> Block:
    try:
        arguments = json.loads(call.get("arguments") or "{}")
    except (ValueError, TypeError, RecursionError):
        arguments = None
    # The API takes an object only; what a model wrote elsewhere and was none is lost.
    given = arguments if isinstance(arguments, dict) else {}
    return {"type": "tool_use", "id": call.get("id"), "name": call.get("name"), "input": given}


def _said(content: object) -> str | list[Block]:
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise unsendable(CLIENT_TYPE, f"content like {content!r:.60}")
    return _content(content)


def _content(parts: Sequence[object]) -> list[Block]:
    return [_block(part) for part in parts]


def _block(part: object) -> Block:
    if not isinstance(part, Mapping):
        raise unsendable(CLIENT_TYPE, kind_of(part))
    kind = part.get("type")
    if kind == "image_url":
        return _image(part)
    if kind == "file":
        return _document(part)
    if kind == "input_audio":
        raise unsendable(CLIENT_TYPE, f"{kind_of(part)}: the API takes no audio")
    # Text, which is written the same way, and blocks of this API's own.
    return dict(part)


def _image(part: Mapping[str, Any]) -> Block:
    url = image_url_of(part, CLIENT_TYPE)
    data = data_of(url)
    if data is not None:
        source = {"type": "base64", "media_type": data.media_type, "data": data.base64}
    elif url.lower().startswith(("http://", "https://")):
        source = {"type": "url", "url": url}
    else:
        raise unsendable(CLIENT_TYPE, f"an image at {url[:40]!r}: give an http URL, or base64 data")
    return {"type": "image", "source": source}


def _document(part: Mapping[str, Any]) -> Block:
    file = part.get("file")
    url = file.get("file_data") if isinstance(file, Mapping) else None
    data = data_of(url) if isinstance(url, str) else None
    if data is None:
        raise unsendable(CLIENT_TYPE, "a file part without file_data in base64")
    source = {"type": "base64", "media_type": data.media_type, "data": data.base64}
    return {"type": "document", "source": source}


def _text(said: str) -> Block:
    return {"type": "text", "text": said}
