"""Admission: what starts next, under the limits and as long as it is worth asking for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from ..errors import BudgetSpentError
from .attempts import Attempt
from .groups import GroupBoard
from .outages import Outages
from .rollouts import RolloutJob, RolloutResult
from .run import EvalRun
from .slots import Demand, Limits, Slots
from .waiting import WaitingRollouts

# Takes an eval whose endpoint, or what scores it, was given up, and rollouts of it that were not
# started; whether it sees to them, so that they need not be refused.
GivenUp: TypeAlias = Callable[[EvalRun, Sequence[RolloutJob]], bool]


class Admission:
    """Which rollouts start next, and which are given up without having been started.

    Args:
        limits: those in force at first.
        groups: hold what has only to be scored because the rest of its group failed; it takes a
            slot like a rollout, since a judge is asked, and comes before rollouts.
        on_given_up: told of an eval before any of its rollouts is refused, once without any, then
            of those that nothing in flight depends on; None to refuse all.

    Attributes:
        slots: to be taken and given back by whoever starts what `next` returns.
        outages: to be told what became of it.
        spent: why nothing more is to be asked; None as long as the budget allows it.
    """

    def __init__(
        self, limits: Limits, groups: GroupBoard, on_given_up: GivenUp | None = None
    ) -> None:
        self.slots = Slots(limits)
        self.outages = Outages()
        self.spent: str | None = None
        self._groups = groups
        self._waiting = WaitingRollouts()
        self._on_given_up = on_given_up
        self._told: set[EvalRun] = set()
        # What to drop next; None until the queue was divided, once, because the budget is spent.
        self._to_drop: list[RolloutJob] | None = None

    def add(self, jobs: Iterable[RolloutJob]) -> None:
        """Let rollouts wait, behind those that do."""
        if self._to_drop is None:
            self._waiting.add(jobs)
        else:
            self._divide(self._to_drop, jobs)

    def has_waiting(self, run: EvalRun) -> bool:
        """Whether rollouts of an eval wait."""
        return self._waiting.holds(run)

    def next(self) -> RolloutJob | list[Attempt] | None:
        """Return the rollout to start now, or the rest of a group to score; None for neither."""
        if self.slots.are_full:
            return None
        rest = self._groups.next_rest(self.slots.are_full_for)
        return rest or self._waiting.take(self._may_start)

    def refused(self) -> Iterator[Attempt]:
        """Yield what waits for an endpoint or a judge that was given up; that takes no slot."""
        for run in self._waiting.runs:
            health, scoring = self.outages.endpoint(run.endpoint), self.outages.scoring(run)
            if health.status == "given up":
                for job in self._refusable(run):
                    health.failed(Attempt(job, error=health.error))
                    yield from health.settled()
            elif scoring.is_given_up:
                yield from map(scoring.refused, self._refusable(run))

    def tell_given_up(self, run: EvalRun) -> None:
        """Tell, once, that an eval was given up: before its failures are reported."""
        if self._on_given_up is not None and run not in self._told:
            self._told.add(run)
            self._on_given_up(run, ())

    def _refusable(self, run: EvalRun) -> Sequence[RolloutJob]:
        """Return what waits of an eval and has to be refused; none of it waits any more."""
        jobs = self._waiting.take_all(run)
        if self._on_given_up is None:
            return jobs
        self.tell_given_up(run)
        free, bound = self._groups.divided(jobs)
        if not free or not self._on_given_up(run, free):
            return jobs
        self._groups.forget(free)
        return bound

    def drop(self) -> Iterator[RolloutResult]:
        """Yield as missing what waits to be asked for once the budget is spent.

        What the model has answered and has only to be scored goes on waiting.
        """
        if self.spent is None:
            return
        if self._to_drop is None:
            self._to_drop = []
            waiting = [job for run in self._waiting.runs for job in self._waiting.take_all(run)]
            self._divide(self._to_drop, waiting)
        jobs, self._to_drop = self._to_drop, []
        for job in jobs:
            yield self.left_out(job)
            self._groups.let_go(job)

    def _divide(self, to_drop: list[RolloutJob], jobs: Iterable[RolloutJob]) -> None:
        for job in jobs:
            if job.stored is None:
                to_drop.append(job)
            else:
                self._waiting.add([job])

    def left_out(self, job: RolloutJob) -> RolloutResult:
        """Return the result of a rollout that is not asked for, as the budget is spent."""
        error, now = BudgetSpentError(self.spent or ""), time.time()
        if self._groups.holds(job):
            self._groups.put_aside(self._groups.ended(Attempt(job, error=error)))
        return RolloutResult(job.run, job.key, "missing", now, now, error=error)

    def demand(self) -> Demand:
        """Return what there is to do."""
        startable = self._waiting.counts(self._may_ask)
        for run, count in self._groups.rests.items():
            startable[run] = startable.get(run, 0) + count
        return self.slots.demand(startable)

    def _may_start(self, run: EvalRun) -> bool:
        return self._may_ask(run) and not self.slots.are_full_for(run)

    def _may_ask(self, run: EvalRun) -> bool:
        return self.outages.endpoint(run.endpoint).may_start
