"""Flight: rollouts of functions in flight side by side, each set up before its turn."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from ...errors import one_line
from ..nodes import GateItem, RolloutItem
from ..outcomes import EvalFailedError
from .items import EvalFunction
from .setup_ahead import SetupAhead, wide_parameters
from .turns import count, due_after, run_item

if TYPE_CHECKING:
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
        rollouts: brings what the functions returned.
        signals: what ends the session; noted, and acted on between two items.
        limit: rollouts that may be set up at once; 0 or less for no limit.
    """

    def __init__(
        self,
        functions: FunctionEvals,
        session: pytest.Session,
        rollouts: RolloutsAhead,
        signals: StopSignals,
        limit: int,
    ) -> None:
        self._functions = functions
        self._session = session
        self._rollouts = rollouts
        self._signals = signals
        self._limit = limit
        self._ahead = SetupAhead(session)
        self._todo: dict[Run, deque[EvalFunction]] = {}
        self._order: dict[EvalFunction, int] = {}
        self._live: dict[EvalFunction, dict[str, Any]] = {}  # with their wide parameters
        self._grounded: deque[EvalFunction] = deque()  # set up to no avail
        self._due: deque[GateItem] = deque()
        self._latest: EvalFunction | None = None  # its collectors are those that are set up
        self._after: pytest.Item | None = None

    def run(self, items: Sequence[EvalFunction], after: pytest.Item | None) -> None:
        """Run the items and the gates that wait for them.

        Args:
            items: of functions that may run side by side.
            after: what runs next.
        """
        self._after = after
        self._order = {item: place for place, item in enumerate(items)}
        for item in items:
            self._todo.setdefault(item.run, deque()).append(item)
        foreign: list[RolloutItem] = []
        try:
            while not self._is_over:
                self._signals.act()
                ended = self._ended(foreign)
                if ended is not None:
                    self._land(ended)
                    continue
                startable = self._startable()
                if startable is not None:
                    self._launch(startable)
                else:
                    self._land(self._awaited(foreign))
        except BaseException:
            self.abandon()
            raise
        finally:
            self._rollouts.put_back(foreign)

    def _ended(self, foreign: list[RolloutItem]) -> EvalFunction | None:
        """Return an item whose turn it is, if there is one now."""
        if self._grounded:
            return self._grounded.popleft()
        while (ended := self._rollouts.next_waiting()) is not None:
            if ended in self._live:
                return ended
            foreign.append(ended)
        return None

    def _awaited(self, foreign: list[RolloutItem]) -> EvalFunction:
        """Wait for the next of these items to end."""
        while (ended := self._rollouts.next()) not in self._live:
            foreign.append(ended)
        return ended

    def _startable(self) -> EvalFunction | None:
        """Return the next item, if it can be set up beside those in flight."""
        if 0 < self._limit <= len(self._live):
            return None
        flying = Counter(item.run for item in self._live)
        heads = [
            items[0]
            for run, items in self._todo.items()
            if run.spec.max_concurrent is None or flying[run] < run.spec.max_concurrent
        ]
        # In pytest's order, which keeps users of one wide parameter together.
        first = min(heads, key=self._order.__getitem__, default=None)
        if first is None or (self._live and not self._fits(first)):
            return None
        return first

    def _fits(self, item: EvalFunction) -> bool:
        wide = wide_parameters(item)
        for others in self._live.values():
            if any(others.get(name, value) is not value for name, value in wide.items()):
                return False
        return self._ahead.can_leave_for(item)

    def _launch(self, item: EvalFunction) -> None:
        """Set an item up and start its rollout."""
        queue = self._todo[item.run]
        queue.popleft()
        if not queue:
            del self._todo[item.run]
        self._live[item] = wide_parameters(item)
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

    def _land(self, item: EvalFunction) -> None:
        """Run pytest's protocol of an item whose rollout has ended, then gates that wait for it."""
        del self._live[item]
        assert item.place is not None
        self._ahead.give_back(item, item.place)
        due = due_after(item)
        run_item(self._session, item, self._next([*self._due, *due], item))
        count(item)
        self._due.extend(due)
        while self._due and (self._is_over or self._ahead.can_leave_for(self._due[0])):
            gate = self._due.popleft()
            self._ahead.leave_for(gate)
            run_item(self._session, gate, self._next(list(self._due)))

    def _next(self, due: list[GateItem], ending: EvalFunction | None = None) -> pytest.Item | None:
        """Return what to name to pytest as the next item: it keeps what that one needs.

        While rollouts are in flight that is an item which needs the collectors that are set up.
        """
        if not self._live:
            heads = [items[0] for items in self._todo.values()]
            first = min(heads, key=self._order.__getitem__, default=None)
            # A gate needs nothing that is set up, and can wait for it to end.
            return first or next(iter(due), self._after)
        if self._latest is ending and ending is not None:
            chain = ending.listchain()
            others = [*self._live, *(items[0] for items in self._todo.values())]
            self._latest = max(others, key=lambda other: _shared(chain, other.listchain()))
        return self._latest

    def prepare_for(self, item: EvalFunction) -> None:
        """Let an item be set up that is run again, whatever collectors are set up."""
        if not self._live or self._ahead.can_leave_for(item):
            self._ahead.leave_for(item)

    @property
    def _is_over(self) -> bool:
        return not self._live and not self._todo

    def abandon(self) -> None:
        """Cancel what is in flight, then tear down what was set up for it."""
        if not self._live:
            return
        engine = self._rollouts.engine
        if engine is not None:
            engine.cancel()
        for item in list(self._live):
            del self._live[item]
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


def _shared(chain: list[Any], other: list[Any]) -> int:
    return sum(ours is theirs for ours, theirs in zip(chain, other, strict=False))
