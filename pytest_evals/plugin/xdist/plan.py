"""Plan: what a worker collected, as the controller hears of it."""

from __future__ import annotations

import dataclasses
import json
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ...config.spec import EvalSpec
from ...endpoints.endpoint import ServeCommand
from ...engine.rollouts import RolloutKey
from ...gates.grammar import parse_gates
from ...store.encoding import mask_json, to_json
from ..facts import Facts
from ..item_run import ItemRun
from ..nodes import EvalItem, GateItem, RolloutItem
from ..runs import Run

_PATHS = ("path", "endpoints_path")
# Facts that may differ between workers that can work together: a dataset need not be the same each
# time it is made, and its digests are long.
_LOCAL = ("label", "dataset", "env_version")


@dataclass(frozen=True, slots=True)
class EvalPlan:
    """One eval as a worker collected it.

    Attributes:
        nodeid: of its collector.
        spec, facts: as the worker has them, with secrets masked.
        key_var: the environment variable with the key of its endpoint.
        scores_groups: whether rollouts of an example are scored together.
        is_function: whether it is a test function; such a run begins with its first rollout.
        rollouts: by index of the item: example id and number of the rollout.
        gates: indices of the items, by gate name.
    """

    nodeid: str
    spec: EvalSpec
    facts: Facts
    key_var: str | None
    scores_groups: bool
    is_function: bool
    rollouts: dict[int, RolloutKey]
    gates: dict[str, int]


def encode_evals(
    items: Iterable[pytest.Item], runs: Iterable[Run], mask: Callable[[str], str]
) -> list[dict[str, Any]]:
    """Return the evals of a worker's items as builtins, in the order of `runs`."""
    rollouts: dict[ItemRun, array[int]] = {}
    examples: dict[ItemRun, dict[int | str, int]] = {}
    gates: dict[ItemRun, dict[str, int]] = {}
    for index, item in enumerate(items):
        if not isinstance(item, EvalItem):
            continue
        triplets = rollouts.setdefault(item.run, array("q"))
        names = gates.setdefault(item.run, {})
        if isinstance(item, RolloutItem):
            places = examples.setdefault(item.run, {})
            place = places.setdefault(item.example["example_id"], len(places))
            triplets.extend((index, place, item.rollout))
        elif isinstance(item, GateItem):
            names[item.name] = index
    return [
        {
            "nodeid": run.nodeid,
            "text": mask_json(to_json({"spec": _spec(run.spec), "facts": _facts(run.facts)}), mask),
            "serve": _serve(run.facts.serve),
            "key_var": run.endpoint.key_var,
            "scores_groups": run.scores_groups(),
            "is_function": run.begins_late,
            "examples": list(examples.get(run, ())),
            "rollouts": rollouts[run].tobytes(),
            "gates": gates[run],
        }
        for run in runs
        if run in rollouts
    ]


def decode_eval(encoded: Mapping[str, Any]) -> EvalPlan:
    """Return what `encode_evals` made of one eval."""
    text = json.loads(encoded["text"])
    serve = encoded["serve"]
    numbers = array("q")
    numbers.frombytes(encoded["rollouts"])
    triplets = zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)
    return EvalPlan(
        nodeid=encoded["nodeid"],
        spec=_read_spec(text["spec"]),
        facts=Facts(**text["facts"], serve=_read_serve(serve)),
        key_var=encoded["key_var"],
        scores_groups=encoded["scores_groups"],
        is_function=encoded["is_function"],
        rollouts={
            index: (encoded["examples"][place], rollout) for index, place, rollout in triplets
        },
        gates=dict(encoded["gates"]),
    )


def are_the_same(config: pytest.Config, evals: Mapping[Any, list[dict[str, Any]]]) -> bool:
    """Whether workers collected the same evals; reports the first that differs from the first."""
    (first, expected), *others = evals.items()
    for node, theirs in others:
        difference = _difference(expected, theirs)
        if difference is not None:
            who = f"{first.gateway.id} and {node.gateway.id}"
            text = f"different evals were collected by {who}: {difference}"
            report = pytest.CollectReport(node.gateway.id, "failed", text, [])
            config.hook.pytest_collectreport(report=report)
            return False
    return True


def _difference(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> str | None:
    """Say in what two workers' evals differ, or None; where their files lie does not matter."""
    ours, theirs = [{each["nodeid"]: each for each in evals} for evals in (one, other)]
    for nodeid in {**ours, **theirs}:
        if nodeid not in ours or nodeid not in theirs:
            return f"only one has {nodeid}"
        for key in ("examples", "rollouts", "gates"):
            if ours[nodeid][key] != theirs[nodeid][key]:
                return f"the {key} of {nodeid} differ"
        facts, others = (_comparable(each[nodeid]) for each in (ours, theirs))
        for key in {**facts, **others}:
            if facts.get(key) != others.get(key):
                return f"{key} of {nodeid} is {facts.get(key)!r} and {others.get(key)!r}"
    return None


def _comparable(encoded: Mapping[str, Any]) -> dict[str, Any]:
    text = json.loads(encoded["text"])
    spec = {key: value for key, value in text["spec"].items() if key not in _PATHS}
    facts = {key: value for key, value in text["facts"].items() if key not in _LOCAL}
    return {**spec, **facts}


def _spec(spec: EvalSpec) -> dict[str, Any]:
    values = {field.name: getattr(spec, field.name) for field in dataclasses.fields(spec)}
    for name in _PATHS:
        values[name] = None if values[name] is None else str(values[name])
    values["gates"] = [gate.written for gate in spec.gates if not gate.default]
    return values


def _read_spec(values: dict[str, Any]) -> EvalSpec:
    for name in _PATHS:
        values[name] = None if values[name] is None else Path(values[name])
    values["gates"] = parse_gates(values["gates"])
    values["markers"] = tuple(values["markers"])
    values["state_columns"] = tuple(values["state_columns"])
    return EvalSpec(**values)


def _facts(facts: Facts) -> dict[str, Any]:
    return {
        field.name: getattr(facts, field.name)
        for field in dataclasses.fields(facts)
        if field.name != "serve"
    }


def _serve(serve: ServeCommand | None) -> list[Any] | None:
    # Not in the masked text: with a part of it masked, the command would not run.
    if serve is None:
        return None
    return [serve.command, str(serve.folder), serve.ready, float(serve.startup_timeout)]


def _read_serve(serve: list[Any] | None) -> ServeCommand | None:
    if serve is None:
        return None
    command, folder, ready, timeout = serve
    return ServeCommand(command, Path(folder), ready, timeout)
