"""RegateSession: a session that judges stored runs, and asks, loads and starts nothing."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from ..config.spec import EvalSpec
from ..errors import SetupError
from ..store.stored_runs import StoredRun, StoredRunError, choose_run, find_runs
from . import collection, itemless, options, reporting
from .baselines import check_baselines
from .false_reds import false_reds
from .item_run import ItemRun
from .judging import JudgeLoop
from .outcomes import relative
from .owned_run import OwnedRun
from .regating import RegatedRun
from .sections import Sections
from .session import EvalSession
from .slicing import check_columns
from .terminal import EvalTerminal


def begin(config: pytest.Config) -> RegateSession:
    """Make the session, and register the hooks that judge its gates and tell of them."""
    session = RegateSession(config)
    for plugin in (collection, reporting, RegateLoop(session), session.terminal, Sections(config)):
        config.pluginmanager.register(plugin)
    return session


class RegateSession(EvalSession):
    """An EvalSession whose runs are those of earlier sessions.

    Attributes:
        regated: the runs that are judged, in the order of their evals.
    """

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self.regated: list[RegatedRun] = []
        self.terminal = RegateTerminal(self)

    @property
    def owned(self) -> Sequence[OwnedRun]:
        """The runs that are judged."""
        return self.regated

    @property
    def in_flight(self) -> int | None:
        """Nothing is under way."""
        return None

    @property
    def oldest(self) -> None:
        """Nothing is under way."""

    @property
    def held_back(self) -> list[str]:
        """Nothing is asked, so nothing holds it back."""
        return []

    @property
    def notices(self) -> list[str]:
        """What the user should know of how evals and runs were read, a line each."""
        sessions = {run.found.metadata.get("session") for run in self.regated}
        several = "evals: the runs are not of one session" if len(sessions) > 1 else ""
        used = [run.found.path for run in self.regated]
        return [
            *(f"evals: ignored {phrase}" for phrase in self.reader.overridden),
            *([several] if several else []),
            *(
                self.clean(f"evals: not judged, as no eval that was collected is of it: {run}")
                for run in self._found
                if run.is_named and run.path not in used
            ),
            *(f"evals: {text}" for run in self.regated for text in run.warnings),
        ]

    @property
    def _found(self) -> list[StoredRun]:
        """The same; none where that was told as an error."""
        try:
            return self._runs
        except SetupError:
            return []

    @cached_property
    def _runs(self) -> list[StoredRun]:
        """What the option names.

        Raises:
            SetupError: one of the paths holds no run.
        """
        folder = self.config.invocation_params.dir
        found: dict[Path, StoredRun] = {}
        for text in self.config.getoption("evals_regate"):
            try:
                runs = find_runs(folder / text)
            except StoredRunError as error:
                raise SetupError(f"--evals-regate: {error}") from None
            for run in runs:
                if run.is_named or run.path.resolve() not in found:
                    found[run.path.resolve()] = run
        return list(found.values())

    def prepare(
        self, spec: EvalSpec, nodeid: str, hook: Any, siblings: list[EvalSpec]
    ) -> ItemRun | None:
        """Find and read the run of an eval.

        Raises:
            SetupError: there is none, or it cannot be judged.
        """
        mask = self.secrets.mask
        try:
            found = choose_run(
                self._runs,
                name=mask(spec.name),
                env_id=spec.env_id,
                model=spec.model,
                others=[mask(other.name) for other in siblings if other is not spec],
            )
        except StoredRunError as error:
            raise SetupError(f"--evals-regate: {error}") from None
        taken = next((run for run in self.regated if run.found.path == found.path), None)
        if taken is not None:
            raise SetupError(f"--evals-regate: {found} is judged for {taken.nodeid} already")
        accepts_partial = bool(self.config.getoption("evals_partial"))
        run = RegatedRun(spec, found, nodeid, mask, accepts_partial=accepts_partial)
        run.read()
        check_baselines(run, self.config)
        check_columns(spec)
        for text in _changes(spec, found):
            run.warn(f"{spec.name}: {text}")
        self.regated.append(run)
        return run

    def complete(self, run: OwnedRun) -> str | None:
        """Leave the run as it is: no hook hears of it a second time."""
        run.is_complete = True
        return None


def _changes(spec: EvalSpec, found: StoredRun) -> Iterable[str]:
    """Say in what the file differs from what was run, where that is likely not meant."""
    metadata = found.metadata
    asked = {"rollouts_per_example": spec.rollouts_per_example, "env_args": dict(spec.env_args)}
    if spec.num_examples > 0:
        asked["num_examples"] = spec.num_examples
    for key, now in asked.items():
        before = metadata.get(key, now)
        # A dataset can have fewer examples than were asked for.
        if before != now and not (key == "num_examples" and before < now):
            yield f"{key} is {before!r} in the run and {now!r} now; the run is judged as it was"


class RegateTerminal(EvalTerminal):
    """Says what is judged where another session says what is run."""

    def __init__(self, session: RegateSession) -> None:
        super().__init__(session)
        self._session = session

    def header(self, runs: Collection[OwnedRun]) -> list[str]:
        """Return the lines about what is judged."""
        session, config = self._session, self._session.config
        if config.get_verbosity() < 0:
            return []
        count = len(runs)
        judged = [run for run in session.regated if run in runs]
        return [
            f"evals: the stored rows of {count} {'eval' if count == 1 else 'evals'} are judged; no"
            " model is asked",
            *(
                session.clean(
                    f"evals: {run.spec.name}: {relative(run.found.path, config)}"
                    f" ({run.measurements().finished} of {run.plan.rollouts} rollouts of"
                    f" {run.facts.model})"
                )
                for run in judged
            ),
            *false_reds(runs),
            *session.notices,
        ]

    def tell_first(self, reporter: pytest.TerminalReporter, runs: Sequence[OwnedRun]) -> None:
        """Leave out the first examples: they were shown when they were new."""


class RegateLoop(JudgeLoop):
    """Has pytest run the gates as it runs any item."""

    def __init__(self, session: RegateSession) -> None:
        super().__init__(session)
        self._regated = session.regated

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Judge, then report what makes an eval red beside its gates."""
        config = session.config
        if session.testsfailed and not config.option.continue_on_collection_errors:
            raise session.Failed("evals could not be judged")
        if config.option.collectonly or options.is_dry(config):
            return (yield)
        for run in self._regated:
            run.begins = run.selected_gates > 0
        result = yield
        for run in self._regated:
            for text in run.red_texts() if run.was_started else ():
                itemless.report_failure(run, "rollouts", text, session)
            itemless.report_untold(run, session)
        itemless.report_overrun(self._session, session)
        return result
