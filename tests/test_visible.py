"""Hostile text is shown, and does nothing."""

from __future__ import annotations

import pytest

from pytest_evals.visible import clipped, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("plain\n\ttext", "plain\n\ttext"),
        ("\x1b[2J\x1b[31mred", r"\x1b[2J\x1b[31mred"),
        ("\x00\x07\x08\x0b\x0c\x7f", r"\x00\x07\x08\x0b\x0c\x7f"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("overwritten\rline\r\n", "overwritten\\rline\\r\n"),
        ("\u202eevil\u2066x\u2069\u200f", r"\u202eevil\u2066x\u2069\u200f"),
        ("zero\u200bwidth\ufeff\u2060", r"zero\u200bwidth\ufeff\u2060"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("\U000e0041\U000e007f", r"\U000e0041\U000e007f"),
        ("half \ud83d pair", r"half \ud83d pair"),
        ("\ufff9a\ufffab", r"\ufff9a\ufffab"),
        (
            "日本語 é e\u0301 👩\u200d👩\u200d👧 می\u200cخواهم",
            "日本語 é e\u0301 👩\u200d👩\u200d👧 می\u200cخواهم",
        ),
        ("::error::boo", r"\x3a:error::boo"),
        ("a\n \t::set-output name=x::y", "a\n \t\\x3a:set-output name=x::y"),
        ("a\n\u3000::stop", "a\n\u3000\\x3a:stop"),
        ("std::vector a::b", "std::vector a::b"),
        (": :", ": :"),
        ("x ##[error]boo ##vso[task.x]", r"x #\x23[error]boo #\x23vso[task.x]"),
        ("## [link] #[x] ### title", "## [link] #[x] ### title"),
    ],
)
def test_visible(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


def test_nothing_but_line_feeds_and_tabs_is_left_of_the_control_characters() -> None:
    everything = "".join(map(chr, range(0x110000)))
    left = visible(everything)
    assert {c for c in left if ord(c) < 32 or 127 <= ord(c) < 160} == {"\n", "\t"}
    assert left.encode()  # no lone surrogate


def test_many_blank_lines_take_no_time() -> None:
    text = "\n" * 200_000 + " " * 200_000
    assert visible(text) == text


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("abc", 3, "abc"),
        ("abcdef", 4, "ab\n[... 2 characters left out ...]\nef"),
        ("abcdef", 5, "abc\n[... 1 characters left out ...]\nef"),
        ("x" * 12_000, 2, "x\n[... 11,998 characters left out ...]\nx"),
    ],
)
def test_clipped(text: str, limit: int, cut: str) -> None:
    assert clipped(text, limit) == cut
