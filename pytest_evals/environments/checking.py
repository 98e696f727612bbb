"""Checking: what of an environment would be found out only after the model was paid."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from ..errors import SetupError

if TYPE_CHECKING:
    from ..rubrics.rubric import Rubric
    from .environment import Environment

# A name as near as `rubrik` to `rubric`; `max_tokens` is none to `max_turns`.
_NEAR = 0.8


def check_parameters(name: str, rubric: Rubric, example: Mapping[str, Any]) -> None:
    """Refuse a rubric that could not be called.

    Args:
        name: the environment's.
        rubric: scores `example`.
        example: whose columns there are.

    Raises:
        SetupError: a reward function asks for what nothing provides; says what there is.
    """
    ask = getattr(rubric, "parameter_problems", None)
    problems: list[str] = [] if ask is None else ask(example)
    if problems:
        raise SetupError(f"the rubric of environment {name!r} cannot score: {'; '.join(problems)}")


def warnings_of(environment: Environment, rubrics: Iterable[Rubric]) -> Iterator[str]:
    """Yield a line for each thing that is probably not meant.

    Args:
        environment: what will be rolled out.
        rubrics: those of its examples.
    """
    yield from getattr(environment, "setup_warnings", ())
    for member in getattr(environment, "envs", ()):
        yield from warnings_of(member, ())
    is_scored = getattr(environment, "score_rollouts", True)
    if is_scored and not all(getattr(rubric, "gives_rewards", True) for rubric in rubrics):
        yield "the rubric has no reward function: every reward is 0.0"


def misspelt(environment: Environment, arguments: Iterable[str]) -> list[str]:
    """Return a line for each unknown argument that is nearly a known one.

    Args:
        environment: what they were given to, which set them as attributes.
        arguments: the unknown ones.
    """
    kind = type(environment)
    known = {
        name
        for base in kind.__mro__
        if "__init__" in vars(base)
        for name in inspect.signature(vars(base)["__init__"]).parameters
    }
    return [
        f"{kind.__name__} has no argument {argument!r}, which only became an attribute"
        f" (did you mean {near!r}?)"
        for argument, near in _near(arguments, known)
    ]


def misspelt_settings(environment: Environment, settings: Iterable[str]) -> list[str]:
    """Return a line for each setting that is no attribute of an environment, but nearly one.

    Any other that is none may be invented: `set_kwargs` sets what it is given.

    Args:
        environment: what they are about to be given to.
        settings: their names.
    """
    parts = list(_parts(environment))
    unknown = [
        name
        for name in settings
        if not any(hasattr(part, name) or hasattr(part, f"set_{name}") for part in parts)
    ]
    known = {name for part in parts for name in _settable(part)} if unknown else set()
    return [
        f"{type(environment).__name__} has no attribute {name!r} that extra_env_kwargs could"
        f" change; it was added (did you mean {near!r}?)"
        for name, near in _near(unknown, known)
    ]


def _near(names: Iterable[str], known: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        for near in get_close_matches(name, sorted(known), n=1, cutoff=_NEAR):
            yield name, near


def _parts(environment: Any) -> Iterator[Any]:
    """Yield an environment, those of a group, and the one of a package that is behind it."""
    yield environment
    for part in getattr(environment, "envs", ()):
        yield from _parts(part)
    if hasattr(environment, "original"):
        yield from _parts(environment.original)


def _settable(part: object) -> Iterator[str]:
    for name in dir(part):
        if name.startswith("set_"):
            yield name.removeprefix("set_")
        elif not name.startswith("_") and not callable(getattr(type(part), name, None)):
            yield name
