"""RequestSlots: the requests in flight to one endpoint, under a limit that its answers move."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from time import monotonic
from typing import Protocol

from .adaptive_limit import AdaptiveLimit


class Governor(Protocol):
    """Moves the limit of slots by what becomes of requests; on the loop of the requests."""

    def answered(self, slots: RequestSlots) -> None:
        """Take an answer that came while the limit was reached; before its slot is free."""

    def refused(self, slots: RequestSlots, epoch: int, pause: float | None) -> None:
        """Take a request that was refused because there were too many.

        Args:
            slots: its slots; its own is not free yet.
            epoch: under which it was sent.
            pause: seconds that the server asks to wait.
        """

    def changed(self, slots: RequestSlots) -> None:
        """Hear that another request waits or has ended."""


class RequestSlots:
    """Lets requests to one endpoint start in turn, as many at a time as its limit says.

    A request that is tried again goes before those that have not been sent yet. Made for one event
    loop, and used on it alone.

    Args:
        governor: moves the limit.
        limit: at first; None for any number, 0 until the governor says more.

    Attributes:
        limit: requests that may be in flight.
        epoch: of the limit; each request is to remember under which it was sent.
        in_flight: requests now.
    """

    def __init__(self, governor: Governor, limit: int | None) -> None:
        self._governor = governor
        self.limit = limit
        self.epoch = 0
        self.in_flight = 0
        self._resume_at = 0.0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._alarm: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether the limit lets no further request start."""
        return self.limit is not None and self.in_flight >= self.limit

    def take(self) -> bool:
        """Take a slot if one is free now and nobody waits for one."""
        if self._waiting or self.is_full or self._is_paused:
            return False
        self.in_flight += 1
        return True

    async def wait(self, *, first: bool) -> None:
        """Take a slot, waiting for it.

        Args:
            first: before all others that wait.
        """
        turn = asyncio.get_running_loop().create_future()
        if first:
            self._waiting.appendleft(turn)
        else:
            self._waiting.append(turn)
        self._fill()
        self._governor.changed(self)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.give_back()
            else:
                # A slot given back in the same step of the loop has passed it over already.
                with contextlib.suppress(ValueError):
                    self._waiting.remove(turn)
                self._governor.changed(self)
            raise

    def answered(self) -> None:
        """Give a slot back whose request was answered."""
        if self.limit is not None and (self._waiting or self.is_full):
            self._governor.answered(self)
        self.give_back()

    def refused(self, epoch: int, pause: float | None) -> None:
        """Give a slot back whose request was refused because there were too many.

        Args:
            epoch: under which it was sent.
            pause: seconds that the server asks to wait.
        """
        self._governor.refused(self, epoch, pause)
        self.give_back()

    def give_back(self) -> None:
        """Give a slot back whose request failed for a reason that says nothing of the limit."""
        self.in_flight -= 1
        if self._waiting:
            self._fill()
        if self.limit is not None:
            self._governor.changed(self)

    def go_by(self, limit: int | None, epoch: int, pause: float = 0.0) -> None:
        """Go by another limit from now on, and start nothing for `pause` seconds."""
        self.limit, self.epoch = limit, epoch
        self._resume_at = max(self._resume_at, monotonic() + pause)
        self._fill()

    @property
    def _is_paused(self) -> bool:
        return bool(self._resume_at) and monotonic() < self._resume_at

    def _fill(self) -> None:
        if self._waiting and self._is_paused:
            self._wake_after_pause()
            return
        while self._waiting and not self.is_full:
            turn = self._waiting.popleft()
            if not turn.done():
                self.in_flight += 1
                turn.set_result(None)

    def _wake_after_pause(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        seconds = max(0.0, self._resume_at - monotonic())
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._fill)


class OwnLimit:
    """The governor of slots that share their limit with no other process.

    Args:
        limit: what they go by.
    """

    def __init__(self, limit: AdaptiveLimit) -> None:
        self._limit = limit

    def answered(self, slots: RequestSlots) -> None:
        """See `Governor`."""
        self._limit.answered(1, monotonic())
        slots.limit = self._limit.limit

    def refused(self, slots: RequestSlots, epoch: int, pause: float | None) -> None:
        """See `Governor`."""
        self._limit.refused(monotonic(), epoch=epoch, in_flight=slots.in_flight, pause=pause)
        slots.go_by(self._limit.limit, self._limit.epoch, pause or 0.0)

    def changed(self, slots: RequestSlots) -> None:
        """Do nothing: nobody else has a use for the slots."""


class Fixed:
    """The governor of slots whose limit stays as it is."""

    def answered(self, slots: RequestSlots) -> None:
        """Do nothing."""

    def refused(self, slots: RequestSlots, epoch: int, pause: float | None) -> None:
        """Do nothing."""

    def changed(self, slots: RequestSlots) -> None:
        """Do nothing."""


def own_slots(limit: AdaptiveLimit) -> RequestSlots:
    """Return slots that share their limit with no other process."""
    return RequestSlots(OwnLimit(limit), limit.limit)
