"""What is used of pytest beyond its documented interface, for test functions that are evals.

Here, and in `setup_ahead`, which is about nothing else: `Function.callspec` with its `id`,
`params`, `marks` and `_arg2scope`, `Function._fixtureinfo`, `Function._request` and its
`_arg2fixturedefs`, `Session._setupstate` and its `stack`,
`Session._fixturemanager.getfixturedefs`, `FixtureDef.cached_result` and `_finalizers`,
`FixtureRequest._pyfuncitem`, `resolve_fixture_function`. Checked on pytest 8.4.0 and 9.2.0.

Of a pytest in which the first two are different no item can be made: `why_no_items` says so, and
the function is a collection error. Where `why_not` finds anything else different nothing is set up
ahead: functions run one after the other, by pytest's own protocol alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest


def why_no_items(function: pytest.Function) -> str | None:
    """Say what is not as it must be for items to be made of a function, or None."""
    private: Any = function
    try:
        callspec = private.callspec
        checks = {
            "CallSpec.id": isinstance(callspec.id, str),
            "CallSpec.params": isinstance(callspec.params, dict),
            "CallSpec.marks": isinstance(callspec.marks, list | tuple),
            "Function._fixtureinfo": hasattr(private._fixtureinfo, "argnames"),
        }
    except AttributeError as error:
        return str(error)
    return next((name for name, is_known in checks.items() if not is_known), None)


def parameters(function: pytest.Function) -> dict[str, Any]:
    """Return the parameters of an item, with the values."""
    private: Any = function
    found: dict[str, Any] = private.callspec.params
    return found


def parameters_id(function: pytest.Function) -> str:
    """Return what pytest calls the parameters of an item: what is in its brackets."""
    private: Any = function
    found: str = private.callspec.id
    return found


def marks_of_parameters(function: pytest.Function) -> Sequence[pytest.Mark]:
    """Return the marks that an item has from its parameters."""
    private: Any = function
    found: Sequence[pytest.Mark] = private.callspec.marks
    return found


def made_of(function: pytest.Function) -> dict[str, Any]:
    """Return the arguments that make another item like this one."""
    private: Any = function
    return {
        "name": function.name,
        "callspec": private.callspec,
        "fixtureinfo": private._fixtureinfo,
        "keywords": {private.callspec.id: True},
        "originalname": function.originalname,
    }


def arguments(item: pytest.Function) -> dict[str, Any]:
    """Return what the function of an item that is set up is called with."""
    return {name: item.funcargs[name] for name in item._fixtureinfo.argnames}


def definitions_of(item: pytest.Item, name: str) -> Sequence[Any] | None:
    """Return the definitions of a fixture that an item sees, the closest last."""
    private: Any = item
    known: Sequence[Any] | None = private._fixtureinfo.name2fixturedefs.get(name)
    if known is None:
        known = private.session._fixturemanager.getfixturedefs(name, item)
    return known


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
    return {name: value for name, value in callspec.params.items() if is_wide(item, name)}


def is_wide(item: pytest.Function, name: str) -> bool:
    """Whether the value of a fixture or parameter outlives an item."""
    found: Sequence[Any] = item._fixtureinfo.name2fixturedefs.get(name) or ()
    return bool(found) and scope_of(item, name, found[-1]) != "function"


def bound_function(definition: Any, request: Any) -> Callable[..., Any]:
    """Return a fixture's function, bound to the instance of the class whose test requests it."""
    from _pytest.fixtures import resolve_fixture_function

    return resolve_fixture_function(definition, request)


def requesting_item(request: Any) -> Any:
    """Return the item that a fixture is set up for; None where that is not known."""
    return getattr(request, "_pyfuncitem", None)


def why_not(item: pytest.Function) -> str | None:
    """Say what of pytest is not as setting an item up ahead needs it, or None."""
    private: Any = item
    try:
        checks = {
            "Session._setupstate.stack": isinstance(private.session._setupstate.stack, dict),
            "SetupState.teardown_exact": callable(private.session._setupstate.teardown_exact),
            "Function._request": isinstance(private._request._arg2fixturedefs, dict),
            "Function._fixtureinfo": isinstance(private._fixtureinfo.name2fixturedefs, dict),
            "FixtureRequest._pyfuncitem": private._request._pyfuncitem is item,
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
