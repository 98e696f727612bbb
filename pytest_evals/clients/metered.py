"""MeteredClient: one rollout's client, which has what it uses counted as it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..messages import Message, Response, Usage
from .client import Client

# Takes the tokens of an answer; None of one whose tokens the server did not count.
Count: TypeAlias = Callable[[Usage | None], None]


class MeteredClient:
    """A client that tells of the tokens of every answer, whatever becomes of the rollout.

    Args:
        client: asks the model.
        count: told of each answer.
    """

    def __init__(self, client: Client, count: Count) -> None:
        self._client = client
        self._count = count
        self._counted = Usage(0, 0)

    async def get_response(
        self,
        prompt: Sequence[Message],
        model: str,
        sampling_args: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Response:
        """Ask the model; arguments and errors are those of the client inside."""
        response = await self._client.get_response(prompt, model, sampling_args, tools)
        if response.usage is not None:
            self._counted += response.usage
        self._count(response.usage)
        return response

    def begin_again(self) -> None:
        """Count the answers of another try of the rollout."""
        self._counted = Usage(0, 0)

    def settle(self, used: Usage | None, known: Usage) -> None:
        """Tell of what a rollout says it used besides: its environment has another client.

        Args:
            used: all tokens of the rollout, as its state has them.
            known: those of them that nobody was paid for again.
        """
        if used is None:
            return
        told = known + self._counted
        rest = Usage(
            max(0, used.prompt_tokens - told.prompt_tokens),
            max(0, used.completion_tokens - told.completion_tokens),
        )
        if rest.total_tokens:
            self._count(rest)

    async def close(self) -> None:
        """Do nothing: whoever made the client inside closes it."""
