"""RoutingRubric: the rubric of a group of environments scores with the rubric of the member."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ..rubrics.reward_function import RewardFunc
from ..rubrics.rubric import Rubric
from ..rubrics.tally import RewardErrors
from ..state import State

RubricOf: TypeAlias = Callable[[Mapping[str, Any]], Rubric]


class RoutingRubric(Rubric):
    """Scores each rollout with the rubric of the environment that it was rolled out in.

    What is added goes to the rubric of every member.

    Args:
        members: returns the rubrics of the members as they are now.
        rubric_of: returns the rubric of an example.
    """

    def __init__(self, members: Callable[[], list[Rubric]], rubric_of: RubricOf) -> None:
        self._members = members
        self._rubric_of = rubric_of
        super().__init__()

    @property
    def reward_errors(self) -> RewardErrors:
        """What a mistake in a reward function means; set for the rubrics of all members."""
        return self._reward_errors

    @reward_errors.setter
    def reward_errors(self, meaning: RewardErrors) -> None:
        self._reward_errors = meaning
        for rubric in self._members():
            rubric.reward_errors = meaning

    @property
    def functions(self) -> list[RewardFunc]:
        """The reward functions of all members."""
        return [function for rubric in self._members() for function in rubric.functions]

    @property
    def metric_names(self) -> list[str]:
        """The metrics that any member fills."""
        names = (name for rubric in self._members() for name in rubric.metric_names)
        return list(dict.fromkeys(names))

    @property
    def has_group_functions(self) -> bool:
        """Whether any member scores the rollouts of an example together."""
        return any(rubric.has_group_functions for rubric in self._members())

    @property
    def has_weighted_group_functions(self) -> bool:
        """Whether a reward of any member needs all rollouts of its example."""
        return any(rubric.has_weighted_group_functions for rubric in self._members())

    @property
    def gives_rewards(self) -> bool:
        """Whether a reward of any member can be other than 0.0."""
        return any(rubric.gives_rewards for rubric in self._members())

    def add_reward_func(self, func: RewardFunc, weight: float = 1.0) -> None:
        """Add a reward function to the rubric of every member."""
        for rubric in self._members():
            rubric.add_reward_func(func, weight)

    def add_class_object(self, name: str, obj: Any) -> None:
        """Let the reward functions of every member ask for `obj` by `name`."""
        for rubric in self._members():
            rubric.add_class_object(name, obj)

    def parameter_problems(self, example: Mapping[str, Any]) -> list[str]:
        """Say which reward functions of the example's member cannot be called."""
        return self._rubric_of(example).parameter_problems(example)

    async def score_rollout(self, state: State) -> None:
        """Score a rollout with the rubric of its member; see `Rubric.score_rollout`."""
        await self._rubric_of(state["input"]).score_rollout(state)

    async def score_group(self, states: Sequence[State], *, incomplete: bool = False) -> None:
        """Score the rollouts of one example with the rubric of its member."""
        rubric = self._rubric_of(states[0]["input"])
        # Subclasses need not know of incomplete groups.
        await rubric.score_group(states, **({"incomplete": True} if incomplete else {}))

    async def cleanup(self, state: State) -> None:
        """Clean up after a rollout with the rubric of its member."""
        await self._rubric_of(state["input"]).cleanup(state)
