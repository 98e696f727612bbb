"""Distributions against scipy."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from scipy import special
from scipy import stats as scipy_stats

from pytest_evals.stats.distributions import (
    beta_cdf,
    beta_quantile,
    binomial_cdf,
    normal_quantile,
    t_cdf,
    t_quantile,
)

_DRAW = random.Random(7)
# Parameters as gates have them: from a hundredth of a success to 100,000 rollouts.
PARAMETERS = [
    (10 ** _DRAW.uniform(-2, 5), 10 ** _DRAW.uniform(-2, 5), _DRAW.random()) for _ in range(300)
]
LEVELS = (0.5, 0.05, 0.95, 1e-6, 1 - 1e-6)


@pytest.mark.parametrize(("a", "b", "x"), PARAMETERS)
def test_beta(a: float, b: float, x: float) -> None:
    assert beta_cdf(x, a, b) == pytest.approx(special.betainc(a, b, x), abs=1e-9)
    for p in (x, *LEVELS):
        assert beta_quantile(p, a, b) == pytest.approx(special.betaincinv(a, b, p), abs=1e-9)


@pytest.mark.parametrize("df", [1, 2, 3, 7.5, 30, 199, 1e4, 1e6])
@pytest.mark.parametrize("p", [1e-9, 0.001, 0.05, 0.3, 0.4999, 0.5, 0.6, 0.75, 0.95, 0.9999])
def test_t(df: float, p: float) -> None:
    expected = scipy_stats.t.ppf(p, df)
    assert t_quantile(p, df) == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert t_cdf(expected, df) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize(("n", "p"), [(1, 0.5), (20, 0.8), (400, 0.95), (100_000, 0.001)])
def test_binomial(n: int, p: float) -> None:
    for k in {-1, 0, 1, n // 2, int(n * p), n - 1, n, n + 1}:
        assert binomial_cdf(k, n, p) == pytest.approx(scipy_stats.binom.cdf(k, n, p), abs=1e-9)


def test_the_ends_of_the_distributions() -> None:
    assert normal_quantile(0.5) == 0
    assert (beta_cdf(-1, 2, 3), beta_cdf(0, 2, 3)) == (0, 0)
    assert (beta_cdf(1, 2, 3), beta_cdf(2, 2, 3)) == (1, 1)
    assert (beta_quantile(0, 2, 3), beta_quantile(1, 2, 3)) == (0, 1)
    assert (t_cdf(-math.inf, 3), t_cdf(math.inf, 3)) == (0, 1)
    assert (binomial_cdf(0, 0, 0.5), binomial_cdf(3, 5, 0), binomial_cdf(4, 5, 1)) == (1, 1, 0)
    assert t_quantile(1e-300, 0.01) == -math.inf


@pytest.mark.parametrize(
    "call",
    [
        lambda: beta_cdf(0.5, 0, 1),
        lambda: beta_cdf(math.nan, 1, 1),
        lambda: beta_cdf(0.5, 1, math.nan),
        lambda: beta_quantile(1.1, 1, 1),
        lambda: beta_quantile(math.nan, 1, 1),
        lambda: beta_quantile(1, -1, 1),
        lambda: t_quantile(1, 3),
        lambda: t_quantile(0.9, 0),
        lambda: t_cdf(math.nan, 3),
        lambda: t_cdf(0.0, -1),
        lambda: binomial_cdf(1, -1, 0.5),
        lambda: binomial_cdf(1, 3, math.nan),
    ],
)
def test_what_is_no_distribution(call: Callable[[], float]) -> None:
    with pytest.raises(ValueError, match=r"no |is not"):
        call()
