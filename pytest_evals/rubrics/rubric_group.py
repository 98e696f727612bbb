"""RubricGroup: several rubrics as one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import RewardError
from ..parsers import Parser
from ..state import State
from .reward_function import RewardFunc, scoring_error
from .rubric import Rubric, run_all
from .scoring import PASS_ON
from .tally import RewardErrors


class RubricGroup(Rubric):
    """Scores a rollout with each of its rubrics: rewards, and metrics of one name, are summed.

    Each rubric keeps its own parser and class objects. A rollout that one of them leaves with an
    error has no reward. Groups may nest; a rubric without functions adds nothing. Functions added
    to the group go to the first rubric, class objects to all.

    Args:
        rubrics: at least one.
        parser: what the group shows as its parser; the first rubric's when None.

    Attributes:
        rubrics: as given.

    Raises:
        ValueError: there are no rubrics.
    """

    def __init__(self, rubrics: Iterable[Rubric], parser: Parser | None = None) -> None:
        self.rubrics = list(rubrics)
        if not self.rubrics:
            raise ValueError("RubricGroup needs at least one rubric")
        super().__init__(parser=parser or self.rubrics[0].parser)

    @property
    def reward_errors(self) -> RewardErrors:
        """What a mistake in a reward function means; set for all rubrics of the group."""
        return self._reward_errors

    @reward_errors.setter
    def reward_errors(self, meaning: RewardErrors) -> None:
        self._reward_errors = meaning
        for rubric in self.rubrics:
            rubric.reward_errors = meaning

    @property
    def functions(self) -> list[RewardFunc]:
        """The reward functions of all rubrics, in order."""
        return [function for rubric in self.rubrics for function in rubric.functions]

    @property
    def metric_names(self) -> list[str]:
        """The metrics that any of the rubrics fills."""
        names = (name for rubric in self.rubrics for name in rubric.metric_names)
        return list(dict.fromkeys(names))

    @property
    def has_group_functions(self) -> bool:
        """Whether the rollouts of an example are scored together."""
        return self._scores_groups_itself or any(
            rubric.has_group_functions for rubric in self.rubrics
        )

    @property
    def cleans_up(self) -> bool:
        """Whether `cleanup` does anything, in any of the rubrics."""
        if self._cleanups or type(self).cleanup is not RubricGroup.cleanup:
            return True
        return any(getattr(rubric, "cleans_up", True) for rubric in self.rubrics)

    @property
    def has_weighted_group_functions(self) -> bool:
        """Whether a reward needs all rollouts of its example."""
        return self._scores_groups_itself or any(
            rubric.has_weighted_group_functions for rubric in self.rubrics
        )

    @property
    def gives_rewards(self) -> bool:
        """Whether a reward can be other than 0.0."""
        return super().gives_rewards or any(rubric.gives_rewards for rubric in self.rubrics)

    def add_reward_func(self, func: RewardFunc, weight: float = 1.0) -> None:
        """Add a reward function to the first rubric."""
        self.rubrics[0].add_reward_func(func, weight)

    def add_class_object(self, name: str, obj: Any) -> None:
        """Let the reward functions of every rubric ask for `obj` by `name`."""
        super().add_class_object(name, obj)
        for rubric in self.rubrics:
            rubric.add_class_object(name, obj)

    def parameter_problems(self, example: Mapping[str, Any]) -> list[str]:
        """Say which reward functions of any rubric cannot be called for `example`."""
        return [text for rubric in self.rubrics for text in rubric.parameter_problems(example)]

    async def cleanup(self, state: State) -> None:
        """Clean up after a rollout, in each rubric; see `Rubric.cleanup`."""
        cleanups = [super().cleanup, *(rubric.cleanup for rubric in self.rubrics)]
        await _run_each(f"cleanup of {type(self).__name__}", (each(state) for each in cleanups))

    async def teardown(self) -> None:
        """Tear down each rubric; see `Rubric.teardown`."""
        teardowns = [super().teardown, *(rubric.teardown for rubric in self.rubrics)]
        await _run_each(f"teardown of {type(self).__name__}", (each() for each in teardowns))

    async def _score(self, states: Sequence[State], *, incomplete: bool) -> None:
        sums = [0.0] * len(states)
        metrics: list[dict[str, float]] = [{} for _ in states]
        for rubric in self.rubrics:
            for state in states:
                # Past the forwarding of columns, which these are not.
                dict.update(state, reward=None, metrics={})
            try:
                await _scoring(rubric, states, incomplete)
            except PASS_ON:
                raise
            except BaseException as error:
                _fail(rubric, states, error)
            for place, state in enumerate(states):
                if state["error"] is None:
                    sums[place] += _reward_of(rubric, state)
                    _add_metrics(metrics[place], rubric, state)
        for state, reward, summed in zip(states, sums, metrics, strict=True):
            if state["error"] is None and not math.isfinite(reward):
                state["error"] = RewardError("the sum", f"is {reward}, not a finite number")
            if state["error"] is None:
                dict.update(state, reward=reward, metrics=summed)
            else:
                dict.update(state, reward=None, metrics=None)


def _scoring(rubric: Rubric, states: Sequence[State], incomplete: bool) -> Awaitable[Any]:
    """Begin to score rollouts with one rubric of a group, as if it stood alone."""
    kind = type(rubric)
    scores_rollouts_itself = kind.score_rollout is not Rubric.score_rollout
    if kind.score_group is not Rubric.score_group:
        # Subclasses need not know of incomplete groups.
        how = {"incomplete": True} if incomplete else {}
        return rubric.score_group(states, **how)
    if scores_rollouts_itself and not rubric.has_group_functions:
        return asyncio.gather(*[_score_one(rubric, state) for state in states])
    # Not through score_group(): the steps' rewards and advantages are those of the sums.
    return rubric._score(states, incomplete=incomplete)


async def _score_one(rubric: Rubric, state: State) -> None:
    try:
        await rubric.score_rollout(state)
    except PASS_ON:
        raise
    except BaseException as error:
        _fail(rubric, [state], error)


def _fail(rubric: Rubric, states: Sequence[State], error: BaseException) -> None:
    """Leave rollouts with what a subclass raised, unless it tripped over an earlier error."""
    failure = scoring_error(type(rubric).__name__, error)
    for state in states:
        state["error"] = state.get("error") or failure


def _reward_of(rubric: Rubric, state: State) -> float:
    """Return the reward that a rubric left in the state; 0.0 and an error when it is none."""
    reward = state["reward"]
    try:
        if math.isfinite(reward):
            return float(reward)
    except (TypeError, ValueError, OverflowError):
        pass
    state["error"] = RewardError(
        type(rubric).__name__, f"left the reward {reward!r}, not a finite number"
    )
    return 0.0


def _add_metrics(sums: dict[str, float], rubric: Rubric, state: State) -> None:
    """Add the metrics that a rubric left in the state, or leave an error where they are none."""
    metrics = state["metrics"]
    try:
        for name, value in (metrics or {}).items():
            sums[name] = sums.get(name, 0.0) + value
    except (AttributeError, TypeError):
        state["error"] = RewardError(
            type(rubric).__name__, f"left the metrics {metrics!r}, not numbers by name"
        )


async def _run_each(what: str, calls: Iterable[Awaitable[None]]) -> None:
    """Do what `run_all` does; what a single rubric raised is raised as it is."""
    try:
        await run_all(what, calls)
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) == 1:
            raise failures.exceptions[0] from None
        raise
