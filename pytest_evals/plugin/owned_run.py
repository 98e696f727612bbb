"""OwnedRun: one eval of the session as its owner knows it: its folder, figures and verdict."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shlex
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..config.spec import EvalSpec
from ..engine.rollouts import RolloutKey
from ..errors import one_line
from ..gates.grammar import tolerates_errors
from ..gates.verdicts import Verdict
from ..reports.slow_calls import SlowCalls
from ..reports.summary import EvalSummary, summarise
from ..reports.table import told_apart
from ..stats.measurements import Measurements, Plan
from ..store.reading import read_rows
from ..store.run_folder import RunFolder
from ..store.stored_rows import StoredRows
from ..visible import visible
from .facts import Facts
from .functions.failures import Failures
from .red_items import RedItems
from .run_metadata import metadata_of


def set_headings(runs: Sequence[OwnedRun]) -> None:
    """Let the headings of failures tell evals of one name apart, as the table does."""
    labels = told_apart([(run.spec.name, run.nodeid) for run in runs])
    for run, label in zip(runs, labels, strict=True):
        run.heading = label


class OwnedRun:
    """One eval of the session: what was selected of it, and what came of it.

    A run has one owner: the process that pytest was called as. Under xdist the workers do its
    work.

    Attributes:
        spec, facts: what is evaluated.
        nodeid: of its collector; node ids of its items begin with it.
        heading: its name, with its file where evals of the session share the name.
        base_url: where its model is reached, without what may be secret.
        mask: replaces the session's secrets in a text.
        accepts_partial: the user said that a selection may leave gates unjudged.
        selected, selected_gates: how many of its items are to run.
        reported: rollout items that have reported.
        first_unmeasured: the first unmeasured rollout and why it is.
        slow_calls: what of the environment blocked the event loop.
        failures: the assertions that failed, of an eval that is a test function.
        not_started: rollouts that were left out as the session's budget was spent.
        stopped_by: what of the budget was spent before it was done, also where nothing was left
            out; None where it was done by then.
        stored: what an earlier session left of the run, where it is continued.
        began_whole: an earlier session began it with all of its rollouts.
        session: which session the run is of, the last one where it was continued.
        keys, is_grouped: the rollouts that were selected, and whether those of an example are
            scored together, where this process has no items and no environment to say so.
        warnings: what went wrong and changes no verdict, a line each.
        problem: why what is on disk is not all there was; None as a rule.
        is_complete: its metadata is final, and the hooks have been told.
        verdicts: by gate name, as the gates are judged.
        contents: digests of its examples, where a gate compares them with a baseline's.
        saved_baseline: what became of saving it as one, in words, and whether it was; None where
            nobody asked for it.
        told_why_not_judged: what the owner says of it, in a process that is not the owner.
        started, stopped: epoch seconds; 0.0 before that.
    """

    def __init__(
        self,
        spec: EvalSpec,
        facts: Facts,
        nodeid: str,
        mask: Callable[[str], str],
        *,
        accepts_partial: bool,
    ) -> None:
        self.spec = spec
        self.facts = facts
        self.nodeid = nodeid
        self.heading = spec.name
        self.mask = mask
        self.accepts_partial = accepts_partial
        self.told_why_not_judged: str | None = None
        self.selected = self.selected_gates = 0
        self.reported = 0
        self.not_started = 0
        self.stopped_by: str | None = None
        self._red = RedItems()
        self.first_unmeasured: str | None = None
        self.is_complete = False
        self.slow_calls = SlowCalls()
        self.failures = Failures()
        self.stored: StoredRows | None = None
        self.began_whole = False
        self.keys: Collection[RolloutKey] = ()
        self.is_grouped = False
        self.session = ""
        self.warnings: list[str] = []
        self.problem: str | None = None
        self.contents: Mapping[int | str, tuple[str, str]] | None = None
        self.saved_baseline: tuple[str, bool] | None = None
        self.verdicts: dict[str, Verdict] = {}
        self.started = self.stopped = 0.0
        self._folder: RunFolder | None = None
        self.base_url = facts.base_url
        self._handler: logging.Handler | None = None
        self._measurements: Measurements | None = None

    @property
    def plan(self) -> Plan:
        """How many rollouts the eval has when nothing is deselected."""
        facts = self.facts
        return Plan(facts.num_examples, self.spec.rollouts_per_example, facts.pass_threshold)

    @property
    def is_partial(self) -> bool:
        """Whether a selection left out some of its rollouts that are not done already."""
        return self.selected < self.plan.rollouts and self.selected + self.kept < self.plan.rollouts

    @property
    def kept(self) -> int:
        """How many of its rollouts are done already and were not selected."""
        if self.stored is None:
            return 0
        return self.stored.num_done - self.replayed

    @property
    def replayed(self) -> int:
        """How many of the selected rollouts are done already."""
        stored = self.stored
        return 0 if stored is None else sum(map(stored.is_done, self.selected_keys()))

    @property
    def has_work(self) -> bool:
        """Whether any of the selected rollouts is left to do."""
        return self.selected > self.replayed

    def selected_keys(self) -> Collection[RolloutKey]:
        """Return the rollouts that were selected."""
        return self.keys

    def scores_groups(self) -> bool:
        """Whether rollouts of an example are scored together."""
        return self.is_grouped

    @property
    def is_over(self) -> bool:
        """Whether all of its selected rollouts have ended, reported or not."""
        return self.is_done

    @property
    def is_done(self) -> bool:
        """Whether every selected rollout has reported."""
        return self.reported == self.selected

    @property
    def why_not_judged(self) -> str:
        """Why its gates have no verdict."""
        if self.told_why_not_judged is not None:
            return self.told_why_not_judged
        hint = "" if self.accepts_partial else " (--evals-partial accepts that)"
        if self.is_partial and not self.selected:  # --lf after a red gate: nothing to accept
            return f"no rollout was selected; run the whole eval: pytest {self._argument}"
        if self.is_partial and self.stored is not None:
            left = self.plan.rollouts - self.selected - self.kept
            return f"{left} of {self.plan.rollouts} rollouts are neither done nor selected{hint}"
        if self.is_partial:
            return f"{self.selected} of {self.plan.rollouts} rollouts were selected{hint}"
        if not self.is_done:
            return f"stopped after {self.reported} of {self.plan.rollouts} rollouts had reported"
        if self.selected_gates < len(self.spec.gates):
            return f"not every gate was selected{hint}"
        return "its item did not run"

    @property
    def _argument(self) -> str:
        """What names the eval on a command line; its node id is seen from the root directory."""
        path = os.path.relpath(self.spec.path)
        return shlex.quote("::".join([path, *self.nodeid.split("::")[1:]]))

    @property
    def tolerates_errors(self) -> bool:
        """Whether its error_rate gate allows any rollout to be unmeasured."""
        return tolerates_errors(self.spec.gates)

    @property
    def was_started(self) -> bool:
        """Whether the run has a folder."""
        return self._folder is not None

    @property
    def folder(self) -> RunFolder:
        """The run's folder; only of a run that was started."""
        assert self._folder is not None
        return self._folder

    @property
    def log(self) -> logging.Logger:
        """The run's log; only of a run that was started."""
        return logging.getLogger(f"pytest_evals.run.{self.folder.run_id}")

    def take_folder(self, folder: RunFolder, base_url: str) -> None:
        """Give the run its folder and log, and the address of the model as it is reached now."""
        self._folder = folder
        self.base_url = base_url
        self.log.propagate = False  # one run's; pytest would show it in whatever item is running
        self.log.setLevel(logging.DEBUG if self.spec.verbose else logging.INFO)
        self._handler = folder.log_handler()
        self.log.addHandler(self._handler)
        self.started = time.time()

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows that are on disk, one per rollout."""
        return read_rows(self.folder.path, on_problem=self.log.warning)

    def measurements(self) -> Measurements:
        """Return what the rows on disk say; read once the run is done, and again after that."""
        if self._measurements is not None:
            return self._measurements
        with self.noting_problems():
            return self._measure(self.rows())
        return Measurements(self.plan)  # where nothing can be read, nothing was measured

    def _measure(self, rows: Iterable[Mapping[str, Any]]) -> Measurements:
        measurements = Measurements.from_rows(
            rows,
            planned=self.plan,
            is_over=self.is_done and self.facts.is_scored,
            by={gate.by for gate in self.spec.gates if gate.by},
        )
        if self.is_done:
            self._measurements = measurements
        return measurements

    def forget_measurements(self) -> None:
        """Read the rows again when they are next needed: a rollout was run once more."""
        self._measurements = None

    def note_red(self, name: str, *, has_failed: bool, when: str) -> None:
        """Note whether a report of the item `name` failed; a new setup means it is run again."""
        self._red.note(name, has_failed=has_failed, when=when)

    @property
    def red_items(self) -> set[str]:
        """Names of items that are red."""
        return self._red.names

    def warn(self, text: str, error: BaseException | None = None) -> None:
        """Note, once, what changes no verdict; the traceback of an error goes to the log."""
        line = visible(self.mask(text)).replace("\n", " ")
        if line in self.warnings:
            return
        self.warnings.append(line)
        if self.was_started:
            self.log.warning("%s", text, exc_info=error)

    def finish(self) -> None:
        """Leave one row per rollout on disk, once no rollout of the run can end any more."""
        if not self.was_started or self.stopped:
            return
        self.stopped = time.time()
        with self.noting_problems():
            # Read once for both: what is left on disk, and what it says.
            self._measure(self.folder.compacted_rows(self.log.warning))

    @contextlib.contextmanager
    def noting_problems(self) -> Iterator[None]:
        """Note an error of the disk as the run's problem, and go on."""
        try:
            yield
        except OSError as error:
            self.problem = f"the results of {self.nodeid} are not whole: {one_line(error)}"

    def summary(self) -> EvalSummary:
        """Return the figures of the run as they stand."""
        summary = summarise(
            name=self.spec.name,
            model=self.facts.model,
            measurements=self.measurements(),
            gates=self.spec.gates,
            verdicts=tuple(
                self.verdicts[gate.name] for gate in self.spec.gates if gate.name in self.verdicts
            ),
            seconds=(self.stopped or time.time()) - self.started,
            nodeid=self.nodeid,
        )
        # A rollout item that failed on its own (broken, below pass_reward) made the session red,
        # as did a gate that passed and whose teardown raised: the verdict must not say otherwise.
        if self.red_rollouts or (summary.verdict == "passed" and self.red_items):
            return dataclasses.replace(summary, verdict="failed")
        return summary

    @property
    def red_rollouts(self) -> set[str]:
        """The red items that are no gates."""
        return self.red_items - self.gate_names

    @property
    def red_lines(self) -> list[str]:
        """Say how many of its items are red for another reason than a gate's verdict."""
        name, failed = self.spec.name, self._red.failed(self.gate_names)
        lines = self._red.late_lines(name)
        if failed:
            measured = self.measurements()
            are_more = self.is_done and measured.unmeasured + measured.broken > failed
            rest = "; the other rollouts without a reward were skipped" if are_more else ""
            noun = "rollout" if failed == 1 else "rollouts"
            lines.insert(0, f"{failed} {noun} of {name} failed or ended in an error{rest}")
        return lines

    @property
    def gate_names(self) -> set[str]:
        """The names of all its gates."""
        return {gate.name for gate in self.spec.gates}

    def write_metadata(self) -> EvalSummary:
        """Write metadata.json as things stand and return the figures in it."""
        summary = self.summary()
        content = metadata_of(self, summary, self.base_url)
        with self.noting_problems():
            self.folder.write_metadata(content)
        return summary

    def close(self) -> None:
        """Close the folder and the log."""
        if self.stored is not None:
            self.stored.close()
        if self._handler is None:
            return
        self.folder.close()
        self.log.removeHandler(self._handler)
        self._handler.close()
        self._handler = None
