"""GroupBoard: the rollouts of a group wait for each other where they are scored together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from .attempts import Attempt
from .held_scoring import HeldScoring
from .parts import scores_groups
from .rollouts import RolloutJob
from .run import EvalRun

_GroupKey: TypeAlias = tuple[EvalRun, int]


@dataclass(slots=True)
class _Group:
    pending: int = 0
    is_whole: bool = True  # no member has ended
    generated: list[Attempt] = field(default_factory=list)


class GroupBoard:
    """The open groups of the examples whose rubric scores whole groups.

    Args:
        interleaves: what is generated may be scored while others of its eval are not.

    Attributes:
        held: what waits for all others of its eval, where it must.
    """

    def __init__(self, *, interleaves: bool = True) -> None:
        self.held = HeldScoring(is_on=not interleaves)
        self._open: dict[_GroupKey, _Group] = {}
        self._rests: list[list[Attempt]] = []

    def expect(self, jobs: Iterable[RolloutJob]) -> None:
        """Note that these rollouts will end."""
        jobs = list(jobs)
        self.held.expect(jobs)
        for job in jobs:
            if is_scored_by_group(job):
                self._open.setdefault(_key(job), _Group()).pending += 1

    def divided(
        self, jobs: Sequence[RolloutJob]
    ) -> tuple[Sequence[RolloutJob], Sequence[RolloutJob]]:
        """Divide all waiting rollouts of an eval: those of whole groups, and those of others.

        The others have members that are in flight or have ended.
        """
        waiting = Counter(map(_key, jobs))
        free: list[RolloutJob] = []
        bound: list[RolloutJob] = []
        for job in jobs:
            group = self._open.get(_key(job))
            is_free = group is None or (group.is_whole and group.pending == waiting[_key(job)])
            (free if is_free else bound).append(job)
        return free, bound

    def forget(self, jobs: Iterable[RolloutJob]) -> None:
        """Expect rollouts no more, which are all that was expected of their groups."""
        for job in jobs:
            self._open.pop(_key(job), None)

    def holds(self, job: RolloutJob) -> bool:
        """Whether the rollout is one of an open group, to be scored with the others of it."""
        return _key(job) in self._open

    def generated(self, attempt: Attempt) -> list[Attempt]:
        """Take a rollout that was generated; return what is to be scored together now, if any."""
        ready = self.ended(attempt) if self.holds(attempt.job) else [attempt]
        if not self.held.is_on:
            return ready
        self.held.hold(ready)  # until `let_go` hears of the last one of its eval
        return []

    def ended(self, attempt: Attempt) -> list[Attempt]:
        """Take a rollout of an open group that was generated or failed.

        Returns:
            The generated rollouts of its group, in order, once none is pending, else nothing.
        """
        attempt.is_settled = True
        group = self._open[_key(attempt.job)]
        group.pending -= 1
        group.is_whole = False
        if attempt.error is None:
            group.generated.append(attempt)
        if group.pending:
            return []
        del self._open[_key(attempt.job)]
        # Not as they ended: a reward may go by the place in its group.
        return sorted(group.generated, key=lambda attempt: attempt.job.rollout)

    def put_aside(self, rest: list[Attempt]) -> None:
        """Keep what there is of a group whose last member failed, until it can be scored."""
        if rest:
            self._rests.append(rest)

    def let_go(self, job: RolloutJob) -> None:
        """Put aside what waited for a rollout that has ended, where it was the last of its eval."""
        for ready in self.held.ended(job):
            self.put_aside(ready)

    @property
    def rests(self) -> Counter[EvalRun]:
        """How many groups are aside, by eval."""
        return Counter(rest[0].job.run for rest in self._rests)

    def next_rest(self, is_full: Callable[[EvalRun], bool]) -> list[Attempt] | None:
        """Return the next group that was put aside, of an eval that is not full; None for none."""
        for place, rest in enumerate(self._rests):
            if not is_full(rest[0].job.run):
                return self._rests.pop(place)
        return None

    def take_waiting(self) -> list[Attempt]:
        """Close every group; return the rollouts that waited for the rest of theirs."""
        waiting = [attempt for group in self._open.values() for attempt in group.generated]
        waiting += [attempt for rest in self._rests for attempt in rest]
        waiting += self.held.take_all()
        self._open.clear()
        self._rests.clear()
        return waiting


def is_scored_by_group(job: RolloutJob) -> bool:
    """Whether the rollout is scored together with the others of its example."""
    try:
        return scores_groups(job.run.environment, job.example)
    except Exception:  # of the environment: scoring meets it again, where it is reported
        return False


def _key(job: RolloutJob) -> _GroupKey:
    return (job.run, job.key[0])
