"""EvalOwner: what the process does that owns the runs of a session: judge, complete, tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from ..config.spec import EvalSpec
from ..endpoints.managed import ManagedServer
from ..endpoints.secret_variables import secret_variables, values_of
from ..endpoints.secrets import Secrets
from ..environments.keys import watch_keys
from ..errors import one_line
from ..gates.grammar import Gate
from ..gates.metrics import read_metric
from ..gates.slices import red_part
from ..gates.verdicts import Verdict, judge
from ..gates.worst import worst_examples
from ..visible import visible
from . import ci_reports, tracebacks
from .baselines import Baselines, saved_name
from .clean_records import CleanRecords
from .last_failed import LastFailed
from .outcomes import HookRaisedError
from .output_folders import OutputFolders
from .owned_run import OwnedRun

if TYPE_CHECKING:
    from ..engine.oldest import Oldest
    from ..engine.rollouts import RolloutResult
    from .budget import SessionBudget
    from .terminal import EvalTerminal


class EvalOwner:
    """The runs of a session, their managed servers, and what must not leave the process.

    Attributes:
        secrets: what must not leave the process.
        servers: those of managed endpoints, while they run.
        terminal: prints what the user sees besides pytest's own output.
        budget: what the session may use; None while it begins, and where it is not limited.
        session_id: which session it is, in the metadata of its runs.
        outputs: where runs are kept.
        last_failed: the runs that `--lf` continues.
        can_replay: whether rollouts that are done already can be reported instead of being run.
    """

    terminal: EvalTerminal
    budget: SessionBudget | None = None
    can_replay = True

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.secrets = Secrets()
        self.secrets.add(*secret_variables())
        ci_reports.begin(config, self)
        config.pluginmanager.register(CleanRecords(config, self.clean))
        config.add_cleanup(watch_keys(self.hide_variables))
        self.servers: list[ManagedServer] = []
        self.last_failed = LastFailed(config)
        self.outputs = OutputFolders(config)
        self.session_id = uuid4().hex[:8]

    def clean(self, text: str) -> str:
        """Return a text as it may be shown: masked, its control characters visible."""
        return visible(self.secrets.mask(text))

    def hide_variables(self, names: Iterable[str]) -> None:
        """Mask what is secret in environment variables."""
        self.secrets.add(*values_of(names))

    @property
    def owned(self) -> Sequence[OwnedRun]:
        """The evals that were collected, in order."""
        return ()

    @property
    def shown_specs(self) -> Sequence[EvalSpec]:
        """The evals that `--evals-show-config` shows."""
        return [run.spec for run in self.owned if run.spec.origins]  # no functions

    @property
    def in_flight(self) -> int | None:
        """Rollouts in flight now; None while none was started."""
        return None

    @property
    def oldest(self) -> Oldest | None:
        """The rollout in flight that began first; None where that is not known here."""
        return None

    @property
    def flight(self) -> str:
        """How many rollouts may be in flight, in words."""
        return ""

    @property
    def refusing(self) -> str:
        """Say that endpoints refuse requests as too many; "" while none does."""
        return ""

    @property
    def held_back(self) -> list[str]:
        """Which endpoints held the run back, a line each."""
        return []

    @property
    def notices(self) -> list[str]:
        """What the user should know of how the evals were read, a line each."""
        return []

    def begins(self, run: OwnedRun) -> bool:
        """Whether a run has anything to do: rollouts, or gates of a run that goes on."""
        return run.selected > 0 or (
            run.selected_gates > 0 and self.last_failed.folder_of(run) is not None
        )

    def show(self, run: OwnedRun, result: RolloutResult, hook: Any) -> None:
        """Let the hooks look at a rollout that ended.

        Raises:
            HookRaisedError: one of them did.
        """
        if result.outcome == "missing":  # it did not begin
            return
        try:
            hook.pytest_evals_rollout_complete(config=self.config, spec=run.spec, result=result)
        except pytest.exit.Exception:
            raise
        except Exception as error:
            text = self.raised("pytest_evals_rollout_complete", error)
            raise HookRaisedError(text) from None

    def judge(self, run: OwnedRun, gate: Gate) -> Verdict | None:
        """Judge a gate on what is on disk; None when its rollouts were not all selected.

        Raises:
            HookRaisedError: a hook that computes its metric did.
        """
        if run.is_partial or not run.was_started:
            return None
        measurements = run.measurements()
        computed = None
        is_known = read_metric(gate.metric).built_in or gate.metric in measurements.metric_names
        if gate.drop is None and not is_known:
            try:
                computed = self.config.hook.pytest_evals_metric(
                    config=self.config, spec=run.spec, metric=gate.metric, rows=run.rows
                )
            except pytest.exit.Exception:
                raise
            except Exception as error:
                raise HookRaisedError(self.raised("pytest_evals_metric", error)) from None
            if not isinstance(computed, int | float | None):
                raise HookRaisedError(
                    f"pytest_evals_metric returned {computed!r} for {gate.metric!r}, not a number"
                )
        baseline = None if gate.drop is None else Baselines(run, self.config).values(gate)
        verdict = judge(
            gate,
            measurements,
            computed=computed,
            stopped=run.stopped_by or self.stopped,
            baseline=baseline,
        )
        if verdict.is_red and verdict.value is not None and not (gate.drop or gate.each):
            verdict = replace(verdict, worst=worst_examples(gate, red_part(verdict, measurements)))
        run.verdicts[gate.name] = verdict
        return verdict

    @property
    def stopped(self) -> str | None:
        """Why rollouts were not started; None where all were."""
        return None if self.budget is None else self.budget.reason

    def note_spent(self, reason: str) -> None:
        """Note which evals the budget was spent on, as they are not done; called in any thread.

        Where nothing is in flight any more, nothing was used beyond the budget.
        """
        if self.in_flight != 0:
            for run in self.owned:
                if not run.is_over:
                    run.stopped_by = reason

    @property
    def used(self) -> str:
        """What the session used of its budget, in words, with what could not be counted."""
        if self.budget is None or not self.budget.used:
            return ""
        count = self.budget.uncounted
        answers = "1 answer had" if count == 1 else f"{count} answers had"
        rest = f" ({answers} no token counts: not in what was used)" if count else ""
        return f"; {self.budget.used} used in all{rest}"

    def complete(self, run: OwnedRun) -> str | None:
        """Write what is known of a run at its end, and tell the hooks, once.

        Returns:
            What went wrong in a hook.
        """
        if not run.was_started or run.is_complete:
            return None
        run.is_complete = True
        if run.not_started:
            run.stopped_by = self.stopped
        run.finish()
        summary = run.write_metadata()
        if name := saved_name(self.config):
            Baselines(run, self.config).save(name, self.owned)
        if run.problem is not None:
            return run.problem
        try:
            self.config.hook.pytest_evals_run_complete(
                config=self.config, spec=run.spec, summary=summary, folder=run.folder.path
            )
        except pytest.exit.Exception:
            raise
        except Exception as error:
            return self.raised("pytest_evals_run_complete", error)
        return None

    def close(self) -> None:
        """Stop the servers and close the folders; to be called again at no cost."""
        if self.budget is not None:
            self.budget.stop()
        for server in self.servers:
            server.stop()
        self.servers.clear()
        for run in self.owned:
            run.close()
        self.outputs.remove_temporary()

    def raised(self, hook: str, error: Exception) -> str:
        """Return the text of an error that somebody's hook raised."""
        text = f"{hook} raised {one_line(error)}\n\n{tracebacks.of_user_code(error)}"
        return self.clean(text)
