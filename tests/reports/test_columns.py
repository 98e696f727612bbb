"""Cutting, filling and wrapping by terminal columns."""

from __future__ import annotations

import pytest

from pytest_evals.reports.columns import filled, shortened, width_of, wrapped


@pytest.mark.parametrize(
    ("text", "width"),
    [("", 0), ("abc", 3), ("日本", 4), ("é", 1), ("e\u0301", 1), ("a\u200db", 2), ("±…", 2)],
)
def test_width_of(text: str, width: int) -> None:
    assert width_of(text) == width


@pytest.mark.parametrize(
    ("text", "width", "cut"),
    [
        ("abc", 3, "abc"),
        ("abcdefgh", 5, "ab…gh"),
        ("abcdefgh", 4, "ab…h"),
        ("abcdefgh", 2, "a…"),
        ("abcdefgh", 1, "…"),
        ("日本語日本語", 6, "日…語"),
        ("日本語日本語", 4, "日…"),
    ],
)
def test_shortened(text: str, width: int, cut: str) -> None:
    assert shortened(text, width) == cut
    assert width_of(cut) <= width


def test_filled() -> None:
    assert filled("日本", 6) == "日本  "
    assert filled("12", 4, right=True) == "  12"


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ([], ["> "]),
        (["one", "two"], ["> one two"]),
        (["one two", "three"], ["> one two", "  three"]),
        (["abcdefghijklmnopqrst"], ["> abcdefgh", "  ijklmnop", "  qrst"]),
        (["日本語日本語", "x"], ["> 日本語日", "  本語 x"]),
    ],
)
def test_wrapped(parts: list[str], lines: list[str]) -> None:
    assert wrapped(parts, 10, first="> ", rest="  ") == lines
