"""SetupAhead: pytest's setup phase of items whose turn has not come yet.

pytest sets one item up at a time. What is set up stands on a stack, the session below and the item
on top, each node with its finalizers; and a fixture definition holds one value at a time. So an
item that was set up ahead gives up its place on the stack until its turn, and pytest sees only
collectors; and it has copies of its own of the function-scoped definitions. Hooks, fixtures of
wider scopes and finalizers are pytest's own throughout.

All that is private to pytest is here: `Session._setupstate` and its `stack`, `Function._request`
and its `_arg2fixturedefs`, `Function._fixtureinfo`, `Session._fixturemanager.getfixturedefs`,
`FixtureDef.cached_result` and `_finalizers`, `CallSpec.params` and `_arg2scope`,
`resolve_fixture_function`. Checked on pytest 8.4.0 and 9.2.0. Where `why_not` finds them different
nothing is set up ahead: functions run one after the other, by pytest's own protocol alone.
"""

from __future__ import annotations

import contextvars
import copy
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

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
        if not _is_wide(item, name):
            break
        item.funcargs[name] = request.getfixturevalue(name)
    item.context = contextvars.copy_context()
    item.context.run(pytest.Function.setup, item)
    return [
        (variable, value)
        for variable, value in item.context.items()
        if variable not in outside or outside[variable] is not value
    ]


def arguments(item: pytest.Function) -> dict[str, Any]:
    """Return what the function of an item that is set up is called with."""
    return {name: item.funcargs[name] for name in item._fixtureinfo.argnames}


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
            known = item._fixtureinfo.name2fixturedefs.get(name)
            if known is None:
                known = item.session._fixturemanager.getfixturedefs(name, item)
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


def scope_of(item: pytest.Function, name: str, definition: Any) -> str:
    """Return how long a value lives that `item` gets of a definition."""
    callspec: Any = getattr(item, "callspec", None)
    is_parameter = callspec is not None and name in callspec.params
    scope: str = callspec._arg2scope[name].value if is_parameter else definition.scope
    if scope == "class" and item.cls is None:
        return "function"  # pytest ends it with the item
    return scope


def definitions(item: pytest.Item) -> Iterator[tuple[str, Any]]:
    """Yield the fixtures that an item is known to need, by name; overridden ones too."""
    info: Any = getattr(item, "_fixtureinfo", None)
    for name, found in getattr(info, "name2fixturedefs", {}).items():
        for definition in found:
            yield name, definition


def wide_parameters(item: pytest.Function) -> dict[str, Any]:
    """Return the parameters whose values outlive an item, with the values."""
    callspec: Any = getattr(item, "callspec", None)
    if callspec is None:
        return {}
    return {name: value for name, value in callspec.params.items() if _is_wide(item, name)}


def _is_wide(item: pytest.Function, name: str) -> bool:
    found: Sequence[Any] = item._fixtureinfo.name2fixturedefs.get(name) or ()
    return bool(found) and scope_of(item, name, found[-1]) != "function"


def bound_function(definition: Any, request: Any) -> Callable[..., Any]:
    """Return a fixture's function, bound to the instance of the class whose test requests it."""
    from _pytest.fixtures import resolve_fixture_function

    return resolve_fixture_function(definition, request)


def requesting_item(request: Any) -> Any:
    """Return the item that a fixture is set up for."""
    return request._pyfuncitem


def why_not(item: pytest.Function) -> str | None:
    """Say what of pytest is not as this module needs it, or None."""
    private: Any = item
    try:
        checks = {
            "Session._setupstate.stack": isinstance(private.session._setupstate.stack, dict),
            "SetupState.teardown_exact": callable(private.session._setupstate.teardown_exact),
            "Function._request": isinstance(private._request._arg2fixturedefs, dict),
            "Function._fixtureinfo": isinstance(private._fixtureinfo.name2fixturedefs, dict),
            "getfixturedefs": callable(private.session._fixturemanager.getfixturedefs),
            "FixtureDef": all(
                isinstance(each._finalizers, list) and hasattr(each, "cached_result")
                for _, each in definitions(item)
            ),
        }
        wide_parameters(item)
        from _pytest.fixtures import resolve_fixture_function  # noqa: F401
    except (AttributeError, KeyError, ImportError) as error:
        return str(error)
    return next((name for name, is_known in checks.items() if not is_known), None)
