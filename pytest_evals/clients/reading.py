"""Reading: what the readers of all wire formats' replies have in common."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..errors import EmptyModelResponseError, InvalidModelResponseError, RejectedError
from ..messages import Usage
from .target import Target

_QUOTED = 200
# How the lines of a text/event-stream begin. Whoever answers so was not asked to.
_EVENTS = (b"data:", b"event:", b"id:", b"retry:", b": ")
_STREAMS = "is a stream of events, which is not read; let the server answer in one piece"


def json_object(raw: bytes, target: Target) -> dict[str, Any]:
    """Return the object that a body is.

    Raises:
        RejectedError: it is a stream of events; quotes its first characters, too.
        InvalidModelResponseError: it is something else; quotes its first characters.
    """
    try:
        reply = json.loads(raw)
    except (ValueError, RecursionError):
        if raw.lstrip().startswith(_EVENTS):
            raise RejectedError(_words(raw, target, _STREAMS)) from None
        raise invalid(raw, target, "is not JSON") from None
    if not isinstance(reply, dict):
        raise invalid(raw, target, "is not a JSON object")
    return reply


def invalid(raw: bytes, target: Target, fault: str) -> InvalidModelResponseError:
    """Return the error of a reply that is not what it should be; `fault` follows "the reply"."""
    return InvalidModelResponseError(_words(raw, target, fault))


def empty(raw: bytes, target: Target) -> EmptyModelResponseError:
    """Return the error of a reply in which the model says nothing."""
    return EmptyModelResponseError(_words(raw, target, "has no content"))


def usage_of(counted: object, prompt: tuple[str, ...], completion: str, details: str) -> Usage:
    """Return the tokens that a server counted under these names; what it left out is 0.

    Args:
        counted: the `usage` of a reply.
        prompt: names whose sum is the whole prompt.
        completion: the name of the answer's tokens, reasoning included.
        details: the name of the object that tells the reasoning apart.
    """
    fields = counted if isinstance(counted, Mapping) else {}
    detailed = fields.get(details)
    parts = detailed if isinstance(detailed, Mapping) else {}
    return Usage(
        prompt_tokens=sum([count(fields.get(name)) for name in prompt]),
        completion_tokens=count(fields.get(completion)),
        reasoning_tokens=count(parts.get("reasoning_tokens") or parts.get("thinking_tokens")),
    )


def count(value: object) -> int:
    """Return a count, 0 for what is none."""
    return int(value) if isinstance(value, int) and value >= 0 else 0


def text(value: object) -> str:
    """Return a text, "" for what is none."""
    return value if isinstance(value, str) else ""


def _words(raw: bytes, target: Target, fault: str) -> str:
    # More bytes than are quoted: a character can take several.
    quoted = target.quote(raw[: 8 * _QUOTED].decode(errors="replace"), _QUOTED)
    return f"the reply of {target.url} {fault}: {quoted or '(nothing)'}"
