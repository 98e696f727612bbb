"""The state of one rollout: what an environment fills and a rubric scores."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .messages import Messages, Response, Usage

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
class Timing:
    """Where the time of a rollout went; all epoch seconds."""

    start_time: float = field(default_factory=time.time)
    setup: Span = field(default_factory=Span)
    generation: Span = field(default_factory=Span)
    scoring: Span = field(default_factory=Span)
    model: list[Span] = field(default_factory=list)
    env: list[Span] = field(default_factory=list)


@dataclass(slots=True)
class TrajectoryStep:
    """One model call of a rollout."""

    prompt: Messages
    completion: Messages
    response: Response
    is_truncated: bool = False
    reward: float | None = None
    extras: dict[str, Any] = field(default_factory=dict)


class State(dict[str, Any]):
    """A rollout while it runs: a dict, with the example's columns forwarded to `state["input"]`.

    `prompt`, `answer`, `info` and `example_id` are read from and written to `state["input"]` where
    that holds them; every other key is the rollout's own.
    """

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        if key in INPUT_FIELDS:
            example = super().get("input")
            if example is not None and key in example:
                return example[key]
        return super().__getitem__(key)

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

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key`, forwarded like `state[key]`, or `default`."""
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
        """Tokens over all model calls, or None when the server counted none."""
        counted = [step.response.usage for step in self.trajectory if step.response.usage]
        if not counted:
            return None
        return Usage(
            prompt_tokens=sum(usage.prompt_tokens for usage in counted),
            completion_tokens=sum(usage.completion_tokens for usage in counted),
            reasoning_tokens=sum(usage.reasoning_tokens for usage in counted),
        )

    def stop(self, condition: str) -> None:
        """End the rollout: complete, with `condition` as the reason; truncated if any step was."""
        self["is_completed"] = True
        self["stop_condition"] = condition
        if any(step.is_truncated for step in self.trajectory):
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
        completion=None,
        final_env_response=None,
        reward=None,
        metrics=None,
        error=None,
        timing=Timing(),
    )
