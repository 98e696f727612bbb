"""Power: what a gate can see with so many examples, and how often noise alone turns it red."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable

from .distributions import binomial_cdf, normal_quantile


def detectable_drop(
    standard_error: float, *, confidence: float = 0.95, power: float = 0.8
) -> float:
    """Return the smallest drop that a one-sided test finds with probability `power`.

    (z_confidence + z_power) x se (Miller 2024, arXiv 2411.00640, section 5).

    Args:
        standard_error: of what is tested: of a mean, or of a difference.
    """
    return (normal_quantile(confidence) + normal_quantile(power)) * standard_error


def needed_examples(
    drop: float, deviation: float, *, confidence: float = 0.95, power: float = 0.8
) -> int:
    """Return how many examples a one-sided test needs to find a drop with probability `power`.

    N = ((z_confidence + z_power) x sd / drop)^2, rounded up (as `detectable_drop`).

    Args:
        drop: the smallest drop that matters, above 0.
        deviation: standard deviation between examples of what is tested.
    """
    if not drop > 0:
        raise ValueError(f"a drop to be found is above 0, not {drop!r}")
    size = (normal_quantile(confidence) + normal_quantile(power)) * deviation / drop
    return max(math.ceil(size * size), 1)


def point_red(n: int, limit: float, true: float) -> float:
    """Return how often a mean of n independent 0/1 rewards falls below `limit`.

    P(Bin(n, true) < n limit), exact: what a bare `reward >= limit` does.
    """
    return binomial_cdf(_least(n, limit) - 1, n, true)


def evidence_red(n: int, limit: float, true: float, *, confidence: float = 0.95) -> float:
    """Return how often the upper Clopper-Pearson bound of n 0/1 rewards lies below `limit`.

    U(x) < limit as long as P(Bin(n, limit) <= x) < 1 - confidence, exact.
    """
    critical = _first(n, lambda x: binomial_cdf(x, n, limit) >= 1 - confidence)
    return binomial_cdf(critical - 1, n, true)


def proof_green(n: int, limit: float, true: float, *, confidence: float = 0.95) -> float:
    """Return how often the lower Clopper-Pearson bound of n 0/1 rewards reaches `limit`.

    L(x) >= limit as soon as P(Bin(n, limit) >= x) <= 1 - confidence, exact.
    """
    critical = _first(n, lambda x: 1 - binomial_cdf(x - 1, n, limit) <= 1 - confidence)
    return 1 - binomial_cdf(critical - 1, n, true)


def needed_for_proof(limit: float, *, confidence: float = 0.95) -> int:
    """Return the fewest 0/1 rewards of which all right prove a share of `limit`.

    The smallest n with (1 - confidence)^(1/n) >= limit: 14 for 0.80, 59 for 0.95, 299 for 0.99.
    No number does for a limit of 1.

    Raises:
        ValueError: `limit` is not below 1.
    """
    if limit >= 1:
        raise ValueError(f"no number of rewards proves a share of {limit!r}")
    if limit <= 0:
        return 1
    return math.ceil(round(math.log(1 - confidence) / math.log(limit), 9))


def any_red(chances: Iterable[float]) -> float:
    """Return how often at least one of several independent gates is red: 1 - prod(1 - p)."""
    return 1 - math.prod(1 - chance for chance in chances)


def _least(n: int, limit: float) -> int:
    """Return the fewest right of n whose share reaches `limit`."""
    # n x limit is not exact: 0.07 x 100 is 7.000000000000001.
    return math.ceil(round(n * limit, 9))


def _first(n: int, holds: Callable[[int], bool]) -> int:
    """Return the first of 0..n from which on a condition holds; n + 1 where it never does."""
    return bisect_left(range(n + 1), True, key=holds)
