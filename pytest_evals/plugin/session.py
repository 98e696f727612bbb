"""EvalSession: what the evals of one pytest session share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..clients.metered import Count
from ..clients.request_limits import RequestLimits
from ..clients.request_slots import Fixed, RequestSlots
from ..config.spec import EvalSpec
from ..errors import SetupError, one_line
from . import judging_options, options, starting, tracebacks
from .budget import SessionBudget, amounts
from .capture import OutputCapture
from .endpoints import SessionEndpoints
from .environments import SessionEnvironments
from .owner import EvalOwner
from .preparing import prepare
from .prices import SessionPrices
from .reading import EvalReader
from .response_cache import SessionCache
from .runs import Run
from .sections import Sections
from .stored_results import result_of_row

if TYPE_CHECKING:
    from ..endpoints.endpoint import Endpoint
    from ..engine.admission import GivenUp
    from ..engine.engine import Engine
    from ..engine.loop import LoopHost
    from ..engine.oldest import Oldest
    from ..engine.phase_slots import Phase
    from ..engine.rollouts import RolloutResult
    from ..engine.slots import Demand
    from .functions.running import FunctionEvals
    from .item_run import ItemRun
    from .nodes import RolloutItem
    from .owned_run import OwnedRun
    from .runloop import RunLoop

_KEY: pytest.StashKey[EvalSession] = pytest.StashKey()


class EvalSession(EvalOwner):
    """Settings, endpoints and runs of a session that collects evals.

    Made when the first eval is collected; that also registers the hooks which run and report them.

    Attributes:
        endpoints: where the models are served.
        environments: what is evaluated.
        cache: what models have answered before.
        prices: what models cost.
        output: what rollouts print and log.
        runs: the evals that were collected, in order.
        reader: reads eval files.
        specs: all evals that were read, in order, after the hooks changed them.
        unusable: files and folders of which an eval could not be collected.
        loop: runs the items.
        functions: the evals that are test functions; None while none was collected.
    """

    loop: RunLoop
    functions: FunctionEvals | None = None

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self.endpoints = SessionEndpoints(
            config.invocation_params.dir, self.secrets, self.are_clients_brought
        )
        self.environments = SessionEnvironments(config)
        self.cache = SessionCache(config, self.secrets.mask)
        self.prices = SessionPrices(config)
        self.output = OutputCapture(config, self.secrets.mask)
        self.runs: list[Run] = []
        self.specs: list[EvalSpec] = []
        self.unusable: set[Path] = set()
        self._request_limits = RequestLimits()
        self.reader = EvalReader(config, self.environments, self.secrets)

    @classmethod
    def of(cls, config: pytest.Config) -> EvalSession:
        """Return the session's one EvalSession, making it at the first call."""
        known = config.stash.get(_KEY, None)
        if known is not None:
            return known
        if judging_options.runs_nothing(config):
            from . import regate_session, selftest_session

            is_selftest = config.getoption("evals_gate_selftest")
            begin = selftest_session.begin if is_selftest else regate_session.begin
            config.stash[_KEY] = judging = begin(config)
            return judging
        from . import collection, heartbeat, hub, postmortem, reporting, runloop, terminal

        if hasattr(config, "workerinput"):
            from .xdist import worker_session

            joined = config.stash[_KEY] = worker_session.join(config)
            config.pluginmanager.register(collection)
            return joined

        session = config.stash[_KEY] = cls(config)
        session.loop = runloop.RunLoop(session)
        session.terminal = terminal.EvalTerminal(session)
        shown = (session.terminal, Sections(config), hub.Hub(session))
        for plugin in (collection, reporting, session.loop, *shown):
            config.pluginmanager.register(plugin)
        heartbeat.start(session)
        postmortem.PostMortem.stand_in(config)
        return session

    @classmethod
    def is_made(cls, config: pytest.Config) -> bool:
        """Whether an eval was collected in this process, or was to be."""
        return _KEY in config.stash

    @property
    def has_collection_errors(self) -> bool:
        """Whether an eval could not be collected."""
        return bool(self.unusable)

    @property
    def is_dry(self) -> bool:
        """Whether pytest was asked to show what would run (`--setup-plan`, `--setup-only`)."""
        return options.is_dry(self.config)

    @property
    def owned(self) -> Sequence[OwnedRun]:
        """The evals that were collected, in order."""
        return self.runs

    @property
    def shown_specs(self) -> Sequence[EvalSpec]:
        """The evals that were read, also those that could not be collected."""
        return self.specs

    @property
    def in_flight(self) -> int | None:
        """Rollouts in flight now; None while none was started."""
        engine = self.loop.engine
        return None if engine is None else engine.in_flight

    @property
    def oldest(self) -> Oldest | None:
        """The rollout in flight that began first; None while there is none."""
        engine = self.loop.engine
        return None if engine is None else engine.oldest

    def make_host(self) -> LoopHost | None:
        """Return what runs the engine's loop; None for the engine's own."""
        return None

    @property
    def rollouts_at_once(self) -> int:
        """How many rollouts may be in flight in this process."""
        planned = sum(run.selected for run in self.runs)
        return self.max_concurrent if self.max_concurrent > 0 else planned

    def slots_of(self, endpoint: Endpoint) -> RequestSlots:
        """Return the slots for requests to an endpoint."""
        return self._request_limits.slots_of(endpoint)

    def phase_slots(self, phase: Phase) -> RequestSlots | None:
        """Return the slots for rollouts that generate, or are scored; None for any number."""
        limit = options.phase_limit(self.config, phase)
        return None if limit is None else RequestSlots(Fixed(), limit)

    @property
    def refusing(self) -> str:
        """Say that endpoints refuse requests as too many; "" while none does."""
        return self._request_limits.refusing

    @property
    def held_back(self) -> list[str]:
        """Which endpoints held the run back, a line each."""
        return self._request_limits.held_back()

    @property
    def on_demand(self) -> Callable[[Demand], None] | None:
        """What hears of the rollouts there are to run; None where nobody divides the limit."""
        return None

    @property
    def on_given_up(self) -> GivenUp | None:
        """What may see to the rollouts of evals that were given up; None to refuse them."""
        return None

    @property
    def flight(self) -> str:
        """How many rollouts may be in flight, in words."""
        if options.is_sequential(self.config):
            return "one at a time"
        return in_words(self.max_concurrent)

    @property
    def notices(self) -> list[str]:
        """What the user should know of how the evals were read, a line each."""
        unused = self.functions is not None and not self.specs and self.reader.assigns
        return [
            *(f"evals: ignored {phrase}" for phrase in self.reader.overridden),
            *(["evals: ignored --evals-set: a test function has its mark"] if unused else []),
            *self.cache.notices,
            *self._budget_notices,
            *self._asked_workers(),
            *(f"evals: {text}" for run in self.runs for text in run.warnings),
            *self.environments.verifiers.notices,
        ]

    def _asked_workers(self) -> list[str]:
        """Say which `-n` the evals ask for: workers are started before their file is read."""
        asked = [run.spec.num_workers for run in self.runs]
        most = max((number for number in asked if isinstance(number, int)), default=1)
        worker: Mapping[str, Any] = getattr(self.config, "workerinput", {})
        given = worker.get("workercount", 0)
        if most <= 1 or given == most:
            return []
        have = f"-n {given}" if given else "one process"
        return [f"evals: num_workers asks for {most} workers: pytest -n {most} (this is {have})"]

    @property
    def _budget_notices(self) -> list[str]:
        words = self.reader.budget.words
        return [f"evals: budget of the session: {', '.join(words)}"] if words else []

    def begin_budget(self, engine: Engine) -> None:
        """Count from now on what the session uses, where it has a budget."""
        limits = self.reader.budget
        if self.budget is None and limits.is_limited:

            def spend(reason: str) -> None:
                self.note_spent(reason)
                engine.spend(reason)

            self.budget = SessionBudget(limits, spend)
            self.budget.start()

    def count_of(self, run: Run) -> Count | None:
        """Return what counts the answers of a run's model; None where nobody counts."""
        budget, price = self.budget, self.prices.of(run.endpoint)
        if budget is None or not budget.limits.counts_answers:
            return None
        return lambda usage: budget.count(*amounts(usage, price))

    @property
    def max_concurrent(self) -> int:
        """Rollouts in flight over the whole session; 0 or less for no limit."""
        return self.reader.max_concurrent

    def prepare(
        self, spec: EvalSpec, nodeid: str, hook: Any, siblings: list[EvalSpec]
    ) -> ItemRun | None:
        """Make everything one eval needs; see `preparing.prepare`.

        Raises:
            SetupError: something cannot be used.
        """
        return prepare(self, spec, nodeid, hook, siblings)

    def are_clients_brought(self) -> bool:
        """Whether a hook makes clients, perhaps of wire formats that are not known here."""
        return bool(self.config.hook.pytest_evals_make_client.get_hookimpls())

    def obtain(self, item: RolloutItem) -> RolloutResult:
        """Return the rollout of an item, waiting for it if need be, after the hooks saw it.

        Raises:
            HookRaisedError: one of them did.
        """
        result = self.loop.obtain(item)
        self.show(item.run, result, item.ihook)
        return result

    def stored_result(self, item: RolloutItem) -> RolloutResult:
        """Return what an earlier session left of the rollout of an item, which is done."""
        run = item.run
        line = None if run.stored is None else run.stored.done(item.key)
        assert line is not None
        return result_of_row(run.engine_run, line, is_earlier=True)

    def start(self, runs: Sequence[Run], engine: Engine) -> None:
        """Begin the runs whose rollouts are to start now.

        Raises:
            ResultsError: a folder cannot be made.
        """
        started = starting.provide(self, runs)
        self.begin_budget(engine)  # the start of servers is not of the evals' time
        starting.execute(self, {run: started[run] for run in runs}, engine)
        for run in runs:
            run.write_metadata()

    def close(self) -> None:
        """Stop the servers, close the folders, and leave no import of ours behind."""
        super().close()
        self.environments.verifiers.close()
        self.cache.close()

    @contextlib.contextmanager
    def reported_errors(self, node: pytest.Collector) -> Iterator[None]:
        """Turn what the user must mend into a collection error, masked, with their traceback."""
        try:
            yield
        except SetupError as error:
            self.unusable.add(node.path)
            text = str(error)
            spec: EvalSpec | None = getattr(node, "spec", None)
            option = "" if spec is None else spec.option_of(*error.keys)
            if option and option not in text:
                text = f"{option}: {text}"
            if (
                spec is not None
                and not self.environments.is_named(spec.path)
                and str(spec.path) not in text
            ):
                text = f"{spec.path}:{spec.line_of(*error.keys)}: {text}"
            if error.__cause__ is not None and not isinstance(error.__cause__, SetupError):
                text += "\n\n" + tracebacks.of_user_code(error.__cause__)
            raise node.CollectError(self.clean(text)) from None
        except (node.CollectError, pytest.UsageError, pytest.exit.Exception):
            raise
        except Exception as error:  # of a hook, or of an environment's own code
            self.unusable.add(node.path)
            text = f"{one_line(error)}\n\n{tracebacks.of_user_code(error)}"
            raise node.CollectError(self.clean(text)) from None


def in_words(limit: int) -> str:
    """Say how many rollouts may be in flight."""
    return f"at most {limit} in flight" if limit > 0 else "no limit on those in flight"
