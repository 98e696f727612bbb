"""JSON of any value, and masking that leaves JSON whole."""

from __future__ import annotations

import enum
import json
import math
from collections import UserDict, deque
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path, PureWindowsPath
from types import MappingProxyType
from typing import Any
from unittest.mock import MagicMock

import pytest
from pydantic import BaseModel

from pytest_evals.store.encoding import MAX_DEPTH, mask_json, readable, to_json


def through(value: Any) -> Any:
    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    text = to_json(value)
    assert text.isascii()
    assert "\n" not in text
    return json.loads(text, parse_constant=no_constant)


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Point(BaseModel):
    x: int
    label: str | None = None


class Array:
    def tolist(self) -> list[float]:
        return [1.0, math.nan]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Point(x=1), {"x": 1}),
        (Point, str(Point)),
        (datetime(2026, 1, 2, 3, 4, tzinfo=UTC), "2026-01-02T03:04:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (Path("a/b"), "a/b"),
        (PureWindowsPath("a\\b"), "a/b"),
        (ValueError("no"), "ValueError('no')"),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (UserDict({"a": 1}), {"a": 1}),
        ({"b", "a"}, ["a", "b"]),
        (frozenset({2, 1}), [1, 2]),
        ((1, 2), [1, 2]),
        (b"\xff\n", "b'\\xff\\n'"),
        (Decimal("1.50"), "1.50"),
        (Colour.RED, "Colour.RED"),
        (Level.LOW, 1),
        (deque([1]), "deque([1])"),
        (Array(), [1.0, None]),
        (math.nan, None),
        (-math.inf, None),
        ("\ud800\u2028\x00\r\n", "\ud800\u2028\x00\r\n"),
        (10**5000, hex(10**5000)),
        (
            {2: "a", None: "b", True: "c", 1.5: "d"},
            {"2": "a", "null": "b", "true": "c", "1.5": "d"},
        ),
        ({(1, 2): {Path("k"): math.inf}}, {"(1, 2)": {"k": None}}),
        ({"good": [1, {"bad": math.nan}, {3}]}, {"good": [1, {"bad": None}, [3]]}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_becomes_the_nearest_thing(value: Any, expected: Any) -> None:
    assert through({"value": value}) == {"value": expected}


def test_a_circular_reference_becomes_a_placeholder() -> None:
    info: dict[str, Any] = {"a": 1}
    info["self"] = [info]
    assert through(info) == {"a": 1, "self": ["<circular reference>"]}


def test_what_only_repeats_is_no_circle() -> None:
    shared = {"x": math.nan}
    assert through([shared, shared]) == [{"x": None}, {"x": None}]


def test_deep_nesting_ends_in_a_placeholder() -> None:
    value: Any = "core"
    for _ in range(100_000):
        value = [value]
    result, depth = through(value), 0
    while isinstance(result, list):
        result, depth = result[0], depth + 1
    assert result == "<nested too deeply>"
    assert depth == MAX_DEPTH
    while isinstance(value, list):  # taken apart here: freeing it at once recurses
        value = value[0]


class _HostileMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        raise RuntimeError("no")

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("no")

    def __len__(self) -> int:
        return 1


class _HostileDict(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")


class _Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class _EndlessModel:
    def model_dump(self, **_: Any) -> Any:
        return {"again": _EndlessModel()}


@pytest.mark.parametrize(
    "value",
    [
        _HostileMapping(),
        _HostileDict(a=1),
        _Unshowable(),
        {_Unshowable(): 1},
        {_Unshowable()},
        _EndlessModel(),
        MagicMock(),
        object(),
        lambda: None,
        iter([1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_hostile_values_are_written_somehow(value: Any) -> None:
    result = through({"before": 1, "value": value, "after": 2})
    assert (result["before"], result["after"]) == (1, 2)
    assert result["value"]


def test_the_text_of_a_value_that_raises_names_its_type() -> None:
    assert readable(_Unshowable(), repr) == "<_Unshowable that cannot be shown>"


def masking(secret: str, text: str) -> Any:
    return json.loads(mask_json(text, lambda part: part.replace(secret, "***")))


def test_a_secret_is_masked_wherever_it_stands() -> None:
    text = to_json({"prompt": [{"content": "my key is sk-1"}], "info": {"sk-1": "sk-1"}}) + "\n"
    masked = mask_json(text, lambda part: part.replace("sk-1", "***"))
    assert masked.endswith("\n")
    assert json.loads(masked) == {"prompt": [{"content": "my key is ***"}], "info": {"***": "***"}}


@pytest.mark.parametrize("secret", ["1", "null", '"', "{", "reward", "generated", ": ", "e"])
def test_a_secret_that_looks_like_json_leaves_a_row_that_can_be_read(secret: str) -> None:
    text = to_json({"example_id": 1, "reward": None, "text": f"a{secret}b", "state": "generated"})
    assert masking(secret, text) == {
        "example_id": 1,
        "reward": None,
        "text": f"a{secret}b".replace(secret, "***"),
        "state": "generated",
    }


def test_a_text_without_secrets_is_not_encoded_again() -> None:
    text = '{"a":  1}'
    assert mask_json(text, lambda part: part.replace("sk-1", "***")) is text
