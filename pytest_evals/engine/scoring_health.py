"""ScoringHealth: whether rollouts of an eval are worth paying for: whether they can be scored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from ..errors import causes_of, one_line
from .attempts import Attempt
from .rollouts import RolloutJob
from .slots import Slots

# Rollouts at least that say nothing else before an eval is given up.
_FEWEST = 8

_Kinds: TypeAlias = tuple[type[BaseException], ...]


class ScoringHealth:
    """What the rollouts of one eval have shown of what scores them: a judge, a sandbox.

    While none was ever scored, those that fail for the same reason as the first are explained by
    it. Once as many have failed as are in flight at once, and eight at least, the eval is given up:
    the model would be paid for answers that nobody can score. One that is scored after all, of
    those in flight, lets later ones start.
    """

    def __init__(self) -> None:
        self._was_scored = False
        self._failed = 0
        self._cause: str | None = None
        self._error: BaseException | None = None
        self._kinds: _Kinds = ()
        self._is_given_up = False

    @property
    def is_given_up(self) -> bool:
        """Whether no further rollout of the eval is to start."""
        return self._is_given_up and not self._was_scored

    def note(self, attempts: Iterable[Attempt], slots: Slots) -> None:
        """Take rollouts of the eval that were scored, or were to be.

        Args:
            attempts: each with its error; one that another one explains gets its `cause`.
            slots: say how many can be in flight at once.
        """
        for attempt in attempts:
            if self._was_scored:
                return
            if attempt.outcome == "scored":
                self._was_scored = True
            elif attempt.could_not_be_scored:
                self._note_failure(attempt)
                limit = slots.most_of(attempt.job.run)
                self._is_given_up = self._failed >= max(limit or 0, _FEWEST)
            elif attempt.stays_generated and self._is_given_up:
                attempt.cause = self._cause  # its group lacks those that were not started

    def _note_failure(self, attempt: Attempt) -> None:
        assert attempt.error is not None
        self._failed += 1
        kinds = tuple(type(error) for error in causes_of(attempt.error))
        if self._error is None:
            self._cause, self._error, self._kinds = attempt.job.name, attempt.error, kinds
        elif kinds == self._kinds:
            attempt.cause = self._cause

    def refused(self, job: RolloutJob) -> Attempt:
        """Return what becomes of a rollout that is not started, as the eval was given up."""
        assert self._error is not None
        advice = (
            f"none of the first {self._failed} rollouts could be scored"
            f" ({one_line(self._error)}), so no other was started: mend that, then run again"
        )
        return Attempt(job, error=self._error, cause=self._cause, warnings=(advice,))
