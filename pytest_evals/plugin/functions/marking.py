"""Marking: what `@pytest.mark.evals(...)` says of a test function."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pytest

from ...errors import SetupError
from ...gates.grammar import Gate, GateSyntaxError, impossible, parse_gates
from ...gates.metrics import read_metric
from ...nearest import did_you_mean
from .. import settings

MARK = "evals"
KEYS = ("rollouts", "gates", "model", "pass_threshold", "pass_reward", "max_concurrent", "alone")
# What is known of a call: its reward, its time, and whether it came to an end.
_METRICS = ("reward", "pass@", "pass^", "error_rate", "latency.")


@dataclass(frozen=True, slots=True)
class Marking:
    """The settings of an eval that is a test function.

    Attributes:
        rollouts: attempts at each example, at least 1.
        gates: in order, the default one last.
        model: what its results are filed under.
        pass_threshold: a rollout is correct from this reward on.
        pass_reward: a rollout below it fails as a test item; None when rewards fail no item.
        max_concurrent: cap on the rollouts in flight; None when only the session's applies.
        alone: nothing else of the functions runs beside one of its rollouts.
    """

    rollouts: int
    gates: tuple[Gate, ...]
    model: str
    pass_threshold: float
    pass_reward: float | None
    max_concurrent: int | None
    alone: bool


def read_marks(function: pytest.Item, num_examples: int) -> Marking:
    """Return what the marks of a function, its class and its module say; the closest one counts.

    Args:
        function: one of the items that pytest made of the function.
        num_examples: how many examples its parameters make.

    Raises:
        SetupError: they say something that cannot be.
    """
    given = _given(function)
    rollouts = read_rollouts(function)
    return Marking(
        rollouts=rollouts,
        gates=_gates(function.config, given.get("gates", ()), num_examples, rollouts),
        model=_text("model", given.get("model", "python")),
        # A rollout whose asserts held: what "correct" means where they are all there is.
        pass_threshold=_number("pass_threshold", given.get("pass_threshold", 0.5)),
        pass_reward=_number("pass_reward", given["pass_reward"])
        if given.get("pass_reward") is not None
        else None,
        max_concurrent=_count("max_concurrent", given["max_concurrent"])
        if given.get("max_concurrent") is not None
        else None,
        alone=_flag("alone", given.get("alone", False)),
    )


def read_rollouts(function: pytest.Item) -> int:
    """Return the number of attempts at each example: the mark's, else that of the options, else 1.

    Raises:
        SetupError: it is none.
    """
    given = _given(function)
    if "rollouts" in given:
        return _count("rollouts", given["rollouts"])
    config = function.config
    for level in (settings.command_line_settings(config), settings.ini_settings(config)):
        if level.rollouts_per_example is not None:
            return _count("--evals-rollouts-per-example", level.rollouts_per_example)
    return 1


def _given(function: pytest.Item) -> dict[str, Any]:
    given: dict[str, Any] = {}
    for mark in function.iter_markers(MARK):  # the closest first
        if mark.args:
            raise SetupError(
                f"@pytest.mark.evals takes keywords only: write evals(rollouts={mark.args[0]!r})"
                if type(mark.args[0]) is int
                else f"@pytest.mark.evals takes keywords only, not {mark.args[0]!r}"
            )
        for key, value in mark.kwargs.items():
            if key not in KEYS:
                raise SetupError(
                    f"@pytest.mark.evals has no {key!r}{did_you_mean(key, KEYS)}; it has"
                    f" {', '.join(KEYS)}"
                )
            given.setdefault(key, value)
    return given


def _gates(config: pytest.Config, own: Any, num_examples: int, rollouts: int) -> tuple[Gate, ...]:
    asked = [("gates of @pytest.mark.evals", written) for written in _listed(own)]
    command_line, ini = settings.command_line_settings(config), settings.ini_settings(config)
    asked += [("--evals-gate", written) for written in command_line.gates]
    asked += [("ini evals_gate", written) for written in ini.gates]
    for origin, written in asked:
        try:
            (gate, *_) = parse_gates([written])
        except GateSyntaxError as error:
            raise SetupError(f"{origin}: {error}") from None
        why = impossible(gate, num_examples=num_examples, rollouts_per_example=rollouts)
        why = why or _unknown(config, gate)
        if why is not None:
            raise SetupError(f"{origin}: {why}")
    return parse_gates([written for _, written in asked])


def _unknown(config: pytest.Config, gate: Gate) -> str | None:
    """Say why a gate's metric will never have a value, or return None."""
    metric = read_metric(gate.metric)
    is_computed = not metric.built_in and config.hook.pytest_evals_metric.get_hookimpls()
    if is_computed or (metric.built_in and gate.metric.startswith(_METRICS)):
        return None
    return (
        f"{gate.text!r}: an eval that is a test function has no {gate.metric!r}; it has"
        " reward, pass@k, pass^k, error_rate, latency.mean and latency.p95 (any percentile)"
    )


def _listed(gates: Any) -> list[Any]:
    if isinstance(gates, str):
        raise SetupError(f"gates of @pytest.mark.evals is a list: write [{gates!r}]")
    if not isinstance(gates, Iterable):
        raise SetupError(f"gates of @pytest.mark.evals is a list, not {gates!r}")
    return list(gates)


def _count(name: str, value: Any) -> int:
    if type(value) is not int or value < 1:
        raise SetupError(f"{name}={value!r} of an eval must be a whole number of at least 1")
    return value


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise SetupError(f"{name}={value!r} of an eval must be a finite number")
    return float(value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise SetupError(f"{name}={value!r} of an eval must be a text that is not empty")
    return value


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise SetupError(f"{name}={value!r} of an eval must be True or False")
    return value
