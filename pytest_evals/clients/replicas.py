"""Replicas: several servers of one model, as one client.

A group of rollouts asks the same server as long as that answers, where what its prompts begin with
is cached. One that fails is rested, and its groups ask the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from ..errors import ModelError, RejectedError
from ..messages import Message, Response
from .asking import TURN
from .client import Client

# Seconds of the first rest, which doubles with each failure after it, and of the longest.
_FIRST_REST = 5.0
_LONGEST_REST = 120.0


class Replica:
    """One of the servers.

    Args:
        client: asks it.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self._failures = 0
        self._rests_until = 0.0
        self._is_tried = False

    def may_be_asked(self, now: float) -> bool:
        """Whether it is worth asking: after a rest, one request tries it before all others."""
        return not self._failures or (now >= self._rests_until and not self._is_tried)

    @property
    def rests_until(self) -> float:
        """When its rest ends, on the monotonic clock."""
        return self._rests_until

    def asked(self) -> None:
        """Note that a request is on its way."""
        self._is_tried = bool(self._failures)

    def answered(self) -> None:
        """Note that it is well."""
        self._failures, self._is_tried = 0, False

    def failed(self, now: float, *, was_resting: bool) -> None:
        """Let it rest; failures of requests that were under way when its rest began are no news."""
        self._is_tried = False
        if self._failures and not was_resting and now < self._rests_until:
            return
        rest = min(_LONGEST_REST, _FIRST_REST * 2.0 ** min(self._failures, 16))
        self._failures += 1
        self._rests_until = now + rest

    def let_go(self) -> None:
        """Note that the request was given up by whoever sent it."""
        self._is_tried = False


class ReplicatedClient:
    """Asks one of several servers of one model.

    Args:
        clients: one for each, at least one.
        clock: monotonic seconds.
    """

    def __init__(
        self, clients: Sequence[Client], *, clock: Callable[[], float] = monotonic
    ) -> None:
        self._replicas = [Replica(client) for client in clients]
        self._clock = clock

    async def get_response(
        self,
        prompt: Sequence[Message],
        model: str,
        sampling_args: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Response:
        """Ask the server of this group, and after it the others; see `Client.get_response`.

        Raises:
            ModelError: each of them failed; that of the last one.
        """
        left = self._in_order()
        while True:
            replica = self._chosen(left)
            left.remove(replica)
            was_resting = not replica.may_be_asked(self._clock())
            replica.asked()
            try:
                response = await replica.client.get_response(prompt, model, sampling_args, tools)
            except ModelError as error:
                if isinstance(error, RejectedError):
                    replica.let_go()
                    raise
                replica.failed(self._clock(), was_resting=was_resting)
                if not left:
                    raise
            except BaseException:
                replica.let_go()
                raise
            else:
                replica.answered()
                return response

    async def close(self) -> None:
        """Close every connection to every server."""
        await asyncio.gather(*[replica.client.close() for replica in self._replicas])

    def _in_order(self) -> list[Replica]:
        """Return the servers, that of the group which asks first."""
        home = TURN.get() % len(self._replicas)
        return [*self._replicas[home:], *self._replicas[:home]]

    def _chosen(self, left: Sequence[Replica]) -> Replica:
        """Return the first that may be asked, or the one whose rest ends first."""
        now = self._clock()
        awake = (replica for replica in left if replica.may_be_asked(now))
        return next(awake, None) or min(left, key=lambda replica: replica.rests_until)
