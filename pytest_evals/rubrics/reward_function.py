"""RewardFunction: one function of a rubric, how it is called and what it may return."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import (
    Error,
    InfraError,
    JudgeError,
    ModelError,
    RewardError,
    causes_of,
    one_line,
    outcome_of,
)
from ..places import place_in, place_of
from .injection import Signature, Source, bind, read_signature

# One rollout: returns a number or an awaitable of one. A group: a list of them, one per rollout.
RewardFunc: TypeAlias = Callable[..., Any]

# What `signal.signal` says; math-verify raises an error of its own from it.
_OF_SIGNALS = "signal only works in main thread"
_IN_A_THREAD = (
    "rollouts do not run in the main thread, so time limits by signals do not work: use MathRubric,"
    " call math_verify with parsing_timeout=None and timeout_seconds=None, or run with"
    " --evals-sequential"
)


@dataclass(frozen=True, slots=True)
class RewardFunction:
    """A reward function in a rubric.

    Attributes:
        function: the user's.
        weight: its factor in the reward.
        metric: the metric it fills.
        signature: what it asks for.
    """

    function: RewardFunc
    weight: float
    metric: str
    signature: Signature

    @property
    def name(self) -> str:
        """The function's own name."""
        return self.signature.name

    @property
    def described(self) -> str:
        """The function as messages name it, with its place."""
        place = place_of(self.function)
        return f"{self.name}() at {place}" if place else f"{self.name}()"

    @property
    def is_group(self) -> bool:
        """Whether it scores the rollouts of an example together."""
        return self.signature.is_group

    def call(self, source: Source) -> Any:
        """Call the function with what it asks for; what it returns may have to be awaited."""
        positional, named = bind(self.signature, source)
        return self.function(*positional, **named)

    def number(self, returned: Any) -> float:
        """Return the score of one rollout.

        Raises:
            RewardError: the function returned something else than a finite number.
        """
        number = returned if type(returned) is float else _as_float(returned)
        if number is None:
            shown = repr(returned)
            shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
            kind = "" if returned is None else f" ({type(returned).__name__})"
            raise self._returned(f"{shown}{kind}, not a number")
        if not math.isfinite(number):
            raise self._returned(f"{number}, not a finite number")
        return number

    def numbers(self, returned: Any, count: int) -> list[float]:
        """Return the scores of a group of `count` rollouts.

        Raises:
            RewardError: the function returned something else than that many finite numbers.
        """
        if isinstance(returned, str | bytes | Mapping) or not isinstance(returned, Iterable):
            kind = type(returned).__name__
            raise self._returned(f"a {kind}, not a list of one number per rollout")
        scores = [self.number(value) for value in returned]
        if len(scores) != count:
            raise self._returned(f"{len(scores)} numbers for {count} rollouts")
        return scores

    def _returned(self, what: str) -> RewardError:
        return RewardError(self.name, f"returned {what}{_at(place_of(self.function))}")

    def failed(self, error: BaseException) -> Error:
        """Return what a rollout ends in for which the function raised `error`."""
        return scoring_error(self.name, error, self.function)


def read_function(function: RewardFunc, weight: float, taken: Iterable[str]) -> RewardFunction:
    """Return `function` with its weight, and a metric whose name is not among `taken`.

    Raises:
        TypeError: it cannot be called, or its parameters cannot be read.
        ValueError: the weight is not a finite number.
    """
    signature = read_signature(function)
    if not math.isfinite(weight):
        raise ValueError(f"the weight of reward function {signature.name!r} is {weight}")
    return RewardFunction(function, weight, _free_name(signature.name, set(taken)), signature)


def scoring_error(name: str, error: BaseException, function: RewardFunc | None = None) -> Error:
    """Return what a rollout ends in whose reward function `name` raised `error`.

    A failure of a judge, a sandbox or a model is that rollout's error: nobody knows its reward.
    Anything else is a mistake in the function. It is none that may count as 0.0 where the function
    cannot run beside others: the answer had no chance.

    Args:
        name: as messages call it.
        error: what it raised.
        function: itself, where it is one: messages name the line in it.
    """
    if isinstance(error, RewardError | ModelError | InfraError):
        return error
    wrapped: Error
    if outcome_of(error) == "unmeasured":
        wrapped = JudgeError(f"reward function {name!r} could not ask: {one_line(error)}")
    elif any(map(_needs_main_thread, causes_of(error))):
        wrapped = RewardError(name, f"raised {one_line(error)}; {_IN_A_THREAD}", may_be_zero=False)
    else:
        at = _at(place_in(error, function))
        wrapped = RewardError(name, f"raised {one_line(error)}{at}{_hint(error)}")
    wrapped.__cause__ = error
    return wrapped


def _at(place: str) -> str:
    return f" ({place})" if place else ""


def _needs_main_thread(error: BaseException) -> bool:
    """Whether code used signals, which Python allows in the main thread alone."""
    return type(error) is ValueError and str(error).startswith(_OF_SIGNALS)


def _hint(error: BaseException) -> str:
    if isinstance(error, ModuleNotFoundError) and (error.name or "").startswith("verifiers"):
        return "; import it at the top of the environment's module, or write pytest_evals instead"
    return ""


def _as_float(returned: Any) -> float | None:
    # Python's own str has no __float__, numpy's has: a reward in words is a mistake in both.
    if isinstance(returned, str | bytes) or not hasattr(returned, "__float__"):
        return None
    try:
        return float(returned)
    except (TypeError, ValueError, OverflowError):
        return None


def _free_name(name: str, taken: set[str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free
