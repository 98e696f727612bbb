"""The Client protocol: how an environment asks a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..messages import Message, Response


class Client(Protocol):
    """One connection pool to one endpoint, speaking one wire format.

    It is made, used and closed on one event loop.
    """

    async def get_response(
        self,
        prompt: Sequence[Message],
        model: str,
        sampling_args: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Response:
        """Ask `model` to continue `prompt`.

        Retries what may pass (connection failures, timeouts, 408, 409, 429, 5xx, unreadable
        replies), within bounds of count and time.

        Raises:
            RejectedError: the key or the model is refused, or the account has no credit.
            OverlongPromptError: the prompt does not fit the model's context.
            InvalidModelResponseError: the last reply is none of the wire format.
            ModelError: any other failure, after the retries.
            SetupError: the wire format has no word for one of the arguments.
        """
        ...

    async def close(self) -> None:
        """Close every connection."""
        ...
