"""False reds, in the header: how often noise alone turns a session red."""

from __future__ import annotations

from collections.abc import Iterable

from ..gates.false_reds import any_false_red
from .owned_run import OwnedRun


def false_reds(runs: Iterable[OwnedRun]) -> list[str]:
    """Say it of a session with several gates of the rule `evidence`."""
    count, chance = any_false_red(
        (gate, run.plan.num_examples, run.plan.rollouts_per_example)
        for run in runs
        for gate in run.spec.gates
    )
    if count < 2:
        return []
    return [
        f"evals: {count} gates go by evidence: with every model exactly at its limit, noise alone"
        f" turns the session red up to {chance:.0%} of the time"
    ]
