"""Unscored: what a `generated` row keeps of a rollout's state, and the state made of it again.

So a rollout whose scoring was cut off (its process died, its judge was down, its group lacked
members) is scored another time without asking the model again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from ..errors import InfraError
from ..messages import Tool, Usage, as_messages
from ..state import INPUT_FIELDS, Span, Spans, State, Timing, TrajectoryStep, UsageTracker
from .rows import UNSCORED, Row

# What every state has and rows say in columns of their own, or the engine knows by itself.
_ELSEWHERE = INPUT_FIELDS | {
    "input", "client", "model", "sampling_args", "trajectory_id", "is_completed", "is_truncated",
    "stop_condition", "tool_defs", "trajectory", "usage_tracker", "completion", "timing", "reward",
    "metrics", "error", "slow_calls",
}  # fmt: skip
_MESSAGES = frozenset({"final_env_response"})
_DEFAULT_STEP: Mapping[str, Any] = {"reward": None, "advantage": None, "extras": {}}
_NOT_IN_STEPS = frozenset({"response", "tokens"})


class NotStoredError(InfraError):
    """Code that scores a stored rollout asks for what its row does not hold.

    The model has to be asked again: an empty value in its place would be scored.
    """

    def __init__(self, what: str) -> None:
        super().__init__(f"the stored row does not hold {what}")


def kept_of(state: State) -> Row:
    """Return what the row of a state that is not scored yet keeps besides the usual columns.

    Returns:
        `steps`: of each model call, how many messages it was sent and how many came of it, and
        whether it was truncated; None where they are no parts of the conversation, or hold more.
        `state`: the environment's own keys, where JSON gives back exactly what they hold.
        `lost`: the names of its other keys.
    """
    own = [key for key in state if key not in _ELSEWHERE]
    kept: Row = {"steps": _steps(state)}
    # What was lost before stays so, unless somebody has set it anew.
    before = [key for key in getattr(state, "lost", ()) if key not in own]
    if own or before:
        kept["state"] = {key: _kept(key, state[key]) for key in own if _can_keep(key, state[key])}
        kept["lost"] = [*(key for key in own if key not in kept["state"]), *sorted(before)]
    return kept


def _steps(state: State) -> list[list[int]] | None:
    conversation = [*_list(state.get("prompt")), *_list(state.get("completion"))]
    steps: list[list[int]] = []
    for step in state.trajectory:
        if any(step.get(name) != default for name, default in _DEFAULT_STEP.items()):
            return None
        prompt, completion = _list(step.get("prompt")), _list(step.get("completion"))
        begin, end = len(prompt), len(prompt) + len(completion)
        if conversation[begin:end] != completion or conversation[:begin][-1:] != prompt[-1:]:
            return None
        steps.append([begin, end, int(bool(step.get("is_truncated")))])
    return steps


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _can_keep(key: str, value: Any) -> bool:
    return (key in _MESSAGES and isinstance(value, list)) or _is_json(value)


def _kept(key: str, value: Any) -> Any:
    return [dict(message) for message in value] if key in _MESSAGES and value else value


def _is_json(value: Any) -> bool:
    """Whether JSON gives back exactly this; no subclass, which may do more than its base."""
    kind = type(value)
    if value is None or kind in (str, bool, int):
        return True
    if kind is float:
        return bool(value - value == 0.0)
    if kind is list:
        return all(map(_is_json, value))
    if kind is dict:
        return all(type(key) is str for key in value) and all(map(_is_json, value.values()))
    return False


class StoredState(State):
    """The state of a rollout as its row holds it; reading what the row lost raises."""

    __slots__ = ("lost",)
    lost: frozenset[str]

    def __missing__(self, key: str) -> Any:
        if key in self.lost:
            raise NotStoredError(f"state[{key!r}]")
        return super().__missing__(key)

    def __contains__(self, key: object) -> bool:
        if super().__contains__(key):
            return True
        if key in self.lost:
            raise NotStoredError(f"state[{key!r}]")
        return False

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value of `key` or `default`.

        Raises:
            NotStoredError: the key had a value that the row does not hold.
        """
        return super().get(key, default) if key in self else default


