"""RolloutsInTurn: one rollout at a time, in the main thread, inside its own item."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from ..engine.engine import Engine
from ..engine.foreground import ForegroundLoop
from ..engine.groups import is_scored_by_group
from ..engine.rollouts import RolloutResult
from .ahead import RolloutsAhead
from .first_stop import FirstStop
from .signals import StopSignals

if TYPE_CHECKING:
    from .nodes import RolloutItem
    from .session import EvalSession


class RolloutsInTurn(RolloutsAhead):
    """Runs each rollout when its item asks for it, so that a debugger works as in any test.

    Where the rubric scores whole groups, the rollouts of a group run when the first of its items
    asks. The items run in the order in which they were collected.

    Args:
        session: whose rollouts.
        signals: stand back while the debugger reads from the terminal, which has its own Ctrl-C.
    """

    def __init__(self, session: EvalSession, signals: StopSignals) -> None:
        super().__init__(session, signals.act)
        self._signals = signals
        self._host: ForegroundLoop | None = None
        self._turns: deque[RolloutItem] = deque()
        self._asked: set[RolloutItem] = set()
        self._is_running = False
        self._has_quit = False
        self._first_stop: FirstStop | None = None

    def wake(self) -> None:
        """Make whoever waits for a rollout look around; safe to call from a signal handler."""
        if self._host is not None:
            self._host.wake()

    def next(self) -> RolloutItem:
        """Return the item to run next."""
        return self._turns.popleft()

    def next_waiting(self) -> RolloutItem | None:
        """Return None: every item is asked for by itself."""
        return None

    def _make_engine(self) -> Engine:
        self._host = ForegroundLoop()
        return Engine(
            limit=1, make_client=self._make_client, deliver=self._deliver, host=self._host
        )

    def _deliver(self, result: RolloutResult) -> None:
        super()._deliver(result)
        self.wake()

    def _begin(self, items: list[RolloutItem]) -> None:
        self._not_done(items)
        self._turns.extend(items)

    def _ask_for(self, item: RolloutItem) -> None:
        members = [item]
        if is_scored_by_group(item.run.job(item.example, item.rollout)):
            # Run again, an item asks for its own rollout only.
            members += [
                other
                for other in item.run.rollouts
                if other.example is item.example
                and not {item, other} & self._asked
                and other not in self._arrived
            ]
        self._asked.update(members)
        if self._session.config.getoption("trace"):
            self._first_stop = FirstStop(item)
        self.submit(list(dict.fromkeys(members)))

    def _receive(self) -> RolloutItem:
        while self._inbox.empty():
            self._run_loop()
        result = self._inbox.get()
        assert result is not None  # only whoever waits in another thread is woken that way
        if isinstance(result.error, KeyboardInterrupt):  # it struck in the rollout's own code
            raise KeyboardInterrupt
        return self._taken(result)

    def _run_loop(self) -> None:
        assert self._host is not None
        self._is_running = True
        try:
            with self._first_stop or contextlib.nullcontext():
                self._host.run_until_woken()
        finally:
            self._is_running = False
            self._host.resume_clock()
        if self._has_quit:
            _quit()
        self._act()

    def pytest_enter_pdb(self, pdb: Any) -> None:
        """Stop the clock of time limits, and leave Ctrl-C to the debugger."""
        if self._has_quit:
            _quit()
        self._signals.stand_back()
        if self._is_running and self._host is not None:
            self._host.pause_clock()
            pdb.set_quit = self._quitting(pdb.set_quit)

    def pytest_leave_pdb(self) -> None:
        """Go on as before."""
        self._signals.come_back()
        if self._host is not None:
            self._host.resume_clock()

    def _quitting(self, set_quit: Callable[[], None]) -> Callable[[], None]:
        """Return a `set_quit` that ends the session.

        pdb does so by an exception in the code that is debugged, and there it may be taken for a
        mistake of that code: a tool's becomes a message to the model, a reward function's leaves
        a broken row. A cancellation passes, and the engine, once stopped, records none.
        """

        def quit_session() -> None:
            self._has_quit = True
            if self.engine is not None:
                self.engine.stop()
            self.wake()
            with contextlib.suppress(pytest.exit.Exception):
                set_quit()
            raise asyncio.CancelledError("Quitting debugger")

        return quit_session


def _quit() -> NoReturn:
    pytest.exit("Quitting debugger")
