"""Collecting: the functions that are marked as evals, and the items that are made of them."""

from __future__ import annotations

import inspect
import unittest
from collections.abc import Sequence
from typing import Any

import pytest

from ...config.spec import EvalSpec
from ...environments.environment import Environment
from ...errors import SetupError
from ..baselines import check_baselines
from ..runs import Run
from ..session import EvalSession
from ..slicing import check_slices
from . import surface
from .environment import CALL, FunctionEnvironment, endpoint_of
from .gates import FunctionGates
from .items import EvalFunction
from .marking import MARK, Marking, read_marks, read_rollouts
from .running import FunctionEvals

# The parameter that multiplies a function; it may ask for it, for a seed as an example.
ROLLOUT = "evals_rollout"

# Longer values of parameters are cut in the rows.
_LONGEST_VALUE = 200
# What only makes sense for rollouts; the other marks of a function are its gates' as well.
_NOT_OF_GATES = frozenset({"parametrize", "usefixtures", "filterwarnings", "asyncio", "anyio"})


def multiply(metafunc: pytest.Metafunc) -> None:
    """Make each of a function's examples as often as its mark says."""
    try:
        rollouts = read_rollouts(metafunc.definition)
    except SetupError:
        return  # told where the items are made
    if ROLLOUT not in metafunc.fixturenames:
        metafunc.fixturenames.append(ROLLOUT)
    names = [f"r{number}" for number in range(rollouts)]
    metafunc.parametrize(ROLLOUT, range(rollouts), ids=names)


def converted(
    collector: pytest.Collector, nodes: Sequence[pytest.Item | pytest.Collector]
) -> list[pytest.Item | pytest.Collector]:
    """Return the nodes of a module or class with evals in the place of the marked functions."""
    functions: dict[str, list[pytest.Function]] = {}
    found: list[Any] = []
    for node in nodes:
        if not isinstance(node, pytest.Function) or node.get_closest_marker(MARK) is None:
            found.append(node)
            continue
        if node.originalname not in functions:
            found.append(functions.setdefault(node.originalname, []))
        functions[node.originalname].append(node)
    return [
        made
        for each in found
        for made in (_eval(collector, each) if isinstance(each, list) else [each])
    ]


def _eval(
    collector: pytest.Collector, functions: list[pytest.Function]
) -> list[pytest.Item | pytest.Collector]:
    """Return the rollouts and the gates of one function."""
    name = functions[0].originalname
    try:
        _check(collector, functions)
        examples = _examples(functions)
        run = _run(collector, functions[0], examples)
    except SetupError as problem:
        located = SetupError(f"{_place(functions[0])}: {problem}")
        return [FunctionGates.from_parent(collector, name=name, run=None, problem=located)]
    except collector.CollectError:  # this process cannot run evals, and says so again below
        return [FunctionGates.from_parent(collector, name=name, run=None, problem=None)]
    items: list[pytest.Item | pytest.Collector] = [
        _rollout(collector, function, run, examples[_example_key(function)])
        for function in functions
    ]
    gates = FunctionGates.from_parent(collector, name=name, run=run, problem=None)
    _mark_like(gates, functions[0])
    return [*items, gates]


def _mark_like(gates: FunctionGates, function: pytest.Function) -> None:
    """Give the gates the marks of the function, without those of one of its examples."""
    of_example = {id(mark) for mark in surface.marks_of_parameters(function)}
    for mark in function.own_markers:
        if mark.name not in _NOT_OF_GATES and id(mark) not in of_example:
            gates.add_marker(getattr(pytest.mark, mark.name).with_args(*mark.args, **mark.kwargs))


def _check(collector: pytest.Collector, functions: list[pytest.Function]) -> None:
    """Raise SetupError for what cannot be an eval."""
    function = functions[0].obj
    owner = getattr(collector, "obj", None)
    if inspect.isclass(owner) and issubclass(owner, unittest.TestCase):
        raise SetupError(
            "a method of a unittest.TestCase cannot be an eval: it takes no parameters and no"
            " fixtures; write a function, or a class that is no TestCase"
        )
    read_rollouts(functions[0])
    if (unknown := surface.why_no_items(functions[0])) is not None:
        raise SetupError(
            f"a test function cannot be an eval with pytest {pytest.__version__}, which is not"
            f" known well enough ({unknown}); install a pytest that this version of"
            " pytest-rollouts names, or a later pytest-rollouts"
        )
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise SetupError("an eval cannot yield: it returns nothing, or its reward")
    if getattr(function, "is_hypothesis_test", False):
        raise SetupError("@given makes its own examples: an eval's are those of parametrize")
    if any(each.get_closest_marker("xfail") for each in functions):
        raise SetupError(
            "an eval cannot be marked xfail: a rollout only measures, and the gates say what is"
            " expected; change their limits"
        )


