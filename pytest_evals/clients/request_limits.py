"""RequestLimits: the limits on requests of the endpoints that one process asks."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from time import monotonic

from ..endpoints.endpoint import Endpoint
from .adaptive_limit import AdaptiveLimit, limit_of, limited_as
from .request_slots import RequestSlots, own_slots


class RequestLimits:
    """One limit for each model at each URL with each key, however many clients ask there."""

    def __init__(self) -> None:
        self._limits: dict[str, AdaptiveLimit] = {}
        self._slots: dict[str, RequestSlots] = {}

    def slots_of(self, endpoint: Endpoint) -> RequestSlots:
        """Return the slots for requests to an endpoint."""
        name = limited_as(endpoint)
        if name not in self._slots:
            self._limits[name] = limit_of(endpoint)
            self._slots[name] = own_slots(self._limits[name])
        return self._slots[name]

    @property
    def refusing(self) -> str:
        """Say that requests are being refused; "" while none are."""
        return refusing(list(self._limits.values()), monotonic())

    def held_back(self) -> list[str]:
        """Say which endpoints held the run back, a line each."""
        return held_back(self._limits)


# For so many seconds after the last refusal requests are taken to be refused.
_RECENT_SECONDS = 20.0


def refusing(limits: Iterable[AdaptiveLimit], now: float) -> str:
    """Say that requests are being refused as too many, and how long that is waited for.

    Args:
        limits: of the endpoints.
        now: seconds of a monotonic clock.

    Returns:
        Words such as `refused 32 times (429), waiting 1 s`; "" while none are refused.
    """
    recent = [
        limit
        for limit in limits
        if limit.refused_at is not None
        and now < max(limit.refused_at + _RECENT_SECONDS, limit.resume_at)
    ]
    if not recent:
        return ""
    count = sum(limit.refusals for limit in recent)
    words = f"refused {'once' if count == 1 else f'{count} times'} (429)"
    pause = max(limit.resume_at for limit in recent) - now
    return f"{words}, waiting {math.ceil(pause)} s" if pause > 0 else words


def held_back(limits: Mapping[str, AdaptiveLimit]) -> list[str]:
    """Say which endpoints held a run back, a line each.

    Args:
        limits: by what they are on.
    """
    return [
        f"{name} held the run back: {_refused(limit.refusals)} as too many; down to {limit.lowest}"
        f" in flight there, {limit.limit} at the end"
        for name, limit in limits.items()
        if limit.refusals
    ]


def _refused(count: int) -> str:
    return "1 request was refused" if count == 1 else f"{count} requests were refused"
