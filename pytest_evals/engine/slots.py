"""Slots: how many rollouts may be in flight, how many are, and what more could be."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .run import EvalRun


@dataclass(frozen=True, slots=True)
class Limits:
    """How many rollouts may be in flight.

    Attributes:
        total: over all evals; None for no limit, 0 to start nothing.
        evals: by name of the eval, instead of its own `max_concurrent`.
        number: which limits these are; a Demand says under which it was.
    """

    total: int | None
    evals: Mapping[str, int] = field(default_factory=dict)
    number: int = 0


@dataclass(frozen=True, slots=True)
class Demand:
    """What an engine has to do.

    Attributes:
        number: of the limits that were in force.
        evals: by name of the eval, rollouts that wait and could start, and rollouts in flight;
            without those that have neither.
    """

    number: int
    evals: Mapping[str, tuple[int, int]]


class Slots:
    """The rollouts in flight, counted against the limits.

    Attributes:
        limits: those in force; while more than they allow are in flight, none starts.
        taken: rollouts in flight.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.taken = 0
        self._taken_by: dict[EvalRun, int] = {}

    @property
    def are_full(self) -> bool:
        """Whether no rollout may start now, of any eval."""
        total = self.limits.total
        return total is not None and self.taken >= total

    def are_full_for(self, run: EvalRun) -> bool:
        """Whether the eval's own limit lets none of its rollouts start now."""
        limit = self.limit_of(run)
        return limit is not None and self.taken_by(run) >= limit

    def limit_of(self, run: EvalRun) -> int | None:
        """Return the eval's own limit."""
        return self.limits.evals.get(run.name, run.max_concurrent)

    def most_of(self, run: EvalRun) -> int | None:
        """Return how many rollouts of the eval can be in flight at once; None for any number."""
        limits = [limit for limit in (self.limits.total, self.limit_of(run)) if limit is not None]
        return min(limits, default=None)

    def taken_by(self, run: EvalRun) -> int:
        """Return how many rollouts of the eval are in flight."""
        return self._taken_by.get(run, 0)

    def are_uneven(self, run: EvalRun) -> bool:
        """Whether fewer or more slots are taken than there are, over all or of the eval."""
        total, own = self.limits.total, self.limit_of(run)
        return (total is not None and self.taken != total) or (
            own is not None and self.taken_by(run) != own
        )

    def demand(self, startable: Mapping[EvalRun, int]) -> Demand:
        """Return what there is to do, given how many rollouts wait and could start."""
        evals = {
            run.name: (startable.get(run, 0), self.taken_by(run))
            for run in {**startable, **self._taken_by}
        }
        return Demand(self.limits.number, evals)

    def take(self, run: EvalRun) -> None:
        """Count a rollout that starts."""
        self.taken += 1
        self._taken_by[run] = self.taken_by(run) + 1

    def give_back(self, run: EvalRun) -> None:
        """Count a rollout that has ended."""
        self.taken -= 1
        self._taken_by[run] -= 1
        if not self._taken_by[run]:
            del self._taken_by[run]
