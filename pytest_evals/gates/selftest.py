"""Selftest: how often a gate would be red, were the truth at, below and above its limit."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Final, NamedTuple

from ..stats.distributions import binomial_cdf
from ..stats.measurements import Measurements, Plan
from ..stats.power import evidence_red, point_red, proof_green
from .false_reds import share_of
from .grammar import Gate
from .metrics import Metric, read_metric
from .verdicts import judge

# How far the truth is from the limit, in parts of the range.
OFFSETS: Final = (-0.10, -0.05, 0.0, 0.05, 0.10)
# The share of the variance of rewards that lies between examples, where it has to be assumed.
CORRELATION: Final = 0.5

_SHARES = ("truncated_rate", "answer_rate")
# Of simulated runs, and of values in all of those behind one figure.
_MOST, _LEAST, _VALUES = 500, 100, 100_000
_SEED = 20
_STEPS = 60


class Chance(NamedTuple):
    """How often a gate is red.

    Attributes:
        true: the value of the metric that the model really has.
        red: the share of runs that are red.
        error: the standard error of that share where it was simulated; None where it is exact.
    """

    true: float
    red: float
    error: float | None


class Selftest(NamedTuple):
    """What was found of one gate.

    Attributes:
        chances: by true value, ascending; empty where nothing can be said.
        note: what they hold for, or why there are none.
    """

    chances: tuple[Chance, ...]
    note: str


def selftest(gate: Gate, *, num_examples: int, rollouts_per_example: int) -> Selftest:
    """Return how often a gate is red with the truth at its limit and on both sides of it.

    Exact for rewards of 0 and 1 and one rollout per example, and for error rates. Else runs are
    simulated, seeded, and judged as real ones are: each example has a chance of its own, drawn
    from a beta distribution, whose rollouts are right that often.
    """
    metric = read_metric(gate.metric)
    if gate.drop is not None:
        return Selftest((), "not tried: it depends on how much the baseline's examples vary")
    if gate.each is not None:
        return Selftest((), "not tried: it depends on how much the examples differ")
    if gate.by:
        return Selftest((), "not tried: it depends on how many examples each slice has")
    if metric.kind == "error_rate":
        return _of_errors(gate, num_examples * rollouts_per_example)
    is_pass = metric.kind in ("pass@", "pass^")
    if metric.built_in and not is_pass and metric.name not in ("reward", *_SHARES):
        return Selftest((), "not tried: nothing is known of how its values vary")
    if share_of(gate) is None:
        return Selftest((), "not tried: its limit lies at an end of the range")
    if rollouts_per_example == 1 and not is_pass and gate.comparison in (">=", "<="):
        exact = _exact(gate, num_examples)
        return Selftest(_at_offsets(gate, exact), "exact for values at either end of the range")
    runs = max(_LEAST, min(_MOST, _VALUES // (num_examples * rollouts_per_example)))
    plan = Plan(num_examples, rollouts_per_example)

    def simulated(true: float) -> tuple[float, float | None]:
        return _simulated(gate, metric, plan, true, runs)

    note = (
        f"{runs} simulated runs each, for values at either end of the range that correlate by"
        f" {CORRELATION:g} within an example"
    )
    return Selftest(_at_offsets(gate, simulated), note)


def _at_offsets(
    gate: Gate, chance: Callable[[float], tuple[float, float | None]]
) -> tuple[Chance, ...]:
    low, high = gate.range or (0.0, 1.0)
    limit = (gate.limit - low) / (high - low)
    shares = [share for offset in OFFSETS if 0 < (share := limit + offset) < 1]
    return tuple(Chance(low + share * (high - low), *chance(share)) for share in shares)


def _exact(gate: Gate, n: int) -> Callable[[float], tuple[float, float | None]]:
    limit, is_lower = share_of(gate), gate.comparison == ">="
    assert limit is not None

    def chance(true: float) -> tuple[float, None]:
        p = true if is_lower else 1 - true
        if gate.rule == "point":
            return point_red(n, limit, p), None
        if gate.rule == "evidence":
            return evidence_red(n, limit, p, confidence=gate.confidence), None
        return 1 - proof_green(n, limit, p, confidence=gate.confidence), None

    return chance


def _of_errors(gate: Gate, rollouts: int) -> Selftest:
    """Return how often an upper limit on errors is passed, were they independent."""
    if gate.comparison not in ("<=", "<"):
        return Selftest((), "not tried: it wants errors")
    most = math.floor(round(gate.limit * rollouts, 9))
    if gate.comparison == "<" and most == round(gate.limit * rollouts, 9):
        most -= 1
    rates = sorted({gate.limit, 0.001, 0.01, 0.05})
    chances = [Chance(p, 1 - binomial_cdf(most, rollouts, p), None) for p in rates if 0 < p < 1]
    return Selftest(tuple(chances), "exact for errors that have nothing to do with each other")


def _simulated(
    gate: Gate, metric: Metric, plan: Plan, true: float, runs: int
) -> tuple[float, float]:
    """Return the share of simulated runs that are red, and its standard error, never 0."""
    draw = random.Random(f"{_SEED} {gate.text} {true:.9f}")
    spread = 1 / CORRELATION - 1
    a = _mean_for(metric, true, spread) * spread
    red = 0
    for _ in range(runs):
        measurements = _run(gate, metric, plan, a, spread - a, draw)
        red += not judge(gate, measurements).is_green
    share = red / runs
    return share, max(math.sqrt(share * (1 - share) / runs), 1 / runs)


def _run(
    gate: Gate, metric: Metric, plan: Plan, a: float, b: float, draw: random.Random
) -> Measurements:
    low, high = gate.range or (0.0, 1.0)
    measurements = Measurements(plan)
    values: list[float | None] = []
    for example in range(plan.num_examples):
        chance = draw.betavariate(a, b)
        for _ in range(plan.rollouts_per_example):
            values.append(high if draw.random() < chance else low)
            measurements.examples.append(example)
    count = len(values)
    measurements.states = ["scored"] * count
    measurements.reward = list(values)
    measurements.truncated = measurements.answered = values
    measurements.seconds = measurements.turns = [0.0] * count
    if not metric.built_in:
        measurements.metrics[metric.name] = values
    return measurements


def _mean_for(metric: Metric, true: float, spread: float) -> float:
    """Return the mean chance of an example at which the metric has its true value."""
    if metric.kind not in ("pass@", "pass^"):
        return true
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if _value(metric, middle, spread) < true else (low, middle)
    return min(max((low + high) / 2, 1e-9), 1 - 1e-9)


def _value(metric: Metric, mean: float, spread: float) -> float:
    """Return pass@k or pass^k of chances from Beta(mean x spread, (1 - mean) x spread).

    E[p^k] is the product of (a + j) / (a + b + j) for j < k.
    """
    k = int(metric.parameter)
    share = mean if metric.kind == "pass^" else 1 - mean
    product = math.prod((share * spread + j) / (spread + j) for j in range(k))
    return product if metric.kind == "pass^" else 1 - product
