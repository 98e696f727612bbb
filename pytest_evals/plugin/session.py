"""EvalSession: what the evals of one pytest session share."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..clients.factory import check_client_type
from ..config.spec import EvalSpec
from ..errors import SetupError, one_line
from . import options, starting, tracebacks, verbose
from .capture import OutputCapture
from .endpoints import SessionEndpoints
from .environments import SessionEnvironments
from .hub import check_hub
from .owner import EvalOwner
from .reading import EvalReader
from .runs import Run
from .sections import Sections

if TYPE_CHECKING:
    from ..engine.engine import Engine
    from ..engine.loop import LoopHost
    from ..engine.oldest import Oldest
    from ..engine.rollouts import RolloutResult
    from ..engine.slots import Demand
    from .functions.running import FunctionEvals
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
        self.endpoints = SessionEndpoints(config.invocation_params.dir, self.secrets)
        self.environments = SessionEnvironments(config)
        self.output = OutputCapture(config, self.secrets.mask)
        self.runs: list[Run] = []
        self.specs: list[EvalSpec] = []
        self.unusable: set[Path] = set()
        self.reader = EvalReader(config, self.environments, self.secrets)

    @classmethod
    def of(cls, config: pytest.Config) -> EvalSession:
        """Return the session's one EvalSession, making it at the first call."""
        known = config.stash.get(_KEY, None)
        if known is not None:
            return known
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
    def on_demand(self) -> Callable[[Demand], None] | None:
        """What hears of the rollouts there are to run; None where nobody divides the limit."""
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
            *(f"evals: {text}" for run in self.runs for text in run.warnings),
            *self.environments.verifiers.notices,
        ]

    @property
    def max_concurrent(self) -> int:
        """Rollouts in flight over the whole session; 0 or less for no limit."""
        return self.reader.max_concurrent

    def prepare(
        self, spec: EvalSpec, nodeid: str, hook: Any, siblings: list[EvalSpec]
    ) -> Run | None:
        """Make everything one eval needs before its first model call.

        Args:
            hook: the hooks in force where the eval's file lies.
            siblings: the evals of the same file, to name those that lack the same key.

        Returns:
            None when its endpoint's missing key was reported already.

        Raises:
            SetupError: the endpoint, the key or the environment cannot be used.
        """
        check_hub(spec, [run.spec for run in self.runs])
        endpoint = self.endpoints.of(spec)
        if not self.config.hook.pytest_evals_make_client.get_hookimpls():
            check_client_type(endpoint)
        if not self.endpoints.read_key(endpoint, siblings):
            return None
        environment = self.environments.of(spec, hook)
        examples = environment.get_eval_dataset(n=spec.num_examples, seed=spec.order)
        warnings = self.environments.check(spec, environment, examples)
        run = Run(
            spec,
            endpoint,
            environment,
            examples,
            nodeid,
            self.secrets.mask,
            accepts_partial=bool(self.config.getoption("evals_partial")),
        )
        if spec.verbose:
            verbose.log_in_detail(self.config)
        for text in warnings:
            run.warn(f"{spec.name}: {text}")
        self.runs.append(run)
        return run

    def obtain(self, item: RolloutItem) -> RolloutResult:
        """Return the rollout of an item, waiting for it if need be, after the hooks saw it.

        Raises:
            HookRaisedError: one of them did.
        """
        result = self.loop.obtain(item)
        self.show(item.run, result, item.ihook)
        return result

    def start(self, runs: Sequence[Run], engine: Engine) -> None:
        """Begin the runs whose rollouts are to start now.

        Raises:
            ResultsError: a folder cannot be made.
        """
        started = starting.provide(self, runs)
        starting.execute(self, {run: started[run] for run in runs}, engine)
        for run in runs:
            run.write_metadata()

    def close(self) -> None:
        """Stop the servers, close the folders, and leave no import of ours behind."""
        super().close()
        self.environments.verifiers.close()

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
