"""FunctionEvals: runs the evals of a session that are test functions, and the tests around them."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from ...engine.slots import Limits
from .. import options
from ..nodes import GateItem
from ..outcomes import EvalFailedError
from ..starting import ResultsError
from .arranging import arranged, is_alone
from .async_fixtures import AsyncFixtures
from .flight import Flight
from .items import EvalFunction
from .surface import why_not
from .turns import Turns

if TYPE_CHECKING:
    from ...engine.engine import Engine
    from ..ahead import RolloutsAhead
    from ..runs import Run
    from ..session import EvalSession
    from ..signals import StopSignals
    from .marking import Marking


class FunctionEvals:
    """The evals of a session that are test functions.

    Their items are like any test's, so pytest's order and the life of fixtures hold: this runs the
    plain tests too, between the rollouts.

    Attributes:
        settings: what the marks say, by run.
        knows_pytest: whether what `setup_ahead` needs of pytest is there.
        context: context variables as they were before any fixture.
        flight: the rollouts that are side by side now.
    """

    def __init__(self, session: EvalSession) -> None:
        self._session = session
        self.settings: dict[Run, Marking] = {}
        self.knows_pytest = True
        self.context = contextvars.copy_context()
        self.flight: Flight | None = None
        self._fixtures = AsyncFixtures(self._engine)
        for plugin in (self, self._fixtures):
            session.config.pluginmanager.register(plugin)

    def run(
        self,
        session: pytest.Session,
        items: Sequence[pytest.Item],
        upcoming: Callable[[pytest.Item], pytest.Item | None],
        rollouts: RolloutsAhead,
        signals: StopSignals,
    ) -> None:
        """Run plain tests, and the rollouts and gates of functions.

        Args:
            items: in pytest's order.
            upcoming: returns what to name as the next item after the last of them.
            rollouts: brings the rollouts; has been started.
            signals: noted while rollouts are in flight.
        """
        functions = [item for item in items if isinstance(item, EvalFunction)]
        limit = self._session.max_concurrent
        limits = Limits(limit if limit > 0 else None)
        turns = Turns(session)
        self._session.terminal.begin(sum(len(run.rollouts) for run in self._session.runs))
        # Gates run with their rollouts; those that were selected alone have none to wait for.
        lonely = [item for item in items if isinstance(item, GateItem) and not item.run.rollouts]
        others = [item for item in items if not isinstance(item, GateItem)]
        stretches = arranged(others, self.ahead(functions))
        firsts = [*(stretch.items[0] for stretch in stretches), *lonely, None]
        for stretch, first in zip(stretches, firsts[1:], strict=False):
            after = upcoming if first is None else _always(first)
            if not stretch.is_ahead:
                turns.run_all(stretch.items, after)
                continue
            self.flight = Flight(self, session, turns, rollouts, signals, lambda: limits, after)
            with in_force(stretch.items), signals.deferred():
                self.flight.run(stretch.items)  # type: ignore[arg-type]
            self.flight = None
        turns.run_all(lonely, upcoming)

    def open(self, run: Run) -> None:
        """Begin a run, if it has not begun.

        Raises:
            EvalFailedError: its results cannot be kept.
        """
        if run.was_started:
            return
        try:
            self._session.start([run], self._engine())
        except ResultsError as error:
            raise EvalFailedError(str(error)) from None

    def _engine(self) -> Engine:
        loop = self._session.loop
        if loop.engine is None:  # another plugin's loop runs the items
            loop.start([])
        assert loop.engine is not None
        return loop.engine

    def ahead(self, functions: Sequence[EvalFunction]) -> set[EvalFunction]:
        """Return the rollouts that may be set up ahead of their turn."""
        if options.is_sequential(self._session.config) or not self.knows_pytest:
            return set()
        firsts = {item.run: item for item in reversed(functions)}
        alone = {
            run for run, item in firsts.items() if is_alone(item, asked=self.settings[run].alone)
        }
        return {item for item in functions if item.run not in alone}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Look at the fixtures that will be used, and at what is known of this pytest."""
        functions = [item for item in session.items if isinstance(item, EvalFunction)]
        unknown = next((why for item in functions[:1] if (why := why_not(item))), None)
        if unknown is not None:
            self.knows_pytest = False
            self._session.terminal.tell(
                f"functions run one after the other: pytest {pytest.__version__} is not known"
                f" well enough ({unknown})"
            )
            return
        self._fixtures.refuse_shared(session.items)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Make room on pytest's stack for an item that another plugin runs again."""
        if self.flight is not None and isinstance(item, EvalFunction) and not item.is_ahead:
            self.flight.prepare_for(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Before everything is torn down because the session ends: the rollouts in flight."""
        if self.flight is not None and (item.session.shouldfail or item.session.shouldstop):
            self.flight.abandon()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Give a report that pytest made itself what the others have."""
        report = yield
        if isinstance(item, EvalFunction):
            if report.when == "setup":
                item.was_skipped = report.skipped and item.result is None
                if item.was_skipped:
                    vars(report)["evals_left_out"] = True
            if not hasattr(report, "evals_kind"):
                vars(report)["evals_kind"] = item.kind
                item.complete_report(report)
        return report


def _always(item: pytest.Item) -> Callable[[pytest.Item], pytest.Item]:
    return lambda _: item


@contextlib.contextmanager
def in_force(items: Sequence[pytest.Item]) -> Iterator[None]:
    """Have in force for a whole flight what pytest puts around each item.

    That is the filters of warnings, and the hook that explains assertions.
    """
    with contextlib.ExitStack() as stack:
        around: Any = _Around(items)
        for name in ("warnings", "assertion"):
            plugin = items[0].config.pluginmanager.getplugin(name)
            protocol = getattr(plugin, "pytest_runtest_protocol", None)
            if inspect.isgeneratorfunction(protocol):
                stack.enter_context(contextlib.contextmanager(protocol)(around))
        yield


class _Around:
    """Stands for the items of a flight."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        first = items[0]
        functions = {item.nodeid.partition("[")[0] for item in items}
        self.nodeid = functions.pop() if len(functions) == 1 else ""
        self.config = first.config
        self.ihook = first.ihook
        self.iter_markers = first.iter_markers
