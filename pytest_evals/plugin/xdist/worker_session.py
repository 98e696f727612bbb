"""WorkerSession: the EvalSession of an xdist worker."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ...clients.metered import Count
from ...clients.request_slots import RequestSlots
from ...endpoints.endpoint import Endpoint
from ...engine.admission import GivenUp
from ...engine.culprit import CurrentRollout
from ...engine.engine import Engine
from ...engine.loop import LoopHost, LoopThread
from ...engine.phase_slots import Phase
from ...engine.rollouts import RolloutJob, RolloutResult
from ...engine.run import EvalRun
from ...engine.slots import Demand
from ...gates.grammar import Gate
from ...gates.verdicts import Verdict
from ...messages import Usage
from ...store.run_folder import RunFolder
from .. import options, reporting, starting
from ..budget import amounts
from ..nodes import RolloutItem
from ..outcomes import HookRaisedError
from ..owned_run import OwnedRun
from ..runs import Run
from ..session import EvalSession
from ..terminal import EvalTerminal
from .inbox import Inbox
from .link import KEY, Link
from .remote import RemoteFolder
from .reports import WorkerReports
from .verdicts import decode_verdict
from .worker import DeathBySignal, WorkerLoop


def join(config: pytest.Config) -> WorkerSession:
    """Make the EvalSession of a worker and the hooks that run its items."""
    channel = config.workerinput.get(KEY)  # type: ignore[attr-defined]
    if channel is None:
        raise pytest.Collector.CollectError(
            "evals cannot run in this worker: pytest-rollouts is not active where pytest was called"
        )
    if options.is_sequential(config):
        raise pytest.Collector.CollectError(
            "--evals-sequential runs one rollout at a time, for a debugger: leave out -n"
        )
    if not options.interleaves_scoring(config):
        raise pytest.Collector.CollectError(
            "--evals-no-interleave-scoring waits until all of an eval was generated, and workers"
            " are sent their part of it bit by bit, as they report: leave out -n"
        )
    session = WorkerSession(config, Link(channel))
    session.loop = WorkerLoop(session)
    session.terminal = EvalTerminal(session)  # not registered: nobody sees a worker's terminal
    for plugin in (
        reporting,
        WorkerReports(session.secrets.mask),
        session.loop,
        DeathBySignal(session.loop),
    ):
        config.pluginmanager.register(plugin)
    return session


class WorkerSession(EvalSession):
    """What the evals of one worker share. Folders, servers and verdicts are the controller's.

    Attributes:
        link: to the controller.
        inbox: what came from there.
        name: of the worker.
        waiting: by node id of the eval, rollouts of functions that the engine has not heard of.
        handed_back: evals that were given up here, each with rollouts that others can run.
    """

    def __init__(self, config: pytest.Config, link: Link) -> None:
        super().__init__(config)
        self.link = link
        self.inbox = Inbox(link)
        self.waiting: Mapping[str, int] = {}
        self._ended: set[str] = set()
        self.handed_back: deque[tuple[str, Sequence[RolloutJob]]] = deque()
        self.name: str = config.workerinput["workerid"]  # type: ignore[attr-defined]

    @property
    def rollouts_at_once(self) -> int:
        """How many rollouts may be in flight in this worker, as a fair share of all."""
        workers: int = self.config.workerinput["workercount"]  # type: ignore[attr-defined]
        return max(1, super().rollouts_at_once // workers)

    def slots_of(self, endpoint: Endpoint) -> RequestSlots:
        """Return the slots that the controller lends for requests to an endpoint."""
        return self.inbox.requests.slots_of(endpoint)

    def phase_slots(self, phase: Phase) -> RequestSlots | None:
        """Return the slots that the controller lends for a phase of rollouts."""
        limit = options.phase_limit(self.config, phase)
        return None if limit is None else self.inbox.requests.fixed_slots(phase, limit)

    @property
    def on_demand(self) -> Callable[[Demand], None]:
        """Tells the controller, which lends slots to the workers that have use for them."""
        return self._tell_demand

    def _tell_demand(self, demand: Demand) -> None:
        evals = dict(demand.evals)
        for nodeid, count in self.waiting.items():
            waiting, in_flight = evals.get(nodeid, (0, 0))
            evals[nodeid] = (waiting + count, in_flight)
        self.inbox.borrower.tell(dataclasses.replace(demand, evals=evals))

    @property
    def on_given_up(self) -> GivenUp | None:
        """Hands what the engine would refuse back to the controller, where that chooses."""
        return self._hand_back if self.inbox.runs_ahead else None

    def _hand_back(self, run: EvalRun, jobs: Sequence[RolloutJob]) -> bool:
        # In the thread of the engine, which must not wait for an item that runs.
        if run.name in self.inbox.refused:
            return False
        if jobs and any(each.begins_late and each.nodeid == run.name for each in self.runs):
            return False  # set up already
        self.link.send("given_up", nodeid=run.name, indices=[])
        self.handed_back.append((run.name, jobs))
        self.inbox.wake()
        return True

    def make_host(self) -> LoopHost | None:
        """Return a loop that notes on disk whose code is on the CPU; None if it cannot."""
        if not self.inbox.runs_ahead or self.inbox.current_folder is None:
            return None
        path = Path(self.inbox.current_folder) / f"current-{self.name}"
        assert isinstance(self.loop, WorkerLoop)
        try:
            current = CurrentRollout(path, self.loop.index_of)
        except OSError:  # the controller is on another machine
            return None
        return LoopThread("pytest-evals", current.make_task)

    def start(self, runs: Sequence[Run], engine: Engine) -> None:
        """Begin the runs in the folders that the controller made."""
        told = self.inbox.wait_for_start()
        for run in runs:
            if run.nodeid not in told:
                told = {**told, run.nodeid: self._opened(run)}
        self.inbox.borrower.govern(engine)
        starting.execute(
            self,
            {
                run: starting.Started(
                    self._folder(run, Path(told[run.nodeid]["folder"])),
                    port=told[run.nodeid]["port"],
                    failure=told[run.nodeid]["failure"],
                )
                for run in runs
            },
            engine,
        )

    def begin_budget(self, engine: Engine) -> None:
        """Leave it to the controller, which counts what all workers use."""

    def count_of(self, run: Run) -> Count | None:
        """Return what tells the controller of the answers of a run's model."""
        if not self.reader.budget.counts_answers:
            return None
        price, link = self.prices.of(run.endpoint), self.link

        def tell(usage: Usage | None) -> None:
            tokens, usd = amounts(usage, price)
            link.send("used", tokens=tokens, usd=usd)

        return tell

    def _opened(self, run: Run) -> dict[str, Any]:
        given = self.inbox.open(run.nodeid)
        if given is None:
            raise pytest.Session.Interrupted("stopped")
        if "problem" in given:
            raise starting.ResultsError(run, given["problem"])
        return given

    def _folder(self, run: Run, path: Path) -> RunFolder:
        if self.inbox.is_elsewhere or not path.is_dir():
            return RemoteFolder(path, self.secrets.mask, self.link, run.nodeid)
        return RunFolder(path, self.secrets.mask, writer=self.name)

    def obtain(self, item: RolloutItem) -> RolloutResult:
        """Return the rollout of an item; the hooks see it at the controller."""
        result = self.loop.obtain(item)
        if self.inbox.runs_ahead and item.run.tolerates_errors:
            self._weigh(item.run.nodeid, result)
        return result

    def _weigh(self, nodeid: str, result: RolloutResult) -> None:
        """Let a result be the end of its endpoint only where every worker has given that up.

        As long as another one has not, it is one of the errors that the eval tolerates. Else the
        first rollout that was refused is reported in its place.
        """
        if result.ends_endpoint and nodeid not in self.inbox.refused:
            result.ends_endpoint = False
            self._ended.add(nodeid)
        elif result.cause is not None and nodeid in self._ended & self.inbox.refused:
            self._ended.discard(nodeid)
            result.ends_endpoint, result.cause = True, None

    def judge(self, run: OwnedRun, gate: Gate) -> Verdict | None:
        """Return the controller's verdict.

        Raises:
            HookRaisedError: a hook did while the controller judged.
        """
        told = self.inbox.verdicts.get(f"{run.nodeid}::{gate.name}")
        if told is None:
            pytest.skip("judged at the end of the session: another scheduler chooses the items")
        if told["error"] is not None:
            raise HookRaisedError(told["error"])
        run.failures.told = told["failures"]
        if told["was_started"] and not run.was_started and self.functions is not None:
            assert isinstance(run, Run)
            self.functions.open(run)  # by another worker so far: it counts as started here too
        if told["verdict"] is None:
            run.told_why_not_judged = told["why"]
            return None
        return decode_verdict(told["verdict"], gate)

    def complete(self, run: OwnedRun) -> str | None:
        """Leave a run to its owner."""
        return None
