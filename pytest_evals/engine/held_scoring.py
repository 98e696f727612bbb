"""HeldScoring: nothing of an eval is scored before all of it was generated, where that is asked."""

from __future__ import annotations

from collections.abc import Iterable

from .attempts import Attempt
from .rollouts import RolloutJob, RolloutKey
from .run import EvalRun


class HeldScoring:
    """What was generated and waits, by eval. Nothing waits unless `is_on`.

    Attributes:
        is_on: whether scoring waits.
    """

    def __init__(self, *, is_on: bool) -> None:
        self.is_on = is_on
        self._pending: dict[EvalRun, set[RolloutKey]] = {}
        self._held: dict[EvalRun, list[list[Attempt]]] = {}

    def expect(self, jobs: Iterable[RolloutJob]) -> None:
        """Note that these rollouts will end."""
        if self.is_on:
            for job in jobs:
                self._pending.setdefault(job.run, set()).add(job.key)

    def hold(self, attempts: list[Attempt]) -> None:
        """Keep what is to be scored together."""
        if attempts:
            self._held.setdefault(attempts[0].job.run, []).append(attempts)

    def ended(self, job: RolloutJob) -> list[list[Attempt]]:
        """Note that a rollout was generated, or never will be.

        Returns:
            What can be scored now, as that was the last one of its eval.
        """
        pending = self._pending.get(job.run)
        if pending is None:
            return []
        pending.discard(job.key)
        if pending:
            return []
        del self._pending[job.run]
        return self._held.pop(job.run, [])

    def take_all(self) -> list[Attempt]:
        """Return all that waits; none of it does any more."""
        held = [each for lists in self._held.values() for attempts in lists for each in attempts]
        self._held.clear()
        return held
