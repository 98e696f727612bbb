"""The faults that a demo server can be asked for, and which request gets which."""

from __future__ import annotations

import random
from dataclasses import dataclass

NAMED_KINDS = ("reset", "hang", "truncated", "html")


@dataclass(frozen=True, slots=True)
class Faults:
    """How a server misbehaves.

    Attributes:
        latency: seconds every request takes.
        straggler: seconds the first request takes; 0 for none.
        key: the bearer token that is accepted; None accepts any.
        status: the status every request is answered with; None for an answer.
        rate: share of requests that meet a fault, 0 to 1.
        kinds: which faults: a status from 400 on as text (`"429"`), `reset` (the connection is
            reset), `hang` (no answer, ever), `truncated` (JSON cut in the middle), `html` (a page
            with status 200).
        seed: another seed gives other requests other faults.
        retry_after: seconds in the Retry-After header of 429 and 5xx; None sends none.
        capacity: requests that are answered at once, all others with 429; None for any number.
    """

    latency: float = 0.0
    straggler: float = 0.0
    key: str | None = None
    status: int | None = None
    rate: float = 0.0
    kinds: tuple[str, ...] = ()
    seed: int = 0
    retry_after: float | None = None
    capacity: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise ValueError(f"the fault rate must be from 0 to 1, not {self.rate}")
        if self.rate and not self.kinds:
            raise ValueError("a fault rate needs fault kinds, for example 429,500,reset")
        if self.status is not None and not 400 <= self.status <= 599:
            raise ValueError(f"the status must be from 400 to 599, not {self.status}")
        for kind in self.kinds:
            if kind not in NAMED_KINDS and not (kind.isdecimal() and 400 <= int(kind) <= 599):
                known = ", ".join(NAMED_KINDS)
                raise ValueError(
                    f"unknown fault {kind!r}; known are {known} and a status from 400 to 599"
                )

    def kind_of(self, number: int) -> str | None:
        """Return the fault of request `number` (counted from 1), or None."""
        if self.status is not None:
            return str(self.status)
        if not self.rate:
            return None
        draws = random.Random(f"{self.seed}/{number}")
        if draws.random() >= self.rate:
            return None
        return self.kinds[int(draws.random() * len(self.kinds))]

    def delay_of(self, number: int) -> float:
        """Return how many seconds request `number` (counted from 1) takes."""
        return self.straggler if number == 1 and self.straggler else self.latency
