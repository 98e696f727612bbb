"""Rubric: the reward functions of an environment and their weights."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any

from ..lifecycle import call_handler, marked_methods
from ..parsers import Parser
from ..state import State
from .injection import GroupSource, RolloutSource, problems
from .reward_function import RewardFunc, RewardFunction, read_function
from .scoring import first_missing, leave_unmeasured, score_each, score_together
from .tally import RewardErrors, Tally, set_advantages


class Rubric:
    """Turns a finished rollout into a reward: the weighted sum of its reward functions.

    A reward function asks for what it needs by parameter name: `prompt`, `completion`, `answer`,
    `state`, `info`, `task`, `parser`, any object given to `add_class_object` (which wins where
    names clash) and any extra column of the dataset; `**kwargs` takes all of them. It may be async.
    One with a plural parameter (`states`, `prompts`, `completions`, `answers`, `tasks`, `infos`) or
    the return annotation `list[float]` is a group function: it gets the rollouts of one example
    together and returns one number for each.

    A function that raises, or that returns anything but a finite number, leaves the rollout without
    a reward and with a `RewardError` in `state["error"]`; it counts as 0.0 only where
    `reward_errors` says so. A function that raises an `InfraError` or a `ModelError` (a judge is
    down), or what `errors.is_outage` knows of other packages, leaves it unmeasured in either case.
    Of two functions with one name the second has the metric `name_2` (in verifiers the last one
    wins).

    `state["slow_calls"]` names the functions that kept the event loop busy for more than 0.1 s in
    one go, with the seconds; `state["reward_errors"]` has a line for each failure that became 0.0.
    Both are absent when there is nothing to say.

    Subclasses may mark methods with `@cleanup` and `@teardown`, and override `score_rollout`, or
    `score_group`, which then always gets whole groups.

    Args:
        funcs: the reward functions.
        weights: one per function; all 1.0 when empty.
        parser: what functions get as `parser`; a plain `Parser` when None.

    Attributes:
        funcs, weights: as given and added; both may be changed.
        parser: that parser.
        class_objects: objects that functions can ask for by name; add with `add_class_object`.
        logger: for subclasses.
    """

    def __init__(
        self,
        funcs: Iterable[RewardFunc] | None = None,
        weights: Iterable[float] | None = None,
        parser: Parser | None = None,
    ) -> None:
        self.logger = logging.getLogger(f"{type(self).__module__}.{type(self).__name__}")
        self.parser = parser or Parser()
        self.class_objects: dict[str, Any] = {"parser": self.parser}
        self.funcs: list[RewardFunc] = list(funcs or ())
        self.weights: list[float] = list(weights or ()) or [1.0] * len(self.funcs)
        self._reward_errors: RewardErrors = "broken"
        self._cleanups = marked_methods(self, "cleanup")
        self._teardowns = marked_methods(self, "teardown")
        # What `_functions` was read from.
        self._read: tuple[list[RewardFunc], list[float]] = ([], [])
        self._functions: list[RewardFunction] = []
        self._current()

    @property
    def reward_errors(self) -> RewardErrors:
        """What a mistake in a reward function means: the rollout is broken, or the score is 0.0."""
        return self._reward_errors

    @reward_errors.setter
    def reward_errors(self, meaning: RewardErrors) -> None:
        self._reward_errors = meaning

    @property
    def functions(self) -> list[RewardFunc]:
        """The reward functions, in order; of a group, those of all its rubrics."""
        return list(self.funcs)

    @property
    def metric_names(self) -> list[str]:
        """The metrics they fill."""
        return [function.metric for function in self._current()]

    @property
    def has_group_functions(self) -> bool:
        """Whether the rollouts of an example are scored together."""
        return self._scores_groups_itself or any(f.is_group for f in self._current())

    @property
    def cleans_up(self) -> bool:
        """Whether `cleanup` does anything: a method is marked, or a subclass has its own."""
        return bool(self._cleanups) or type(self).cleanup is not Rubric.cleanup

    @property
    def has_weighted_group_functions(self) -> bool:
        """Whether a reward needs all rollouts of its example."""
        return self._scores_groups_itself or any(f.is_group and f.weight for f in self._current())

    @property
    def gives_rewards(self) -> bool:
        """Whether a reward can be other than 0.0: a function has weight, or a subclass scores."""
        kind = type(self)
        scores_itself = kind.score_rollout is not Rubric.score_rollout or self._scores_groups_itself
        return scores_itself or any(function.weight for function in self._current())

    def add_reward_func(self, func: RewardFunc, weight: float = 1.0) -> None:
        """Add a reward function.

        Raises:
            TypeError: it cannot be called, or its parameters cannot be read.
            ValueError: the weight is not a finite number.
        """
        read_function(func, weight, ())
        self.funcs.append(func)
        self.weights.append(weight)

    def add_metric(self, func: RewardFunc, weight: float = 0.0) -> None:
        """Add a function that is reported and, with weight 0, leaves the reward alone."""
        self.add_reward_func(func, weight)

    def add_class_object(self, name: str, obj: Any) -> None:
        """Let reward functions ask for `obj` by `name`."""
        self.class_objects[name] = obj

    def parameter_problems(self, example: Mapping[str, Any]) -> list[str]:
        """Say which reward functions cannot be called for rollouts of `example`.

        Returns:
            For each parameter that nothing provides: the function, its place, the parameter, and
            what there is.
        """
        state = State(input=example)
        alone = RolloutSource(state, self.class_objects)
        group = GroupSource([state], self.class_objects)
        return [
            f"{function.described} {problem}"
            for function in self._current()
            for problem in problems(function.signature, group if function.is_group else alone)
        ]

    async def score_rollout(self, state: State) -> None:
        """Set the reward and metrics of one rollout, or its error.

        A rollout that already has an error stays unscored.

        Raises:
            ValueError: the rubric has group functions; use `score_group`.
        """
        if self.has_group_functions:
            raise ValueError("this rubric has group functions: score whole groups")
        await self._score([state], incomplete=False)

    async def score_group(self, states: Sequence[State], *, incomplete: bool = False) -> None:
        """Set reward, metrics and advantage (reward less the group's mean) of each rollout.

        Functions run in declared order, each one concurrently over the rollouts. A function that
        fails for one rollout leaves that one with an error; a group function that fails, all of
        them. A rollout that already has an error stays unscored.

        Part of a group cannot be judged. Where a rollout has an error already, or becomes
        unmeasured before a group function's turn, that function is left out when its weight is 0;
        otherwise it leaves the others with an `InfraError`.

        Args:
            states: the rollouts of one example.
            incomplete: other rollouts of the example are missing: group functions are left out as
                above.
        """
        await self._score(states, incomplete=incomplete)
        set_advantages(states)

    async def cleanup(self, state: State) -> None:
        """Call the methods marked with `@cleanup`, once a rollout was scored or will not be.

        They get what they name of the things that reward functions get.

        Raises:
            ExceptionGroup: some of them raised; all were called.
        """
        if not self._cleanups:
            return
        available = RolloutSource(state, self.class_objects).everything()
        calls = (call_handler(handler, available) for handler in self._cleanups)
        await run_all(f"cleanup of {type(self).__name__}", calls)

    async def teardown(self) -> None:
        """Call the methods marked with `@teardown`, after the last rollout.

        Raises:
            ExceptionGroup: some of them raised; all were called.
        """
        calls = (call_handler(handler, {}) for handler in self._teardowns)
        await run_all(f"teardown of {type(self).__name__}", calls)

    @property
    def _scores_groups_itself(self) -> bool:
        return type(self).score_group is not Rubric.score_group

    def _current(self) -> list[RewardFunction]:
        """Return the functions with their weights, read again when `funcs` or `weights` changed."""
        if self._read == (self.funcs, self.weights):
            return self._functions
        if len(self.funcs) != len(self.weights):
            raise ValueError(
                f"{type(self).__name__} got {len(self.funcs)} functions and"
                f" {len(self.weights)} weights; give one weight per function, or none"
            )
        functions: list[RewardFunction] = []
        for function, weight in zip(self.funcs, self.weights, strict=True):
            taken = [earlier.metric for earlier in functions]
            functions.append(read_function(function, weight, taken))
        self._functions = functions
        self._read = (list(self.funcs), list(self.weights))
        return functions

    async def _score(self, states: Sequence[State], *, incomplete: bool) -> None:
        """Set reward and metrics, or the error, of each rollout; `RubricGroup` has its own way."""
        tallies = [Tally(state, self.class_objects, self._reward_errors) for state in states]
        for function in self._current():
            scored = [tally for tally in tallies if tally.error is None]
            if not scored:
                break
            if not function.is_group:
                await score_each(function, scored)
                continue
            failed = first_missing(tallies)
            if not incomplete and failed is None:
                source = GroupSource(states, self.class_objects)
                await score_together(function, source, tallies)
            elif function.weight:
                leave_unmeasured(scored, function, failed)
        for tally in tallies:
            tally.settle()


async def run_all(what: str, calls: Iterable[Awaitable[Any]]) -> None:
    """Await each of the calls in turn, then raise what they raised as one `ExceptionGroup`.

    A BaseExceptionGroup where one of them was cancelled: the next one still has to let go of what
    it holds.
    """
    raised: list[BaseException] = []
    for call in calls:
        try:
            await call
        except (Exception, asyncio.CancelledError) as error:
            raised.append(error)
    if raised:
        raise BaseExceptionGroup(what, raised)
