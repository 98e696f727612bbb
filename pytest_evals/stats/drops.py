"""Drops: how much lower paired values are than before, with bounds that hold where little changed.

What is compared is one value per example, its rollouts averaged first. A drop is above 0 where the
new values are lower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from .estimators import mean
from .intervals import Interval, clopper_pearson, korn_graubard
from .paired import mcnemar, paired_t, sign_flip

Test: TypeAlias = Literal["McNemar", "sign-flip", "t"]

# Student's t knows nothing of a change that was not seen: with fewer examples that changed, and
# others that did not, the bounds are those of shares.
_LEAST_CHANGED = 10
# Of as many sizes patterns of signs are drawn in a second; t is accurate long before.
_MOST_SIZES = 200
# Differences that should be equal differ in their last digits.
_NOISE = 1e-9


@dataclass(frozen=True, slots=True)
class Drop:
    """How much lower the new values of the same examples are.

    Attributes:
        value: mean(before) - mean(after).
        before, after: those means.
        standard_error: of `value`; None for one pair; 0.0 where all differ by the same.
        interval: one-sided bounds of the drop over the examples that these are a sample of;
            infinite where nothing bounds it.
        p_value, test: of "no lower", and how it was computed.
        worse, better: how many examples changed.
        n: pairs.
        width: between the least and the largest value there can be; None where that is not known.
    """

    value: float
    before: float
    after: float
    standard_error: float | None
    interval: Interval
    p_value: float
    test: Test
    worse: int
    better: int
    n: int
    width: float | None = None


def drop_between(
    before: Sequence[float],
    after: Sequence[float],
    *,
    width: float | None,
    confidence: float = 0.95,
) -> Drop:
    """Compare the same examples before and after.

    Bounds: Student's t. Where values only flip between the two ends of their range, and where fewer
    than 10 examples changed and others did not, they are never within those of the mean loss and
    the mean gain combined (`combined_bounds`). The p-value is that of McNemar for flips, of the
    sign-flip test otherwise, and of t where more than 200 sizes of differences occur.

    Args:
        before, after: a value per example, in the same order.
        width: between the least and the largest value there can be; None where it is not known.

    Raises:
        ValueError: there are no pairs.
    """
    changes = [new - old for old, new in zip(before, after, strict=True)]
    scale = _NOISE * (width or max(map(abs, changes), default=0.0))
    changes = [0.0 if abs(change) <= scale else change for change in changes]
    tested = paired_t(changes, confidence=confidence)
    error = tested.standard_error
    if error is not None and error <= scale:
        error = 0.0
    losses = [max(-change, 0.0) for change in changes]
    gains = [max(change, 0.0) for change in changes]
    worse, better = sum(map(bool, losses)), sum(map(bool, gains))
    sizes = {abs(change) for change in changes if change}
    are_flips = width is not None and all(abs(size - width) <= scale for size in sizes)
    is_sparse = worse + better < min(_LEAST_CHANGED, len(changes))
    interval = Interval(-math.inf, math.inf)
    if error:
        interval = Interval(-tested.interval.high, -tested.interval.low)
    if width is not None and (are_flips or is_sparse or not error):
        shares = combined_bounds(losses, gains, width=width, confidence=confidence)
        interval = _wider(shares, interval) if error else shares
    test: Test = "sign-flip"
    if are_flips:
        test, p_value = "McNemar", mcnemar(worse, better)
    elif len(sizes) <= _MOST_SIZES or tested.p_value is None:
        p_value = sign_flip(changes)
    else:
        test, p_value = "t", tested.p_value
    return Drop(
        value=0.0 - tested.difference,  # and not -0.0
        before=_mean(before),
        after=_mean(after),
        standard_error=error,
        interval=interval,
        p_value=p_value,
        test=test,
        worse=worse,
        better=better,
        n=len(changes),
        width=width,
    )


def combined_bounds(
    losses: Sequence[float], gains: Sequence[float], *, width: float, confidence: float = 0.95
) -> Interval:
    """Return one-sided bounds of mean(losses) - mean(gains), never of width zero.

    U = l - g + sqrt((U_l - l)^2 + (g - L_g)^2), L likewise, from the bounds of each by itself
    (Zou and Donner 2008): Clopper-Pearson's where each is 0 or `width`, otherwise Korn-Graubard's.
    Where nothing changed, U is `most_lost`. It takes losses and gains for independent, so it is too
    narrow where both are frequent.

    Args:
        losses, gains: of each example, 0 or more; one of the two is 0.
        width: the largest there can be.
    """
    lost, low_lost, high_lost = _share(losses, width, confidence)
    gained, low_gained, high_gained = _share(gains, width, confidence)
    drop = lost - gained
    low = drop - math.hypot(lost - low_lost, high_gained - gained)
    high = drop + math.hypot(high_lost - lost, gained - low_gained)
    return Interval(max(low, -1.0) * width, min(high, 1.0) * width)


def fewest_lost(n: int, *, confidence: float = 0.95) -> int | None:
    """Return how many of n examples must be lost, and none gained, to be significant.

    The smallest b with 2^-b <= 1 - confidence (McNemar): 5 at 0.95. None where n is smaller.
    """
    lost = math.ceil(-math.log2(1 - confidence))
    return lost if lost <= n else None


def _wider(one: Interval, other: Interval) -> Interval:
    return Interval(min(one.low, other.low), max(one.high, other.high))


def _share(sizes: Sequence[float], width: float, confidence: float) -> tuple[float, float, float]:
    """Return the mean of sizes as a share of the width, and its bounds."""
    shares = [min(size / width, 1.0) for size in sizes]
    n = len(shares)
    if all(share in (0.0, 1.0) for share in shares):
        bounds = clopper_pearson(sum(shares), n, confidence=confidence)
    else:
        bounds = korn_graubard(shares, n, confidence=confidence)
    return _mean(shares), bounds.low, bounds.high


def _mean(values: Sequence[float]) -> float:
    found = mean(values)
    assert found is not None
    return found
