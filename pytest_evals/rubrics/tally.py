"""Tally: the scores of one rollout while its rubric works through the reward functions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from ..errors import Error, RewardError
from ..state import State
from .injection import RolloutSource
from .reward_function import RewardFunction
from .slowness import SLOW, note_slow

# What becomes of a rollout whose reward function raised: broken, or that function's score is 0.0.
RewardErrors: TypeAlias = Literal["broken", "zero"]


class Tally:
    """The scores of one rollout so far.

    Args:
        state: the rollout; an error in it is kept.
        objects: what reward functions can ask for besides the rollout's own fields.
        reward_errors: what a mistake in a reward function means.

    Attributes:
        source: the arguments for reward functions.
        error: what leaves the rollout without a reward; None so far.
    """

    __slots__ = (
        "_metrics", "_mistakes", "_reward", "_reward_errors", "_slow",
        "error", "source", "state",
    )  # fmt: skip

    def __init__(
        self, state: State, objects: Mapping[str, Any], reward_errors: RewardErrors
    ) -> None:
        self.state = state
        self.source = RolloutSource(state, objects)
        self.error: BaseException | None = state.get("error")
        self._metrics: dict[str, float] = {}
        self._reward = 0.0
        self._reward_errors = reward_errors
        self._mistakes: list[str] = []
        self._slow: dict[str, float] = {}

    def add(self, function: RewardFunction, score: float) -> None:
        """Count the score that a function gave the rollout."""
        self._metrics[function.metric] = score
        self._reward += function.weight * score

    def fail(self, function: RewardFunction, error: Error) -> None:
        """Note that a function failed on the rollout."""
        is_zero = self._reward_errors == "zero"
        if is_zero and isinstance(error, RewardError) and error.may_be_zero:
            self._mistakes.append(mistake_in(error))
            self.add(function, 0.0)
        else:
            self.error = error

    def took(self, function: RewardFunction, seconds: float) -> None:
        """Note how long a function kept the event loop busy in one go."""
        if seconds > SLOW:
            self._slow[function.name] = max(seconds, self._slow.get(function.name, 0.0))

    def settle(self) -> None:
        """Put what was counted into the state."""
        if self.error is None and not math.isfinite(self._reward):
            self.error = RewardError("the weighted sum", f"is {self._reward}, not a finite number")
        state = self.state
        state["error"] = self.error
        state["reward"] = self._reward if self.error is None else None
        state["metrics"] = self._metrics if self.error is None else None
        # Kept across the rubrics of a group.
        if self._mistakes:
            state.setdefault("reward_errors", []).extend(self._mistakes)
        for name, seconds in self._slow.items():
            note_slow(state, f"reward function {name!r}", seconds)


def mistake_in(error: RewardError) -> str:
    """Return a mistake that counts as 0.0 as a line: the function, a colon, what went wrong."""
    reason = " ".join(error.reason.removeprefix("raised ").split())
    return f"{error.function}: {reason}"


def set_advantages(states: Sequence[State]) -> None:
    """Set `advantage`, the reward less the group's mean, of each rollout that has a reward.

    Steps of its trajectory without a reward or an advantage of their own get the rollout's.
    """
    scored = [state for state in states if state["reward"] is not None]
    if not scored:
        return
    mean = sum(state["reward"] for state in scored) / len(scored)
    for state in scored:
        state["advantage"] = state["reward"] - mean
        for step in state.trajectory:
            for field in ("reward", "advantage"):
                if step.get(field) is None:
                    step[field] = state[field]
