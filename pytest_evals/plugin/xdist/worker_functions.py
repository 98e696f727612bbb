"""WorkerFunctions: the rollouts of test functions that come to a worker, in flights and alone."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest

from ...engine.slots import Limits
from ..functions.arranging import arranged, warning_filters
from ..functions.flight import Flight
from ..functions.items import EvalFunction
from ..functions.running import FunctionEvals, in_force
from ..functions.setup_ahead import SetupAhead
from ..functions.turns import Turns
from ..nodes import GateItem
from ..outcomes import EvalFailedError
from ..stored_results import result_of_row

if TYPE_CHECKING:
    from ..ahead import RolloutsAhead
    from ..following import Following
    from ..signals import StopSignals
    from .worker_session import WorkerSession


class WorkerTurns(Turns):
    """Runs items as a worker does. Gates wait for the controller, which counts.

    Args:
        run: runs an item, given what is named to pytest as the next one.
    """

    def __init__(
        self,
        session: pytest.Session,
        run: Callable[[pytest.Item, pytest.Item | None], None],
    ) -> None:
        super().__init__(session)
        self._run = run

    def run(self, item: pytest.Item, following: pytest.Item | None) -> None:
        """Run an item and tell the controller."""
        self._run(item, following)

    def due_after(self, item: pytest.Item) -> list[GateItem]:
        """Return nothing."""
        return []

    def count(self, item: EvalFunction) -> None:
        """Do nothing."""


class WorkerFunctions:
    """Runs rollouts of functions as they come, once no plain test is left to the worker.

    Those that may fly together do, whatever comes meanwhile; the others have the worker to
    themselves. The last one that is known waits until the controller has said what comes next: what
    it is set up on is kept for that, or else torn down while an item can still report it.

    Args:
        functions: what the session knows of its functions.
        session: of pytest.
        evals: of the worker.
        turns: runs an item.
        rollouts: brings what the functions returned.
        signals: noted; nobody acts on them here.
        others: names the item to come when it is none of a function.
    """

    def __init__(
        self,
        functions: FunctionEvals,
        session: pytest.Session,
        evals: WorkerSession,
        turns: WorkerTurns,
        rollouts: RolloutsAhead,
        signals: StopSignals,
        others: Following,
    ) -> None:
        self._functions = functions
        self._session = session
        self._evals = evals
        self._inbox = evals.inbox
        self._turns = turns
        self._rollouts = rollouts
        self._signals = signals
        self._others = others
        self._ahead = SetupAhead(session) if functions.knows_pytest else None
        self._places: dict[EvalFunction, int] = {}
        self._rows: dict[EvalFunction, str] = {}
        # What waits: rollouts that fly together, or that run one after the other.
        self._plan: deque[tuple[bool, deque[EvalFunction]]] = deque()
        self._filters: object = None
        self._ended: deque[EvalFunction] = deque()
        self._standing = contextlib.ExitStack()
        self._has_asked = False

    def add(self, new: Iterable[tuple[EvalFunction, int, str | None]]) -> None:
        """Take rollouts that have come.

        Args:
            new: each with its index, and its row where it was finished by a worker that died.
        """
        waiting = [item for _, items in self._plan for item in items]
        for item, index, row in new:
            self._places[item] = index
            if row is not None:
                self._rows[item] = row
            waiting.append(item)
        ahead = self._functions.ahead(waiting) - self._rows.keys()
        if (flight := self._functions.flight) is not None:
            joining = [
                item for item in waiting if item in ahead and warning_filters(item) == self._filters
            ]
            flight.add(joining)
            chosen = {*joining}
            waiting = [item for item in waiting if item not in chosen]
        waiting.sort(key=self._places.__getitem__)
        self._plan = deque(
            (stretch.is_ahead, deque(stretch.items))  # type: ignore[arg-type]
            for stretch in arranged(waiting, ahead)
        )

    def landed(self, item: EvalFunction) -> None:
        """Take a rollout that has ended."""
        self._ended.append(item)

    @property
    def are_busy(self) -> bool:
        """Whether any waits or is in flight."""
        return bool(self._plan) or self._functions.flight is not None

    def step(self) -> bool:
        """Do the next thing there is to do, if it can be done now; whether it was."""
        flight = self._functions.flight
        if flight is None:
            return bool(self._plan) and (self._begin() if self._plan[0][0] else self._run_one())
        if (grounded := flight.take_grounded()) is not None:
            self._ended.append(grounded)
        if self._ended and (not flight.is_last or self._is_next_known()):
            self._has_asked = False
            flight.land(self._ended.popleft())
        elif not flight.launch():
            return False
        self._note_flight(flight)
        return True

    def _note_flight(self, flight: Flight) -> None:
        if flight.is_over:
            self._functions.flight = None
            self._standing.close()
        self._evals.waiting = flight.waiting

    def withdraw(self, nodeid: str) -> list[EvalFunction]:
        """Return the rollouts of an eval that are not set up; they do not run here any more."""
        withdrawn = [item for _, items in self._plan for item in items if item.run.nodeid == nodeid]
        if withdrawn:
            chosen = {*withdrawn}
            rest = ((a, deque(i for i in items if i not in chosen)) for a, items in self._plan)
            self._plan = deque((is_ahead, items) for is_ahead, items in rest if items)
        if (flight := self._functions.flight) is not None:
            withdrawn += flight.withdraw(nodeid)
            self._note_flight(flight)
        for item in withdrawn:
            self._rows.pop(item, None)
        return withdrawn

    def _begin(self) -> bool:
        _, items = self._plan.popleft()
        self._filters = warning_filters(items[0])
        self._standing.enter_context(in_force(items))
        flight = Flight(
            self._functions,
            self._session,
            self._turns,
            self._rollouts,
            self._signals,
            self._limits,
            self.after,
        )
        flight.add(items)
        self._functions.flight = flight
        return True

    def _limits(self) -> Limits:
        return self._inbox.borrower.limits

    def _run_one(self) -> bool:
        """Run the next rollout by itself."""
        items = self._plan[0][1]
        if len(items) == 1 and len(self._plan) == 1 and not self._is_answered():
            return False
        self._has_asked = False
        item = items.popleft()
        if not items:
            self._plan.popleft()
        row = self._rows.pop(item, None)
        if row is not None:
            self._replay(item, row)
        self._signals.stand_back()
        try:
            self._leave_for(item)
            self._turns.run(item, self.after(item))
        finally:
            self._signals.come_back()
        return True

    def _replay(self, item: EvalFunction, row: str) -> None:
        with contextlib.suppress(EvalFailedError):  # its setup meets the same, and reports it
            self._functions.open(item.run)
            item.scored = result_of_row(item.run.engine_run, row)
            item.failure = json.loads(row).get("failure")
            item.is_replayed = True

    def _is_next_known(self) -> bool:
        """Whether it is known what comes after the flight, or that nothing does."""
        return bool(self._plan) or self._is_answered()

    def _is_answered(self) -> bool:
        """Whether the controller has said that nothing comes after what is here; asks it."""
        if not self._has_asked:
            self._has_asked = True
            self._inbox.ask()
        return self._inbox.is_answered and not self._inbox.has_new

    def after(self, item: pytest.Item) -> pytest.Item | None:
        """Return what to name to pytest as the next item when no flight goes on."""
        return self._plan[0][1][0] if self._plan else self._others.after(item)

    def can_run(self, item: pytest.Item) -> bool:
        """Whether an item that is none of these can run now."""
        flight = self._functions.flight
        return flight is None or flight.can_run_beside(item)

    def run_beside(self, item: pytest.Item) -> None:
        """Run an item that is none of these."""
        flight = self._functions.flight
        if flight is not None:
            flight.run_beside(item)
        else:
            self._leave_for(item)
            self._turns.run(item, self.after(item))

    def _leave_for(self, item: pytest.Item) -> None:
        if self._ahead is not None:  # else pytest leaves what the item after the last is not in
            self._ahead.leave_for(item)

    def close(self) -> None:
        """Cancel what is in flight, and tear it down."""
        if self._functions.flight is not None:
            self._functions.flight.abandon()
            self._functions.flight = None
        self._standing.close()
