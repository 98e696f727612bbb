"""Chat messages and model responses: what environments, clients and the store exchange."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

from .records import Record

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls"] | None


class ContentPart(Record):
    """A part of a message's content: text, an image, audio, or what a provider adds."""

    __slots__ = ()


class ToolCall(Record):
    """A model's wish to call a tool; `arguments` is the JSON text that the model wrote."""

    __slots__ = ()

    id: str
    name: str
    arguments: str


class Tool(Record):
    """A tool as the model is told of it; `parameters` is a JSON schema."""

    __slots__ = ()
    optional: ClassVar = frozenset({"strict"})

    name: str
    description: str
    parameters: dict[str, Any]
    strict: bool | None


class Message(Record):
    """One chat message: a dict whose fields can also be read and set as attributes.

    It compares equal to a plain dict of the same fields and keeps fields it does not know. It is
    not validated: a rollout passes through thousands of them. The subclasses fill in the role;
    `as_message` chooses one.
    """

    __slots__ = ()
    optional: ClassVar = frozenset(
        {"content", "reasoning_content", "thinking_blocks", "tool_calls", "tool_call_id", "name"}
    )
    default_role: ClassVar[str] = ""

    role: str
    content: Any

    def __init__(self, fields: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        super().__init__(fields or (), **more)
        if self.default_role:
            self.setdefault("role", self.default_role)


class SystemMessage(Message):
    """What the model is told before the conversation."""

    __slots__ = ()
    default_role: ClassVar = "system"


class UserMessage(Message):
    """What the user, or the environment in the user's place, says."""

    __slots__ = ()
    default_role: ClassVar = "user"


class AssistantMessage(Message):
    """What the model says; without content where it only calls tools."""

    __slots__ = ()
    default_role: ClassVar = "assistant"

    reasoning_content: str | None
    tool_calls: list[ToolCall] | None

    def __init__(self, fields: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        super().__init__(fields, **more)
        calls = self.get("tool_calls")
        if isinstance(calls, list):
            self["tool_calls"] = [as_tool_call(call) for call in calls]


class ToolMessage(Message):
    """What a tool returned, for the call named by `tool_call_id`."""

    __slots__ = ()
    default_role: ClassVar = "tool"

    tool_call_id: str


class TextMessage(Message):
    """Text that is not part of a chat: the prompt or the completion of a completions endpoint."""

    __slots__ = ()
    default_role: ClassVar = "text"


class ResponseTokens(Record):
    """What a server that was asked for token ids said of them.

    The masks say which tokens the model wrote: 0 for each of the prompt's, 1 for each of its own.
    `completion_logprobs` has one for each of those.
    """

    __slots__ = ()

    prompt_ids: list[int]
    prompt_mask: list[int]
    completion_ids: list[int]
    completion_mask: list[int]
    completion_logprobs: list[float]


class ResponseMessage(AssistantMessage):
    """The message of a response.

    `finish_reason`, `is_truncated` and `tokens` are attributes beside its fields: they are not part
    of the conversation, and not sent back.
    """

    __slots__ = ("finish_reason", "is_truncated", "tokens")
    # A copy that was made of the fields alone does not have them.
    optional: ClassVar = Message.optional | {"finish_reason", "is_truncated", "tokens"}

    finish_reason: FinishReason
    is_truncated: bool
    tokens: ResponseTokens | None


Messages: TypeAlias = list[Message]

_BY_ROLE: Mapping[str, type[Message]] = {
    kind.default_role: kind
    for kind in (SystemMessage, UserMessage, AssistantMessage, ToolMessage, TextMessage)
}


def as_message(fields: Mapping[str, Any]) -> Message:
    """Return a message of the class of its role.

    A message of that class is returned as it is. Tool calls, in this package's form or OpenAI's,
    become `ToolCall`s, and the parts of its content `ContentPart`s.
    """
    kind = _BY_ROLE.get(fields.get("role", ""), Message)
    if isinstance(fields, Message) and type(fields) is not Message:
        return fields
    message = kind(fields)
    content = message.get("content")
    if isinstance(content, list):
        message["content"] = [
            ContentPart(part) if isinstance(part, Mapping) else part for part in content
        ]
    return message


def as_messages(given: Iterable[Mapping[str, Any]] | str) -> Messages:
    """Return messages of the classes of their roles; text becomes one user message."""
    if isinstance(given, str):
        return [UserMessage(content=given)]
    return [as_message(fields) for fields in given]


def as_tool_call(given: Mapping[str, Any] | str) -> ToolCall:
    """Return a tool call, from its own form, OpenAI's, or either as JSON.

    Fields that are neither's are kept: some providers want them back.

    Raises:
        ValueError: it is text that is not JSON.
        TypeError: it is JSON, but no object.
    """
    if isinstance(given, ToolCall):
        return given
    if isinstance(given, str):
        given = json.loads(given)
        if not isinstance(given, Mapping):
            raise TypeError(f"a tool call must be an object, not {given!r}")
    call = ToolCall(given)
    function = call.pop("function", None)
    if isinstance(function, Mapping):
        call.pop("type", None)
        call["name"] = function.get("name", "")
        call["arguments"] = function.get("arguments") or ""
    arguments = call.get("arguments")
    if isinstance(arguments, Mapping | list):
        call["arguments"] = json.dumps(arguments)
    return call


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

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(slots=True)
class Response:
    """What one model call returned.

    `model` is the id the server says it served, which need not be the one that was asked for.
    `requests` counts the HTTP requests it took, retries included. `tokens` is None unless the
    client asks for token ids. `was_filtered` says that a content filter of the provider ended it.
    """

    message: Message
    model: str = ""
    id: str = ""
    created: int = 0
    finish_reason: FinishReason = None
    usage: Usage | None = None
    requests: int = 1
    tokens: ResponseTokens | None = None
    was_filtered: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.message, ResponseMessage):
            object.__setattr__(self.message, "finish_reason", self.finish_reason)
            object.__setattr__(self.message, "is_truncated", self.is_truncated)
            if self.tokens is not None:
                object.__setattr__(self.message, "tokens", self.tokens)

    @property
    def is_truncated(self) -> bool:
        """Whether the model hit its token limit."""
        return self.finish_reason == "length"
