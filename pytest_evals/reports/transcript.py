"""Transcripts: a rollout's messages as text that a person can read in a terminal."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from ..messages import text_of
from ..visible import clipped, visible

MESSAGE_LIMIT: Final = 4_000
TRANSCRIPT_LIMIT: Final = 20_000


def transcript(prompt: object, completion: object, mask: Callable[[str], str] = str) -> str:
    """Return the messages of a rollout, oldest first.

    Each begins with its role at the left margin; everything that others wrote is indented, so no
    model can write a role. Messages are cut in the middle after 4,000 characters, the whole after
    20,000, with a note.

    Args:
        prompt: the messages the rollout began with; a string for a plain completion.
        completion: the messages after them; None when there are none yet.
        mask: replaces the secrets in a text; applied before anything is cut.
    """
    told = [*told_messages(prompt, "prompt", mask), *told_messages(completion, "completion", mask)]
    return _shortened([_titled(role, text) for role, text in told]) if told else "(no messages)"


def told_messages(messages: object, role: str, mask: Callable[[str], str]) -> list[tuple[str, str]]:
    """Return the role and the text of each message, with tool calls, images and the like in words.

    Masked, but neither cut nor made visible.

    Args:
        messages: a list of them; a string for a plain completion; None for none.
        role: what a plain text is called.
        mask: replaces the secrets in a text.
    """
    if messages is None:
        return []
    if isinstance(messages, list):
        tools = dict(_named_calls(messages))
        return [_told(message, tools, mask) for message in messages]
    return [(role, mask(messages if isinstance(messages, str) else repr(messages)))]


def _shortened(blocks: Sequence[str]) -> str:
    """Join the blocks; where they are too long together, leave out whole ones in the middle.

    The first and the last are always there.
    """
    if sum(map(len, blocks)) <= TRANSCRIPT_LIMIT:
        return "\n".join(blocks)
    head: list[str] = []
    tail: list[str] = []
    room = TRANSCRIPT_LIMIT
    front, back = 0, len(blocks)
    while front < back:
        from_front = len(head) <= len(tail)
        block = blocks[front] if from_front else blocks[back - 1]
        room -= len(block)
        if room < 0 and head and tail:
            break
        if from_front:
            head.append(block)
            front += 1
        else:
            tail.append(block)
            back -= 1
    left_out = f"({back - front} of {len(blocks)} messages left out)"
    return "\n".join([*head, left_out, *reversed(tail)])


def _named_calls(messages: Iterable[object]) -> Iterator[tuple[str, str]]:
    """Yield the id and the name of each tool call."""
    for message in messages:
        calls = message.get("tool_calls") if isinstance(message, Mapping) else None
        for call in calls if isinstance(calls, list) else ():
            table = _table_of(call)
            name = _function_of(table).get("name")
            if isinstance(table.get("id"), str) and isinstance(name, str):
                yield table["id"], name


def _told(message: object, tools: Mapping[str, str], mask: Callable[[str], str]) -> tuple[str, str]:
    if not isinstance(message, Mapping):
        return "message", mask(str(message))
    role = str(message.get("role", "message"))
    if message.get("tool_call_id"):
        called = str(message["tool_call_id"])
        role = " ".join([role, *([tools[called]] if called in tools else []), called])
    parts = []
    if message.get("reasoning_content"):
        parts.append(f"(reasoning) {message['reasoning_content']}")
    parts.append(text_of(message))
    parts.extend(_attachments(message.get("content")))
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        parts.extend(f"(calls) {_tool_call(call)}" for call in calls)
    return mask(role), mask("\n".join(part for part in parts if part))


def _attachments(content: object) -> list[str]:
    """Name the parts of a message that are not text: (image_url), (input_audio)."""
    if not isinstance(content, list):
        return []
    return [
        f"({part.get('type', 'part')})"
        for part in content
        if isinstance(part, Mapping) and not isinstance(part.get("text"), str)
    ]


def _tool_call(call: object) -> str:
    """Return `name(arguments)` of a tool call: a table, or JSON text as rows hold it."""
    table = _table_of(call)
    if not table:
        return str(call)
    function = _function_of(table)
    return f"{function.get('name')}({function.get('arguments', '')})"


def _table_of(call: object) -> Mapping[str, Any]:
    if isinstance(call, str):
        try:
            call = json.loads(call)
        except (ValueError, RecursionError):
            return {}
    return call if isinstance(call, Mapping) else {}


def _function_of(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function")
    return function if isinstance(function, Mapping) else call


def _titled(role: str, text: str) -> str:
    title = visible(clipped(role, 80)).replace("\n", "\\n")
    body = visible(clipped(text, MESSAGE_LIMIT))
    # Written-out control characters take up to ten times the room. Cutting can put the middle of a
    # line at the start of one, hence again `visible`.
    body = visible(clipped(body, 2 * MESSAGE_LIMIT))
    return f"{title}:\n{textwrap.indent(body or '(empty)', '  ')}"
