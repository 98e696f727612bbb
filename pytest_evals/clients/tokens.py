"""Tokens: token ids and log probabilities in the replies of servers that were asked for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from ..messages import ResponseTokens


def completion_tokens_of(choice: Mapping[str, Any]) -> ResponseTokens | None:
    """Return the tokens in a choice of a completion, None where it does not have all of them."""
    logprobs = choice.get("logprobs")
    listed = logprobs.get("token_logprobs") if isinstance(logprobs, Mapping) else None
    return _tokens(choice.get("prompt_token_ids"), choice.get("token_ids"), listed)


def chat_tokens_of(reply: Mapping[str, Any]) -> ResponseTokens | None:
    """Return the tokens in a chat completion, None where it does not have all of them."""
    choice = reply["choices"][0]
    logprobs = choice.get("logprobs")
    listed = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not isinstance(listed, list):
        return None
    numbers = [token.get("logprob") if isinstance(token, Mapping) else None for token in listed]
    return _tokens(reply.get("prompt_token_ids"), choice.get("token_ids"), numbers)


def _tokens(prompt: object, completion: object, logprobs: object) -> ResponseTokens | None:
    if not are_ids(prompt) or not are_ids(completion) or not isinstance(logprobs, list):
        return None
    if not all(isinstance(number, int | float) for number in logprobs):
        return None
    return ResponseTokens(
        prompt_ids=prompt,
        prompt_mask=[0] * len(prompt),
        completion_ids=completion,
        completion_mask=[1] * len(completion),
        completion_logprobs=logprobs,
    )


def are_ids(value: object) -> TypeGuard[list[int]]:
    """Whether a value from a reply is a list of token ids."""
    return isinstance(value, list) and all(isinstance(token, int) for token in value)
