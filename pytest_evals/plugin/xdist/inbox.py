"""Inbox: what a worker hears from its controller, until the worker gets round to it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from ..nodes import EvalItem, GateItem
from .lending import Borrower
from .link import Link
from .request_lending import RequestBorrower


class Inbox:
    """Filled in the thread that receives, read in the main thread.

    Attributes:
        borrower: knows how many rollouts may be in flight in this worker.
        requests: knows how many requests may be, to each endpoint.
        runs_ahead: rollouts begin as they arrive; otherwise when xdist has their items run.
        current_folder: where to keep which rollout is on the CPU.
        is_elsewhere: this is, for all that is known, another machine than the controller's.
        verdicts: of gates, by node id.
        replays: by index, the rows of rollouts that a worker that died had scored or generated, or
            an earlier session.
        earlier: which of them an earlier session had done.
        refused: the evals that every worker has given up, by node id.
        is_stopped: everything is to be dropped.
        is_shut: nothing more will come.
        is_plain_over: no more plain tests will come.
        is_answered: the controller has sent all that it has for now, as it was asked to.
        wake: makes the main thread look; any thread can call it.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self.borrower = Borrower(link)
        self.requests = RequestBorrower(link)
        self.runs_ahead = False
        self.current_folder: str | None = None
        self.is_elsewhere = False
        self.verdicts: dict[str, dict[str, Any]] = {}
        self.replays: dict[int, str] = {}
        self.refused: set[str] = set()
        self.earlier: set[int] = set()
        self.is_stopped = self.is_shut = self.is_plain_over = self.is_answered = False
        self.wake: Callable[[], None] = lambda: None
        self._lock = threading.Lock()
        self._opened = threading.Condition()
        self._started = threading.Event()
        self._runs: dict[str, dict[str, Any]] = {}
        self._interactor: Any = None
        self._items: list[pytest.Item] = []
        self._plain: deque[int] = deque()
        self._upcoming: int | None = None
        self._new: list[int] = []
        self._gates: deque[int] = deque()
        link.listen(self._hear)

    def follow(self, interactor: Any, items: list[pytest.Item], wake: Callable[[], None]) -> None:
        """Take the commands that xdist sends to its worker as well.

        Args:
            interactor: xdist's own plugin in the worker.
            items: what indices count.
            wake: called after each; makes the main thread look.
        """
        self._interactor, self._items, self.wake = interactor, items, wake
        interactor.channel.setcallback(self._command, endmarker=None)

    def _hear(self, name: str, data: dict[str, Any]) -> None:
        if name == "limits":
            self.borrower.granted(data)
        elif name == "spent":
            self.borrower.spent(data["reason"])
        elif name == "request_limit":
            self.requests.granted(data)
            return  # nothing for the main thread
        elif name == "start":
            self._runs, self.runs_ahead = data["runs"], data["runs_ahead"]
            self.current_folder = data["current"]
            self.is_elsewhere = data["is_elsewhere"]
            self._started.set()
        elif name == "replay":
            self.replays.update(data["rows"])
            self.earlier.update(data["earlier"])
        elif name == "verdict":
            self.verdicts[data.pop("gate")] = data
        elif name == "refuse":
            self.refused.add(data["nodeid"])
        elif name == "opened":
            with self._opened:
                self._runs = {**self._runs, data["nodeid"]: data["run"]}
                self._opened.notify_all()
        elif name == "answered":
            self.is_answered = True
        elif name == "plain_over":
            self.is_plain_over = True
        elif name in ("stop", "end"):
            self._stop()
        self.wake()

    def _command(self, command: Any) -> None:
        name, data = ("stop", {}) if command is None else command
        if name in ("runtests", "runtests_all"):
            self._sort(data.get("indices", range(len(self._items))))
        elif name == "steal":
            self._give_back({*data["indices"]})
        elif name == "shutdown":
            self.is_shut = self.is_plain_over = True
            self._started.set()
        elif name == "stop":
            self._stop()
        self.wake()

    def _stop(self) -> None:
        self.is_stopped = True
        self._started.set()
        with self._opened:
            self._opened.notify_all()

    def _sort(self, indices: Sequence[int]) -> None:
        with self._lock:
            for index in indices:
                item = self._items[index]
                if not self.runs_ahead or not isinstance(item, EvalItem):
                    self._plain.append(index)
                elif isinstance(item, GateItem):
                    self._gates.append(index)
                else:
                    self._new.append(index)

    def _give_back(self, wanted: set[int]) -> None:
        with self._lock:
            stolen = [index for index in self._plain if index in wanted]
            if len(stolen) < len(wanted):
                stolen = []  # all of them or none, as xdist's own workers do
            gone = {*stolen}
            kept = [index for index in self._plain if index not in gone]
            self._plain.clear()
            self._plain.extend(kept)
        self._interactor.sendevent("unscheduled", indices=stolen)

    def wait_for_start(self) -> Mapping[str, dict[str, Any]]:
        """Return by node id what the controller says of the runs, waiting for it."""
        self._started.wait()
        return self._runs

    def open(self, nodeid: str) -> dict[str, Any] | None:
        """Have a run begin that begins late; return what is told of it, None once stopped."""
        self._link.send("open", nodeid=nodeid)
        with self._opened:
            self._opened.wait_for(lambda: nodeid in self._runs or self.is_stopped)
        return self._runs.get(nodeid)

    def ask(self) -> None:
        """Ask for more rollouts; what there is comes before the answer."""
        self.is_answered = False
        self._link.send("ask")

    @property
    def has_new(self) -> bool:
        """Whether rollouts have come since the last time."""
        return bool(self._new)

    def take_new(self) -> list[int]:
        """Return the rollouts that have come since the last time."""
        with self._lock:
            new, self._new = self._new, []
        return new

    def take_plain(self) -> tuple[int, int | None] | None:
        """Return the next item to run in order and the one after it; None while that is not known.

        What comes last has none after it.
        """
        with self._lock:
            if self._upcoming is None and self._plain:
                self._upcoming = self._plain.popleft()
            index = self._upcoming
            if index is None or not (self._plain or self.is_plain_over):
                return None
            self._upcoming = self._plain.popleft() if self._plain else None
            return index, self._upcoming

    def take_gate(self) -> int | None:
        """Return the next gate."""
        with self._lock:
            return self._gates.popleft() if self._gates else None

    @property
    def are_plain_run(self) -> bool:
        """Whether every plain test that will come has been taken."""
        with self._lock:
            return self.is_plain_over and self._upcoming is None and not self._plain

    @property
    def are_over(self) -> bool:
        """Whether nothing is left here and nothing more will come."""
        with self._lock:
            return self.is_shut and not (self._new or self._gates or self._plain)
