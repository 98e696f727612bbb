"""EndpointClients: the clients of the endpoints that rollouts ask, one for each."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeAlias

from ..clients.client import Client
from ..endpoints.endpoint import Endpoint

MakeClient: TypeAlias = Callable[[Endpoint], Client]

_CLOSE_SECONDS = 1.0


class EndpointClients:
    """Makes each client when it is first asked for; for the loop that the rollouts run on.

    Args:
        make: makes the client of an endpoint; called once for each Endpoint object.
    """

    def __init__(self, make: MakeClient) -> None:
        self._make = make
        # By identity: an Endpoint holds a dict and cannot be hashed; its EvalRun keeps it alive.
        self._clients: dict[int, Client] = {}

    def of(self, endpoint: Endpoint) -> Client:
        """Return the client of an endpoint."""
        client = self._clients.get(id(endpoint))
        if client is None:
            client = self._clients[id(endpoint)] = self._make(endpoint)
        return client

    async def connect(self, endpoint: Endpoint) -> None:
        """Make the client of an endpoint before it is needed."""
        self.of(endpoint)

    async def close(self) -> None:
        """Close every client, also when one of them fails to or does not end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                # Every result is in by now: what goes wrong here is not worth a word.
                await asyncio.gather(*map(_close, self._clients.values()), return_exceptions=True)


async def _close(client: Client) -> None:
    await client.close()
