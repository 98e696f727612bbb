"""Stitching: the token ids of a conversation, made of those that the server gave and a few new.

A server that is sent messages renders and tokenizes the whole conversation, and the ids need not be
those that the model wrote. Stitched, what the model read and wrote stays as it was; new are only
the ids between its answer and the next: the environment's messages as the chat template shows them.
These are found by tokenizing those messages once behind a stand-in for the answer and the stand-in
once alone: what the first has in addition is the bridge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..messages import Message, ResponseMessage, ResponseTokens
from .chat_wire import wire_message

_NO_TEXT = frozenset({"image_url", "input_audio"})


class Turn(ResponseTokens):
    """The tokens of a turn, with the conversation up to its answer as the attribute `said`."""

    __slots__ = ("said",)

    said: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Continued:
    """A conversation that goes on from a turn whose tokens are known.

    Attributes:
        ids: of everything up to the model's answer and with it.
        after: the messages behind it: results of tools, at last maybe one of the user.
    """

    ids: list[int]
    after: list[Message]

    def stand_in(self) -> dict[str, Any]:
        """Return an answer that may stand before the messages behind it in any chat template."""
        calls = [
            {"id": message["tool_call_id"], "type": "function", "function": _FUNCTION}
            for message in self.after
            if message.get("tool_call_id")
        ]
        said = {"tool_calls": calls} if calls else {"content": "x"}
        # Some templates show the reasoning of the last answer only, unless it is there and empty.
        return {"role": "assistant", "reasoning_content": "", **said}

    def to_tokenize(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the fields of the two requests: with the messages behind it, and alone."""
        alone = [self.stand_in()]
        whole = [*alone, *(wire_message(message) for message in self.after)]
        return {"messages": whole}, {"messages": alone, "add_generation_prompt": False}

    def stitched(self, whole: Sequence[int], alone: Sequence[int]) -> list[int] | None:
        """Return the ids of the conversation, None where the template does not allow it.

        Args:
            whole: the ids of the stand-in with the messages behind it.
            alone: those of the stand-in.
        """
        if list(whole[: len(alone)]) != list(alone):
            return None
        # The model's last token ends its answer. The template may put something behind that.
        end = self.ids[-1]
        gap = next((gap for gap, token in enumerate(reversed(alone)) if token == end), 0)
        bridge = list(whole[len(alone) - gap :])
        # In some templates the same token begins what comes next.
        return self.ids + (bridge[1:] if bridge[:1] == [end] else bridge)


_FUNCTION: Mapping[str, str] = {"name": "f", "arguments": "{}"}


def continued(prompt: Sequence[Message]) -> Continued | None:
    """Return how a conversation goes on from the last turn whose tokens are known.

    None where there is none, where something before it was changed since, where its answer was cut
    off and so has no end, and where ids cannot be had of what comes after.
    """
    for index in range(len(prompt) - 1, -1, -1):
        message = prompt[index]
        tokens = message.tokens if isinstance(message, ResponseMessage) else None
        if not isinstance(tokens, Turn):
            continue
        ids = [*tokens.prompt_ids, *tokens.completion_ids]
        after = list(prompt[index + 1 :])
        if message.is_truncated or not ids or list(prompt[: index + 1]) != tokens.said:
            return None
        if not _may_follow(after) or any(map(_has_more_than_text, prompt)):
            return None
        return Continued(ids, after)
    return None


def _may_follow(after: Sequence[Message]) -> bool:
    if not after or after[-1].get("role") not in ("tool", "user"):
        return False
    return all(message.get("role") == "tool" for message in after[:-1])


def _has_more_than_text(message: Message) -> bool:
    content = message.get("content")
    return isinstance(content, list) and any(
        isinstance(part, Mapping) and part.get("type") in _NO_TEXT for part in content
    )
