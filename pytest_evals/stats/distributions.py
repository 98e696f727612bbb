"""Distributions: tail probabilities and quantiles of the beta, t and binomial distributions.

The standard library has the normal distribution alone, and scipy is too much to install for these
few functions. They agree with it to 1e-9 (`tests/stats/test_distributions.py`).
"""

from __future__ import annotations

import math
from statistics import NormalDist

_STANDARD_NORMAL = NormalDist()
# Below what a factor of the continued fraction counts as zero.
_TINY = 1e-300
_EPSILON = 1e-16
_MOST_TERMS = 100_000
_STIRLING_FROM = 30.0
_MOST_STEPS = 2_000


def normal_quantile(p: float) -> float:
    """Return z with P(Z <= z) = p of the standard normal distribution, 0 < p < 1."""
    return _STANDARD_NORMAL.inv_cdf(p)


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return P(X <= x) of the beta distribution: I_x(a, b), the regularized incomplete beta.

    By the continued fraction of DLMF 8.17.22, evaluated with Lentz's method (Press et al.,
    Numerical Recipes, 3rd edition, 6.4); it converges in about sqrt(max(a, b)) terms.

    Args:
        x: where; 0 below the distribution's range, 1 above it.
        a, b: its parameters, above 0.

    Raises:
        ValueError: a parameter is not above 0, or an argument is NaN.
    """
    if not (a > 0 and b > 0) or math.isnan(x):
        raise ValueError(f"no beta distribution: x={x!r}, a={a!r}, b={b!r}")
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    if x > (a + 1) / (a + b + 2):  # where the fraction of the other tail converges faster
        return 1.0 - _lower_tail(1.0 - x, b, a)
    return _lower_tail(x, a, b)


def beta_quantile(p: float, a: float, b: float) -> float:
    """Return x with P(X <= x) = p of the beta distribution.

    Newton's method, kept inside an interval that is halved wherever a step would leave it.

    Args:
        p: between 0 and 1, both included.
        a, b: the parameters, above 0.

    Raises:
        ValueError: `p` is no probability, or a parameter is not above 0.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"{p!r} is not a probability")
    if p in (0, 1):
        beta_cdf(0.5, a, b)
        return float(p)
    low, high = 0.0, 1.0
    x = a / (a + b)
    for _ in range(_MOST_STEPS):
        excess = beta_cdf(x, a, b) - p
        if excess == 0:
            return x
        if excess > 0:
            high = x
        else:
            low = x
        if high - low <= 2 * _EPSILON * high:
            break
        density = _beta_density(x, a, b)
        step = x - excess / density if density else math.nan
        # Also where the step is NaN or infinite: no comparison with it holds.
        following = step if low < step < high else (low + high) / 2
        if following == x:
            break
        x = following
    return x


def t_quantile(p: float, df: float) -> float:
    """Return t with P(T <= t) = p of Student's t distribution with `df` degrees of freedom.

    By the beta distribution: df / (df + T^2) has the parameters df / 2 and 1 / 2.

    Raises:
        ValueError: `p` is not between 0 and 1, or `df` is not above 0.
    """
    if not 0 < p < 1 or not df > 0:
        raise ValueError(f"no quantile of a t distribution: p={p!r}, df={df!r}")
    if p == 0.5:
        return 0.0
    # Not by 1 - p where p is small: that has fewer digits.
    tail = 2 * min(p, 1 - p)
    if tail < 0.5:
        x = beta_quantile(tail, df / 2, 0.5)
        size = math.sqrt(df * (1 - x) / x) if x else math.inf
    else:  # near the middle 1 - x would lose its digits
        y = beta_quantile(1 - tail, 0.5, df / 2)
        size = math.sqrt(df * y / (1 - y))
    return size if p > 0.5 else -size


def t_cdf(t: float, df: float) -> float:
    """Return P(T <= t) of Student's t distribution with `df` degrees of freedom.

    Raises:
        ValueError: `df` is not above 0, or `t` is NaN.
    """
    if not df > 0 or math.isnan(t):
        raise ValueError(f"no t distribution: t={t!r}, df={df!r}")
    if math.isinf(t):
        return 0.0 if t < 0 else 1.0
    if t * t < 1:  # where df / (df + t^2) is almost 1 and has no digits left for t
        centre = beta_cdf(t * t / (df + t * t), 0.5, df / 2) / 2
        return 0.5 + math.copysign(centre, t)
    tail = beta_cdf(df / (df + t * t), df / 2, 0.5) / 2
    return tail if t < 0 else 1 - tail


def binomial_cdf(k: int, n: int, p: float) -> float:
    """Return P(X <= k) for the number of successes among n trials: I_{1-p}(n - k, k + 1).

    Raises:
        ValueError: `n` is negative, or `p` is not a probability.
    """
    if n < 0 or not 0 <= p <= 1:
        raise ValueError(f"no binomial distribution: n={n!r}, p={p!r}")
    if k < 0 or k >= n:
        return 0.0 if k < 0 else 1.0
    return beta_cdf(1 - p, n - k, k + 1)


def _lower_tail(x: float, a: float, b: float) -> float:
    log_front = a * math.log(x) + b * math.log1p(-x) - _log_beta(a, b)
    return math.exp(log_front) * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    """Return the continued fraction of I_x(a, b), from its front."""
    c, d = 1.0, _inverse(1 - (a + b) * x / (a + 1))
    value = d
    for m in range(1, _MOST_TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for factor in (even, odd):
            d = _inverse(1 + factor * d)
            c = 1 + factor / c
            c = c if abs(c) > _TINY else _TINY
            change = d * c
            value *= change
        if abs(change - 1) < _EPSILON * 2:
            break
    return value


def _inverse(value: float) -> float:
    return 1 / (value if abs(value) > _TINY else _TINY)


def _beta_density(x: float, a: float, b: float) -> float:
    if not 0 < x < 1:
        return 0.0
    try:
        return math.exp((a - 1) * math.log(x) + (b - 1) * math.log1p(-x) - _log_beta(a, b))
    except OverflowError:
        return math.inf


def _log_beta(a: float, b: float) -> float:
    small, large = min(a, b), max(a, b)
    if large < _STIRLING_FROM:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
    # lgamma(large) - lgamma(large + small) would lose its digits: by Stirling's series.
    total = large + small
    return (
        math.lgamma(small)
        - (large - 0.5) * math.log1p(small / large)
        - small * (math.log(total) - 1)
        + _stirling_rest(large)
        - _stirling_rest(total)
    )


def _stirling_rest(x: float) -> float:
    """Return what Stirling's formula lacks of log Gamma(x): DLMF 5.11.1, three terms."""
    return (1 / 12 - (1 / 360 - 1 / (1260 * x * x)) / (x * x)) / x
