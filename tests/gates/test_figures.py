"""Comparing with a limit, and printing inequalities that are true."""

from __future__ import annotations

import math
import random

import pytest

from pytest_evals.gates.figures import (
    clears,
    compare,
    limit_text,
    rounded,
    spread_text,
    value_text,
)
from pytest_evals.gates.grammar import Comparison, Gate, parse_gate


@pytest.mark.parametrize(
    ("value", "limit", "order"),
    [
        (0.7, 0.7, 0),
        (0.6999999999999999, 0.7, 0),
        (0.7000000000000001, 0.7, 0),
        (0.6999999999999, 0.7, -1),
        (0.7000000000001, 0.7, 1),
        (-1e-17, 0.0, 0),
        (1e-9, 0.0, 1),
        (1e9 + 1e-6, 1e9, 0),
        (1e9 + 1, 1e9, 1),
    ],
)
def test_compare_forgives_the_last_digits(value: float, limit: float, order: int) -> None:
    assert compare(value, limit) == order
    assert compare(limit, value) == -order


@pytest.mark.parametrize(
    ("comparison", "below", "equal", "above"),
    [
        (">=", False, True, True),
        ("<=", True, True, False),
        (">", False, False, True),
        ("<", True, False, False),
    ],
)
def test_clears(comparison: Comparison, below: bool, equal: bool, above: bool) -> None:
    assert clears(0.1 + 0.2, comparison, 0.3) is equal
    assert clears(0.29, comparison, 0.3) is below
    assert clears(0.31, comparison, 0.3) is above


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (0.712, 0.8, "0.712"),
        (0.6999999999999999, 0.7, "0.700"),
        (0.79996, 0.8, "0.79996"),
        (0.80004, 0.8, "0.80004"),
        (1 / 3, 0.3333333, "0.33333333"),
        (0.0, 0.0, "0.000"),
        (-0.0, 0.8, "0.000"),
        (-0.0001, 0.8, "0.000"),
        (-0.0001, 0.0, "-0.0001"),
        (1e-7, 0.0, "0.0000001"),
        (12.3456, 30.0, "12.35"),
        (1594.71, 1500.0, "1594.7"),
        (1500.01, 1500.0, "1500.01"),
        (1e300, 0.0, "1e+300"),
    ],
)
def test_value_text(value: float, limit: float, text: str) -> None:
    assert value_text(value, limit) == text


def test_what_is_printed_compares_as_the_value_does() -> None:
    generator = random.Random(3)
    for _ in range(5000):
        limit = round(generator.uniform(-2, 2), generator.randint(0, 6))
        value = limit + generator.choice([0.0, 1, -1]) * 10 ** generator.uniform(-16, 4)
        assert compare(float(value_text(value, limit)), limit) == compare(value, limit)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("reward >= 0.80", "0.80"), ("turns<=1_500", "1_500"), ("reward > 1e-3", "1e-3")],
)
def test_the_limit_is_shown_as_it_was_written(text: str, shown: str) -> None:
    assert limit_text(parse_gate(text)) == shown


@pytest.mark.parametrize("text", ["", "min = 0.8", "reward >= 0.9", "reward >= x"])
def test_a_gate_of_another_text_shows_its_limit(text: str) -> None:
    assert limit_text(Gate("gate-reward", "reward", ">=", 0.8, text=text)) == "0.8"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.000"),
        (-0.0, "0.000"),
        (0.12345, "0.123"),
        (45.678, "45.68"),
        (12345.678, "12345.7"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (1e20, "1e+20"),
    ],
)
def test_rounded(value: float, text: str) -> None:
    assert rounded(value) == text


def test_a_small_standard_error_is_not_printed_as_none() -> None:
    assert spread_text(0.00012) == "0.00012"
    assert spread_text(0.0) == "0.000"
    assert spread_text(0.0312) == "0.031"
