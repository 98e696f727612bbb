"""Holm's correction."""

from __future__ import annotations

import random

import pytest

from pytest_evals.stats.multiplicity import holm, holm_divisors


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02]
    assert holm([]) == []
    assert holm([0.0, 1.0]) == [0.0, 1.0]


@pytest.mark.parametrize("values", [[-0.1], [1.1], [0.5, float("nan")]])
def test_what_is_no_p_value(values: list[float]) -> None:
    with pytest.raises(ValueError, match="not p-values"):
        holm(values)


def test_the_chance_of_any_false_alarm_is_kept() -> None:
    draw = random.Random(2)
    runs = 2000
    alarms = sum(min(holm([draw.random() for _ in range(10)])) <= 0.05 for _ in range(runs))
    assert alarms / runs == pytest.approx(0.05, abs=0.02)


def test_divisors_reject_what_adjusted_p_values_do() -> None:
    draw = random.Random(4)
    for _ in range(500):
        p_values = [draw.random() ** draw.choice([1, 3, 6]) for _ in range(draw.randint(0, 9))]
        m = len(p_values)
        largest = [max((d for d in range(1, m + 1) if p <= 0.05 / d), default=0) for p in p_values]
        divisors = holm_divisors(largest)
        rejected = [p <= 0.05 / d for p, d in zip(p_values, divisors, strict=True)]
        assert rejected == [p <= 0.05 for p in holm(p_values)]


def test_divisors_by_hand() -> None:
    assert holm_divisors([]) == []
    assert holm_divisors([3, 1, 0]) == [3, 2, 2]
    assert holm_divisors([3, 2, 1]) == [3, 2, 1]
    assert holm_divisors([3, 3, 3]) == [3, 2, 1]
    assert holm_divisors([2, 2, 2]) == [3, 3, 3]
