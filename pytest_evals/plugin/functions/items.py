"""EvalFunction: the pytest item of one rollout of an eval that is a test function."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from ...engine.output import CURRENT_OUTPUT
from ...engine.rollouts import RolloutResult
from ...errors import Error, ModelError, is_outage, one_line, outcome_of
from .. import junit, outcomes
from ..nodes import RolloutItem
from ..session import EvalSession
from . import setup_ahead, surface
from .calls import SkippedError, failure_of, reward_of
from .environment import Returned
from .setup_ahead import Place


class EvalFunction(RolloutItem, pytest.Function):
    """One rollout: a call of the function, with the fixtures that any test can have.

    Attributes:
        place: what pytest keeps of it, from the setup ahead of its turn until that turn.
        is_ahead: its fixtures are set up ahead of its turn.
        is_flying: its function is running.
        context: the context variables of its fixtures.
        failure: the text of the assertion that failed.
        was_asked: its rollout was given to the engine, ahead of its turn.
        was_skipped: its setup was skipped, so it is no rollout of the eval.
        refusal: why it cannot run.
        is_replayed: another process ran it and died: `scored` and `failure` say what came of it.
        error: what its setup raised, so that its function is not called.
    """

    is_function = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.place: Place | None = None
        self.is_ahead = self.is_flying = False
        self.context = contextvars.Context()
        self.failure: str | None = None
        self.was_asked = self.was_skipped = False
        self.refusal: str | None = None
        self.is_replayed = False
        self.error: BaseException | None = None
        self._variables: list[tuple[contextvars.ContextVar[Any], Any]] = []

    def reportinfo(self) -> tuple[Any, int | None, str]:  # type: ignore[override]
        """Point at the function."""
        return pytest.Function.reportinfo(self)

    @functools.cached_property
    def location(self) -> tuple[str, int | None, str]:
        """Where the function stands."""
        return self.own_location

    @property
    def ihook(self) -> Any:
        """The hooks; the setup phase of an item that was set up ahead is what came of it."""
        hooks = super(RolloutItem, self).ihook  # all of them: its phases run code of the user
        return hooks if self.place is None else _SetUpHooks(hooks, self)

    def addfinalizer(self, fin: Callable[[], object]) -> None:
        """Have `fin` called by the teardown, in the context of the item's fixtures."""
        fin = functools.partial(self.context.run, fin)
        if self.place is not None and self.place.entry is not None:
            self.place.entry[0].append(fin)
        else:
            super().addfinalizer(fin)

    def setup(self) -> None:
        """Set up the fixtures; then, if this is the item's turn, wait for its rollout."""
        __tracebackhide__ = True
        functions = EvalSession.of(self.config).functions
        assert functions is not None
        if self.is_replayed:
            self._settle()
            return
        self.failure = self.error = None
        self.context = contextvars.copy_context()
        is_dry = EvalSession.of(self.config).is_dry
        try:
            if self.refusal is not None:
                raise outcomes.EvalFailedError(self.refusal)  # noqa: TRY301
            if functions.knows_pytest:
                self._variables = setup_ahead.fill_fixtures(self, functions.context)
            else:
                pytest.Function.setup(self)
        except (pytest.skip.Exception, pytest.exit.Exception, KeyboardInterrupt):
            raise
        except BaseException as error:
            self.error = error
            if not self.is_ahead and not is_dry:
                functions.open(self.run)
                self._take()
            raise
        if not self.is_ahead and not is_dry:
            functions.open(self.run)
            self._settle()

    def land(self) -> None:
        """Be set up, now that it is the item's turn: raise what its setup or rollout raised."""
        __tracebackhide__ = True
        place, self.place, self.is_ahead = self.place, None, False
        assert place is not None
        if place.error is None:
            self._settle()
            return
        if self.was_asked:
            self._take()
        raise place.error

    def _take(self) -> RolloutResult:
        self.result = self.scored or EvalSession.of(self.config).obtain(self)
        return self.result

    def _settle(self) -> None:
        """Take the rollout; what fixtures and the function recorded stays beside its figures."""
        __tracebackhide__ = True
        result = self._take()
        if isinstance(result.error, pytest.exit.Exception):
            raise result.error
        recorded = list(self.user_properties)
        try:
            if isinstance(result.error, SkippedError):
                junit.describe_rollout(self, result)
                pytest.skip(outcomes.clean(self, str(result.error)))
            outcomes.check_measured(self, result)
        finally:
            self.user_properties.extend(recorded)

    async def call(self) -> Returned:
        """Call the function and say what came of it; runs on the loop of the rollouts.

        Raises:
            RewardError: it returned something that is no reward.
            ModelError: what it asked did not answer.
            SkippedError: it skipped.
            BaseException: whatever else it raised.
        """
        if self.error is not None:
            raise self.error  # so that the rollout has a row: nothing of it could run
        if not self.is_ahead:
            CURRENT_OUTPUT.set(None)  # pytest captures it, and so do the item's own fixtures
        for variable, value in self._variables:
            variable.set(value)
        self.is_flying = True
        try:
            return Returned(reward_of(self.originalname, await self._returned()))
        except (AssertionError, pytest.fail.Exception) as error:
            if outcome_of(error) == "unmeasured":
                raise  # it stumbled over a service that failed
            self.failure = failure_of(error, self.config.rootpath)
        except BaseExceptionGroup as group:
            if group.split(AssertionError)[1] is not None or outcome_of(group) == "unmeasured":
                raise
            self.failure = failure_of(group, self.config.rootpath)
        except pytest.skip.Exception as error:
            raise SkippedError(f"skipped: {error}") from error
        except Exception as error:
            if is_outage(error) and not isinstance(error, Error):
                raise ModelError(one_line(error)) from error
            raise
        finally:
            self.is_flying = False
        return Returned(0.0, self.failure)

    async def _returned(self) -> Any:
        function = self.obj
        arguments = surface.arguments(self)
        if inspect.iscoroutinefunction(function):
            return await function(**arguments)
        # In a thread: it would keep every other rollout waiting.
        returned = await asyncio.to_thread(function, **arguments)
        return await returned if inspect.isawaitable(returned) else returned

    def teardown(self) -> None:
        """Let go of what a session with thousands of rollouts cannot hold."""
        super().teardown()
        self._variables = []
        self.context = contextvars.Context()
        self.error = self.failure = None
        self.is_ahead = self.was_asked = False

    def complete_report(self, report: pytest.TestReport) -> None:
        """Add the rollout's figures and, where it is read, the assertion that failed."""
        super().complete_report(report)
        if self.failure is None or report.when != "call":
            return
        text = outcomes.clean(self, self.failure)
        if report.failed or outcomes.shows_passed(self.config):
            report.sections.append(("failed assertion", text))
        vars(report)["evals_failure"] = text
        self.run.failures.note(text, self.name)


class _SetUpHooks:
    """Hooks of an item that was set up ahead: the setup hook has run, so it is not called again."""

    def __init__(self, hooks: Any, item: EvalFunction) -> None:
        self._hooks = hooks
        self._item = item

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hooks, name)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        __tracebackhide__ = True
        assert item is self._item
        self._item.land()
