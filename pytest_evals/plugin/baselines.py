"""Baselines: the runs that gates compare with, checked, read and saved for a session's evals."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ..errors import one_line
from ..gates.drops import BaselineValues
from ..gates.grammar import Gate
from ..gates.metrics import read_metric
from ..stats.estimators import mean
from ..stats.paired import most_lost
from ..stats.power import needed_for_proof
from ..store import baselines as store
from ..store.encoding import mask_json, to_json
from ..store.run_folder import folder_name
from .baseline_values import compared_with, contents_of, pooled_values, values_of
from .functions.environment import PYTHON
from .gate_errors import refused
from .outcomes import relative

if TYPE_CHECKING:
    from .owned_run import OwnedRun

_FOLDER = "baselines"


class Baselines:
    """The baselines of one eval.

    They are `baselines/{file}/{eval}.{name}.jsonl` beside the file of the eval; of an environment
    that has no file, in the folder that pytest was called in.

    Args:
        run: the eval.
        config: of the session.
    """

    def __init__(self, run: OwnedRun, config: pytest.Config) -> None:
        self._run = run
        self._config = config

    def path(self, name: str) -> Path:
        """Return the file of a baseline."""
        spec = self._run.spec
        eval_name = ".".join(self._run.nodeid.split("::")[1:])
        file = f"{folder_name(eval_name)}.{name}{store.ENDING}"
        if spec.path.suffix == ".toml" or self._run.facts.client_type == PYTHON:
            return spec.path.parent / _FOLDER / spec.path.stem / file
        return self._config.invocation_params.dir / _FOLDER / file

    # Before anything is asked.

    def check(self) -> None:
        """Check that every gate with a baseline can be judged, and can pass.

        Raises:
            SetupError: a baseline is missing, broken or lacks the metric, or there are too few
                examples for what the gate is to prove.
        """
        for number, gate in enumerate(self._run.spec.gates):
            if gate.drop is None:
                continue
            problem = self._problem(gate)
            if problem is not None:
                raise refused(self._run.spec, number, problem)

    def _problem(self, gate: Gate) -> str | None:
        assert gate.drop is not None
        found = []
        for name in gate.drop.baselines:
            try:
                found.append(store.read_baseline(self.path(name)))
            except FileNotFoundError:
                if name != saved_name(self._config):
                    return f"{self._missing(name)}; {self._command(name)} makes it"
            except (OSError, ValueError) as error:
                return f"{self._broken(name, error)}; {self._command(name)} makes it anew"
            else:
                if not any(values_of(gate, each) for each in found[-1].examples.values()):
                    return self._no_metric(gate, name, found[-1])
        return self._unprovable(gate, found)

    def _unprovable(self, gate: Gate, found: list[store.Baseline]) -> str | None:
        """Say that a run that gives the same rewards would not pass, if so.

        Only of rewards of 0 and 1 of one rollout per example; others differ by less than their
        whole range.
        """
        run: Any = self._run
        examples = getattr(run, "examples", ())
        pooled = pooled_values(gate, found)
        shared = [pooled[row["example_id"]] for row in examples if row["example_id"] in pooled]
        low, high = gate.range or (0.0, 1.0)
        is_plain = all(len(values) == 1 and values[0] in (low, high) for values in shared)
        if gate.rule != "proof" or run.spec.rollouts_per_example > 1 or not (shared and is_plain):
            return None
        assert gate.drop is not None
        limit = gate.drop.at(mean([value for (value,) in shared]) or 0.0) / (high - low)
        left = most_lost(len(shared), confidence=gate.confidence)
        if left <= limit or not 0 < limit < 1:
            return None
        needed = needed_for_proof(1 - limit, confidence=gate.confidence)
        return (
            f"cannot be proved with {len(shared)} examples: where none of them changes, a drop of"
            f" {left * (high - low):.3g} is still possible; it takes at least {needed}"
        )

    # At the end.

    def values(self, gate: Gate) -> BaselineValues:
        """Return what a gate compares with, or why the run cannot be compared."""
        assert gate.drop is not None
        found: dict[str, store.Baseline] = {}
        for name in gate.drop.baselines:
            try:
                baseline = store.read_baseline(self.path(name))
            except FileNotFoundError:
                problem = self._missing(name)
                if name == saved_name(self._config):
                    problem += " yet, and this run is to become it"
                return BaselineValues({}, problem)
            except (OSError, ValueError) as error:
                return BaselineValues({}, self._broken(name, error))
            found[name] = baseline
        given = compared_with(gate, found, self._fingerprint(), self._contents())
        return BaselineValues(given.values, self._run.mask(given.problem))

    def _contents(self) -> Mapping[store.Id, tuple[str, str]]:
        run = self._run
        if run.contents is None:
            run.contents = contents_of(run.rows())
        return run.contents

    def _fingerprint(self) -> dict[str, Any]:
        text = to_json(self._run.facts.fingerprint(self._run.spec))
        masked: dict[str, Any] = json.loads(mask_json(text, self._run.mask))
        return masked

    def save(self, name: str, others: Sequence[OwnedRun]) -> None:
        """Save the run, which is complete, as a baseline; note on it what became of that.

        Args:
            name: of the baseline.
            others: the evals of the session.
        """
        run = self._run
        path = self.path(name)
        shown = relative(path, self._config)
        problem = self._why_not_saved()
        for other in others:
            if other is not run and Baselines(other, self._config).path(name) == path:
                problem = f"{shown} is also that of {other.nodeid}; save one of them at a time"
        if problem is None:
            try:
                examples = store.examples_of(run.rows())
                head = store.head_of(self._fingerprint(), examples, name=run.spec.name)
                store.write_baseline(path, store.Baseline(head, examples), run.mask)
            except (OSError, ValueError) as error:
                problem = one_line(error)
        if problem is None:
            plan = run.plan
            text = f"baseline {name!r} of {run.spec.name}: {shown} ({plan.rollouts} rollouts)"
            run.saved_baseline = text, True
        else:
            text = f"BASELINE NOT SAVED: {name!r} of {run.spec.name}: {problem}"
            run.saved_baseline = text, False

    def _why_not_saved(self) -> str | None:
        run = self._run
        if self._config.getoption("keyword"):
            return "under -k, which may leave out a part; name the eval by its node id instead"
        if run.is_partial or not run.is_done:
            done = run.measurements().scored
            return f"only a part of the run is there: {done} of {run.plan.rollouts} rollouts"
        measured = run.measurements()
        if run.problem is not None:
            return run.problem
        if not measured.complete or measured.scored < run.plan.rollouts:
            left = run.plan.rollouts - measured.scored
            have = "rollout has" if run.plan.rollouts == 1 else "rollouts have"
            return f"{left} of {run.plan.rollouts} {have} no reward"
        return None

    # In words.

    def _missing(self, name: str) -> str:
        return f"there is no baseline {name!r} ({relative(self.path(name), self._config)})"

    def _broken(self, name: str, error: Exception) -> str:
        why = one_line(error) if isinstance(error, OSError) else str(error)
        return f"baseline {name!r} ({relative(self.path(name), self._config)}) is broken: {why}"

    def _command(self, name: str) -> str:
        spec = self._run.spec
        if spec.path.suffix == ".toml" or self._run.facts.client_type == PYTHON:
            path = os.path.relpath(spec.path, self._config.invocation_params.dir)
            target = shlex.quote("::".join([path, *self._run.nodeid.split("::")[1:]]))
            return f"pytest {target} --evals-save-baseline {name}"
        return f"the same command with --evals-save-baseline {name}"

    def _no_metric(self, gate: Gate, name: str, baseline: store.Baseline) -> str:
        if read_metric(gate.metric).kind != "mean":
            return f"baseline {name!r} has fewer rollouts per example than {gate.metric} needs"
        names = {metric: None for each in baseline.examples.values() for metric in each.metrics}
        known = ", ".join(map(repr, names)) or "none"
        return f"baseline {name!r} has no metric {gate.metric!r}; its metrics are {known}"


def check_baselines(run: OwnedRun, config: pytest.Config) -> None:
    """Check the baselines of an eval before anything is asked.

    Raises:
        SetupError: as `Baselines.check`.
    """
    if any(gate.drop is not None for gate in run.spec.gates):
        Baselines(run, config).check()


def saved_name(config: pytest.Config) -> str | None:
    """Return the name under which the session saves its runs as baselines; None for none."""
    name: str | None = config.getoption("evals_save_baseline")
    return name
