"""Request lending: one adaptive limit for each endpoint, over all workers.

Workers tell what became of their requests. The controller moves the limit by that and lends its
slots, as it lends those for rollouts.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from ...clients.adaptive_limit import AdaptiveLimit, limit_of, limited_as
from ...clients.request_limits import held_back, refusing
from ...clients.request_slots import RequestSlots
from ...endpoints.endpoint import Endpoint
from .leases import SESSION, Grant, Leases, Need
from .link import Link

# How long news is gathered before it is told.
_TELL_SECONDS = 0.02


class RequestLender:
    """The controller's side.

    Args:
        tell: sends a message to a worker.
    """

    def __init__(self, tell: Callable[..., None]) -> None:
        self._tell = tell
        self._nodes: dict[str, Any] = {}
        self._limits: dict[str, AdaptiveLimit] = {}
        self._leases: dict[str, Leases] = {}
        self._told: dict[str, dict[str, Need]] = {}

    def join(self, nodes: Iterable[Any]) -> None:
        """Lend to workers that are about to begin."""
        joined = {node.gateway.id: node for node in nodes}
        self._nodes.update(joined)
        for name, leases in self._leases.items():
            self._send(name, leases.join(joined))

    def leave(self, node: Any) -> None:
        """Take back all that was lent to a worker that has ended."""
        worker = node.gateway.id
        self._nodes.pop(worker, None)
        for name in self._limits:
            self._told[name].pop(worker, None)
            if name in self._leases:
                self._send(name, self._leases[name].leave(worker))

    def heard(self, node: Any, news: Mapping[str, dict[str, Any]]) -> None:
        """Take what a worker tells of its requests, by what their limit is on."""
        worker = node.gateway.id
        if worker in self._nodes:
            for name, told in news.items():
                self._note(worker, name, told)

    def refusing(self) -> str:
        """Say that endpoints refuse requests as too many; "" while none does."""
        return refusing(list(self._limits.values()), monotonic())

    def held_back(self) -> list[str]:
        """Say which endpoints held the run back, a line each."""
        return held_back(self._limits)

    def _note(self, worker: str, name: str, told: Mapping[str, Any]) -> None:
        limit = self._limits.setdefault(name, AdaptiveLimit(told["start"]))
        need = Need(told["waiting"], told["in_flight"])
        self._told.setdefault(name, {})[worker] = need
        now = monotonic()
        limit.answered(told["answered"], now)
        if told["refused"]:
            limit.refused(
                now,
                epoch=told["epoch"],
                in_flight=self._in_flight(name) + told["refused"],
                count=told["refused"],
                pause=told["pause"],
            )
        if limit.limit is None:
            return
        # Of a limit that is new, shrank or pauses all hear, also those whose share stays as it was.
        is_for_all = bool(told["refused"]) or name not in self._leases
        if name not in self._leases:
            self._leases[name] = Leases({SESSION: limit.limit})
            self._leases[name].join(self._nodes)
        leases = self._leases[name]
        leases.set_limit(SESSION, limit.limit)
        grants = leases.told(worker, told["number"], {SESSION: need})
        self._send(name, leases.grants() if is_for_all else grants)

    def _in_flight(self, name: str) -> int:
        """Return about how many requests are in flight to an endpoint."""
        leases, count = self._leases.get(name), 0
        for worker, need in self._told[name].items():
            # One that had more to send than it was lent has sent all that it was lent since.
            granted = leases.granted(worker) if leases and need.waiting else 0
            count += max(need.in_flight, granted or 0)
        return count

    def _send(self, name: str, grants: Mapping[str, Grant]) -> None:
        limit = self._limits[name]
        for worker, grant in grants.items():
            self._tell(
                self._nodes[worker],
                "request_limit",
                on=name,
                limit=grant.slots[SESSION],
                number=grant.number,
                epoch=limit.epoch,
                pause=max(0.0, limit.resume_at - monotonic()),
            )


@dataclass(slots=True)
class _News:
    """What a worker has to tell of its requests to one endpoint.

    Attributes:
        start: what the limit is at first.
        number: of the grant that is in force; 0 before the first.
        answered, refused: requests that were, at a limit that was reached; since it was last told.
        epoch: the latest under which one was sent that was refused.
        pause: the longest that the server asked for.
        told: requests that waited, those in flight, and the grant, as last told.
    """

    start: int | None
    number: int = 0
    answered: int = 0
    refused: int = 0
    epoch: int = 0
    pause: float | None = None
    told: tuple[int, int, int] = (-1, -1, 0)

    def as_told(self, waiting: int, in_flight: int) -> dict[str, Any]:
        """Return a message of it, with the requests that wait and those in flight."""
        return {
            "start": self.start,
            "number": self.number,
            "answered": self.answered,
            "refused": self.refused,
            "epoch": self.epoch,
            "pause": self.pause,
            "waiting": waiting,
            "in_flight": in_flight,
        }


class RequestBorrower:
    """A worker's side: the governor of its slots.

    Args:
        link: to the controller.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._slots: dict[str, RequestSlots] = {}
        self._news: dict[RequestSlots, _News] = {}
        self._granted: dict[str, Mapping[str, Any]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_due = False

    def slots_of(self, endpoint: Endpoint) -> RequestSlots:
        """Return the slots for requests to an endpoint; on the loop of the requests."""
        return self._known(limited_as(endpoint), limit_of(endpoint).limit)

    def fixed_slots(self, name: str, limit: int) -> RequestSlots:
        """Return slots that have the same limit all the time, over all workers; on the loop."""
        return self._known(name, limit)

    def _known(self, name: str, start: int | None) -> RequestSlots:
        if name in self._slots:
            return self._slots[name]
        self._loop = asyncio.get_running_loop()
        # Where there is a limit, there are no slots until the controller has lent some.
        slots = RequestSlots(self, None if start is None else 0)
        with self._lock:
            self._slots[name] = slots
            self._news[slots] = _News(start)
            granted = self._granted.get(name)
        if granted is not None:
            self._go_by(**granted)
        elif start is not None:
            self._tell_soon()
        return slots

    def held_back(self) -> list[str]:
        """Say nothing: the controller knows of all workers."""
        return []

    def answered(self, slots: RequestSlots) -> None:
        """See `Governor`."""
        self._news[slots].answered += 1
        self._tell_soon()

    def refused(self, slots: RequestSlots, epoch: int, pause: float | None) -> None:
        """See `Governor`."""
        news = self._news[slots]
        news.refused += 1
        news.epoch = max(news.epoch, epoch)
        if pause is not None:
            news.pause = max(news.pause or 0.0, pause)
        # Its slot stays unused until the controller has answered: a server that refuses at once
        # would refuse all that wait before that.
        used = slots.in_flight if slots.limit is None else min(slots.in_flight, slots.limit)
        slots.go_by(max(0, used - 1), slots.epoch, pause or 0.0)
        self._tell_soon()

    def changed(self, slots: RequestSlots) -> None:
        """See `Governor`."""
        self._tell_soon()

    def granted(self, grant: Mapping[str, Any]) -> None:
        """Take a grant, in the thread that receives."""
        name = grant["on"]
        with self._lock:
            self._granted[name] = grant
            is_known = name in self._slots
            if not is_known:
                # Nothing here has asked yet, and may never: unless it says so, slots would be kept
                # for it that others wait for. Said under the lock: before anything is told of the
                # slots once there are any.
                idle = _News(None, grant["number"], epoch=grant["epoch"])
                self._link.send("requests", news={name: idle.as_told(waiting=0, in_flight=0)})
        if is_known and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # closed by now
                self._loop.call_soon_threadsafe(lambda: self._go_by(**grant))

    def _go_by(self, on: str, limit: int, number: int, epoch: int, pause: float) -> None:
        slots = self._slots[on]
        self._news[slots].number = number
        slots.go_by(limit, epoch, pause)
        self._tell_soon()

    def _tell_soon(self) -> None:
        if not self._is_due and self._loop is not None:
            self._is_due = True
            self._loop.call_later(_TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._is_due = False
        told = {}
        for name, slots in self._slots.items():
            news = self._news[slots]
            now = (slots.waiting, slots.in_flight, news.number)
            if not (news.refused or news.answered) and (slots.limit is None or now == news.told):
                continue
            told[name] = news.as_told(slots.waiting, slots.in_flight)
            news.told, news.answered, news.refused, news.pause = now, 0, 0, None
        if told:
            self._link.send("requests", news=told)
