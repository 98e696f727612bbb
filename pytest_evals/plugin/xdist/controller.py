"""Controller: the hooks of the process that distributes the items of a session."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from . import surface
from .link import KEY, Link

if TYPE_CHECKING:
    from .evals import DistributedEvals
    from .heard import Heard
    from .lending import Lender
    from .scheduler import EvalScheduling
    from .work import Layout


_TICK_SECONDS = 0.2


class Controller:
    """Tells workers what to do of evals, and counts what they report.

    Where no worker collects an eval it only opens a channel to each.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._links: dict[Any, Link] = {}
        self._heard: deque[tuple[Any, str, dict[str, Any]]] = deque()
        self._plans: dict[Any, dict[str, Any]] = {}
        self._wake = surface.on_main_thread(config, self._read)
        self._scheduler: EvalScheduling | None = None
        self._evals: DistributedEvals | None = None
        self._of_runs: Heard | None = None
        self._ahead: bool | None = None
        self._has_begun = False
        self._has_stopped = False
        self._problem: str | None = None
        self._is_over = threading.Event()
        self._lender: Lender | None = None

    @pytest.hookimpl
    def pytest_configure_node(self, node: Any) -> None:
        """Open a channel to a worker before it starts."""
        channel = node.gateway.newchannel()
        node.workerinput[KEY] = channel
        link = self._links[node] = Link(channel)
        link.listen(partial(self._hear, node))

    def _hear(self, node: Any, name: str, data: dict[str, Any]) -> None:
        # In the thread that receives; xdist's own events of the worker queue up behind this one.
        self._heard.append((node, name, data))
        self._wake()

    def _read(self) -> None:
        while self._heard:
            node, name, data = self._heard.popleft()
            handle = getattr(self, f"_heard_{name}", None) or getattr(self._of_runs, name, None)
            if handle is not None:
                handle(node, **data)
        if self._evals is not None and self._evals.started:
            self._evals.terminal.tick()

    @pytest.hookimpl(wrapper=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config) -> Generator[None, object, object]:
        """Put the scheduler of evals before the one that was made."""
        inner = yield
        if inner is None:
            return None
        from .scheduler import EvalScheduling

        self._scheduler = EvalScheduling(config, inner, self, self._num_workers)
        return self._scheduler

    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        """Compare what a worker collected with the others; begin where xdist schedules alone."""
        self._read()
        if self._plans.get(node) is None:
            return
        if self._has_begun:
            if self._lender is not None:
                self._lender.join([node])
            self._send_start(node)
        elif not self._is_scheduling and len(self._plans) >= self._num_workers:
            self.begin()

    def _heard_plan(self, node: Any, **plan: Any) -> None:
        self._plans[node] = plan
        if self._evals is None and plan["evals"]:
            from .evals import DistributedEvals
            from .heard import Heard

            self._evals = DistributedEvals(self._config, plan)
            self._of_runs = Heard(self._evals, self.tell)

    @property
    def _is_scheduling(self) -> bool:
        return self._scheduler is not None and surface.is_scheduled_by(
            self._config, self._scheduler
        )

    @property
    def _num_workers(self) -> int:
        return next(iter(self._links)).workerinput["workercount"] if self._links else 1

    @property
    def _runs_ahead(self) -> bool:
        """Whether workers may begin rollouts before xdist has them run; settled at the first."""
        if self._ahead is None:
            can = all(plan["runs_ahead"] for plan in self._plans.values())
            self._ahead = self._is_scheduling and can
        return self._ahead

    # What the scheduler asks and tells.

    def layout(self) -> Layout | None:
        """Return what the items of evals are; None where they go the way of plain tests."""
        return self._evals.layout() if self._evals and self._runs_ahead else None

    def begin(self) -> bool:
        """Begin the runs, once every worker has collected; False when they cannot begin."""
        if self._has_begun or not any(self._plans.values()):
            return True
        self._has_begun = True
        self._problem = self._why_not_to_begin()
        if self._problem is None and self._evals is not None and not self._is_dry:
            from ..starting import ResultsError

            try:
                in_flight = self._scheduler.in_flight if self._scheduler else None
                self._evals.begin(len(self._plans), in_flight)
                threading.Thread(target=self._tick, name="pytest-evals-clock", daemon=True).start()
            except ResultsError as error:
                from .. import itemless

                session = surface.dsession_of(self._config)._session
                itemless.report_failure(error.run, "results", str(error), session)
                self._problem = "results cannot be kept"
        if self._problem is None and self._evals is not None:
            from .lending import Lender, limits_of

            specs = {nodeid: run.spec for nodeid, run in self._evals.runs.items()}
            self._lender = Lender(limits_of(self._evals.limit, specs), self.tell)
            self._lender.join(self._plans)
        for node in self._plans:
            if self._problem is None:
                self._send_start(node)
            else:
                self.tell(node, "stop")
        return self._problem is None

    def _tick(self) -> None:
        """Have the status line brought up to date while nothing is reported."""
        while not self._is_over.wait(_TICK_SECONDS):
            self._wake()

    @property
    def _is_dry(self) -> bool:
        return bool(self._config.getoption("setupplan") or self._config.getoption("setuponly"))

    def _why_not_to_begin(self) -> str | None:
        if any(plan["has_failed"] for plan in self._plans.values()):
            return "evals could not be collected"
        from .plan import disagreement

        found = disagreement({node: plan["evals"] for node, plan in self._plans.items()})
        if found is None:
            return None
        node, text = found
        report = pytest.CollectReport(node.gateway.id, "failed", text, [])
        self._config.hook.pytest_collectreport(report=report)
        return "different evals were collected"

    def _send_start(self, node: Any) -> None:
        runs = self._evals.told() if self._evals else {}
        current = str(self._evals.current) if self._evals and self._evals.current else None
        self.tell(
            node,
            "start",
            runs=runs,
            runs_ahead=self._runs_ahead,
            current=current,
            is_elsewhere=surface.is_elsewhere(node),
        )

    def share(self, node: Any) -> int:
        """Return how many rollouts a worker may have in flight; 0 or less for no limit."""
        return self._lender.share(node) if self._lender else 0

    def tell(self, node: Any, name: str, **data: Any) -> None:
        """Send a message to a worker."""
        self._links[node].send(name, **data)

    def reported(self, index: int) -> None:
        """Note that a rollout has reported."""
        assert self._evals is not None and self._scheduler is not None
        assert self._scheduler.collection is not None
        self._evals.reported(index, self._scheduler.collection[index])

    def judge(self, node: Any, nodeid: str) -> None:
        """Judge the gates of an eval whose rollouts have all reported; tell the worker."""
        assert self._evals is not None
        run = self._evals.runs[nodeid]
        run.finish()
        for name in self._evals.plans[nodeid].gates:
            if name not in run.verdicts:  # else it was reported before its worker died
                told = self._evals.verdict(run, name)
                self.tell(node, "verdict", gate=f"{nodeid}::{name}", **told)

    def replay(self, node: Any, indices: Sequence[int]) -> None:
        """Tell a worker what is known of rollouts that another one had finished."""
        rows = self._evals.remains.replays(indices) if self._evals else {}
        if rows:
            self.tell(node, "replay", rows=rows)

    def blamed(self, node: Any, indices: Sequence[int]) -> int | None:
        """Return which of its rollouts, if any, made a worker die, and note that as its result."""
        assert self._evals is not None
        if self._evals.current is None:
            return None
        current = self._evals.current / f"current-{node.gateway.id}"
        return self._evals.remains.blamed(current, indices, surface.exit_code(node))

    def is_stopping(self) -> bool:
        """Whether the session is to stop; every worker has then been told."""
        if surface.why_stopping(self._config):
            self._stop()
        return self._has_stopped

    def _stop(self) -> None:
        if self._has_stopped or self._evals is None:
            return
        self._has_stopped = True
        for node in self._links:
            self.tell(node, "stop")

    # What workers tell.

    def _heard_demand(self, node: Any, demand: dict[str, Any]) -> None:
        if self._lender is not None and self._lender.heard(node, demand):
            self._refill()

    def _heard_ask(self, node: Any) -> None:
        """Send a worker more if there is any, and say that this was all for now."""
        self._refill(node)
        self.tell(node, "answered")

    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """Keep the rows of a worker that died, and lend to others what it had."""
        if error is not None and self._evals is not None:
            self._evals.remains.bury(node.gateway.id, self._evals.started)
        if self._lender is not None and self._lender.leave(node):
            self._refill()

    def _refill(self, asking: Any = None) -> None:
        if self._scheduler is not None and self._runs_ahead:
            self._scheduler.refill(asking)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_report_from_serializable(self, data: dict[str, Any]) -> Generator[None, Any, Any]:
        """Give a report back the short text that it had in the worker."""
        report = yield
        if report is not None and "evals_short" in data:
            from .reports import restore

            restore(report, data)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note which items of evals are red."""
        run = None if self._evals is None else self._evals.run_of(report.nodeid)
        if run is None:
            return
        assert self._evals is not None
        self._note_decided(report)
        self._evals.note(run, report)
        name = report.nodeid.rpartition("::")[2]
        if report.when == "teardown" and not self._runs_ahead and name not in run.gate_names:
            run.reported += not self._evals.is_left_out(report.nodeid)

    def _note_decided(self, report: pytest.TestReport) -> None:
        is_deciding = report.when == "call" or (report.when == "setup" and not report.passed)
        index: int | None = getattr(report, "item_index", None)
        if is_deciding and report.outcome in ("passed", "failed", "skipped"):
            node = getattr(report, "node", None)
            if self._scheduler is not None and node is not None and index is not None:
                self._scheduler.note_decided(node, index)

    # The session.

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Report at the end what no item has reported."""
        from ..signals import StopSignals

        with StopSignals(wake=lambda: None).caught():
            try:
                result = yield
            finally:
                self._is_over.set()
                if self._evals is not None:
                    self._evals.terminal.erase()
            self._read()
            if self._problem is not None:
                raise session.Failed(self._problem)
            if self._evals is not None and self._evals.started:
                if not self._runs_ahead:
                    self._evals.judge_rest()
                self._evals.end(session)
        return result

    def pytest_keyboard_interrupt(self) -> None:
        """Stop every worker: it need not have had the signal."""
        self._stop()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Complete every run once no worker writes any more, then let the others report."""
        evals = self._evals
        if evals is None:
            return (yield)
        from ..signals import interrupts_ignored

        try:
            with interrupts_ignored():
                self._stop()
                surface.end_workers(self._config)
                self._read()
                for run in evals.owned:
                    evals.finish(run, session)
            return (yield)
        finally:
            self._is_over.set()
            evals.close()
