"""AdaptiveLimit: how many requests an endpoint may have in flight, as its answers show.

Additive increase and multiplicative decrease, as TCP does it (RFC 5681): doubling at first, slower
once the endpoint has refused a request, a fifth less at each refusal.
"""

from __future__ import annotations

from ..endpoints.endpoint import Endpoint
from ..endpoints.urls import is_loopback, public_url

# What an endpoint is sent at first. With the default of 32 rollouts in flight it is at the limit
# after one answer each; 256 are in flight after the fourth.
START = 16
_KEPT = 0.8
# A window of answers adds one, or this part where one is little.
_STEP = 20


def limit_of(endpoint: Endpoint) -> AdaptiveLimit:
    """Return the limit an endpoint begins with: none for a server on this machine.

    That is the user's own. If it refuses requests, it gets the limit that others begin with.
    """
    is_ours = endpoint.serve is not None or is_loopback(endpoint.url)
    return AdaptiveLimit(None if is_ours else START)


def limited_as(endpoint: Endpoint) -> str:
    """Return what a provider's limit is on: a model, at a URL, for a key."""
    who = "" if endpoint.key_var is None else f" ({endpoint.key_var})"
    return f"{endpoint.model} at {public_url(endpoint.url)}{who}"


class AdaptiveLimit:
    """The limit of one endpoint.

    A refusal counts as one only if its request was sent under the limit in force: those that were
    under way when it shrank say nothing about it. `epoch` tells them apart. Between a refusal and
    the end of the pause that the server asked for, the limit does not grow.

    Times are of a monotonic clock, in seconds.

    Args:
        start: the limit at first; None for none until a request is refused.

    Attributes:
        limit: requests in flight; None for any number.
        epoch: how often it has shrunk.
        refusals: requests that were refused.
        refused_at: when the last one was; None before any.
        resume_at: when the pause ends that the server asked for.
        lowest: what it was at its lowest after a refusal; None before any.
    """

    def __init__(self, start: int | None) -> None:
        self.limit = start
        self.epoch = 0
        self.refusals = 0
        self.refused_at: float | None = None
        self.resume_at = 0.0
        self.lowest: int | None = None
        self._knows_ceiling = False
        self._answers = 0

    def answered(self, count: int, now: float) -> None:
        """Take `count` answers that came while the limit kept other requests waiting."""
        if self.limit is None or now < self.resume_at:
            return
        if not self._knows_ceiling:
            self.limit += count
            return
        self._answers += count
        while self._answers >= self.limit:
            self._answers -= self.limit
            self.limit += max(1, self.limit // _STEP)

    def refused(
        self, now: float, *, epoch: int, in_flight: int, count: int = 1, pause: float | None = None
    ) -> None:
        """Take requests that were refused because there were too many.

        Args:
            now: the time.
            epoch: under which the latest of them was sent.
            in_flight: requests, with the refused one.
            count: how many they are.
            pause: seconds that the server asks to wait.
        """
        self.refusals += count
        self.refused_at = now
        if pause is not None:
            self.resume_at = max(self.resume_at, now + pause)
        if epoch < self.epoch:
            return
        self.epoch += 1
        self._answers = 0
        if self.limit is None:
            # How far it was overrun is not known: found from below, it costs few refusals.
            self.limit = max(1, min(START, int(in_flight * _KEPT)))
        else:
            self._knows_ceiling = True
            self.limit = max(1, int(min(self.limit, max(in_flight, 1)) * _KEPT))
        self.lowest = self.limit if self.lowest is None else min(self.lowest, self.limit)
