"""EndpointHealth: whether an endpoint is worth asking again."""

from __future__ import annotations

from typing import Literal, TypeAlias

from ..errors import ModelError, RejectedError
from .attempts import Attempt

Status: TypeAlias = Literal["unknown", "answering", "doubtful", "probing", "given up"]

# Rollouts at least that fail in a row before an endpoint that has answered is taken to be down, and
# how many more it is then asked for, one at a time: each takes a minute, with its retries.
_FEWEST = 8
_PROBES = 3


class SilenceError(ModelError):
    """No answer within the time of a whole rollout, from an endpoint that never gave one."""


class EndpointHealth:
    """What the rollouts of one endpoint have shown of it.

    A rejected key or an unknown model gives the endpoint up at once. An endpoint that has never
    answered and fails a rollout (retries included) becomes doubtful: no further rollout starts,
    those in flight go on, and failures are withheld. One answer clears it; when the last rollout
    in flight has failed too, it is given up. So a server that is down costs one round of requests
    and shows as one error, and one reset among slow first answers costs nothing. A round of fewer
    than eight requests, of which none was tried again, says too little: the next one is asked for.

    One that has answered before is probed instead: when as many rollouts in a row have failed as
    are in flight, it is asked for one at a time. One answer ends that; after three failures it is
    given up. So an outage of minutes costs a flight and not the run, and a server that has died
    does not cost a minute for each flight that is left.

    Attributes:
        in_flight: rollouts of the endpoint under way; kept by the engine.
        error: why it was given up.
        cause: the rollout that found out, once one has reported it.
    """

    def __init__(self) -> None:
        self.status: Status = "unknown"
        self.in_flight = 0
        self.error: BaseException | None = None
        self.cause: str | None = None
        self._withheld: list[Attempt] = []
        self._in_a_row = 0

    @property
    def may_start(self) -> bool:
        """Whether another rollout may start now."""
        if self.status == "probing":
            return self.in_flight == 0
        return self.status in ("unknown", "answering")

    def answered(self) -> bool:
        """Note that the model answered; return whether that cleared a doubt."""
        was_doubtful = self.status in ("doubtful", "probing")
        if self.status != "given up":
            self.status = "answering"
        self._in_a_row = 0
        return was_doubtful

    def give_up(self, error: BaseException) -> None:
        """Let no further rollout start because of `error`."""
        self.status, self.error = "given up", error

    def failed(self, attempt: Attempt) -> None:
        """Take a failed attempt; `settled` gives it back once it is clear what it means."""
        attempt.is_settled = True
        self._withheld.append(attempt)
        if self.status == "given up" or not isinstance(attempt.error, ModelError):
            return
        if isinstance(attempt.error, RejectedError):
            self.give_up(attempt.error)
        elif self.status in ("unknown", "doubtful"):
            self.status = "doubtful"
            self._in_a_row += 1
        elif attempt.error.requests > 1:  # else not its outage: it was not tried again
            self._failed_in_a_row(attempt.error)

    def _failed_in_a_row(self, error: ModelError) -> None:
        if self.status == "answering":
            self._in_a_row += 1
            if self._in_a_row >= max(self.in_flight, _FEWEST):
                self.status, self._in_a_row = "probing", 0
        elif self.status == "probing" and self.in_flight == 1:  # not one of a flight
            self._in_a_row += 1
            if self._in_a_row >= _PROBES:
                self.give_up(error)

    def doubt_slowness(self, attempt: Attempt) -> None:
        """Blame the endpoint for a rollout without an answer in time, if it has never given any.

        A limit of the environment's own is scored, as too slow. Of an endpoint that has never
        answered anything, slowness is not known: it may be down.
        """
        if attempt.ran_out_of_time and self.status != "answering":
            seconds = getattr(attempt.job.run.environment, "timeout_seconds", None)
            limit = "the rollout's timeout" if seconds is None else f"the {seconds:g} s of timeout"
            attempt.error = SilenceError(f"no answer within {limit}, nor ever before")

    def settled(self) -> list[Attempt]:
        """Return the failed attempts that can be reported now.

        When the endpoint was given up, the first of them carries the error and the others name it
        as their cause. Failures that are not the endpoint's stand for themselves.
        """
        if self.status == "doubtful" and self.in_flight == 0:
            errors = [a.error for a in self._withheld if isinstance(a.error, ModelError)]
            if self._in_a_row >= _FEWEST or any(map(_says_enough, errors)):
                self.give_up(errors[0])
            else:
                self.status = "unknown"
        if self.status == "doubtful":
            ready = [a for a in self._withheld if not isinstance(a.error, ModelError)]
            self._withheld = [a for a in self._withheld if isinstance(a.error, ModelError)]
            return ready
        ready, self._withheld = self._withheld, []
        if self.status == "given up":
            # A doubt may be older than what the endpoint was given up for.
            ready.sort(key=lambda attempt: attempt.error is not self.error)
            for attempt in ready:
                self._explain(attempt)
        return ready

    def _explain(self, attempt: Attempt) -> None:
        if not isinstance(attempt.error, ModelError):
            return
        if self.cause is None:
            self.cause = attempt.job.name
            attempt.ends_endpoint = True
        else:
            attempt.cause = self.cause


def _says_enough(error: ModelError) -> bool:
    """Whether one failure is enough to take an endpoint that never answered to be down."""
    return error.requests > 1 or isinstance(error, SilenceError)