class _StoredStep(TrajectoryStep):
    """A model call of a stored rollout: its messages, without what the server said besides."""

    __slots__ = ()

    def __getitem__(self, key: str) -> Any:
        if key in _NOT_IN_STEPS:
            _not_in_steps(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a field.

        Raises:
            NotStoredError: the row does not hold it.
        """
        if key in _NOT_IN_STEPS:
            _not_in_steps(key)
        return super().get(key, default)


def _not_in_steps(key: str) -> NoReturn:
    raise NotStoredError(f"step[{key!r}] of state['trajectory']")


def stored_head(line: str) -> str | None:
    """Return the head (`rows.encode_head`) of a `generated` line; None where it is no such line."""
    head, found, _ = line.rpartition(', "reward": null, "correct": null, ')
    return head if found else None


def state_of(
    line: str, example: Mapping[str, Any], *, client: Any, model: str, sampling_args: Any
) -> StoredState | None:
    """Return the state that a `generated` line keeps.

    Args:
        line: of the row.
        example: the dataset's row that it is an attempt at; the caller's own.
        client, model, sampling_args: as a new rollout would have them.

    Returns:
        The state, ready to be scored; None where the line does not hold enough: it was written by
        another program, or is no row.
    """
    try:
        row = json.loads(line)
        return _state_of(row, example, client, model, sampling_args)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _state_of(
    row: Row, example: Mapping[str, Any], client: Any, model: str, sampling_args: Any
) -> StoredState | None:
    kept = row[UNSCORED]
    if row["state"] != "generated" or kept["steps"] is None:
        return None
    state = StoredState(
        input=dict(example),
        client=client,
        model=model,
        sampling_args=dict(sampling_args),
        trajectory_id=row["trajectory_id"],
        is_completed=row["is_completed"],
        is_truncated=row["is_truncated"],
        stop_condition=row["stop_condition"],
        tool_defs=[Tool(tool) for tool in row["tool_defs"]],
        usage_tracker=_usage(row.get("token_usage")),
        completion=_conversation(row["completion"]),
        final_env_response=None,
        reward=None,
        metrics=None,
        error=None,
        timing=_timing(row["timing"]),
    )
    state.lost = frozenset(kept.get("lost", ()))
    _set_columns(state, row)
    state["trajectory"] = _trajectory(state, kept["steps"])
    for key, value in kept.get("state", {}).items():
        state[key] = as_messages(value) if key in _MESSAGES and value else value
    return state


def _set_columns(state: StoredState, row: Row) -> None:
    """Give the example's columns what the rollout's hooks made of them."""
    state["prompt"] = _conversation(row["prompt"])
    for name in ("answer", "info"):
        if name in row and json.loads(json.dumps(state.get(name), default=repr)) != row[name]:
            state[name] = row[name]


def _conversation(messages: Any) -> Any:
    return as_messages(messages) if isinstance(messages, list) else messages


def _trajectory(state: State, steps: Iterable[list[int]]) -> list[TrajectoryStep]:
    conversation = [*_list(state["prompt"]), *_list(state["completion"])]
    return [
        _StoredStep(
            prompt=conversation[:begin],
            completion=conversation[begin:end],
            is_truncated=bool(is_truncated),
            trajectory_id=state["trajectory_id"],
        )
        for begin, end, is_truncated in steps
    ]


def _usage(counted: Mapping[str, Any] | None) -> UsageTracker:
    tracker = UsageTracker()
    if counted is not None:
        tracker.add(Usage(counted["input_tokens"], counted["output_tokens"]))
    return tracker


def _timing(row: Mapping[str, Any]) -> Timing:
    return Timing(
        start_time=row["start_time"],
        setup=_span(row["setup"]),
        generation=_span(row["generation"]),
        model=Spans([_span(span) for span in row["model"]["spans"]]),
        env=Spans([_span(span) for span in row["env"]["spans"]]),
    )


def _span(row: Mapping[str, Any]) -> Span:
    return Span(row["start"], row["end"])