def _example_key(function: pytest.Function) -> tuple[Any, ...]:
    """Return what the rollouts of one example have in common: its name and its very values."""
    values = [id(value) for name, value in surface.parameters(function).items() if name != ROLLOUT]
    return (_example_name(function), *values)


def _example_name(function: pytest.Function) -> str:
    rollout = surface.parameters(function)[ROLLOUT]
    return surface.parameters_id(function).removesuffix(f"r{rollout}").removesuffix("-")


def _examples(functions: list[pytest.Function]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return the examples of a function: one for each set of its parameters.

    An example is called what pytest calls it, so it keeps its name when others come before it.
    """
    examples: dict[tuple[Any, ...], dict[str, Any]] = {}
    taken: set[str] = set()
    for function in functions:
        key = _example_key(function)
        if key in examples:
            continue
        text = _example_name(function)
        name, number = text, 1
        while name in taken:
            number += 1
            name = f"{text}-{number}"
        taken.add(name)
        info = {
            parameter: _shown(value)
            for parameter, value in surface.parameters(function).items()
            if parameter != ROLLOUT
        }
        examples[key] = {"example_id": name or 0, "info": info}
    return examples


def _shown(value: Any) -> Any:
    """Return a parameter's value as a row can hold it."""
    if isinstance(value, str | int | float | bool | None):
        return value
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"


def _run(
    collector: pytest.Collector,
    function: pytest.Function,
    examples: dict[tuple[Any, ...], dict[str, Any]],
) -> Run:
    """Return the run of a function, known to the session."""
    marking = read_marks(function, len(examples))
    session = EvalSession.of(collector.config)
    if session.reader.budget.counts_answers:
        raise SetupError(
            f"{' and '.join(session.reader.budget.words)}: what a test function asks, and what it"
            " costs, is not known here; run it without, or limit the session by max_duration"
        )
    if session.functions is None:
        session.functions = FunctionEvals(session)
    nodeid = f"{collector.nodeid}::{function.originalname}"
    name = _name(nodeid, {run.spec.name for run in session.runs})
    needs_threads = not inspect.iscoroutinefunction(function.obj)
    limit = session.max_concurrent
    threads = limit if limit > 0 else len(examples) * marking.rollouts
    environment: Any = FunctionEnvironment(
        name, marking.pass_threshold, threads if needs_threads else None
    )
    typed: Environment = environment
    run = Run(
        _spec(function, name, marking, len(examples)),
        endpoint_of(marking.model, nodeid),
        typed,
        list(examples.values()),
        nodeid,
        session.secrets.mask,
        accepts_partial=bool(collector.config.getoption("evals_partial")),
    )
    run.begins_late = True
    check_baselines(run, collector.config)
    check_slices(run.spec, run.examples)
    session.functions.settings[run] = marking
    session.runs.append(run)
    return run


def _spec(function: pytest.Function, name: str, marking: Marking, num_examples: int) -> EvalSpec:
    return EvalSpec(
        name=name,
        env_id=name,
        path=function.path,
        line=(function.reportinfo()[1] or 0) + 1,
        num_examples=num_examples,
        rollouts_per_example=marking.rollouts,
        model=marking.model,
        max_concurrent=marking.max_concurrent,
        pass_threshold=marking.pass_threshold,
        pass_reward=marking.pass_reward,
        gates=marking.gates,
    )


def _name(nodeid: str, taken: set[str]) -> str:
    """Return what an eval is called: `test_cities.test_capital`, with its folders if need be."""
    path, *names = nodeid.split("::")
    folders = path.removesuffix(".py").split("/")
    short = ".".join([folders[-1], *names])
    return ".".join([*folders, *names]) if short in taken else short


def _place(function: pytest.Function) -> str:
    path, line, _ = function.reportinfo()
    return f"{path}:{(line or 0) + 1}"


def _rollout(
    collector: pytest.Collector, function: pytest.Function, run: Run, example: dict[str, Any]
) -> EvalFunction:
    own = dict(example)
    item = EvalFunction.from_parent(
        collector,
        run=run,
        example=own,
        rollout=surface.parameters(function)[ROLLOUT],
        **surface.made_of(function),
    )
    own[CALL] = item.call
    item.own_markers[:] = function.own_markers
    return item
