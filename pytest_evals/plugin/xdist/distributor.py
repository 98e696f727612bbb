"""Distributor: what workers do of the evals, from what they collected to the last gate."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from .. import options
from . import surface
from .clock import Clock
from .given_up import GivenUp
from .mail import Mail
from .request_lending import RequestLender

if TYPE_CHECKING:
    from .evals import DistributedEvals
    from .lending import Lender
    from .protocol import Layout
    from .scheduler import EvalScheduling

# For each worker, as xdist has it with `-n`. A rollout that ends every worker would be paid for
# without end otherwise.
_RESTARTS = 4


class Distributor:
    """Begins the runs, tells workers what to do of them, and stops them: the scheduler's EvalWork.

    Args:
        session: of the controller.
        mail: to the workers.

    Attributes:
        scheduler: sends the items; None where xdist has none to put it before.
        evals: None until a worker has collected one.
        problem: why the runs cannot begin.
        signals: to be left when the tests have run: SIGTERM is caught once there are evals.
    """

    def __init__(self, session: pytest.Session, mail: Mail) -> None:
        self._session = session
        self._config = session.config
        self._mail = mail
        self._requests = RequestLender(self.tell)
        mail.handlers |= {
            "plan": self._planned,
            "demand": self._demanded,
            "ask": self._asked,
            "given_up": self._gave_up,
            "requests": self._requests.heard,
        }
        self.scheduler: EvalScheduling | None = None
        self.evals: DistributedEvals | None = None
        self.problem: str | None = None
        self.signals = contextlib.ExitStack()
        self._clock = Clock(mail.wake)
        self._plans: dict[Any, dict[str, Any]] = {}
        # Workers that have ended, and those that were refused.
        self._gone: set[Any] = set()
        self._given_up = GivenUp(lambda: self._working, self.tell)
        self._lender: Lender | None = None
        self._ahead: bool | None = None
        self._counted: set[str] = set()
        self._has_begun = False
        self._has_stopped = False

    @property
    def num_workers(self) -> int:
        """How many workers collect before anything is sent."""
        first = next(iter(self._mail.nodes), None)
        return 1 if first is None else first.workerinput["workercount"]

    @property
    def _present(self) -> list[Any]:
        """The workers that have collected and not ended."""
        return [node for node in self._plans if node not in self._gone]

    @property
    def _working(self) -> set[Any]:
        """The workers that take part, or may once they have collected."""
        return {*self._mail.nodes} - self._gone

    @property
    def runs_ahead(self) -> bool:
        """Whether workers may begin rollouts before xdist has them run; settled at the first."""
        if self._ahead is None:
            can = all(plan["runs_ahead"] for plan in self._plans.values())
            self._ahead = self._is_scheduling and can
        return self._ahead

    @property
    def _is_scheduling(self) -> bool:
        return self.scheduler is not None and surface.is_scheduled_by(self._config, self.scheduler)

    # What workers tell.

    def _planned(self, node: Any, **plan: Any) -> None:
        """Take what a worker collected."""
        self._plans[node] = plan
        if self.evals is None and plan["evals"]:
            from ..signals import StopSignals
            from .evals import DistributedEvals
            from .run_messages import RunMessages

            self.signals.enter_context(StopSignals(wake=lambda: None).caught())
            self.evals = DistributedEvals(self._config, plan)
            self._mail.handlers |= RunMessages(self.evals, self.tell).handlers

    def _demanded(self, node: Any, demand: dict[str, Any]) -> None:
        """Take what a worker says it has to do."""
        if self._lender is not None and self._lender.heard(node, demand):
            self._refill()

    def _asked(self, node: Any) -> None:
        """Send a worker more if there is any, and say that this was all for now."""
        self._refill(node)
        self.tell(node, "answered")

    def _gave_up(self, node: Any, nodeid: str, indices: Sequence[int]) -> None:
        """Take back what a worker has not started of an eval that it has given up."""
        self._given_up.note(node, nodeid)
        if self.scheduler is not None:
            self.scheduler.take_back(node, indices)

    def _refill(self, asking: Any = None) -> None:
        if self.scheduler is not None and self.runs_ahead:
            self.scheduler.refill(asking)

    # What the hooks tell.

    def collected(self, node: Any) -> None:
        """Note that a worker has collected; begin where xdist schedules alone."""
        if self._plans.get(node) is None:
            return
        if self._has_begun:
            if not self._fits(node):
                self._gone.add(node)
                return
            if self._lender is not None:
                self._lender.join([node])
                self._requests.join([node])
            self._send_start(node)
        elif not self._is_scheduling and len(self._plans) >= self.num_workers:
            self.begin()

    def lost(self, node: Any, error: object) -> None:
        """Keep the rows of a worker that died, and lend to others what it had."""
        self._gone.add(node)
        if error is not None and self.evals is not None:
            self.evals.dead_workers.bury(node.gateway.id, self.evals.started)
        self._given_up.settle()
        self._requests.leave(node)
        if self._lender is not None:
            self._lender.leave(node)
            self._refill()

    def note(self, report: pytest.TestReport) -> None:
        """Note what an item of an eval reported."""
        run = None if self.evals is None else self.evals.run_of(report.nodeid)
        if run is None:
            return
        assert self.evals is not None
        self._note_decided(report)
        self.evals.note(run, report)
        name = report.nodeid.rpartition("::")[2]
        if report.when == "teardown" and not self.runs_ahead and name not in run.gate_names:
            is_first = report.nodeid not in self._counted  # else it was run again
            run.reported += is_first and not self.evals.is_left_out(report.nodeid)
            self._counted.add(report.nodeid)

    def _note_decided(self, report: pytest.TestReport) -> None:
        from ..outcomes import is_deciding

        index: int | None = getattr(report, "item_index", None)
        if is_deciding(report) and report.outcome in ("passed", "failed", "skipped"):
            node = getattr(report, "node", None)
            if self.scheduler is not None and node is not None and index is not None:
                self.scheduler.note_decided(node, index)

    def tick(self) -> None:
        """Bring the status line up to date."""
        if self.evals is None:
            return
        if self.evals.budget is not None:
            self.evals.budget.check_time()
        if self.evals.started:
            self.evals.terminal.tick()

    def stop(self) -> None:
        """Stop every worker, once."""
        if self._has_stopped or self.evals is None:
            return
        self._has_stopped = True
        self._mail.tell_all("stop")

    def end_line(self) -> None:
        """Leave no status line behind."""
        self._clock.stop()
        if self.evals is not None:
            self.evals.terminal.end()

    # What the scheduler asks and tells.

    def layout(self) -> Layout | None:
        """Return what the items of evals are; None where they go the way of plain tests."""
        return self.evals.layout() if self.evals and self.runs_ahead else None

    def begin(self) -> bool:
        """Begin the runs, once every worker has collected; False when they cannot begin."""
        if self._has_begun or not any(self._plans.values()):
            return True
        self._has_begun = True
        self.problem = self._why_not_to_begin()
        if self.problem is None and self.evals is not None:
            if not options.is_dry(self._config):
                self._begin_runs(self.evals)
            if self.problem is None:
                self._lend(self.evals)
        for node in self._present:
            if self.problem is None:
                self._send_start(node)
            else:
                self.tell(node, "stop")
        return self.problem is None

    def _why_not_to_begin(self) -> str | None:
        if any(plan["has_failed"] for plan in self._plans.values()):
            return "evals could not be collected"
        are_the_same = self._are_the_same(self._plans)
        return None if are_the_same else "different evals were collected"

    def _fits(self, node: Any) -> bool:
        """Whether a worker that comes late collected the same evals; reports it where not."""
        if self._plans[node]["has_failed"]:
            return False  # as its own reports say
        return self._are_the_same([next(iter(self._plans)), node])

    def _are_the_same(self, nodes: Iterable[Any]) -> bool:
        from .plan import are_the_same

        return are_the_same(self._config, {node: self._plans[node]["evals"] for node in nodes})

    def _begin_runs(self, evals: DistributedEvals) -> None:
        from .. import itemless
        from ..starting import ResultsError

        evals.can_replay = self.runs_ahead
        try:
            evals.begin(len(self._present), self.scheduler.in_flight if self.scheduler else None)
        except ResultsError as error:
            itemless.report_failure(error.run, "results", str(error), self._session)
            self.problem = "results cannot be kept"
            if not self.runs_ahead:  # xdist has sent items: a worker that drops them is a crash
                pytest.exit(self.problem, returncode=1)
            return
        surface.limit_restarts(self._config, _RESTARTS * self.num_workers)
        evals.begin_budget(partial(self._mail.tell_all, "spent"), self._mail.wake)
        if (seconds := evals.terminal.refresh_seconds) is not None:
            self._clock.start(seconds)

    def _lend(self, evals: DistributedEvals) -> None:
        from .lending import Lender, limits_of

        specs = {nodeid: run.spec for nodeid, run in evals.runs.items()}
        self._lender = Lender(limits_of(evals.limit, specs), self.tell)
        self._lender.join(self._present)
        self._requests.join(self._present)
        evals.told_held_back, evals.told_refusing = (
            self._requests.held_back,
            self._requests.refusing,
        )

    def _send_start(self, node: Any) -> None:
        current = str(self.evals.current) if self.evals and self.evals.current else None
        self.tell(
            node,
            "start",
            runs=self.evals.told() if self.evals else {},
            runs_ahead=self.runs_ahead,
            current=current,
            is_elsewhere=surface.is_elsewhere(node),
        )
        if self.evals is not None and self.evals.stopped is not None:
            self.tell(node, "spent", reason=self.evals.stopped)

    def is_gone(self, node: Any) -> bool:
        """Whether a worker has ended, or takes no part, the reason of which was reported."""
        return node in self._gone

    def refuse(self, node: Any) -> bool:
        """Let a worker take no part; return whether any other does or may yet."""
        self._gone.add(node)
        self._given_up.settle()
        return bool(self._working)

    def given_up_by(self, node: Any) -> Collection[str]:
        """Return the evals that a worker is not to be sent rollouts of: others can run them."""
        return self._given_up.by(node)

    def share(self, node: Any) -> int:
        """Return how many rollouts a worker may have in flight; 0 or less for no limit."""
        return self._lender.share(node) if self._lender else 0

    def tell(self, node: Any, name: str, **data: Any) -> None:
        """Send a message to a worker."""
        self._mail.tell(node, name, **data)

    def reported(self, index: int) -> None:
        """Note that a rollout has reported."""
        assert self.evals is not None and self.scheduler is not None
        assert self.scheduler.collection is not None
        self.evals.reported(index, self.scheduler.collection[index])

    def judge(self, node: Any, nodeid: str) -> None:
        """Judge the gates of an eval whose rollouts have all reported; tell the worker."""
        assert self.evals is not None
        run = self.evals.runs[nodeid]
        run.finish()
        for name in self.evals.plans[nodeid].gates:
            if name not in run.verdicts:  # else it was reported before its worker died
                told = self.evals.verdict(run, name)
                self.tell(node, "verdict", gate=f"{nodeid}::{name}", **told)

    def replay(self, node: Any, indices: Sequence[int]) -> None:
        """Tell a worker what is known of rollouts that another one had finished."""
        rows = self.evals.dead_workers.replays(indices) if self.evals else {}
        if rows:
            assert self.evals is not None
            earlier = [index for index in rows if self.evals.dead_workers.is_earlier(index)]
            self.tell(node, "replay", rows=rows, earlier=earlier)

    def blamed(self, node: Any, indices: Sequence[int]) -> int | None:
        """Return which of its rollouts, if any, made a worker die, and note that as its result."""
        assert self.evals is not None
        if self.evals.current is None:
            return None
        current = self.evals.current / f"current-{node.gateway.id}"
        return self.evals.dead_workers.blamed(current, indices, surface.exit_code(node))

    def is_stopping(self) -> bool:
        """Whether the session is to stop; every worker has then been told."""
        if surface.why_stopping(self._config):
            self.stop()
        return self._has_stopped
