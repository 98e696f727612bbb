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
    lines = []
    for argument in arguments:
        near = get_close_matches(argument, known, n=1, cutoff=_NEAR)
        if near:
            lines.append(
                f"{kind.__name__} has no argument {argument!r}, which only became an attribute"
                f" (did you mean {near[0]!r}?)"
            )
    return lines
