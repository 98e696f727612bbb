"""Rubric: the reward functions of an environment and their weights."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import RewardError, one_line
from ..parsers import Parser
from ..state import State
from .injection import GroupSource, RolloutSource, Signature, Source, bind, read_signature

# One rollout: returns a number or an awaitable of one. A group: a list of them, one per rollout.
RewardFunc: TypeAlias = Callable[..., Any]

# What user code may raise that says nothing about the user's code.
_PASS_ON = (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit)


@dataclass(frozen=True, slots=True)
class _Function:
    call: RewardFunc
    weight: float
    metric: str
    signature: Signature


class Rubric:
    """Turns a finished rollout into a reward: the weighted sum of its reward functions.

    A reward function asks for what it needs by parameter name: `prompt`, `completion`, `answer`,
    `state`, `info`, `task`, `parser`, any object given to `add_class_object` (which wins where
    names clash) and any extra column of the dataset; `**kwargs` takes all of them. It may be async.
    One with a plural parameter (`states`, `prompts`, `completions`, `answers`, `tasks`, `infos`) or
    the return annotation `list[float]` is a group function: it gets the rollouts of one example
    together and returns one number for each.

    A function that raises, or that returns anything but a finite number, leaves the rollout without
    a reward and with a `RewardError` in `state["error"]`; it never counts as 0.0. Of two functions
    with one name the second has the metric `name_2` (in verifiers the last one wins).

    Args:
        funcs: the reward functions.
        weights: one per function; all 1.0 when empty.
        parser: what functions get as `parser`; a plain `Parser` when None.

    Attributes:
        parser: that parser.
        class_objects: objects that functions can ask for by name; add with `add_class_object`.
    """

    def __init__(
        self,
        funcs: Iterable[RewardFunc] | None = None,
        weights: Iterable[float] | None = None,
        parser: Parser | None = None,
    ) -> None:
        self.parser = parser or Parser()
        self.class_objects: dict[str, Any] = {"parser": self.parser}
        self._functions: list[_Function] = []
        functions, factors = list(funcs or ()), list(weights or ())
        if factors and len(factors) != len(functions):
            raise ValueError(
                f"Rubric got {len(functions)} functions and {len(factors)} weights; "
                "give one weight per function, or none"
            )
        for function, weight in zip(functions, factors or [1.0] * len(functions), strict=True):
            self.add_reward_func(function, weight)

    @property
    def functions(self) -> list[RewardFunc]:
        """The reward functions, in the order they were added."""
        return [function.call for function in self._functions]

    @property
    def weights(self) -> list[float]:
        """Their weights."""
        return [function.weight for function in self._functions]

    @property
    def metric_names(self) -> list[str]:
        """The metric each of them fills."""
        return [function.metric for function in self._functions]

    @property
    def has_group_functions(self) -> bool:
        """Whether a reward needs all rollouts of its example."""
        return any(function.signature.is_group for function in self._functions)

    def add_reward_func(self, func: RewardFunc, weight: float = 1.0) -> None:
        """Add a reward function.

        Raises:
            TypeError: it cannot be called, or its parameters cannot be read.
            ValueError: the weight is not a finite number.
        """
        signature = read_signature(func)
        if not math.isfinite(weight):
            raise ValueError(f"the weight of reward function {signature.name!r} is {weight}")
        metric = _free_name(signature.name, self.metric_names)
        self._functions.append(_Function(func, weight, metric, signature))

    def add_metric(self, func: RewardFunc, weight: float = 0.0) -> None:
        """Add a function that is reported and, with weight 0, leaves the reward alone."""
        self.add_reward_func(func, weight)

    def add_class_object(self, name: str, obj: Any) -> None:
        """Let reward functions ask for `obj` by `name`."""
        self.class_objects[name] = obj

    async def score_rollout(self, state: State) -> None:
        """Set the reward and metrics of one rollout, or its error.

        A rollout that already has an error stays unscored.

        Raises:
            ValueError: the rubric has group functions; use `score_group`.
        """
        if self.has_group_functions:
            raise ValueError("this rubric has group functions: score whole groups")
        tally = _Tally(state, self.class_objects)
        for function in self._functions:
            if tally.error is not None:
                break
            await _score_each(function, (tally,))
        tally.settle()

    async def score_group(self, states: Sequence[State]) -> None:
        """Set reward, metrics and advantage (reward less the group's mean) of each rollout.

        Functions run in declared order, each one concurrently over the rollouts. A function that
        fails for one rollout leaves that one with an error; a group function that fails, all of
        them. A rollout that already has an error stays unscored, and group functions then leave
        the others with an error of the same kind: part of a group cannot be judged.
        """
        tallies = [_Tally(state, self.class_objects) for state in states]
        unfinished = next((tally.error for tally in tallies if tally.error is not None), None)
        for function in self._functions:
            scored = [tally for tally in tallies if tally.error is None]
            if not scored:
                break
            if not function.signature.is_group:
                await _score_each(function, scored)
            elif unfinished is not None:
                _fail(scored, _incomplete(function, unfinished))
            else:
                await _score_together(function, states, scored, tallies, self.class_objects)
        for tally in tallies:
            tally.settle()
        _set_advantages(states)


class _Tally:
    """The scores of one rollout so far."""

    __slots__ = ("error", "metrics", "reward", "source", "state")

    def __init__(self, state: State, objects: Mapping[str, Any]) -> None:
        self.state = state
        self.source = RolloutSource(state, objects)
        self.metrics: dict[str, float] = {}
        self.reward = 0.0
        self.error: BaseException | None = state.get("error")

    def add(self, function: _Function, returned: Any) -> None:
        score = _number(function, returned)
        self.metrics[function.metric] = score
        self.reward += function.weight * score

    def settle(self) -> None:
        if self.error is None and not math.isfinite(self.reward):
            self.error = RewardError("the weighted sum", f"is {self.reward}, not a finite number")
        self.state["error"] = self.error
        self.state["reward"] = self.reward if self.error is None else None
        self.state["metrics"] = self.metrics if self.error is None else None


async def _score_each(function: _Function, tallies: Iterable[_Tally]) -> None:
    waiting: list[Awaitable[None]] = []
    for tally in tallies:
        try:
            returned = _call(function, tally.source)
            if type(returned) is not float and inspect.isawaitable(returned):
                waiting.append(_score_later(function, tally, returned))
            else:
                tally.add(function, returned)
        except _PASS_ON:
            raise
        except BaseException as error:  # sys.exit() in a reward function must not end the loop
            tally.error = _reward_error(function, error)
    if len(waiting) == 1:
        await waiting[0]
    elif waiting:
        await asyncio.gather(*waiting)


async def _score_later(function: _Function, tally: _Tally, returned: Awaitable[Any]) -> None:
    try:
        tally.add(function, await returned)
    except _PASS_ON:
        raise
    except BaseException as error:
        tally.error = _reward_error(function, error)


async def _score_together(
    function: _Function,
    states: Sequence[State],
    scored: Sequence[_Tally],
    tallies: Sequence[_Tally],
    objects: Mapping[str, Any],
) -> None:
    try:
        returned = _call(function, GroupSource(states, objects))
        if inspect.isawaitable(returned):
            returned = await returned
        scores = _numbers(function, returned, len(states))
    except _PASS_ON:
        raise
    except BaseException as error:
        _fail(scored, _reward_error(function, error))
        return
    for tally, score in zip(tallies, scores, strict=True):
        if tally.error is None:
            tally.add(function, score)


def _call(function: _Function, source: Source) -> Any:
    positional, named = bind(function.signature, source)
    return function.call(*positional, **named)


def _number(function: _Function, returned: Any) -> float:
    number = returned if type(returned) is float else _as_float(returned)
    if number is None:
        shown = repr(returned)
        shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
        kind = "" if returned is None else f" ({type(returned).__name__})"
        raise RewardError(function.signature.name, f"returned {shown}{kind}, not a number")
    if not math.isfinite(number):
        raise RewardError(function.signature.name, f"returned {number}, not a finite number")
    return number


def _as_float(returned: Any) -> float | None:
    # Python's own str has no __float__, numpy's has: a reward in words is a mistake in both.
    if isinstance(returned, str | bytes) or not hasattr(returned, "__float__"):
        return None
    try:
        return float(returned)
    except (TypeError, ValueError, OverflowError):
        return None


def _numbers(function: _Function, returned: Any, count: int) -> list[float]:
    if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
        raise RewardError(
            function.signature.name,
            f"returned a {type(returned).__name__}, not a list of one number per rollout",
        )
    scores = [_number(function, value) for value in returned]
    if len(scores) != count:
        raise RewardError(
            function.signature.name, f"returned {len(scores)} numbers for {count} rollouts"
        )
    return scores


def _reward_error(function: _Function, error: BaseException) -> RewardError:
    if isinstance(error, RewardError):
        return error
    wrapped = RewardError(function.signature.name, f"raised {one_line(error)}")
    wrapped.__cause__ = error
    return wrapped


def _incomplete(function: _Function, cause: BaseException) -> RewardError:
    error = RewardError(
        function.signature.name,
        f"needs every rollout of the group, and one ended in {one_line(cause)}",
    )
    error.__cause__ = cause
    return error


def _fail(tallies: Iterable[_Tally], error: RewardError) -> None:
    for tally in tallies:
        tally.error = error


def _set_advantages(states: Sequence[State]) -> None:
    scored = [state for state in states if state["reward"] is not None]
    if not scored:
        return
    mean = sum(state["reward"] for state in scored) / len(scored)
    for state in scored:
        state["advantage"] = state["reward"] - mean
        for step in state.trajectory:
            if step.reward is None:
                step.reward = state["reward"]


def _free_name(name: str, taken: Sequence[str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free
