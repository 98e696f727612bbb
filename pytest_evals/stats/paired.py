"""Paired comparisons: the same examples rolled out twice, before and after a change.

What is compared is one value per example, its rollouts averaged first; d_i is the new value less
the old one. The tests are one-sided: a small p-value says that the new values are lower. A
difference per example has far less noise than two means: models agree on which examples are hard.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import product

from .distributions import binomial_cdf, t_cdf
from .estimators import clustered_standard_error, mean, standard_error
from .intervals import Interval, t_interval

# Up to this many patterns of signs are counted one by one; beyond it as many are drawn.
_FLIPS = 10_000


@dataclass(frozen=True, slots=True)
class PairedT:
    """What a paired t test says.

    Attributes:
        difference: mean of the differences.
        standard_error: of it; None for fewer than two examples (or clusters).
        interval: one-sided bounds of the difference.
        p_value: of "no lower"; None where the differences do not vary.
    """

    difference: float
    standard_error: float | None
    interval: Interval
    p_value: float | None


def paired_t(
    differences: Sequence[float],
    *,
    clusters: Sequence[Hashable] | None = None,
    confidence: float = 0.95,
) -> PairedT:
    """Test whether the mean of paired differences is below 0: t = mean(d) / se(d), df = N - 1.

    Args:
        differences: d_i, one per example.
        clusters: what each example belongs to, where examples are not independent.

    Raises:
        ValueError: there are no differences.
    """
    centre = mean(differences)
    if centre is None:
        raise ValueError("no differences to compare")
    if clusters is None:
        error, units = standard_error(differences), len(differences)
    else:
        error, units = clustered_standard_error(differences, clusters), len(set(clusters))
    return PairedT(
        difference=centre,
        standard_error=error,
        interval=t_interval(differences, clusters=clusters, confidence=confidence),
        p_value=t_cdf(centre / error, units - 1) if error else None,
    )


def mcnemar(worse: int, better: int) -> float:
    """Return the exact p-value of McNemar's test for rewards of 0 and 1, one rollout each.

    P(Bin(b + c, 1/2) >= b) for b examples that were right and now are wrong and c that turned the
    other way (McNemar 1947, by the binomial distribution); 1 when nothing changed.

    Args:
        worse: b.
        better: c.
    """
    if worse < 0 or better < 0:
        raise ValueError(f"no counts of examples: {worse!r}, {better!r}")
    return 1 - binomial_cdf(worse - 1, worse + better, 0.5) if worse else 1.0


def sign_flip(differences: Sequence[float], *, seed: int = 0) -> float:
    """Return the p-value of the sign-flip permutation test, for any reward.

    Where nothing has changed, each d_i is as likely to have the other sign. The p-value is the
    share of patterns of signs whose mean is as low as that observed. Up to 13 examples that differ
    all are counted; beyond it 10,000 are drawn, and p = (1 + as low) / (10,000 + 1), which is
    never 0 (Phipson and Smyth 2010).

    Args:
        differences: d_i, one per example.
        seed: of the patterns drawn; the same one gives the same p-value.
    """
    changed = [value for value in differences if value]
    if not changed:
        return 1.0
    # Equal sizes at once: of m of them, half of a binomial number are negative.
    sizes = Counter(map(abs, changed))
    # Sums of floats in another order differ in their last digits.
    observed = math.fsum(changed) + 1e-12 * math.fsum(map(abs, changed))
    if 2 ** len(changed) <= _FLIPS:
        sums = [math.fsum(map(math.copysign, map(abs, changed), signs)) for signs in
                product((-1.0, 1.0), repeat=len(changed))]  # fmt: skip
        return sum(value <= observed for value in sums) / len(sums)
    draw = random.Random(seed)
    as_low = 0
    for _ in range(_FLIPS):
        flipped = math.fsum(
            size * (2 * draw.getrandbits(count).bit_count() - count)
            for size, count in sizes.items()
        )
        as_low += flipped <= observed
    return (1 + as_low) / (_FLIPS + 1)


def most_lost(n: int, *, confidence: float = 0.95) -> float:
    """Return the share of examples that may have become worse although none of n has.

    1 - a^(1/n), about 3 / n at 0.95: that nothing changed is never an interval of width zero.
    """
    if n < 1:
        return 1.0
    return float(-math.expm1(math.log(1 - confidence) / n))
