"""SetupAhead: pytest's setup phase of items whose turn has not come yet.

pytest sets one item up at a time. What is set up stands on a stack, the session below and the item
on top, each node with its finalizers; and a fixture definition holds one value at a time. So an
item that was set up ahead gives up its place on the stack until its turn, and pytest sees only
collectors; and it has copies of its own of the function-scoped definitions. Hooks, fixtures of
wider scopes and finalizers are pytest's own throughout.

`surface` has the rest of what is private to pytest, and says whether all of it is there.
"""

from __future__ import annotations

import contextvars
import copy
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from .surface import definitions_of, is_wide, scope_of

if TYPE_CHECKING:
    from .items import EvalFunction

Finalizers: TypeAlias = list[Callable[[], object]]


@dataclass(slots=True)
class Place:
    """What pytest keeps of an item that is set up.

    Attributes:
        entry: its finalizers, the last to run first, and what its setup raised; None when the
            setup of one of its collectors had failed before.
        error: what its setup raised.
    """

    entry: tuple[Finalizers, Any] | None
    error: BaseException | None = None


class InFlightError(RuntimeError):
    """A rollout asked for what only the setup phase can give."""


class SetupAhead:
    """Sets items up ahead of their turn, and gives them back to pytest when it comes."""

    def __init__(self, session: pytest.Session) -> None:
        self._state: Any = session._setupstate

    def can_leave_for(self, item: pytest.Item) -> bool:
        """Whether the collectors that `item` is not in can go: none has anything to tear down."""
        chain = item.listchain()
        return all(
            node in chain or (len(finalizers) <= 1 and error is None)
            for node, (finalizers, error) in self._state.stack.items()
        )

    def leave_for(self, item: pytest.Item) -> None:
        """Tear down the collectors that `item` is not in."""
        chain = item.listchain()
        if any(node not in chain for node in self._state.stack):
            self._state.teardown_exact(item)

    def set_up(self, item: EvalFunction) -> Place:
        """Run the setup phase of an item now.

        An exception of its fixtures is kept for its turn. What ends the session is raised, with
        the item's place in its `place`.
        """
        self.leave_for(item)
        error: BaseException | None = None
        try:
            item.ihook.pytest_runtest_setup(item=item)
        except (pytest.exit.Exception, KeyboardInterrupt):
            item.place = self._taken(item, None)
            raise
        except BaseException as raised:  # SystemExit too: pytest reports it like any other
            error = raised
        return self._taken(item, error)

    def _taken(self, item: EvalFunction, error: BaseException | None) -> Place:
        os.environ.pop("PYTEST_CURRENT_TEST", None)  # the item's turn is over for now
        return Place(self._state.stack.pop(item, None), error)

    def give_back(self, item: EvalFunction, place: Place) -> None:
        """Put an item back where its setup phase left it."""
        if place.entry is not None:
            self._state.stack[item] = place.entry

    def tear_down(self, item: EvalFunction, place: Place) -> None:
        """Run the teardown of an item that has no turn any more; what it raises is raised."""
        standing = _Standing(list(self._state.stack))
        self.give_back(item, place)
        self._state.teardown_exact(standing)


class _Standing:
    """In the place of a next item: needs just the nodes that stand on the stack now."""

    def __init__(self, nodes: list[Any]) -> None:
        self._nodes = nodes

    def listchain(self) -> list[Any]:
        return self._nodes


def fill_fixtures(
    item: EvalFunction, outside: contextvars.Context
) -> list[tuple[contextvars.ContextVar[Any], Any]]:
    """Run the fixtures of an item, function-scoped ones in a context of the item's own.

    Args:
        outside: the context before any fixture.

    Returns:
        The context variables that fixtures set, with the values.
    """
    __tracebackhide__ = True
    request: Any = item._request
    request._arg2fixturedefs = _OwnFixtures(item)
    for name in item.fixturenames:
        if not is_wide(item, name):
            break
        item.funcargs[name] = request.getfixturevalue(name)
    item.context = contextvars.copy_context()
    item.context.run(pytest.Function.setup, item)
    return [
        (variable, value)
        for variable, value in item.context.items()
        if variable not in outside or outside[variable] is not value
    ]


class _OwnFixtures(dict[str, Any]):
    """Where an item's requests look up fixture definitions: its own copies, made when needed.

    Copies, because a definition holds one value, and its finalizers, at a time: another item's
    setup would find this one's value in it, or end it.
    """

    def __init__(self, item: EvalFunction) -> None:
        super().__init__()
        self._item = item

    def get(self, name: str, default: Any = None) -> Any:
        """Return the definitions of a fixture, the closest last."""
        item: Any = self._item
        if item.is_flying:
            # Here because the fixture has not been set up for the item.
            raise InFlightError(
                f"request.getfixturevalue({name!r}) inside an eval: fixtures are set up before"
                " the rollout; make it a parameter of the function, or of one of its fixtures"
            )
        known = super().get(name)
        if known is None:
            known = definitions_of(item, name)
            if known:
                self[name] = known = tuple(_own(item, name, each) for each in known)
        return default if known is None else known


def _own(item: pytest.Function, name: str, definition: Any) -> Any:
    if scope_of(item, name, definition) != "function":
        return definition
    own = copy.copy(definition)
    own.cached_result = None
    own._finalizers = []
    return own
