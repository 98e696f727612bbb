"""Holm's correction."""

from __future__ import annotations

import random

import pytest

from pytest_evals.stats.multiplicity import holm


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
