"""The pytest nodes: an eval file or environment, its evals, their rollouts and gates."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..config.spec import EvalSpec
from ..engine.rollouts import RolloutKey, RolloutResult, rollout_name
from ..environments.location import EnvironmentLocation, location_of_path
from ..errors import ConfigError
from ..gates.grammar import Gate, parse_gates
from . import outcomes
from .item_run import ItemRun
from .marks import is_ruled_out
from .owned_run import set_headings
from .runs import Run
from .session import EvalSession


def collect_file(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Return the collector of an eval file, or of an environment's module."""
    if path.suffix == ".toml":
        return EvalFile.from_parent(parent, path=path)
    found = location_of_path(path)
    return EnvironmentFile.from_parent(parent, path=path, found=found) if found else None


def collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Return the collector of an environment's folder; None for any other folder."""
    found = location_of_path(path)
    return EnvironmentDir.from_parent(parent, path=path, found=found) if found else None


class EvalCollector(pytest.Collector):
    """A collector whose errors show in the short summary too."""

    def repr_failure(  # type: ignore[override]  # pytest's own Collector leaves `style` out too
        self, excinfo: pytest.ExceptionInfo[BaseException]
    ) -> Any:
        """Return the text of a collection error; anything else is a bug and has its traceback."""
        if isinstance(excinfo.value, self.CollectError):
            return outcomes.ShortText(str(excinfo.value), self.path, 1)
        return super().repr_failure(excinfo)


class EvalFile(EvalCollector, pytest.File):
    """A TOML file of evals."""

    def collect(self) -> Iterable[Eval]:
        """Read and check the whole file, then yield its evals."""
        session = EvalSession.of(self.config)
        with session.reported_errors(self):
            specs = session.reader.read_file(self.path)
        yield from _evals(self, specs)


