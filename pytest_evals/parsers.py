"""Parsers: from what the model wrote to the answer in it.

A completion is a list of messages; wherever one is taken, a string stands for one assistant
message and None for no message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

from .messages import Message, Messages, text_of

# `parsers.parser` and the other modules that verifiers has below it are found through `names`.
__path__: list[str] = []

Completion: TypeAlias = Sequence[Mapping[str, Any]] | str | None
Extract: TypeAlias = Callable[[str], Any]

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"


def _as_is(text: str) -> str:
    return text


class Parser:
    """Takes the whole text as the answer.

    Args:
        extract_fn: applied to the text, for instance `extract_boxed_answer`.

    Attributes:
        logger: for subclasses.
    """

    def __init__(self, extract_fn: Extract = _as_is) -> None:
        self.logger = logging.getLogger(f"{type(self).__module__}.{type(self).__name__}")
        self.extract_fn = extract_fn

    def parse(self, text: str) -> Any:
        """Return what `text` holds."""
        return self.extract_fn(text)

    def parse_answer(self, completion: Completion) -> Any:
        """Return the answer in the last assistant message, or None when there is no such message.

        The text parts of a message are joined by a space.
        """
        messages = self.get_assistant_messages(completion)
        return self.parse(text_of(messages[-1])) if messages else None

    def get_assistant_messages(self, completion: Completion) -> Messages:
        """Return the messages of the model."""
        return _of_role("assistant", completion)

    def get_user_messages(self, completion: Completion) -> Messages:
        """Return the messages of the user."""
        return _of_role("user", completion)

    def get_system_messages(self, completion: Completion) -> Messages:
        """Return the system messages."""
        return _of_role("system", completion)

    def get_tool_messages(self, completion: Completion) -> Messages:
        """Return the results of tool calls."""
        return _of_role("tool", completion)

    def get_format_reward_func(self) -> Callable[..., float]:
        """Return a reward function for the form of the completion: 1.0, as any form will do."""

        def format_reward_func(completion: Completion, **kwargs: Any) -> float:
            return 1.0

        return format_reward_func

    def _mean_over_messages(self, completion: Completion, score: Callable[[str], float]) -> float:
        messages = self.get_assistant_messages(completion)
        if not messages:
            return 0.0
        return sum(score(text_of(message)) for message in messages) / len(messages)


class ThinkParser(Parser):
    """Takes what follows the last `</think>`; "" when the model never closed its thoughts.

    For models that write `<think>...</think>` into their text. Where the server takes the thoughts
    out, use `MaybeThinkParser`: here every answer would be empty.
    """

    def parse(self, text: str) -> Any:
        """Return what follows the last `</think>`, stripped, or "" without that tag."""
        _, tag, tail = text.rpartition(THINK_CLOSE)
        return self.extract_fn(tail.strip() if tag else "")

    def get_format_reward_func(self) -> Callable[..., float]:
        """Return a reward function: the share of messages that think once and then answer.

        Such a message starts with `<think>`, has each tag exactly once, and text after the second.
        """

        def format_reward_func(completion: Completion, **kwargs: Any) -> float:
            return self._mean_over_messages(completion, _thinks_once)

        return format_reward_func


class MaybeThinkParser(Parser):
    """Takes what follows the last `</think>`, or the whole text where that tag is missing."""

    def parse(self, text: str) -> Any:
        """Return what follows the last `</think>`, stripped; the whole text without that tag."""
        return self.extract_fn(text.rpartition(THINK_CLOSE)[2].strip())


class XMLParser(Parser):
    """Takes the answer from XML tags.

    Args:
        fields: the tags in the order they are expected; a tuple lists alternatives, the first of
            which is the one asked for. A tag's name may not repeat. Without any there is never an
            answer.
        answer_field: the tag that holds the answer.
        extract_fn: kept for subclasses; `parse` does not apply it.
    """

    def __init__(
        self,
        fields: Sequence[str | tuple[str, ...]],
        answer_field: str = "answer",
        extract_fn: Extract = _as_is,
    ) -> None:
        super().__init__(extract_fn)
        self.answer_field = answer_field
        self._fields = [_alternatives(field) for field in fields]
        canonical = self.get_fields()
        repeated = {name for name in canonical if canonical.count(name) > 1}
        if repeated:
            raise ValueError(f"XMLParser: duplicate field name {sorted(repeated)[0]!r}")

    def parse(self, text: str, strip: bool = True, last: bool = False) -> SimpleNamespace:
        """Return a namespace with one attribute per tag: the text inside, or None.

        Args:
            text: what the model wrote.
            strip: remove white space around the text inside.
            last: take the last occurrence of each tag instead of the first.
        """
        found = {
            tag: _inside(text, tag, last=last)
            for alternatives in self._fields
            for tag in alternatives
        }
        if strip:
            found = {tag: value and value.strip() for tag, value in found.items()}
        return SimpleNamespace(**found)

    def parse_answer(self, completion: Completion) -> Any:
        """Return the answer field of the last assistant message that has one, or None.

        In a message its first occurrence counts, in a plain string its last.
        """
        if isinstance(completion, str):
            return getattr(self.parse(completion, last=True), self.answer_field, None)
        for message in reversed(self.get_assistant_messages(completion)):
            answer = getattr(self.parse(text_of(message)), self.answer_field, None)
            if answer is not None:
                return answer
        return None

    def get_fields(self) -> list[str]:
        """Return the canonical tag names, in order."""
        return [alternatives[0] for alternatives in self._fields]

    def get_format_str(self) -> str:
        """Return the expected form, for a system prompt."""
        names = [
            alternatives[0] if len(alternatives) == 1 else f"[ {' | '.join(alternatives)} ]"
            for alternatives in self._fields
        ]
        return "\n".join(f"<{name}>\n...\n</{name}>" for name in names)

    def format(self, **values: Any) -> str:
        """Return `values` in their tags, a value given under any alternative of its field."""
        parts = []
        for alternatives in self._fields:
            given = [values[tag] for tag in alternatives if values.get(tag) is not None]
            if not given:
                raise ValueError(
                    f"missing value for field {alternatives[0]!r} (allowed: {alternatives})"
                )
            parts.append(f"<{alternatives[0]}>\n{given[0]}\n</{alternatives[0]}>")
        return "\n".join(parts)

    def get_format_reward_func(self) -> Callable[..., float]:
        """Return a reward function: how far the assistant messages keep the form, averaged.

        For one message: 0.4 x the share of fields present (when any could be parsed), 0.2 always,
        0.2 when it starts with a first-field tag and 0.2 when it ends with a last-field one.
        """

        def format_reward_func(completion: Completion) -> float:
            return self._mean_over_messages(completion, self._format_score)

        return format_reward_func

    def _format_score(self, text: str) -> float:
        if not self._fields:
            return 0.0
        score = 0.2  # the original's "spacing" part, which no text can lose
        if any(
            _inside(text, tag) is not None for alternatives in self._fields for tag in alternatives
        ):
            present = sum(
                any(f"<{tag}>" in text or f"</{tag}>" in text for tag in alternatives)
                for alternatives in self._fields
            )
            score += 0.4 * present / len(self._fields)
        stripped = text.strip()
        if stripped.startswith(tuple(f"<{tag}>" for tag in self._fields[0])):
            score += 0.2
        if stripped.endswith(tuple(f"</{tag}>" for tag in self._fields[-1])):
            score += 0.2
        return score


def extract_boxed_answer(text: str, strict: bool = False) -> str:
    r"""Return the content of the last `\boxed{...}`, braces inside balanced.

    Without one, or when it is never closed: the text itself, or "" when `strict`.
    """
    otherwise = "" if strict else text
    start = text.rfind("\\boxed{")
    if start == -1:
        return otherwise
    start += len("\\boxed{")
    depth = 1
    for position in range(start, len(text)):
        character = text[position]
        if character == "{":
            depth += 1
        elif character == "}":
            depth -= 1
            if depth == 0:
                return text[start:position]
    return otherwise


def extract_hash_answer(text: str) -> str:
    """Return what follows the first `####`, up to the next, stripped; the text without one."""
    parts = text.split("####")
    return parts[1].strip() if len(parts) > 1 else text


def _of_role(role: str, completion: Completion) -> Messages:
    if completion is None:
        return []
    if isinstance(completion, str):
        return [Message(role=role, content=completion)] if role == "assistant" else []
    return [_as_message(message) for message in completion if message.get("role") == role]


def _as_message(message: Mapping[str, Any]) -> Message:
    return message if isinstance(message, Message) else Message(message)


def _thinks_once(text: str) -> float:
    return float(
        text.strip().startswith(THINK_OPEN)
        and text.count(THINK_OPEN) == 1
        and text.count(THINK_CLOSE) == 1
        and not text.endswith(THINK_CLOSE)
    )


def _alternatives(field: str | tuple[str, ...]) -> tuple[str, ...]:
    alternatives = (field,) if isinstance(field, str) else field
    if not isinstance(alternatives, tuple) or not _all_strings(alternatives):
        raise TypeError(f"XMLParser: a field is a string or a tuple of strings, not {field!r}")
    if not alternatives:
        raise ValueError("XMLParser: a tuple of alternatives cannot be empty")
    return alternatives


def _all_strings(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _inside(text: str, tag: str, *, last: bool = False) -> str | None:
    """Return the text between the first (or last) `<tag>` and the `</tag>` that follows it.

    Plain searches and no regular expression: one with white space around a lazy group takes cubic
    time on a long text that never closes its tag, which any model can write.
    """
    opening, closing = f"<{tag}>", f"</{tag}>"
    found = None
    position = 0
    while True:
        start = text.find(opening, position)
        if start == -1:
            return found
        start += len(opening)
        end = text.find(closing, start)
        if end == -1:
            return found
        found = text[start:end]
        if not last:
            return found
        position = end + len(closing)
