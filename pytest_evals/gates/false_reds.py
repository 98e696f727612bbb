"""False reds: how often noise alone turns the `evidence` gates of a session red."""

from __future__ import annotations

from collections.abc import Iterable

from ..stats.power import any_red, evidence_red
from .grammar import Gate
from .metrics import read_metric

# Shares of rollouts, which are 0 or 1 each.
_SHARES = ("reward", "truncated_rate", "answer_rate")


def false_red(gate: Gate, *, num_examples: int, rollouts_per_example: int) -> float:
    """Return how often an `evidence` gate is red for a model exactly at its limit.

    Exact for 0/1 rewards of one rollout per example. Otherwise what its bounds allow: one of them
    misses what it bounds with probability 1 - confidence.
    """
    nominal = 1 - gate.confidence
    share = share_of(gate)
    metric = read_metric(gate.metric)
    is_share = metric.name in _SHARES or not metric.built_in
    is_plain = gate.drop is None and not gate.by
    if rollouts_per_example > 1 or share is None or not is_share or not is_plain:
        return nominal
    return min(evidence_red(num_examples, share, share, confidence=gate.confidence), nominal)


def any_false_red(gates: Iterable[tuple[Gate, int, int]]) -> tuple[int, float]:
    """Return how many blocking `evidence` gates there are, and how often any of them is red.

    With every model exactly at its limit, and gates that are independent; those of one eval are
    red together rather than one by one, so that it is less often then.

    Args:
        gates: each with its examples and rollouts per example.
    """
    chances = [
        false_red(gate, num_examples=examples, rollouts_per_example=rollouts)
        for gate, examples, rollouts in gates
        if gate.rule == "evidence" and gate.tier == "blocking"
    ]
    return len(chances), any_red(chances)


def share_of(gate: Gate) -> float | None:
    """Return a gate's limit as a share that is not to be fallen short of; None where it is none."""
    low, high = gate.range or (0.0, 1.0)
    share = (gate.limit - low) / (high - low)
    if not 0 < share < 1:
        return None
    return share if gate.comparison in (">=", ">") else 1 - share
