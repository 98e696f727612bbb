"""RunLoop: runs the items of a session, each rollout's once the rollout has ended."""

from __future__ import annotations

import contextlib
import itertools
import time
from collections.abc import Generator, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias

import pytest

from ..engine.engine import Engine
from ..engine.rollouts import RolloutJob, RolloutResult, in_short
from ..engine.shutdown import LAST_CLEANUP_SECONDS
from ..errors import one_line
from . import garbage, itemless, options
from .ahead import RolloutsAhead
from .breakpoints import breakpoints_refused
from .following import Following
from .item_run import ItemRun
from .nodes import EvalItem, GateItem, RolloutItem
from .phases import leave_uncaptured
from .red_reports import RedReports
from .sequential import RolloutsInTurn
from .signals import StopSignals, interrupts_ignored
from .starting import ResultsError

if TYPE_CHECKING:
    from .session import EvalSession

# How long reporting goes on before the rollouts have their turn again.
TURN_SECONDS = 0.05

_Pending: TypeAlias = dict[ItemRun, dict[EvalItem, None]]


class RunLoop(RedReports):
    """Keeps rollouts in flight while pytest's own protocol runs one item at a time.

    Items run in the order in which rollouts end, so a slow one delays nothing and `-x` acts on the
    first failure there is. Plain tests come first: they run during the first flights. In a
    sequential session they run in order, and each rollout inside its item.
    """

    # Whether a second Ctrl-C ends the wait for cleanup handlers.
    can_be_hurried = True

    def __init__(self, session: EvalSession) -> None:
        self._session = session
        self._signals = StopSignals(wake=lambda: self._rollouts.wake())
        self._is_hurried = False
        self._upcoming = Following(())
        self._is_sequential = options.is_sequential(session.config)
        if self._is_sequential:
            in_turn = RolloutsInTurn(session, self._signals)
            session.config.pluginmanager.register(in_turn)
            self._rollouts: RolloutsAhead = in_turn
        else:
            self._rollouts = RolloutsAhead(session, self.act)

    def act(self) -> None:
        """Act on a signal that was noted; may raise."""
        self._signals.act()

    @property
    def engine(self) -> Engine | None:
        """What runs the rollouts; None while none was started."""
        return self._rollouts.engine

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note which items of each eval were selected, each once."""
        if len({*session.items}) < len(session.items):
            plain = [item for item in session.items if not isinstance(item, EvalItem)]
            evals = dict.fromkeys(item for item in session.items if isinstance(item, EvalItem))
            session.items[:] = [*plain, *evals]
        for item in session.items:
            if isinstance(item, RolloutItem | GateItem):
                item.run.select(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run every item; None leaves a session that runs no rollout to pytest's own loop."""
        config = session.config
        if session.testsfailed and not config.option.continue_on_collection_errors:
            if not self._session.has_collection_errors:
                return None
            # pytest ends a session with collection errors like an interrupted one (exit code 2);
            # an eval that cannot run is a failed build (1).
            raise session.Failed("evals could not be collected")
        evals = [item for item in session.items if isinstance(item, EvalItem)]
        if config.option.collectonly or self._session.is_dry or not evals:
            return None
        with self._signals.caught():
            self._run_all(session, evals)
        return True

    def _run_all(self, session: pytest.Session, evals: list[EvalItem]) -> None:
        functions = self._session.functions
        evals = [item for item in evals if not item.is_function]
        chosen = set(evals)
        others = [item for item in session.items if item not in chosen]
        with self._kept_apart():
            try:
                self.start([item for item in evals if isinstance(item, RolloutItem)])
            except ResultsError as error:
                itemless.report_failure(error.run, "results", str(error), session)
                raise session.Failed("results cannot be kept") from None
            # Which eval comes first is not known: the rollout that ends first is the first to run.
            upcoming = Following(evals)
            if functions is not None:
                functions.run(session, others, upcoming.after, self._rollouts, self._signals)
            elif others:
                for item, following in itertools.pairwise([*others, upcoming.after(others[-1])]):
                    assert item is not None
                    _run(session, item, following)
            with self._signals.deferred():
                self._run_evals(session, evals)
        for run in self._session.runs:
            itemless.report_untold(run, session)
        itemless.report_overrun(self._session, session)
        for run in self._session.runs:
            itemless.complete(self._session, run, session)

    @contextlib.contextmanager
    def _kept_apart(self) -> Iterator[None]:
        """Keep output and breakpoints of rollouts from whatever item is running meanwhile."""
        self._session.output.begin(is_sequential=self._is_sequential)
        if not self._is_sequential:
            leave_uncaptured(self._session.runs)
        refused = contextlib.nullcontext() if self._is_sequential else breakpoints_refused()
        with self._session.output.log_level(), refused:
            yield

    def _run_evals(self, session: pytest.Session, items: list[EvalItem]) -> None:
        pending: _Pending = {}
        for item in items:
            pending.setdefault(item.run, {})[item] = None
        self._upcoming = _upcoming(pending)
        for run in list(pending):
            if not run.rollouts:
                self._run_gates(session, run, pending)
        while pending:
            self._signals.act()
            ended: RolloutItem | None = self._rollouts.next()
            with self._rollouts.held(TURN_SECONDS):
                until = time.monotonic() + TURN_SECONDS
                while ended is not None:
                    self._report(session, ended, pending)
                    self._signals.act()
                    in_time = time.monotonic() < until
                    ended = self._rollouts.next_waiting() if in_time else None

    def _report(self, session: pytest.Session, item: RolloutItem, pending: _Pending) -> None:
        run = item.run
        del pending[run][item]
        _run_protocol(item, self._next_after(item, pending))
        run.reported += 1  # not before: whoever quits the debugger in it leaves it without a report
        _heed(session)
        if run.is_done:
            self._run_gates(session, run, pending)

    def _run_gates(self, session: pytest.Session, run: ItemRun, pending: _Pending) -> None:
        run.finish()
        for gate in run.gates:
            del pending[run][gate]
            _run(session, gate, self._next_after(gate, pending))
        del pending[run]
        self._upcoming = _upcoming(pending)

    def _next_after(self, item: EvalItem, pending: _Pending) -> pytest.Item | None:
        """Return what to name to pytest as the next item, although the next one is not known."""
        return self._upcoming.after(item) if any(pending.values()) else None

    def start(self, items: list[RolloutItem]) -> None:
        """Start the engine, the servers it needs and the rollouts of `items`."""
        self._rollouts.start(items)
        garbage.freeze(self._session.config)

    def obtain(self, item: RolloutItem) -> RolloutResult:
        """Return the rollout of an item, waiting for it."""
        result = self._rollouts.obtain(item)
        if result.slow_calls and not self._is_sequential:
            item.run.slow_calls.note(result.slow_calls)
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Cancel what is in flight, complete every run on disk, then let the others report."""
        try:
            with interrupts_ignored(self._hurry if self.can_be_hurried else None):
                self._cancel()
                for run in self._session.runs:
                    itemless.complete(self._session, run, session)
                self._session.last_failed.note(self._session.runs)
                self._tear_down()
            return (yield)
        finally:
            self.close()

    def _cancel(self) -> None:
        """Cancel what is in flight, and name what was left to itself."""
        if self.engine is None:
            return
        left = self.engine.cancel(self._tell_waiting)
        for run in self._session.runs:
            names = [job.name for job in left if run.was_started and job.run is run.engine_run]
            if names:
                until = (
                    "before Ctrl-C" if self._is_hurried else f"within {LAST_CLEANUP_SECONDS:g} s"
                )
                run.warn(
                    f"cleanup of {in_short(names)} did not end {until}: what it should have"
                    " released may still be there"
                )

    def _hurry(self) -> None:
        if self.engine is not None:
            self._is_hurried = True
            self.engine.hurry()

    def _tell_waiting(self, jobs: Sequence[RolloutJob]) -> None:
        self._session.terminal.tell(
            f"waiting up to {LAST_CLEANUP_SECONDS:g} s for the cleanup of"
            f" {in_short([job.name for job in jobs])}; Ctrl-C ends that"
        )

    def _tear_down(self) -> None:
        """Let the environments release what they hold; what goes wrong is only told."""
        if self.engine is None:
            return
        runs = {id(run.environment): run for run in reversed(self._session.runs)}
        for environment, error in self.engine.tear_down(
            run.environment for run in self._session.runs
        ):
            run = runs[id(environment)]
            run.warn(
                f"teardown of environment {run.spec.env_id!r} failed: {one_line(error)}", error
            )

    def close(self) -> None:
        """Stop the engine and the servers; to be called again at no cost."""
        if self.engine is not None:
            self._rollouts.close()
        self._session.output.end()
        self._session.close()
        self._signals.release()


def _run(session: pytest.Session, item: pytest.Item, following: pytest.Item | None) -> None:
    """Run one item as pytest's own loop does."""
    _run_protocol(item, following)
    _heed(session)


def _run_protocol(item: pytest.Item, following: pytest.Item | None) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)


def _heed(session: pytest.Session) -> None:
    """End the session where an item or a hook asked for it."""
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)


def _upcoming(pending: _Pending) -> Following:
    """Return what names the next items while these evals are pending."""
    # Two of each eval do; of the last ones, since those that have run are taken out at the front.
    return Following(
        item for items in pending.values() for item in itertools.islice(reversed(items), 2)
    )
