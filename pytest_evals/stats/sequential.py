"""Sequential tests: deciding before all examples are in, with error rates that still hold."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Decision: TypeAlias = Literal["passed", "failed"]

# A bet never risks all: a single example must not make the evidence zero for good.
_MOST_RISKED = 0.95


@dataclass(slots=True)
class LinearSPRT:
    """A test of "the mean is at most p0" against "it is at least p1", for values in [0, 1].

    The evidence for either is a product of bets that no distribution makes profitable while the
    other holds, so that by Ville's inequality it is wrong with probability alpha (or beta) at most,
    looked at after each value: Wald's test for 0/1 values, its linear interpolation for graded
    ones. With `total` the values are drawn without replacement from so many, and the test is about
    their mean (Waudby-Smith and Ramdas 2020, arXiv 2010.09686).

        lam+ = (p1 - p0) / (p0 (1 - p0)), lam- = (p1 - p0) / (p1 (1 - p1))
        m0 = (N p0 - S) / (N - m + 1), m1 = (N p1 - S) / (N - m + 1) before the m-th value x
        log E+ += log(1 + min(lam+, 0.95 / m0) (x - m0))
        log E- += log(1 - min(lam-, 0.95 / (1 - m1)) (x - m1))

    The values must come in an order that has nothing to do with what they are: that of a shuffle,
    never that in which they were finished.

    Args:
        p0, p1: the ends of the zone in which either verdict is right; 0 < p0 < p1 < 1.
        alpha: how often a mean of p0 may pass.
        beta: how often a mean of p1 may fail.
        total: of how many the values are; None where there is no end to them.

    Attributes:
        seen: values so far.
        decision: what they show; None as long as they show nothing.

    Raises:
        ValueError: an argument is out of its range.
    """

    p0: float
    p1: float
    alpha: float = 0.05
    beta: float = 0.05
    total: int | None = None
    seen: int = field(init=False, default=0)
    decision: Decision | None = field(init=False, default=None)
    _sum: float = field(init=False, default=0.0)
    _for_high: float = field(init=False, default=0.0)
    _for_low: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        if not 0 < self.p0 < self.p1 < 1:
            raise ValueError(f"the zone {self.p0!r} .. {self.p1!r} does not lie between 0 and 1")
        if not (0 < self.alpha < 1 and 0 < self.beta < 1):
            raise ValueError(f"no error rates: {self.alpha!r}, {self.beta!r}")

    def observe(self, values: Iterable[float]) -> Decision | None:
        """Take the next values, and return the decision; what comes after it is not looked at.

        Raises:
            ValueError: a value lies outside [0, 1], or there are more than `total`.
        """
        for value in values:
            if self.decision is not None:
                break
            self._take(value)
        return self.decision

    def _take(self, value: float) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"{value!r} is not between 0 and 1")
        if self.seen == self.total:
            raise ValueError(f"more than {self.total} values")
        low, high = self._means_left()
        gap = self.p1 - self.p0
        bet = min(gap / (self.p0 * (1 - self.p0)), _MOST_RISKED / low if low else math.inf)
        self._for_high += math.log1p(bet * (value - low))
        bet = min(
            gap / (self.p1 * (1 - self.p1)), _MOST_RISKED / (1 - high) if high < 1 else math.inf
        )
        self._for_low += math.log1p(-bet * (value - high))
        self.seen += 1
        self._sum += value
        self.decision = self._decision()

    def _decision(self) -> Decision | None:
        if self._for_high >= -math.log(self.alpha):
            return "passed"
        if self._for_low >= -math.log(self.beta):
            return "failed"
        if self.seen == self.total:
            return None
        low, high = self._means_left()
        # One of the two has become impossible, whatever is to come.
        if low < 0 or high > 1:
            return "passed" if low < 0 else "failed"
        return None

    def _means_left(self) -> tuple[float, float]:
        """Return the mean of the values to come, were the mean of all p0, and were it p1."""
        if self.total is None:
            return self.p0, self.p1
        left = self.total - self.seen
        return (self.total * self.p0 - self._sum) / left, (self.total * self.p1 - self._sum) / left
