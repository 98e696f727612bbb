"""WorkerLoop: runs the items that the controller sends to an xdist worker."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from ...engine.rollouts import RolloutJob, RolloutResult
from ..nodes import EvalItem, RolloutItem
from ..runloop import TURN_SECONDS, RunLoop
from ..runs import Run
from . import surface
from .following import Following
from .plan import encode_evals
from .replay import result_of_row

if TYPE_CHECKING:
    from .worker_session import WorkerSession


class WorkerLoop(RunLoop):
    """Runs the items that the controller sends.

    Where this package's scheduler sends them, rollouts begin as they arrive, and their items run as
    they end, once no plain test is left to this worker: between two plain tests they would tear
    down the fixtures that both share. Otherwise items run in the order in which they arrive, as
    xdist runs them, and each waits for its rollout.
    """

    def __init__(self, session: WorkerSession) -> None:
        super().__init__(session)
        self._worker = session
        self._orders = session.orders
        self._interactor: Any = None
        self._items: list[pytest.Item] = []
        self._following = Following(())
        # Rollouts that have not reported, by item.
        self._left: dict[pytest.Item, int] = {}
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
            notices=self._worker.notices,
            evals=encode_evals(session.items, self._worker.secrets.mask),
        )

    def act(self) -> None:
        """Leave signals to the loop: a worker that is interrupted would be replaced."""

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
        self._following = Following(item for item in session.items if isinstance(item, EvalItem))
        self._orders.follow(self._interactor, session.items, lambda: self._rollouts.wake())
        with self._signals.deferred(), self._kept_apart():
            self._orders.wait_for_start()
            if self._orders.runs_ahead and not self._orders.is_stopped:
                self.start([])
            self._run_what_comes(session)
        return True

    def _run_what_comes(self, session: pytest.Session) -> None:
        orders = self._orders
        while not (orders.is_stopped or self._signals.is_noted):
            if session.shouldfail or session.shouldstop:
                return
            self._begin_new()
            if self._run_plain():
                continue
            has_turn = orders.are_plain_run
            if has_turn and (ended := self._rollouts.next_waiting()) is not None:
                self._report_turn(session, ended)
            elif has_turn and (gate := orders.take_gate()) is not None:
                self._run(self._items[gate], gate, self._following.after(self._items[gate]))
            elif has_turn and orders.are_over and not self._left:
                return
            else:
                self._rollouts.wait()

    def _begin_new(self) -> None:
        new = self._orders.take_new()
        ahead = []
        for index in new:
            item = self._items[index]
            assert isinstance(item, RolloutItem)
            self._left[item] = index
            row = self._orders.replays.pop(index, None)
            if row is None:
                ahead.append(item)
            else:
                self._rollouts.arrived(item, result_of_row(item.run.engine_run, row))
        if ahead:
            self._rollouts.submit(ahead)

    def _run_plain(self) -> bool:
        """Run the next item that runs in order, if there is one; whether one was run."""
        taken = self._orders.take_plain()
        if taken is None:
            return False
        index, upcoming = taken
        item = self._items[index]
        following: pytest.Item | None = None
        if upcoming is not None:
            following = self._items[upcoming]
        elif self._orders.runs_ahead:
            following = self._following.after(item)
        self._signals.stand_back()
        try:
            self._run(item, index, following)
        finally:
            self._signals.come_back()
        return True

    def _report_turn(self, session: pytest.Session, ended: RolloutItem | None) -> None:
        with self._rollouts.held(TURN_SECONDS):
            until = time.monotonic() + TURN_SECONDS
            while ended is not None and not self._orders.is_stopped:
                self._run(ended, self._left.pop(ended), self._following.after(ended))
                if session.shouldfail or session.shouldstop or time.monotonic() >= until:
                    return
                ended = self._rollouts.next_waiting()

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

    def _tear_down(self) -> None:
        super()._tear_down()
        for run in self._worker.runs:
            if run.warnings:
                self._note(run, warnings=run.warnings)
