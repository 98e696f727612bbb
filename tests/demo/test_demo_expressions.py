from __future__ import annotations

from fractions import Fraction

import pytest

from pytest_evals.demo.expressions import evaluate, find_expression, show


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("17 + 25", 42),
        ("12 * 7 - 5", 79),
        ("12 - 7 - 5", 0),
        ("(3 + 4) * 2", 14),
        ("-3 - -4", 1),
        ("2 * (3 + (4 - 1))", 12),
        ("6 × 7 ÷ 2", 21),
        ("7 / 2", Fraction(7, 2)),
        ("0.1 + 0.2", Fraction(3, 10)),
    ],
)
def test_it_evaluates_as_arithmetic_does(text: str, value: object) -> None:
    assert evaluate(text).value == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "7 +",
        "+ 7",
        "(1 + 2",
        "1 + 2)",
        "1 2 + 3",
        "2 ** 9",
        "1 + a",
        "__import__('os')",
        "(" * 50 + "1 + 2" + ")" * 50,
        "1 + " * 100 + "1",
        "9" * 400 + " + 1",
    ],
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        evaluate(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("What is 17 + 25?", "17 + 25"),
        ("Compute 12 * 7 - 5", "12 * 7 - 5"),
        ("(3 + 4) * 2", "(3 + 4) * 2"),
        ("What is 1,234 + 5?", "1234 + 5"),
        ("Compute 8 / 0, or else 8 / 4.", "8 / 4"),
    ],
)
def test_it_finds_the_expression_of_a_question(text: str, found: str) -> None:
    expression = find_expression(text)
    assert expression is not None
    assert expression.text.rstrip(".") == found


@pytest.mark.parametrize("text", ["", "no numbers", "48 of her friends", "- - -", "1 / 0"])
def test_it_finds_none_where_there_is_none(text: str) -> None:
    assert find_expression(text) is None


def test_a_huge_text_is_searched_only_at_its_head() -> None:
    assert find_expression("x" * 5_000_000 + "1 + 1") is None
    assert find_expression("-" * 5_000_000) is None


@pytest.mark.parametrize(
    ("value", "shown"),
    [(Fraction(14), "14"), (Fraction(7, 2), "3.5"), (Fraction(-2, 3), "-0.6667")],
)
def test_numbers_are_shown_as_people_write_them(value: Fraction, shown: str) -> None:
    assert show(value) == shown
