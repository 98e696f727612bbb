"""Chat messages and model responses: what environments, clients and the store exchange."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

# Read as attributes these are None when a message does not carry them, as on verifiers' message
# classes; any other missing name is an AttributeError.
_OPTIONAL_FIELDS = frozenset(
    {"content", "reasoning_content", "thinking_blocks", "tool_calls", "tool_call_id", "name"}
)


class Message(dict[str, Any]):
    """One chat message: a dict whose fields can also be read as attributes.

    It compares equal to a plain dict of the same fields and keeps fields it does not know. It is
    not validated: a rollout passes through thousands of them.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            if name in _OPTIONAL_FIELDS:
                return None
            raise AttributeError(
                f"this message has no field {name!r}; it has {sorted(self)}"
            ) from None


Messages: TypeAlias = list[Message]
FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"] | None


def text_of(message: Mapping[str, Any]) -> str:
    """Return the text of a message: its content, or its text parts joined by a space.

    Parts that are not text (images, audio) are left out; a message without content is "".
    """
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return " ".join(
        part["text"]
        for part in content
        if isinstance(part, Mapping) and isinstance(part.get("text"), str)
    )


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call, as the server counted them."""

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(slots=True)
class Response:
    """What one model call returned.

    `model` is the id the server says it served, which need not be the one that was asked for.
    `requests` counts the HTTP requests it took, retries included.
    """

    message: Message
    model: str = ""
    id: str = ""
    created: int = 0
    finish_reason: FinishReason = None
    usage: Usage | None = None
    requests: int = 1

    @property
    def is_truncated(self) -> bool:
        """Whether the model hit its token limit."""
        return self.finish_reason == "length"
