"""WaitingRollouts: what was submitted and not started yet, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

from .rollouts import RolloutJob
from .run import EvalRun


class WaitingRollouts:
    """The rollouts that wait, by eval; the evals in the order of their first."""

    def __init__(self) -> None:
        self._of: dict[EvalRun, deque[RolloutJob]] = {}

    @property
    def runs(self) -> Sequence[EvalRun]:
        """The evals that have any."""
        return list(self._of)

    def holds(self, run: EvalRun) -> bool:
        """Whether any of an eval waits."""
        return run in self._of

    def add(self, jobs: Iterable[RolloutJob]) -> None:
        """Let rollouts wait, behind those that do."""
        for job in jobs:
            self._of.setdefault(job.run, deque()).append(job)

    def take(self, may_start: Callable[[EvalRun], bool]) -> RolloutJob | None:
        """Return the first rollout of an eval that may start one; None where none may."""
        for run, jobs in self._of.items():
            if may_start(run):
                job = jobs.popleft()
                if not jobs:
                    del self._of[run]
                return job
        return None

    def take_all(self, run: EvalRun) -> Sequence[RolloutJob]:
        """Return every rollout of an eval; none of them waits any more."""
        return self._of.pop(run, ())

    def counts(self, may_start: Callable[[EvalRun], bool]) -> dict[EvalRun, int]:
        """Return how many wait, of each eval that may start one."""
        return {run: len(jobs) for run, jobs in self._of.items() if may_start(run)}
