"""Arranging: in which order the tests and the rollouts of a session's functions run."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from .items import EvalFunction
from .surface import definitions, scope_of, wide_parameters

# Fixtures that change the whole process, of pytest and of plugins in wide use.
PATCHING = frozenset(
    {
        "capfd", "capfdbinary", "caplog", "capsys", "capsysbinary", "capteesys",
        "doctest_namespace", "monkeypatch", "pytester", "recwarn", "subtests", "testdir",
        "aioresponses", "freezer", "fs", "httpx_mock", "mocker", "requests_mock", "respx_mock",
        "time_machine",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Stretch:
    """Items that run one after the other, or rollouts that run side by side."""

    items: Sequence[pytest.Item]
    is_ahead: bool


def is_alone(item: EvalFunction, *, asked: bool) -> bool:
    """Whether nothing may run beside a rollout: it changes the process, or was marked `alone`."""
    patched = getattr(item.function, "patchings", None)  # by the decorators of unittest.mock
    return asked or bool(patched) or not PATCHING.isdisjoint(item.fixturenames)


def arranged(items: Iterable[pytest.Item], ahead: set[EvalFunction]) -> list[Stretch]:
    """Return the stretches of a session.

    Plain tests run alone: they patch what rollouts use. Rollouts that share fixtures with the tests
    around them stay beside those, after them, so that such a fixture is set up once; all others
    come last, together, so that those of several modules fill the flight.

    Args:
        items: tests and rollouts in pytest's order.
        ahead: the rollouts that may be set up ahead of their turn.
    """
    if not ahead:
        items = list(items)
        return [Stretch(items, is_ahead=False)] if items else []
    bound: list[pytest.Item] = []
    free: list[pytest.Item] = []
    sharing: dict[Any, bool] = {}
    for item in items:
        is_free = item in ahead and not _shares(item, sharing)
        (free if is_free else bound).append(item)
    ordered: list[pytest.Item] = []
    for _, neighbours in itertools.groupby(bound, _neighbourhood):
        ordered += sorted(neighbours, key=lambda item: item in ahead)
    return [
        Stretch(list(group), is_ahead=key is not None)
        for key, group in itertools.groupby(
            [*ordered, *free], lambda item: warning_filters(item) if item in ahead else None
        )
    ]


def _shares(item: Any, known: dict[Any, bool]) -> bool:
    """Whether an eval uses a fixture that ends before the session does; asked once for each."""
    if item.run not in known:
        scopes = {scope_of(item, name, each) for name, each in definitions(item)}
        known[item.run] = bool({"class", "module", "package"} & scopes or wide_parameters(item))
    return known[item.run]


def _neighbourhood(item: pytest.Item) -> Hashable:
    """What neighbours have in common that may change their order: collector, wide parameters."""
    wide = wide_parameters(item) if isinstance(item, pytest.Function) else {}
    return id(item.parent), tuple((name, id(value)) for name, value in wide.items())


def warning_filters(item: pytest.Item) -> tuple[Any, ...]:
    """The filters that are in force while an item runs: they hold for the whole process."""
    return tuple(mark.args for mark in item.iter_markers("filterwarnings"))
