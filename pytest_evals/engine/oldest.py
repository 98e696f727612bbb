"""Oldest: the rollout in flight that began first, for whoever looks for one that hangs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from ..lifecycle import is_cleaning
from .attempts import Attempt


@dataclass(frozen=True, slots=True)
class Oldest:
    """A rollout in flight.

    Attributes:
        name: of the rollout: `bench.toml::gsm8k::17-r0`.
        phase: what is being done with it.
        seconds: since it began.
    """

    name: str
    phase: str
    seconds: float


def oldest_of(tasks: dict[asyncio.Task[Any], Attempt]) -> Oldest | None:
    """Return what began first of the tasks, which are in that order; in any thread.

    It is read off when somebody asks: rollouts note nothing for it.
    """
    for task, attempt in tasks.copy().items():
        phase = "generating" if attempt.state is None else "scoring"
        phase = "cleaning up" if is_cleaning(task) else phase
        return Oldest(attempt.job.name, phase, time.time() - attempt.start)
    return None
