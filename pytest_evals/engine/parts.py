"""Parts: the rubric and the parser of an example, also of an environment that has one of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def rubric_of(environment: Any, example: Mapping[str, Any]) -> Any:
    """Return the rubric that scores rollouts of `example`."""
    choose = getattr(environment, "rubric_of", None)
    return environment.rubric if choose is None else choose(example)


def parser_of(environment: Any, example: Mapping[str, Any]) -> Any:
    """Return the parser that finds the answer in a completion of `example`."""
    choose = getattr(environment, "parser_of", None)
    return environment.parser if choose is None else choose(example)


def show_to_rubric(environment: Any, state: Any) -> None:
    """Give a rollout that is about to be scored the form in which its rubric knows it."""
    show = getattr(environment, "show_to_rubric", None)
    if show is not None:
        show(state)


def scores_groups(environment: Any, example: Mapping[str, Any]) -> bool:
    """Whether the rollouts of `example` are scored together."""
    if not getattr(environment, "score_rollouts", True):
        return False
    return bool(rubric_of(environment, example).has_group_functions)


def needs_whole_groups(rubric: Any) -> bool:
    """Whether a reward of the rubric means nothing when rollouts of its group are absent."""
    return bool(getattr(rubric, "has_weighted_group_functions", rubric.has_group_functions))
