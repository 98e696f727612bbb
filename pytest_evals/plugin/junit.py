"""Figures of rollouts and gates as properties of their JUnit test cases."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from ..engine.rollouts import RolloutResult
from ..gates.drop_texts import ids_text
from ..gates.verdicts import Verdict
from ..reports.metadata import gate_figures
from ..reports.slice_table import slice_table
from ..visible import visible

if TYPE_CHECKING:
    from .nodes import GateItem, RolloutItem


# The property that only a gate that was judged has.
VERDICT = "evals.verdict"

# Figures of a gate that the test case itself has, and those that have a shorter name there.
_NOT_TOLD = ("name", "default", "is_red")
_SHORTER = {"n_examples": "examples", "n_rollouts": "rollouts"}


def describe_rollout(item: RolloutItem, result: RolloutResult) -> None:
    """Set the properties of a rollout: state, reward, metrics, tokens, cost."""
    # Set, not added: an item that is run again has one set of figures.
    item.user_properties[:] = [("evals.state", result.outcome)]
    if result.is_earlier:
        item.user_properties.append(("evals.earlier", True))
    if result.reward is not None:
        item.user_properties.append(("evals.reward", result.reward))
    for name, value in result.metrics.items():
        item.user_properties.append((_metric_property(name), value))
    if result.input_tokens is not None:
        item.user_properties.append(("evals.input_tokens", result.input_tokens))
        item.user_properties.append(("evals.output_tokens", result.output_tokens))
    if result.cost_usd is not None:
        item.user_properties.append(("evals.cost_usd", result.cost_usd))


@functools.cache
def _metric_property(name: str) -> str:
    # One text for all rollouts: each of them keeps its properties to the end.
    return f"evals.metric.{name}"


def describe_gate(item: GateItem, verdict: Verdict) -> None:
    """Set the properties of a gate: its condition, its verdict and the figures behind it."""
    found = gate_figures(verdict)
    if item.gate.drop is not None:
        found["baseline"] = item.gate.drop.names
    if item.gate.each is not None:
        found["quarantine"] = ids_text(item.gate.each.quarantine)
    if item.gate.by:
        found["slices"] = "\n".join(slice_table(verdict))
    figures = {"verdict": found.pop("outcome")} | {
        _SHORTER.get(name, name): value for name, value in found.items() if name not in _NOT_TOLD
    }
    item.user_properties[:] = [
        (f"evals.{name}", item.run.mask(visible(value)) if isinstance(value, str) else value)
        for name, value in figures.items()
        if value is not None and value != ""
    ]
