"""Flight: rollouts of functions in flight side by side, each set up before its turn."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from ...errors import one_line
from ..following import shared
from ..nodes import GateItem, RolloutItem
from ..outcomes import EvalFailedError
from .items import EvalFunction
from .setup_ahead import SetupAhead
from .surface import wide_parameters
from .turns import Turns

if TYPE_CHECKING:
    from ...engine.slots import Limits
    from ..ahead import RolloutsAhead
    from ..runs import Run
    from ..signals import StopSignals
    from .running import FunctionEvals


class Flight:
    """Runs rollouts side by side, and pytest's own protocol for each as it ends.

    Collectors stay set up as in any session, with these rules: one that holds anything to be torn
    down is not left while rollouts are in flight, and no fixture of wider scope gets another
    parameter meanwhile.

    Args:
        functions: opens the runs.
        turns: runs an item when its turn has come.
        rollouts: brings what the functions returned.
        signals: what ends the session; noted, and acted on between two items.
        limits: returns how many rollouts may be set up at once, one at least.
        after: returns what runs next when all of these have run.

    Attributes:
        waiting: by node id of the eval, the rollouts that are not set up yet.
    """

    def __init__(
        self,
        functions: FunctionEvals,
        session: pytest.Session,
        turns: Turns,
        rollouts: RolloutsAhead,
        signals: StopSignals,
        limits: Callable[[], Limits],
        after: Callable[[pytest.Item], pytest.Item | None],
    ) -> None:
        self.waiting: Mapping[str, int] = {}
        self._functions = functions
        self._turns = turns
        self._rollouts = rollouts
        self._signals = signals
        self._limits = limits
        self._after = after
        self._ahead = SetupAhead(session)
        self._todo: dict[Run, deque[EvalFunction]] = {}
        self._order: dict[EvalFunction, int] = {}
        self._live: dict[EvalFunction, dict[str, Any]] = {}  # with their wide parameters
        self._flying: Counter[Run] = Counter()
        self._grounded: deque[EvalFunction] = deque()  # set up to no avail
        self._due: deque[GateItem] = deque()
        self._latest: EvalFunction | None = None  # its collectors are those that are set up

    def add(self, items: Iterable[EvalFunction]) -> None:
        """Add rollouts of functions that may run side by side, the last in pytest's order."""
        for item in items:
            self._order[item] = len(self._order)
            self._todo.setdefault(item.run, deque()).append(item)

    def run(self, items: Sequence[EvalFunction]) -> None:
        """Run the items and the gates that wait for them."""
        self.add(items)
        foreign: list[RolloutItem] = []
        try:
            while not self.is_over:
                self._signals.act()
                ended = self._ended(foreign)
                if ended is not None:
                    self.land(ended)
                elif not self.launch():
                    self.land(self._awaited(foreign))
        except BaseException:
            self.abandon()
            raise
        finally:
            self._rollouts.put_back(foreign)

    def _ended(self, foreign: list[RolloutItem]) -> EvalFunction | None:
        """Return an item whose turn it is, if there is one now."""
        if (grounded := self.take_grounded()) is not None:
            return grounded
        while (ended := self._rollouts.next_waiting()) is not None:
            if ended in self._live:
                return ended
            foreign.append(ended)
        return None

    def take_grounded(self) -> EvalFunction | None:
        """Return an item that was set up to no avail, if there is one: nothing of it can end."""
        return self._grounded.popleft() if self._grounded else None

    def _awaited(self, foreign: list[RolloutItem]) -> EvalFunction:
        """Wait for the next of these items to end."""
        while (ended := self._rollouts.next()) not in self._live:
            foreign.append(ended)
        return ended

    def _startable(self) -> EvalFunction | None:
        """Return the next item, if it can be set up beside those in flight."""
        limits = self._limits()
        if limits.total is not None and len(self._live) >= max(1, limits.total):
            return None
        heads = [
            items[0]
            for run, items in self._todo.items()
            if (own := limits.evals.get(run.nodeid, run.spec.max_concurrent)) is None
            or self._flying[run] < max(1, own)
        ]
        # In pytest's order, which keeps users of one wide parameter together.
        first = min(heads, key=self._order.__getitem__, default=None)
        if first is None or (self._live and not self._fits(first)):
            return None
        return first

    def _fits(self, item: EvalFunction) -> bool:
        wide = wide_parameters(item)
        if wide:  # most have none, and thousands may be in flight
            for others in self._live.values():
                if any(others.get(name, value) is not value for name, value in wide.items()):
                    return False
        return self._ahead.can_leave_for(item)

    def launch(self) -> bool:
        """Set the next item up and start its rollout, if it can be now; whether it was."""
        item = self._startable()
        if item is not None:
            self._launch(item)
        return item is not None

    def _launch(self, item: EvalFunction) -> None:
        queue = self._todo[item.run]
        queue.popleft()
        if not queue:
            del self._todo[item.run]
        self.waiting = {run.nodeid: len(items) for run, items in self._todo.items()}
        self._live[item] = wide_parameters(item)
        self._flying[item.run] += 1
        self._latest = item
        item.is_ahead = True
        self._signals.stand_back()  # a fixture may take its time
        try:
            item.place = self._ahead.set_up(item)
        finally:
            self._signals.come_back()
        if isinstance(item.place.error, pytest.skip.Exception):
            self._grounded.append(item)
            return
        try:
            self._functions.open(item.run)
        except EvalFailedError as error:
            item.place.error = error
            self._grounded.append(item)
            return
        item.error = item.place.error  # of another plugin's hook as well
        item.was_asked = True
        self._rollouts.submit([item])

    def withdraw(self, nodeid: str) -> list[EvalFunction]:
        """Return the rollouts of an eval that are not set up; they are none of these any more."""
        runs = [run for run in self._todo if run.nodeid == nodeid]
        withdrawn = [item for run in runs for item in self._todo.pop(run)]
        self.waiting = {run.nodeid: len(items) for run, items in self._todo.items()}
        return withdrawn

    def land(self, item: EvalFunction) -> None:
        """Run pytest's protocol of an item whose rollout has ended, then gates that wait for it."""
        del self._live[item]
        self._flying[item.run] -= 1
        assert item.place is not None
        self._ahead.give_back(item, item.place)
        due = self._turns.due_after(item)
        self._turns.run(item, self._next(item, [*self._due, *due]))
        self._turns.count(item)
        self._due.extend(due)
        while self._due and (self.is_over or self._ahead.can_leave_for(self._due[0])):
            gate = self._due.popleft()
            self._ahead.leave_for(gate)
            self._turns.run(gate, self._next(gate, list(self._due)))

    def can_run_beside(self, item: pytest.Item) -> bool:
        """Whether an item that is none of these can run now."""
        return not self._live or self._ahead.can_leave_for(item)

    def run_beside(self, item: pytest.Item) -> None:
        """Run an item that is none of these."""
        self._ahead.leave_for(item)
        self._turns.run(item, self._next(item, []))

    def _next(self, ending: pytest.Item, due: Sequence[GateItem]) -> pytest.Item | None:
        """Return what to name to pytest as the next item: it keeps what that one needs.

        While rollouts are in flight that is an item which needs the collectors that are set up.
        """
        if not self._live:
            heads = [items[0] for items in self._todo.values()]
            first = min(heads, key=self._order.__getitem__, default=None)
            # A gate needs nothing that is set up, and can wait for it to end.
            return first or next(iter(due), None) or self._after(ending)
        if self._latest is ending:
            chain = ending.listchain()
            others = [*self._live, *(items[0] for items in self._todo.values())]
            self._latest = max(others, key=lambda other: shared(chain, other))
        return self._latest

    def prepare_for(self, item: EvalFunction) -> None:
        """Let an item be set up that is run again, whatever collectors are set up."""
        if not self._live or self._ahead.can_leave_for(item):
            self._ahead.leave_for(item)

    @property
    def is_over(self) -> bool:
        """Whether every item has run."""
        return not self._live and not self._todo

    @property
    def is_last(self) -> bool:
        """Whether all items but one have run."""
        return len(self._live) == 1 and not self._todo

    def abandon(self) -> None:
        """Cancel what is in flight, then tear down what was set up for it."""
        if not self._live:
            return
        engine = self._rollouts.engine
        if engine is not None:
            engine.cancel()
        for item in list(self._live):
            del self._live[item]
            self._flying[item.run] -= 1
            place, item.place = item.place, None
            if place is None:
                continue
            # Fixtures expect the reports that every item has.
            passed = pytest.CallInfo.from_call(lambda: None, "setup")
            item.ihook.pytest_runtest_makereport(item=item, call=passed)
            try:
                self._ahead.tear_down(item, place)
            except BaseException as error:  # the others have their turn too
                item.run.warn(f"teardown of {item.nodeid} failed: {one_line(error)}", error)
