"""GroupBoard: the rollouts of a group wait for each other where they are scored together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from ..errors import InfraError
from .attempts import Attempt
from .rollouts import RolloutJob
from .run import EvalRun

_GroupKey: TypeAlias = tuple[EvalRun, int]


@dataclass(slots=True)
class _Group:
    pending: int = 0
    generated: list[Attempt] = field(default_factory=list)


class GroupBoard:
    """The open groups of the evals whose rubric scores whole groups."""

    def __init__(self) -> None:
        self._open: dict[_GroupKey, _Group] = {}

    def expect(self, jobs: Iterable[RolloutJob]) -> None:
        """Note that these rollouts will end."""
        for job in jobs:
            if is_scored_by_group(job.run):
                self._open.setdefault(_key(job), _Group()).pending += 1

    def ended(self, attempt: Attempt) -> list[Attempt]:
        """Take a rollout that was generated or failed.

        Returns:
            The generated rollouts of its group once none is pending, else nothing.
        """
        group = self._open[_key(attempt.job)]
        group.pending -= 1
        if attempt.error is None:
            group.generated.append(attempt)
        if group.pending:
            return []
        del self._open[_key(attempt.job)]
        return group.generated


def is_scored_by_group(run: EvalRun) -> bool:
    """Whether the rollouts of a group of this eval are scored together."""
    return run.environment.rubric.has_group_functions


def mark_incomplete(generated: list[Attempt], rollouts_per_example: int) -> bool:
    """Leave the rollouts unmeasured if their group lacks members; return whether it does.

    A reward that compares the members of a group means nothing when some are absent, because they
    failed or were not selected.
    """
    if len(generated) == rollouts_per_example:
        return False
    for attempt in generated:
        attempt.stays_generated = True
        attempt.error = InfraError(
            f"its group is incomplete: {len(generated)} of {rollouts_per_example} rollouts were"
            " generated, and the rubric scores whole groups"
        )
    return True


def _key(job: RolloutJob) -> _GroupKey:
    return (job.run, job.key[0])
