"""WorkerLoop: runs the items that the controller sends to an xdist worker."""

from __future__ import annotations

import dataclasses
import os
import signal
import time
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import pytest

from ...engine.rollouts import RolloutJob, RolloutResult
from ...environments.keys import asked_for
from ..following import Following
from ..functions.items import EvalFunction
from ..nodes import EvalItem, RolloutItem
from ..runloop import TURN_SECONDS, RunLoop
from ..runs import Run
from ..stored_results import is_generated, result_of_row
from . import surface
from .plan import encode_evals

if TYPE_CHECKING:
    from ..functions.running import FunctionEvals
    from .worker_functions import WorkerFunctions
    from .worker_session import WorkerSession


class WorkerLoop(RunLoop):
    """Runs the items that the controller sends.

    Where this package's scheduler sends them, rollouts begin as they arrive, and their items run as
    they end, once no plain test is left to this worker: between two plain tests they would tear
    down the fixtures that both share. Otherwise items run in the order in which they arrive, as
    xdist runs them, and each waits for its rollout.
    """

    # execnet interrupts a worker that has not ended 5 seconds after it was told to: nobody's wish.
    can_be_hurried = False

    def __init__(self, session: WorkerSession) -> None:
        super().__init__(session)
        self._worker = session
        self._inbox = session.inbox
        self._interactor: Any = None
        self._items: list[pytest.Item] = []
        self._following = Following(())
        self._functions: WorkerFunctions | None = None
        # Rollouts that have not reported, by item, and gates that wait.
        self._left: dict[pytest.Item, int] = {}
        # What can run once rollouts of functions make room.
        self._aside: deque[pytest.Item] = deque()
        self._told_unmeasured: set[str] = set()

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what was selected and tell the controller."""
        super().pytest_collection_finish(session)
        config = session.config
        self._interactor = surface.interactor_of(config)
        is_able = self._interactor is not None and surface.is_first_loop(config, self)
        has_failed = session.testsfailed and not config.option.continue_on_collection_errors
        self._worker.link.send(
            "plan",
            runs_ahead=is_able and not self._worker.is_dry,
            has_failed=bool(has_failed and self._worker.has_collection_errors),
            max_concurrent=self._worker.max_concurrent,
            budget=dataclasses.asdict(self._worker.reader.budget),
            notices=self._worker.notices,
            keys=[*asked_for(), *self._keys_of_replicas()],
            evals=encode_evals(session.items, self._worker.runs, self._worker.secrets.mask),
        )

    def _keys_of_replicas(self) -> list[str]:
        servers = [server for run in self._worker.runs for server in run.endpoint.replicas]
        return [server.key_var for server in servers if server.key_var is not None]

    def act(self) -> None:
        """Let go of what is waited for once the controller says stop.

        Signals are left to the loop: a worker that is interrupted would be replaced.
        """
        if self._inbox.is_stopped:
            raise pytest.Session.Interrupted("stopped")

    def index_of(self, job: RolloutJob) -> int | None:
        """Return the index of the item that waits for a rollout."""
        item = self._rollouts.item_of(job)
        return None if item is None else self._left.get(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run what the controller sends, until it says that this was all."""
        if self._interactor is None:
            return None
        self._items = session.items
        # Without those of functions: what they are set up on is torn down when no more come.
        self._following = Following(
            item for item in session.items if isinstance(item, EvalItem) and not item.is_function
        )
        if self._worker.functions is not None:
            self._functions = self._make_functions(self._worker.functions, session)
        self._inbox.follow(self._interactor, session.items, lambda: self._rollouts.wake())
        with self._signals.caught(), self._signals.deferred(), self._kept_apart():
            self._inbox.wait_for_start()
            if self._inbox.runs_ahead and not self._inbox.is_stopped:
                self.start([])
            try:
                self._run_what_comes(session)
            except session.Interrupted:
                if not self._inbox.is_stopped:
                    raise
            finally:
                if self._functions is not None:
                    self._functions.close()
        return True

    def _run_what_comes(self, session: pytest.Session) -> None:
        inbox = self._inbox
        while not (inbox.is_stopped or self._signals.is_noted):
            if session.shouldfail or session.shouldstop:
                return
            self._begin_new()
            self._hand_back()
            if self._run_plain():
                continue
            has_turn = inbox.are_plain_run
            if has_turn and self._run_next(session):
                continue
            if has_turn and inbox.are_over and not self._left:
                return
            self._rollouts.wait()

    def _run_next(self, session: pytest.Session) -> bool:
        """Run what can run now of rollouts and gates; whether there was anything."""
        functions = self._functions
        if functions is not None and (functions.are_busy or self._aside):
            return self._run_beside(functions)
        if (ended := self._rollouts.next_waiting()) is not None:
            self._report_turn(session, ended)
            return True
        if (gate := self._inbox.take_gate()) is not None:
            item = self._items[gate]
            self._left[item] = gate
            self._run_in_turn(item)
            return True
        return False

    def _run_beside(self, functions: WorkerFunctions) -> bool:
        """Run a rollout of a function, or what can run beside those that are in flight."""
        while (ended := self._rollouts.next_waiting()) is not None:
            if isinstance(ended, EvalFunction):
                functions.landed(ended)
            else:
                self._aside.append(ended)
        while (gate := self._inbox.take_gate()) is not None:
            self._left[self._items[gate]] = gate
            self._aside.append(self._items[gate])
        if functions.step():
            return True
        if self._aside and functions.can_run(self._aside[0]):
            functions.run_beside(self._aside.popleft())
            return True
        return False

    def _after(self, item: pytest.Item) -> pytest.Item | None:
        return (self._functions or self._following).after(item)

    def _begin_new(self) -> None:
        new = self._inbox.take_new()
        ahead = []
        functions: list[tuple[EvalFunction, int, str | None]] = []
        for index in new:
            item = self._items[index]
            assert isinstance(item, RolloutItem)
            self._left[item] = index
            row = self._inbox.replays.pop(index, None)
            has_result = row is not None and not is_generated(row)
            if isinstance(item, EvalFunction):
                functions.append((item, index, row if has_result else None))
            elif row is not None and has_result:
                earlier = index in self._inbox.earlier
                result = result_of_row(item.run.engine_run, row, is_earlier=earlier)
                self._rollouts.arrived(item, result)
            else:
                item.stored = row
                ahead.append(item)
        if ahead:
            self._rollouts.submit(ahead)
        if functions:
            assert self._functions is not None
            self._functions.add(functions)

    def _hand_back(self) -> None:
        """Give the controller what was not started of evals that were given up here."""
        handed_back = self._worker.handed_back
        while handed_back:
            nodeid, jobs = handed_back.popleft()
            items: list[RolloutItem] = [self._rollouts.forget(job) for job in jobs]
            if self._functions is not None:
                items += self._functions.withdraw(nodeid)
            indices = [self._left.pop(item) for item in items]
            self._worker.link.send("given_up", nodeid=nodeid, indices=indices)

    def _make_functions(self, known: FunctionEvals, session: pytest.Session) -> WorkerFunctions:
        from .worker_functions import WorkerFunctions, WorkerTurns

        turns = WorkerTurns(session, self._run_left)
        return WorkerFunctions(
            known, session, self._worker, turns, self._rollouts, self._signals, self._following
        )

    def _run_plain(self) -> bool:
        """Run the next item that runs in order, if there is one; whether one was run."""
        taken = self._inbox.take_plain()
        if taken is None:
            return False
        index, upcoming = taken
        item = self._items[index]
        following: pytest.Item | None = None
        if upcoming is not None:
            following = self._items[upcoming]
        elif self._inbox.runs_ahead:
            following = self._after(item)
        self._signals.stand_back()
        try:
            self._run(item, index, following)
        finally:
            self._signals.come_back()
        return True

    def _report_turn(self, session: pytest.Session, ended: RolloutItem | None) -> None:
        with self._rollouts.held(TURN_SECONDS):
            until = time.monotonic() + TURN_SECONDS
            while ended is not None and not self._inbox.is_stopped:
                self._run_in_turn(ended)
                if session.shouldfail or session.shouldstop or time.monotonic() >= until:
                    return
                ended = self._rollouts.next_waiting()

    def _run_in_turn(self, item: pytest.Item) -> None:
        if self._functions is not None:
            self._functions.run_beside(item)
        else:
            self._run_left(item, self._following.after(item))

    def _run_left(self, item: pytest.Item, following: pytest.Item | None) -> None:
        self._run(item, self._left.pop(item), following)

    def _run(self, item: pytest.Item, index: int, following: pytest.Item | None) -> None:
        self._interactor.item_index = index
        start = time.perf_counter()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        seconds = time.perf_counter() - start
        self._interactor.sendevent("runtest_protocol_complete", item_index=index, duration=seconds)

    def obtain(self, item: RolloutItem) -> RolloutResult:
        """Return the rollout of an item, waiting for it."""
        result = self._rollouts.obtain(item)
        if result.slow_calls:
            slow = {name: float(value) for name, value in result.slow_calls.items()}
            self._note(item.run, slow_calls=slow)
        return result

    def _note(self, run: Run, **notes: Any) -> None:
        self._worker.link.send("note", nodeid=run.nodeid, **notes)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell the controller, before the report, why a first rollout is unmeasured."""
        if report.when != "setup" or report.passed:
            return
        for run in self._worker.runs:
            if run.first_unmeasured is not None and run.nodeid not in self._told_unmeasured:
                self._told_unmeasured.add(run.nodeid)
                self._note(run, first_unmeasured=run.first_unmeasured)

    @property
    def dies_of_signal(self) -> bool:
        """Whether it was ended by a SIGTERM that is not the controller's business as well."""
        return self._signals.was_terminated and not self._inbox.is_stopped

    def _tear_down(self) -> None:
        super()._tear_down()
        for run in self._worker.runs:
            if run.warnings:
                self._note(run, warnings=run.warnings)


class DeathBySignal:
    """Lets a worker that got SIGTERM die of it after all, once everything is torn down.

    One that ended in an orderly way would not be replaced, and xdist takes what it had for run.
    """

    def __init__(self, loop: WorkerLoop) -> None:
        self._loop = loop

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Die before xdist says that the worker has ended."""
        result = yield
        if self._loop.dies_of_signal:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)
        return result
