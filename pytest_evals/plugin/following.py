"""Following: which item to name as the next one, where the next one is not known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest


class Following:
    """Names an item to come, for pytest to tear down what it is not in.

    pytest keeps the collectors standing that the next item is in, and an item can be set up only
    on collectors that it is in. So the one to name shares the fewest of them.

    Args:
        items: those that may come, in any order.
    """

    def __init__(self, items: Iterable[pytest.Item]) -> None:
        # Two of each collector: the item itself must not be named as its own next one.
        self._samples: dict[Any, list[pytest.Item]] = {}
        for item in items:
            of_parent = self._samples.setdefault(_parent(item), [])
            if len(of_parent) < 2:
                of_parent.append(item)
        self._known: dict[Any, list[pytest.Item]] = {}

    def after(self, item: pytest.Item) -> pytest.Item | None:
        """Return the item to name as the one after `item`; None when there is no other."""
        parent = _parent(item)
        if parent not in self._known:
            chain = item.listchain()
            samples = [each for of_parent in self._samples.values() for each in of_parent]
            self._known[parent] = sorted(samples, key=lambda each: shared(chain, each))[:2]
        return next((each for each in self._known[parent] if each is not item), None)


def _parent(item: pytest.Item) -> Any:
    return item.parent


def shared(chain: Sequence[object], other: pytest.Item) -> int:
    """Return how many collectors two items have in common.

    Args:
        chain: of the one, from the session to the item itself, which counts as none of them.
        other: the other item.
    """
    return sum(a is b for a, b in zip(chain[:-1], other.listchain()[:-1], strict=False))