class EnvironmentFile(EvalCollector, pytest.File):
    """An environment's module, named on the command line."""

    def __init__(self, *, found: tuple[str, EnvironmentLocation], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._found = found

    def collect(self) -> Iterable[Eval]:
        """Yield the one eval of the environment."""
        yield from _environment_evals(self, self._found)


class EnvironmentId(EvalCollector):
    """An environment named by its id, wherever it is installed."""

    def __init__(self, *, env_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._env_id = env_id

    def collect(self) -> Iterable[Eval]:
        """Yield the one eval of the environment."""
        session = EvalSession.of(self.config)
        with session.reported_errors(self):
            specs = session.reader.read_environment_id(self._env_id)
        yield from _evals(self, specs)


def named_environments(session: pytest.Session) -> list[EnvironmentId]:
    """Return the collectors of `--evals-env-id`, one for each id.

    Their node ids begin with what the eval is called, as those of a file do with its path.
    """
    found: dict[str, EnvironmentId] = {}
    for env_id in session.config.getoption("evals_env_id"):
        name = re.sub(r"[^\w.+-]", "-", env_id.rpartition("/")[2].partition("@")[0]) or "-"
        if name in found:
            raise pytest.UsageError(
                f"--evals-env-id={env_id}: there is an environment {name!r} already; run it alone"
            )
        found[name] = EnvironmentId.from_parent(session, name=name, nodeid=name, env_id=env_id)
    return list(found.values())


class EnvironmentDir(EvalCollector, pytest.Directory):
    """An environment's folder, named on the command line; its own tests are collected too."""

    def __init__(self, *, found: tuple[str, EnvironmentLocation], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._found = found

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        """Yield the eval of the environment, then what pytest finds in the folder."""
        yield from _environment_evals(self, self._found)
        for path in sorted(self.path.iterdir()):
            if self.ihook.pytest_ignore_collect(collection_path=path, config=self.config):
                continue
            if path.is_dir():
                found = self.ihook.pytest_collect_directory(path=path, parent=self)
                yield from [found] if found is not None else []
            else:
                yield from self.ihook.pytest_collect_file(file_path=path, parent=self)


def _environment_evals(
    node: EnvironmentFile | EnvironmentDir, found: tuple[str, EnvironmentLocation]
) -> Iterator[Eval]:
    session = EvalSession.of(node.config)
    with session.reported_errors(node):
        specs = session.reader.read_environment(node.path, *found)
    yield from _evals(node, specs)


def _evals(parent: pytest.Collector, specs: list[EvalSpec]) -> Iterator[Eval]:
    session = EvalSession.of(parent.config)
    read = {spec.name: spec for spec in specs}
    with session.reported_errors(parent):
        parent.ihook.pytest_evals_modify_evals(config=parent.config, evals=specs)
        specs[:] = [_with_origins(spec, read.get(spec.name)) for spec in _checked(specs)]
    session.specs += specs
    for spec in specs:
        for marker in spec.markers:
            # Before the mark is added, so that --strict-markers knows it.
            parent.config.addinivalue_line("markers", f"{marker}: named in {spec.path.name}")
        yield Eval.from_parent(parent, name=spec.name, spec=spec, siblings=specs)


def _checked(specs: list[EvalSpec]) -> list[EvalSpec]:
    """Return specs that a hook may have changed with what every eval needs.

    Raises:
        ConfigError: two have one name.
    """
    names: set[str] = set()
    for spec in specs:
        if spec.name in names:
            raise ConfigError(spec.path, spec.line, f"two evals are named {spec.name!r}")
        names.add(spec.name)
    return [
        dataclasses.replace(
            spec, gates=parse_gates([gate.written for gate in spec.gates if not gate.default])
        )
        for spec in specs
    ]


def _with_origins(spec: EvalSpec, read: EvalSpec | None) -> EvalSpec:
    """Return a spec whose origins name the hook where it changed what was read."""
    changed = {
        field.name: "pytest_evals_modify_evals"
        for field in dataclasses.fields(spec)
        if read is None or getattr(spec, field.name) != getattr(read, field.name)
    }
    kept = {k: v for k, v in spec.origins.items() if k.partition(".")[0] not in changed}
    return dataclasses.replace(spec, origins={**kept, **changed})


class Eval(EvalCollector):
    """One eval: a collector of its rollouts and gates."""

    def __init__(self, *, spec: EvalSpec, siblings: list[EvalSpec], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self._siblings = siblings
        for marker in ("evals", *spec.markers):
            self.add_marker(marker)

    def collect(self) -> Iterable[RolloutItem | GateItem]:
        """Load the environment and yield an item for each rollout, then one for each gate."""
        if is_ruled_out(self.config, {mark.name for mark in self.iter_markers()}):
            return
        session = EvalSession.of(self.config)
        with session.reported_errors(self):
            run = session.prepare(self.spec, self.nodeid, self.ihook, self._siblings)
        if run is None:
            return
        set_headings(session.owned)
        for example in run.examples:
            for rollout in range(self.spec.rollouts_per_example):
                name = rollout_name(example["example_id"], rollout)
                yield RolloutItem.from_parent(
                    self, name=name, run=run, example=example, rollout=rollout
                )
        for gate in self.spec.gates:
            yield GateItem.from_parent(self, name=gate.name, run=run, gate=gate)


class EvalItem(pytest.Item):
    """An item of an eval.

    Attributes:
        kind: "rollout" or "gate".
        is_function: of an eval that is a test function.
    """

    kind = ""
    is_function = False

    def __init__(self, *, run: ItemRun, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run

    @property
    def location(self) -> tuple[str, int | None, str]:
        """Where the item stands: the file, the line from 0, the name."""
        return self.run.location_of(self)

    @property
    def own_location(self) -> tuple[str, int | None, str]:
        """The same as pytest finds it, which takes a while."""
        return super().location

    def reportinfo(self) -> tuple[Path, int, str]:
        """Point at the eval's block in its file."""
        return self.run.spec.path, self.run.spec.line - 1, f"{self.run.heading}::{self.name}"

    def complete_report(self, report: pytest.TestReport) -> None:
        """Add to a report of this item what only this kind of item knows."""


class RolloutItem(EvalItem):
    """One rollout: setup obtains it, call judges it.

    Attributes:
        example, rollout: the row of the dataset, and which attempt at it this is.
        result: how the rollout ended, between its setup and its teardown.
        scored: a result that failed the item and stands when the item is run again. One with a
            reward: asking until it is high enough would not be a measurement. One of a group that
            is scored together: it cannot be scored alone.
        is_repeat: it failed as another one did before, whose report says more.
        stored: the line of its row, where the model has answered and it has only to be scored.
    """

    kind = "rollout"
    run: Run
    stored: str | None = None  # of few, so no attribute of each of a hundred thousand

    def __init__(self, *, example: dict[str, Any], rollout: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.example = example
        self.rollout = rollout
        self.result: RolloutResult | None = None
        self.scored: RolloutResult | None = None
        self.is_repeat = False

    @property
    def key(self) -> RolloutKey:
        """Which rollout of its eval it is."""
        return self.example["example_id"], self.rollout

    @property
    def ihook(self) -> Any:
        """The hooks in force at the item's path."""
        hooks = self.run.rollout_hooks
        return super().ihook if hooks is None else hooks

    def setup(self) -> None:
        """Wait for the rollout; one without a reward is an error, or skipped if tolerated."""
        session = EvalSession.of(self.config)
        if session.is_dry:
            return
        outcomes.check_measured(self, self.scored or session.obtain(self))

    def runtest(self) -> None:
        """Fail a reward below the eval's `pass_reward`; without one every reward passes."""
        if self.result is not None:
            outcomes.check_reward(self, self.result)

    def teardown(self) -> None:
        """Let go of the rollout: a session may have a hundred thousand."""
        self.result = None

    def complete_report(self, report: pytest.TestReport) -> None:
        """Add the rollout's own times, its reward and, where it is read, its transcript."""
        outcomes.add_rollout(self, report)


class GateItem(EvalItem):
    """One gate of an eval, run when every selected rollout of it has reported."""

    kind = "gate"

    def __init__(self, *, gate: Gate, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.gate = gate

    def runtest(self) -> None:
        """Judge the gate on the rows that are on disk."""
        outcomes.check_gate(self, EvalSession.of(self.config).judge(self.run, self.gate))
