"""The state of one rollout: what an environment fills and a rubric scores."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from .messages import Messages, Response, Usage
from .records import Record

# Columns of the example that are read and written through `state["input"]`.
INPUT_FIELDS = frozenset({"prompt", "answer", "info", "example_id"})


# Its own generator: whoever seeds the global one must not get the same ids in every run. uuid4
# asks the kernel each time, which costs more than the rest of the state.
_ids = random.Random()


@dataclass(slots=True)
class Span:
    """A stretch of time: epoch seconds."""

    start: float = 0.0
    end: float = 0.0

    @property
    def duration(self) -> float:
        """Seconds between start and end; 0.0 while it has not ended."""
        return max(0.0, self.end - self.start)


@dataclass(slots=True)
class Spans:
    """Several stretches of time, in the order they began."""

    spans: list[Span] = field(default_factory=list)

    @property
    def duration(self) -> float:
        """Seconds of all of them together."""
        return sum([span.duration for span in self.spans], 0.0)


@dataclass(slots=True)
class Timing:
    """Where the time of a rollout went; all epoch seconds."""

    start_time: float = field(default_factory=time.time)
    setup: Span = field(default_factory=Span)
    generation: Span = field(default_factory=Span)
    scoring: Span = field(default_factory=Span)
    model: Spans = field(default_factory=Spans)
    env: Spans = field(default_factory=Spans)

    @property
    def total(self) -> float:
        """Seconds from the start of generation to the end of scoring; 0.0 before that."""
        return max(0.0, self.scoring.end - self.generation.start) if self.scoring.end else 0.0

    @property
    def overhead(self) -> float:
        """Seconds of the total that belong to no phase."""
        phases = (self.setup, self.model, self.env, self.scoring)
        return self.total - sum([phase.duration for phase in phases]) if self.total else 0.0


class TrajectoryStep(Record):
    """One model call of a rollout.

    Fields: `prompt` (everything the model was sent), `completion` (its messages), `response`,
    `tokens`, `reward` and `advantage` (None until someone sets them), `is_truncated`,
    `trajectory_id` (of the rollout) and `extras` (the environment's own).
    """

    __slots__ = ()

    prompt: Messages
    completion: Messages
    response: Response
    reward: float | None
    advantage: float | None
    is_truncated: bool
    trajectory_id: str
    extras: dict[str, Any]

    def __init__(self, fields: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        super().__init__({**_STEP_DEFAULTS, "extras": {}, **(fields or {}), **more})


_STEP_DEFAULTS = {
    "tokens": None,
    "reward": None,
    "advantage": None,
    "is_truncated": False,
    "trajectory_id": "",
}


class UsageTracker:
    """Tokens that a rollout has used so far, as the servers counted them."""

    __slots__ = ("usage",)

    def __init__(self) -> None:
        self.usage: Usage | None = None  # None until any server counted any

    def add(self, usage: Usage) -> None:
        """Count one more model call."""
        self.usage = usage if self.usage is None else self.usage + usage


class State(dict[str, Any]):
    """A rollout while it runs: a dict, with the example's columns forwarded to `state["input"]`.

    `prompt`, `answer`, `info` and `example_id` are read from and written to `state["input"]` where
    that holds them; `usage` is counted anew each time it is read; every other key is the rollout's
    own.
    """

    __slots__ = ("__weakref__",)

    def __missing__(self, key: str) -> Any:
        # Not __getitem__, which would slow down every read of the keys that are not forwarded.
        if key in INPUT_FIELDS:
            example = super().get("input")
            if example is not None and key in example:
                return example[key]
        elif key == "usage":
            return self._usage_view()
        raise KeyError(key)

    def __setitem__(self, key: str, value: Any) -> None:
        if key in INPUT_FIELDS:
            example = super().get("input")
            if example is not None and key in example:
                example[key] = value
                return
        super().__setitem__(key, value)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or (
            key in INPUT_FIELDS and key in (super().get("input") or ())
        )

    def __delitem__(self, key: str) -> None:
        if super().__contains__(key) or key not in self:
            super().__delitem__(key)
        else:
            del super().__getitem__("input")[key]

    def __ior__(self, other: Any) -> Self:  # type: ignore[override,misc]
        self.update(other)
        return self

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, forwarded like `state[key]`, after setting an absent one."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *given: Any, **more: Any) -> None:
        """Set keys, each forwarded like `state[key] = ...`."""
        for key, value in dict(*given, **more).items():
            self[key] = value

    def pop(self, key: str, *default: Any) -> Any:
        """Remove `key`, forwarded like `state[key]`, and return what it held, or `default`."""
        if key not in self:
            return super().pop(key, *default)
        value = self[key]
        del self[key]
        return value

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, forwarded like `state[key]`, or `default`."""
        if key not in INPUT_FIELDS and key != "usage":
            return super().get(key, default)
        try:
            return self[key]
        except KeyError:
            return default

    @property
    def timing(self) -> Timing:
        """Where the time went."""
        timing: Timing = self["timing"]
        return timing

    @property
    def trajectory(self) -> list[TrajectoryStep]:
        """The model calls so far."""
        steps: list[TrajectoryStep] = self["trajectory"]
        return steps

    @property
    def usage(self) -> Usage | None:
        """Tokens over all model calls, or None when no server counted any.

        Those of `Environment.get_model_response`; in an environment that calls the client itself,
        those of the trajectory.
        """
        tracker: UsageTracker | None = super().get("usage_tracker")
        if tracker is not None and tracker.usage is not None:
            return tracker.usage
        total: Usage | None = None
        for step in self.trajectory:
            response = step.get("response")
            counted = None if response is None else response.usage
            if counted is not None:
                total = counted if total is None else total + counted
        return total

    def _usage_view(self) -> dict[str, float] | None:
        used = self.usage
        if used is None:
            return None
        return {
            "input_tokens": float(used.prompt_tokens),
            "output_tokens": float(used.completion_tokens),
        }

    def count(self, usage: Usage) -> None:
        """Add the tokens of one model call to the usage."""
        tracker: UsageTracker | None = super().get("usage_tracker")
        if tracker is None:  # in a state that the environment made itself
            tracker = self["usage_tracker"] = UsageTracker()
        tracker.add(usage)

    def add_step_reward(self, reward: float | None) -> None:
        """Add to the reward of the last step; None adds nothing.

        Raises:
            ValueError: there is no step yet.
        """
        if reward is None:
            return
        if not self.trajectory:
            raise ValueError("add_step_reward: the trajectory has no step yet")
        step = self.trajectory[-1]
        step["reward"] = float(step["reward"] or 0.0) + float(reward)

    def total_step_reward(self) -> float:
        """Return the sum of the rewards of the steps."""
        return sum([float(step["reward"] or 0.0) for step in self.trajectory], 0.0)

    def stop(self, condition: str) -> None:
        """End the rollout: complete, with `condition` as the reason; truncated if any step was."""
        self["is_completed"] = True
        self["stop_condition"] = condition
        if any(step.get("is_truncated") for step in self.trajectory):
            self["is_truncated"] = True


def new_state(
    example: Mapping[str, Any], *, client: Any, model: str, sampling_args: Mapping[str, Any]
) -> State:
    """Return the state of a rollout that is about to begin.

    Args:
        example: the row of the dataset; copied one level deep, so that a rollout that writes to
            its columns does not change those of its siblings.
        client: what the environment will call the model with.
        model: the model id to ask for.
        sampling_args: the request's other fields.
    """
    return State(
        input=dict(example),
        client=client,
        model=model,
        sampling_args=dict(sampling_args),
        trajectory_id=f"{_ids.getrandbits(128):032x}",
        is_completed=False,
        is_truncated=False,
        stop_condition=None,
        tool_defs=[],
        trajectory=[],
        usage_tracker=UsageTracker(),
        completion=None,
        final_env_response=None,
        reward=None,
        metrics=None,
        error=None,
        timing=Timing(),
    )
