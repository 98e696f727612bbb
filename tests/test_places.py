"""Places as messages name them, whatever kind of function it is."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.parsers import XMLParser
from pytest_evals.places import place_in, place_of, was_raised_here


def plain() -> None:
    """Stand here."""


@functools.cache
def wrapped() -> None:
    """Stand here."""


class Called:
    def __call__(self) -> None:
        """Stand here."""


class Hostile:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __call__(self) -> None:
        """Stand here."""


def line_of(text: str) -> int:
    return Path(__file__).read_text("utf-8").splitlines().index(text) + 1


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (plain, "def plain() -> None:"),
        (functools.partial(functools.partial(plain)), "def plain() -> None:"),
        (wrapped, "@functools.cache"),
        (Called(), "    def __call__(self) -> None:"),
        (Called().__call__, "    def __call__(self) -> None:"),
    ],
)
def test_a_function_is_named_below_the_current_folder(
    function: Callable[[], None], text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    assert place_of(function) == f"test_places.py:{line_of(text)}"
    monkeypatch.chdir(tmp_path)
    assert place_of(function) == f"{__file__}:{line_of(text)}"


@pytest.mark.parametrize("function", [math.sqrt, print])
def test_what_has_no_place_has_none(function: Callable[..., Any]) -> None:
    assert place_of(function) == ""


def test_nor_has_what_fails_when_it_is_asked() -> None:
    assert place_of(Hostile()) == ""


def raised_by(function: Callable[[], Any]) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


def test_an_error_of_a_library_is_placed_in_the_function() -> None:
    def read() -> Any:
        return json.loads("{")

    error = raised_by(read)
    line = read.__code__.co_firstlineno + 1

    assert place_in(error, read).endswith(f"test_places.py:{line}")
    assert "decoder.py:" in place_in(error)
    assert place_in(ValueError()) == ""


def test_who_raised_it() -> None:
    given: Any = 3

    assert was_raised_here(raised_by(lambda: XMLParser(given)))
    assert not was_raised_here(raised_by(lambda: json.loads("{")))
    assert was_raised_here(ValueError())
