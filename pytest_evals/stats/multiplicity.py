"""Multiplicity: several tests at once without more false alarms than one."""

from __future__ import annotations

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method, in the order given.

    The i-th smallest of m becomes max over j <= i of (m - j + 1) p_(j), at most 1 (Holm 1979).
    Rejecting what is at most alpha is wrong for any of them with probability alpha at most,
    whatever the tests have to do with each other.

    Raises:
        ValueError: one of them is not between 0 and 1.
    """
    if not all(0 <= p <= 1 for p in p_values):
        raise ValueError(f"not p-values: {list(p_values)!r}")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    for rank, place in enumerate(order):
        highest = max(highest, (len(p_values) - rank) * p_values[place])
        adjusted[place] = min(highest, 1.0)
    return adjusted


def holm_divisors(largest: Sequence[int]) -> list[int]:
    """Return by what Holm's method divides alpha for each test, in the order given.

    For tests of which the level they reject at is known, and no p-value. What is rejected is so at
    the divisor that is returned; what is not, has failed to be at that one: m less the number of
    those that were rejected.

    Args:
        largest: of each of m tests, the largest d of 1..m at which it rejects with alpha / d; 0
            where it does not with alpha.
    """
    left = len(largest)
    divisors = [0] * left
    for place in sorted(range(left), key=lambda place: -largest[place]):
        divisors[place] = left
        if largest[place] >= left:
            left -= 1
    return divisors
