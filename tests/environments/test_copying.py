from __future__ import annotations

import threading
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_evals.environments.copying import own_copy
from pytest_evals.errors import SetupError
from pytest_evals.messages import UserMessage
from pytest_evals.records import Record


@dataclass
class Board:
    cells: list[int] = field(default_factory=lambda: [0])


def spoil(value: Any) -> None:
    """Change everything in a value that can be changed."""
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, list | dict | tuple):
            spoil(inner)
    if isinstance(value, dict):
        value.clear()
    elif isinstance(value, list):
        value.append("spoiled")


@pytest.mark.parametrize(
    "value",
    [
        Counter("aab"),
        defaultdict(list, a=[1]),
        {"deep": [({"er": [1, 2]},)]},
        deque([1, 2]),
        {1, 2},
        bytearray(b"x"),
        Board(),
        [UserMessage(content=[{"type": "text", "text": "x"}])],
        Record(a=[1]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nothing_that_changes_is_shared(value: Any) -> None:
    row = {"example_id": 0, "info": {"value": value}, "column": value}
    own = own_copy(row)

    assert own == row
    for copied in (own["info"]["value"], own["column"]):
        assert copied is not value
        assert type(copied) is type(value)
    if isinstance(value, dict | list):
        spoil(own)
        assert value


def test_objects_keep_their_class_and_lose_what_they_share() -> None:
    board = Board()
    own = own_copy({"info": {"board": board}})
    own["info"]["board"].cells.append(1)

    assert board.cells == [0]


@pytest.mark.parametrize("value", ["text", 1, 2.5, True, None, b"bytes", len])
def test_what_cannot_change_is_the_same(value: Any) -> None:
    assert own_copy({"info": {"value": value}})["info"]["value"] is value


def test_what_cannot_be_copied_is_named() -> None:
    with pytest.raises(SetupError, match=r"column 'info' cannot be copied: TypeError: cannot pick"):
        own_copy({"info": {"lock": threading.Lock()}})


def test_what_holds_itself() -> None:
    circle: list[Any] = []
    circle.append(circle)

    with pytest.raises(SetupError, match="column 'info' cannot be copied: RecursionError"):
        own_copy({"info": {"circle": circle}})
