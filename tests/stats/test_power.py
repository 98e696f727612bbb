"""Power: the published tables of what noise does to gates, and sample sizes."""

from __future__ import annotations

import math
import random

import pytest

from pytest_evals.stats.intervals import clopper_pearson
from pytest_evals.stats.power import (
    any_red,
    detectable_drop,
    evidence_red,
    needed_examples,
    needed_for_proof,
    point_red,
    proof_green,
)

# N: how often `mean >= 0.80` is red for a model whose true mean is that of the column.
POINT = {
    20: {0.80: 0.37, 0.82: 0.29, 0.85: 0.17, 0.90: 0.04, 0.70: 0.76, 0.75: 0.58},
    50: {0.80: 0.42, 0.82: 0.28, 0.85: 0.12, 0.90: 0.01, 0.70: 0.92, 0.75: 0.74},
    100: {0.80: 0.44, 0.82: 0.25, 0.85: 0.07, 0.90: 0.00, 0.70: 0.98, 0.75: 0.85},
    200: {0.80: 0.46, 0.82: 0.20, 0.85: 0.02, 0.90: 0.00, 0.70: 1.00, 0.75: 0.94},
}
TRUE = (0.60, 0.70, 0.75, 0.80, 0.85, 0.90, 0.95)
EVIDENCE = {
    50: (0.90, 0.43, 0.16, 0.03, 0.00, 0.00, 0.00),
    100: (1.00, 0.70, 0.28, 0.03, 0.00, 0.00, 0.00),
    200: (1.00, 0.95, 0.53, 0.05, 0.00, 0.00, 0.00),
}
PROOF = {
    50: (0.00, 0.00, 0.01, 0.05, 0.22, 0.62, 0.96),
    100: (0.00, 0.00, 0.00, 0.05, 0.35, 0.88, 1.00),
    200: (0.00, 0.00, 0.00, 0.04, 0.55, 0.99, 1.00),
}


@pytest.mark.parametrize("n", POINT)
def test_a_bare_threshold_is_a_coin_flip_at_the_threshold(n: int) -> None:
    for true, expected in POINT[n].items():
        assert point_red(n, 0.8, true) == pytest.approx(expected, abs=0.016), true


@pytest.mark.parametrize("n", EVIDENCE)
def test_evidence_and_proof(n: int) -> None:
    for true, red, green in zip(TRUE, EVIDENCE[n], PROOF[n], strict=True):
        assert evidence_red(n, 0.8, true) == pytest.approx(red, abs=0.016), true
        assert proof_green(n, 0.8, true) == pytest.approx(green, abs=0.016), true


@pytest.mark.parametrize(("n", "limit"), [(1, 0.5), (14, 0.8), (33, 0.3), (59, 0.95), (200, 0.8)])
def test_the_chances_are_those_of_the_bounds(n: int, limit: float) -> None:
    true = 0.6
    reds = [x for x in range(n + 1) if clopper_pearson(x, n).high < limit]
    greens = [x for x in range(n + 1) if clopper_pearson(x, n).low >= limit]
    for found, counts in (
        (evidence_red(n, limit, true), reds),
        (proof_green(n, limit, true), greens),
    ):
        expected = sum(math.comb(n, x) * true**x * (1 - true) ** (n - x) for x in counts)
        assert found == pytest.approx(expected, abs=1e-9)


def test_a_share_that_is_met_exactly_is_not_red() -> None:
    assert point_red(100, 0.07, 1.0) == 0
    # 7 of 100 meet 0.07, which times 100 is 7.000000000000001.
    assert point_red(100, 0.07, 0.07) < 0.47


@pytest.mark.parametrize(("limit", "n"), [(0.8, 14), (0.95, 59), (0.99, 299), (0.0, 1), (0.05, 1)])
def test_the_fewest_that_prove_a_share(limit: float, n: int) -> None:
    assert needed_for_proof(limit) == n
    assert clopper_pearson(n, n).low >= limit - 1e-12
    assert n == 1 or clopper_pearson(n - 1, n - 1).low < limit
    with pytest.raises(ValueError, match="no number"):
        needed_for_proof(1.0)


@pytest.mark.parametrize(
    ("variance", "drop", "rollouts"),
    [(0.114, 0.02, 3525), (0.114, 0.05, 564), (0.16, 0.1, 198), (0.05, 0.05, 248)],
)
def test_examples_needed_for_a_drop(variance: float, drop: float, rollouts: int) -> None:
    # Both runs are noisy: the variance of a difference is twice that of a run.
    needed = needed_examples(drop, math.sqrt(2 * variance))
    assert needed == pytest.approx(rollouts, rel=0.005)
    assert detectable_drop(math.sqrt(2 * variance / needed)) == pytest.approx(drop, rel=0.01)


def test_no_drop_needs_no_number_of_examples() -> None:
    assert needed_examples(0.1, 0.0) == 1
    assert detectable_drop(0.0) == 0
    for drop in (0.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="above 0"):
            needed_examples(drop, 0.4)


@pytest.mark.parametrize(
    ("gates", "chance"), [(0, 0.0), (1, 0.05), (5, 0.23), (10, 0.40), (20, 0.64)]
)
def test_many_gates(gates: int, chance: float) -> None:
    assert any_red([0.05] * gates) == pytest.approx(chance, abs=0.005)


def test_the_chance_of_red_is_what_a_simulation_finds() -> None:
    draw = random.Random(11)
    runs = 2000
    reds = sum(sum(draw.random() < 0.8 for _ in range(50)) < 40 for _ in range(runs))
    assert reds / runs == pytest.approx(point_red(50, 0.8, 0.8), abs=0.045)
