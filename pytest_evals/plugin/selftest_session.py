"""SelftestSession: a session that tries its gates, and asks and starts nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from ..config.spec import EvalSpec
from ..gates.selftest import Selftest, selftest
from . import collection, options, reporting
from .facts import Facts
from .false_reds import false_reds
from .item_run import ItemRun
from .judging import JudgeLoop
from .owned_run import OwnedRun
from .session import EvalSession
from .slicing import check_columns
from .terminal import EvalTerminal


def begin(config: pytest.Config) -> SelftestSession:
    """Make the session, and register the hooks that try its gates."""
    session = SelftestSession(config)
    for plugin in (collection, reporting, SelftestLoop(session)):
        config.pluginmanager.register(plugin)
    return session


class SelftestSession(EvalSession):
    """An EvalSession whose runs are plans, and stay plans."""

    def __init__(self, config: pytest.Config) -> None:
        super().__init__(config)
        self.planned: list[ItemRun] = []
        self.terminal = EvalTerminal(self)  # not registered: it tells of what runs

    @property
    def owned(self) -> Sequence[OwnedRun]:
        """The evals whose gates are tried."""
        return self.planned

    def prepare(
        self, spec: EvalSpec, nodeid: str, hook: Any, siblings: list[EvalSpec]
    ) -> ItemRun | None:
        """Find out how many examples an eval has, of its dataset where the file does not say.

        Raises:
            SetupError: the environment is needed for that, and does not load.
        """
        count = spec.num_examples
        if count <= 0:
            environment = self.environments.of(spec, hook)
            count = len(environment.get_eval_dataset(n=spec.num_examples, seed=spec.order))
        facts = Facts(
            model=spec.model or "",
            base_url="",
            label="",
            serve=None,
            sampling_args={},
            num_examples=count,
            pass_threshold=0.5,
            is_scored=True,
        )
        run = ItemRun(spec, facts, nodeid, self.secrets.mask, accepts_partial=True)
        check_columns(spec)
        self.planned.append(run)
        return run

    def complete(self, run: OwnedRun) -> str | None:
        """Leave what never began."""
        return None


class SelftestLoop(JudgeLoop):
    """Tries the gates that were selected in the place of running them."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Print how often each gate would be red."""
        config = session.config
        if session.testsfailed and not config.option.continue_on_collection_errors:
            raise session.Failed("gates could not be tried")
        if config.option.collectonly or options.is_dry(config) or not session.items:
            return None
        reporter: Any = config.pluginmanager.getplugin("terminalreporter")
        runs = [run for run in self._session.owned if isinstance(run, ItemRun) and run.gates]
        if reporter is not None:
            reporter.ensure_newline()
            reporter.write_sep("=", "gates")
            for run in runs:
                for line in _lines(run):  # as they are found: a simulation takes seconds
                    reporter.write_line(self._session.clean(line))
            for line in false_reds(runs):
                reporter.write_line(line)
        return True


def _lines(run: ItemRun) -> Iterator[str]:
    plan = run.plan
    examples = "1 example" if plan.num_examples == 1 else f"{plan.num_examples} examples"
    each = plan.rollouts_per_example
    rollouts = "1 rollout" if each == 1 else f"{each} rollouts"
    yield f"{run.heading}: {examples} x {rollouts}"
    selected, told = {item.gate.name for item in run.gates}, ""
    for gate in run.spec.gates:
        if gate.name not in selected:
            continue
        tier = ", advisory" if gate.tier == "advisory" else ""
        found = selftest(gate, num_examples=plan.num_examples, rollouts_per_example=each)
        yield f"  {gate.text} ({gate.rule}{tier}): {_told(found)}"
        if found.chances and found.note != told:
            yield f"    ({found.note})"
            told = found.note


def _told(found: Selftest) -> str:
    if not found.chances:
        return found.note
    chances = []
    for true, red, error in found.chances:
        spread = "" if error is None else f" ± {100 * error:.1f}"
        chances.append(f"{100 * red:.1f}{spread} % at {true:.4g}")
    return f"red {', '.join(chances)}"
