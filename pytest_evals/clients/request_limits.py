"""RequestLimits: the limits on requests of the endpoints that one process asks."""

from __future__ import annotations

from collections.abc import Mapping

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

    def held_back(self) -> list[str]:
        """Say which endpoints held the run back, a line each."""
        return held_back(self._limits)


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
