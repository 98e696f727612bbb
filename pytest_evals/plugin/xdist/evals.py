"""DistributedEvals: the evals of a session as its controller has them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from ...config.budget import Budget
from ...engine.rollouts import RolloutKey
from ...gates.verdicts import Verdict
from .. import heartbeat, itemless, reporting, starting
from ..budget import SessionBudget
from ..hub import Hub
from ..junit import VERDICT
from ..outcomes import HookRaisedError, short_text
from ..owned_run import OwnedRun
from ..owner import EvalOwner
from ..sections import Sections
from ..session import in_words
from ..terminal import EvalTerminal
from .dead_workers import DeadWorkers
from .plan import EvalPlan, decode_eval
from .protocol import Layout, Unit
from .registry_secrets import RegistrySecrets
from .results import decode_result, eval_run_of
from .verdicts import encode_verdict


class DistributedEvals(EvalOwner):
    """The runs that workers execute: their folders, servers, counts and verdicts.

    Args:
        config: of the controller.
        plan: what the first worker collected.

    Attributes:
        runs, plans: by node id, in order.
        limit: rollouts in flight over the whole session; 0 or less for no limit.
        limits: what the session may use.
        started: the runs that have begun.
        current: the folder where each worker keeps which rollout is on its CPU.
        dead_workers: what those that died had done.
        told_held_back: says which endpoints held the run back.
        told_refusing: says that endpoints refuse requests.
    """

    def __init__(self, config: pytest.Config, plan: Mapping[str, Any]) -> None:
        super().__init__(config)
        self.runs: dict[str, OwnedRun] = {}
        self.plans: dict[str, EvalPlan] = {}
        self.limit: int = plan["max_concurrent"]
        self.limits = Budget(**plan["budget"])
        self.workers = 0
        self.started: dict[OwnedRun, starting.Started] = {}
        self.current: Path | None = None
        self._notices: list[str] = plan["notices"]
        self._places: dict[int, tuple[OwnedRun, RolloutKey]] = {}
        self.dead_workers = DeadWorkers(self.plans, self._places)
        self._begun: set[OwnedRun] = set()
        self._left_out: set[str] = set()
        self._verdicts: dict[str, Verdict | None] = {}
        self._in_flight: Callable[[], int] | None = None
        self.told_held_back: Callable[[], list[str]] = list
        self.told_refusing: Callable[[], str] = str
        self.hide_variables(plan["keys"])
        self._registries = RegistrySecrets(config, self.secrets)
        self.terminal = EvalTerminal(self)
        for encoded in plan["evals"]:
            self._add(decode_eval(encoded))

    def _add(self, plan: EvalPlan) -> None:
        if plan.key_var is not None and os.environ.get(plan.key_var):
            self.secrets.add(os.environ[plan.key_var])
        if not plan.is_function:
            self._registries.hide(plan.spec)
        run = OwnedRun(
            plan.spec,
            plan.facts,
            plan.nodeid,
            self.secrets.mask,
            accepts_partial=bool(self.config.getoption("evals_partial")),
        )
        run.selected, run.selected_gates = len(plan.rollouts), len(plan.gates)
        run.keys, run.is_grouped = plan.rollouts.values(), plan.scores_groups
        self.runs[plan.nodeid] = run
        self.plans[plan.nodeid] = plan
        self._places.update((index, (run, key)) for index, key in plan.rollouts.items())

    @property
    def owned(self) -> Sequence[OwnedRun]:
        """The evals that were collected, in order."""
        return tuple(self.runs.values())

    @property
    def have_begun(self) -> bool:
        """Whether their rollouts were to run, so that each eval has to account for its own."""
        return bool(self._begun)

    @property
    def in_flight(self) -> int | None:
        """About how many rollouts are in flight; None while none was started."""
        return self._in_flight() if self.started and self._in_flight else None

    @property
    def flight(self) -> str:
        """How many rollouts may be in flight, in words."""
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"{in_words(self.limit)} over {workers}"

    @property
    def notices(self) -> list[str]:
        """What the user should know of how the evals were read, a line each."""
        return self._notices

    @property
    def refusing(self) -> str:
        """Say that endpoints refuse requests as too many; "" while none does."""
        return self.told_refusing()

    @property
    def held_back(self) -> list[str]:
        """Which endpoints held the run back, a line each."""
        return self.told_held_back()

    def layout(self) -> Layout:
        """Return which items are rollouts and gates; the rollouts of an example stay together."""
        units: dict[tuple[str, int | str], Unit] = {}
        for index, (run, (example_id, _)) in self._places.items():
            units.setdefault((run.nodeid, example_id), []).append(index)
        return Layout(
            units=sorted(units.values()),
            gates={nodeid: dict(plan.gates) for nodeid, plan in self.plans.items()},
            eval_of={index: run.nodeid for index, (run, _) in self._places.items()},
        )

    def begin(self, workers: int, in_flight: Callable[[], int] | None) -> None:
        """Say what will run, make the folders and start the servers.

        Args:
            workers: how many there are.
            in_flight: returns the number of rollouts in flight; None where it is not known.

        Raises:
            ResultsError: a folder cannot be made.
        """
        self.workers, self._in_flight = workers, in_flight
        config = self.config
        for plugin in (reporting, self.terminal, Sections(config), Hub(self)):
            config.pluginmanager.register(plugin)
        heartbeat.start(self)
        reporter = config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:
            reporter.ensure_newline()
            if config.get_terminal_writer().width_of_current_line:
                reporter.write_line("")  # the reporter does not know of a line of xdist's
            for line in [*self.terminal.shown_config(), *self.terminal.header(self.owned)]:
                reporter.write_line(line)
        runs = [run for run in self.owned if self.begins(run)]
        self._begun = {*runs}
        self._start([run for run in runs if not self.plans[run.nodeid].is_function])
        self.current = Path(tempfile.mkdtemp(prefix="pytest-evals-"))
        self.terminal.begin(sum(run.selected for run in runs))

    def begin_budget(self, on_spent: Callable[..., None], wake: Callable[[], None]) -> None:
        """Count from now on what the workers use, where the session has a budget.

        Args:
            on_spent: tells the workers the `reason` why nothing more is to start.
            wake: has the main thread tick, from any thread.
        """
        if self.limits.is_limited:

            def spend(reason: str) -> None:
                self.note_spent(reason)
                on_spent(reason=reason)

            self.budget = SessionBudget(self.limits, spend)
            self.budget.start(wake)

    def _start(self, runs: Sequence[OwnedRun]) -> None:
        started = starting.provide(self, runs)
        starting.own(started)
        self.started.update(started)

    def open(self, nodeid: str) -> dict[str, Any]:
        """Begin a run that begins with its first rollout; return what workers must know of it."""
        run = self.runs[nodeid]
        if run not in self.started:
            try:
                self._start([run])
            except starting.ResultsError as error:
                return {"problem": str(error)}
        return self.told()[nodeid]

    def told(self) -> dict[str, dict[str, Any]]:
        """Return what workers must know of every run that was started."""
        return {
            run.nodeid: {
                "folder": str(given.folder.path),
                "port": given.port,
                "failure": given.failure,
            }
            for run, given in self.started.items()
        }

    def reported(self, index: int, nodeid: str) -> None:
        """Count a rollout that has reported, unless it is none of its run."""
        if nodeid not in self._left_out:
            self._places[index][0].reported += 1
        self.dead_workers.reported(index)

    def close(self) -> None:
        """Stop the servers, close the folders, and leave no file of ours behind."""
        super().close()
        if self.current is not None:
            shutil.rmtree(self.current, ignore_errors=True)

    def note(self, run: OwnedRun, report: pytest.TestReport) -> None:
        """Take from an item's report what it means for its run."""
        self._show(run, report)
        name = name_in(run, report.nodeid)
        noted = vars(report)
        if noted.get("evals_left_out") and report.nodeid not in self._left_out:
            self._left_out.add(report.nodeid)
            run.selected -= 1
        if "evals_failure" in noted:
            run.failures.note(noted["evals_failure"], name)
        run.note_red(name, has_failed=report.failed, when=report.when or "")
        run.not_started += noted.get("evals_state") == "missing"
        judged = self._verdicts.get(report.nodeid)
        if judged is not None and any(key == VERDICT for key, _ in report.user_properties):
            run.verdicts[name] = judged

    def _show(self, run: OwnedRun, report: pytest.TestReport) -> None:
        """Let the hooks look at the rollout of a report; fail the report where one raised."""
        text: str | None = vars(report).pop("evals_rollout", None)
        if text is None:
            return
        try:
            result = decode_result(text, eval_run_of(run))
            self.show(run, result, self.config.hook)
        except HookRaisedError as error:
            report.outcome = "failed"
            report.longrepr = short_text(str(error), run)

    def run_of(self, nodeid: str) -> OwnedRun | None:
        """Return the run of an item."""
        path, _, name = nodeid.partition("::")
        function = f"{path}::{name.partition('[')[0]}"
        return self.runs.get(nodeid.rpartition("::")[0]) or self.runs.get(function)

    def is_left_out(self, nodeid: str) -> bool:
        """Whether the item of a rollout was skipped, so that it is none of its run."""
        return nodeid in self._left_out

    def verdict(self, run: OwnedRun, name: str) -> dict[str, Any]:
        """Judge a gate of a run; return what its item is to report."""
        gate = next(gate for gate in run.spec.gates if gate.name == name)
        try:
            verdict = self.judge(run, gate)
            # It counts when the item has reported it: one that is skipped judges nothing.
            self._verdicts[f"{run.nodeid}::{name}"] = run.verdicts.pop(name, None)
        except HookRaisedError as error:
            return {"error": str(error), "verdict": None, "why": ""}
        return {
            "error": None,
            "failures": run.failures.lines(),
            "was_started": run.was_started,
            "verdict": None if verdict is None else encode_verdict(verdict),
            "why": run.why_not_judged,
        }

    def end(self, session: pytest.Session) -> None:
        """Report what no item has reported, and complete every run."""
        for run in self.owned:
            if run in self._begun and not run.is_done:
                text = (
                    f"incomplete: {run.selected - run.reported} of {run.selected} rollouts never"
                    " ran, as no worker was left to run them"
                )
                itemless.report_failure(run, "incomplete", text, session)
            itemless.report_untold(run, session)
        itemless.report_overrun(self, session)
        for run in self.owned:
            itemless.complete(self, run, session)

    def judge_rest(self, session: pytest.Session) -> None:
        """Judge the gates that no item has judged, where every rollout has reported."""
        for run in self.owned:
            if run.was_started and run.is_done:
                run.finish()
                for gate in run.spec.gates:
                    if gate.name not in run.verdicts:
                        try:
                            self.judge(run, gate)
                        except HookRaisedError as error:
                            itemless.report_failure(run, gate.name, str(error), session)


def name_in(run: OwnedRun, nodeid: str) -> str:
    """Return the name of an item of a run."""
    if nodeid.startswith(f"{run.nodeid}::"):
        return nodeid[len(run.nodeid) + 2 :]
    return nodeid[len(run.nodeid.rpartition("::")[0]) + 2 :]  # a rollout of a function
