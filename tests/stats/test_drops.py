"""Drops: bounds of paired differences, also where nothing or all changed."""

from __future__ import annotations

import math
import random

import pytest

from pytest_evals.stats.drops import combined_bounds, drop_between, fewest_lost
from pytest_evals.stats.intervals import clopper_pearson
from pytest_evals.stats.paired import mcnemar, most_lost, paired_t, sign_flip


def test_many_sizes_have_the_bounds_of_students_t() -> None:
    draw = random.Random(3)
    before = [draw.random() for _ in range(60)]
    after = [value + draw.gauss(-0.03, 0.1) for value in before]
    found = drop_between(before, after, width=None)
    tested = paired_t([new - old for old, new in zip(before, after, strict=True)])
    assert found.value == pytest.approx(-tested.difference)
    assert found.interval == pytest.approx((-tested.interval.high, -tested.interval.low))
    assert found.test == "sign-flip"
    assert found.p_value == sign_flip([new - old for old, new in zip(before, after, strict=True)])
    assert (found.n, found.worse + found.better) == (60, 60)


def test_more_sizes_than_patterns_of_signs_can_be_drawn_for_are_tested_by_t() -> None:
    draw = random.Random(4)
    before = [draw.random() for _ in range(5000)]
    found = drop_between(before, [draw.random() for _ in before], width=1.0)
    assert found.test == "t"
    assert 0 < found.p_value < 1


def test_flips_are_tested_by_mcnemar_and_bounded_by_shares_at_least() -> None:
    before, after = [1.0] * 45 + [0.0] * 5, [0.0] * 4 + [1.0] * 42 + [0.0] * 4
    found = drop_between(before, after, width=1.0)
    assert (found.test, found.worse, found.better) == ("McNemar", 4, 1)
    assert found.p_value == mcnemar(4, 1)
    assert found.value == pytest.approx(0.06)
    tested = paired_t([new - old for old, new in zip(before, after, strict=True)])
    assert found.interval.high >= -tested.interval.low
    assert found.interval.low < 0 < found.interval.high


@pytest.mark.parametrize("n", [1, 2, 20, 200])
@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_where_nothing_changed_a_loss_stays_possible(n: int, value: float) -> None:
    found = drop_between([value] * n, [value] * n, width=1.0)
    assert found.value == 0
    assert math.copysign(1, found.value) == 1
    assert found.interval.high == pytest.approx(most_lost(n))
    assert found.interval.low == pytest.approx(-most_lost(n))
    assert found.p_value == 1
    assert found.standard_error in (None, 0.0)


@pytest.mark.parametrize("change", [0.5, 1.0, 0.1 + 0.2 - 0.3 + 0.1])
def test_where_all_changed_alike_nothing_is_certain_either(change: float) -> None:
    before = [change, change + 0.0, change] * 7
    found = drop_between(before, [0.0] * 21, width=1.0)
    low, high = found.interval
    assert low < found.value - 0.01
    assert high >= found.value
    assert high - low > 0.1


def test_differences_that_differ_in_their_last_digits_are_equal() -> None:
    before = [0.1 + 0.2, 0.3, 0.7 - 0.4] * 5
    found = drop_between(before, [0.1, 0.1, 0.1] * 5, width=1.0)
    assert found.standard_error == 0.0
    assert found.interval.high - found.interval.low > 0.1
    same = drop_between([0.1 + 0.2] * 5, [0.3] * 5, width=1.0)
    assert (same.worse, same.better, same.value) == (0, 0, 0.0)


def test_without_a_range_ties_bound_nothing() -> None:
    found = drop_between([5.0] * 9, [4.0] * 9, width=None)
    assert found.interval == (-math.inf, math.inf)
    assert found.p_value == pytest.approx(0.5**9)


def test_few_changes_among_ties_are_bounded_as_shares() -> None:
    before, after = [1.0] * 100, [0.5] + [1.0] * 99
    found = drop_between(before, after, width=1.0)
    assert found.interval.high > most_lost(100)
    assert combined_bounds([1.0] + [0.0] * 99, [0.0] * 100, width=1.0).high == pytest.approx(
        clopper_pearson(1, 100).high
    )


def test_one_example_says_next_to_nothing() -> None:
    low, high = drop_between([1.0], [0.0], width=1.0).interval
    assert low < 0.1
    assert high == 1.0


def test_another_width_scales_all_but_the_p_value() -> None:
    one = drop_between([1.0, 1.0, 0.0] * 10, [0.0, 1.0, 0.0] * 10, width=1.0)
    five = drop_between([5.0, 5.0, 0.0] * 10, [0.0, 5.0, 0.0] * 10, width=5.0)
    assert five.interval == pytest.approx([5 * bound for bound in one.interval])
    assert five.p_value == one.p_value


def test_no_pairs_are_an_error() -> None:
    with pytest.raises(ValueError, match="no differences"):
        drop_between([], [], width=1.0)


@pytest.mark.parametrize(("n", "confidence", "lost"), [(4, 0.95, None), (5, 0.95, 5), (9, 0.99, 7)])
def test_fewest_losses_that_are_significant(n: int, confidence: float, lost: int | None) -> None:
    assert fewest_lost(n, confidence=confidence) == lost
    if lost is not None:
        assert mcnemar(lost, 0) <= 1 - confidence < mcnemar(lost - 1, 0)


def missed(n: int, lost: float, gained: float, runs: int) -> tuple[float, float]:
    """Return how often the truth lies above and below the bounds of flips with these chances."""
    draw = random.Random(n)
    above = below = 0
    for _ in range(runs):
        chances = [draw.random() for _ in range(n)]
        before = [0.0 if lost <= chance < lost + gained else 1.0 for chance in chances]
        after = [0.0 if chance < lost else 1.0 for chance in chances]
        low, high = drop_between(before, after, width=1.0).interval
        above += high < lost - gained - 1e-12
        below += low > lost - gained + 1e-12
    return above / runs, below / runs


@pytest.mark.parametrize(("lost", "gained"), [(0.01, 0.01), (0.1, 0.0), (0.3, 0.3)])
def test_bounds_hold(lost: float, gained: float) -> None:
    assert max(missed(50, lost, gained, 300)) <= 0.09  # 0.05 and three standard errors


@pytest.mark.slow
@pytest.mark.parametrize("n", [20, 50, 200])
@pytest.mark.parametrize("lost", [0.01, 0.05, 0.15, 0.3])
@pytest.mark.parametrize("gained", [0.0, 0.05, 0.3])
def test_bounds_hold_everywhere(n: int, lost: float, gained: float) -> None:
    assert max(missed(n, lost, gained, 2000)) <= 0.067
