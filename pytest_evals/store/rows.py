"""Rows of results.jsonl: the layout of verifiers 0.3.1 and this package's own keys.

A rollout's row is written twice, once when the model has answered and again when it is scored. Its
large part, the head, is encoded once and shared by both lines. A row that stays `generated` is one
that only has to be scored; its `error`, if any, says why it was not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from ..errors import Outcome
from ..messages import Usage, as_tool_call
from ..state import State, Timing
from .encoding import readable, to_json
from .timings import timing_columns

Row: TypeAlias = dict[str, Any]

RESULTS_FILE = "results.jsonl"
STATES: Final = ("generated", "scored", "unmeasured", "broken")

# A metric of one of these names is found under `metrics` only: flattened, it would replace the key.
STANDARD_KEYS: Final = frozenset(
    {
        "example_id",
        "rollout",
        "prompt",
        "completion",
        "answer",
        "task",
        "info",
        "is_completed",
        "is_truncated",
        "stop_condition",
        "tool_defs",
        "token_usage",
        "from_cache",
        "cost",
        "paid",
        "failure",
        "prediction",
        "attempts",
        "retries",
        "served_model",
        "trajectory_id",
        "reward",
        "correct",
        "metrics",
        "timing",
        "reward_errors",
        "tool_runs",
        "error",
        "error_chain",
        "long_error_chain",
        "state",
        "unscored",
    }
)

# What a row keeps that has only to be scored (`unscored.py`). It goes when the row is scored,
# unless that was with a part of its group: then it may have to be scored again.
UNSCORED: Final = "unscored"


def encode_head(
    state: State,
    *,
    rollout: int,
    prediction: Any,
    retries: Sequence[Row] = (),
    paid: Row | None = None,
    earlier: Usage | None = None,
) -> str:
    """Return what a row says about the model's side of a rollout: a JSON object left open.

    Args:
        state: the rollout, after generation.
        rollout: which attempt at its example it is, from 0.
        prediction: what the environment's parser made of the completion.
        retries: what went wrong in earlier tries of it.
        paid: columns of what it cost, and of the answers that cost nothing; None for none.
        earlier: tokens of earlier tries; None for none.
    """
    attempts, served_model, token_usage = _sum_calls(state, earlier)
    row = _example_columns(state["input"], rollout)
    row["prompt"] = _messages(state.get("prompt"))
    row["completion"] = _messages(state.get("completion"))
    row["is_completed"] = state.get("is_completed", False)
    row["is_truncated"] = state.get("is_truncated", False)
    row["stop_condition"] = state.get("stop_condition")
    row["tool_defs"] = state.get("tool_defs") or []
    if token_usage is not None:
        row["token_usage"] = token_usage
    if paid:
        row |= paid
    if "failure" in state:  # of an eval that is a function: the assertion that failed
        row["failure"] = state["failure"]
    row["prediction"] = prediction
    row["attempts"] = attempts
    if retries:
        row["retries"] = list(retries)
    row["served_model"] = served_model
    row["trajectory_id"] = state.get("trajectory_id")
    return to_json(row)[:-1]


def encode_unstarted_head(
    example: Mapping[str, Any], *, rollout: int, retries: Sequence[Row] = ()
) -> str:
    """Return the head of a rollout that has no state: as a rule it never ran."""
    row = _example_columns(example, rollout)
    row["prompt"] = _messages(example.get("prompt"))
    row |= {
        "completion": None,
        "is_completed": False,
        "is_truncated": False,
        "stop_condition": None,
        "tool_defs": [],
        "prediction": None,
        "attempts": 0,
        "served_model": None,
        "trajectory_id": None,
    }
    if retries:
        row["retries"] = list(retries)
    return to_json(row)[:-1]


def generated_line(
    head: str, state: State, kept: Row, columns: Mapping[str, Any] | None = None
) -> str:
    """Return the line of a rollout that is not scored yet.

    Args:
        head: from `encode_head`.
        state: the rollout.
        kept: what scoring needs of it that the head does not say.
        columns: what else the row has, besides its standard keys.
    """
    tail: Row = {
        "reward": None,
        "correct": None,
        "error": None,
        "timing": timing_columns(state.timing),
        "metrics": {},
        "state": "generated",
        UNSCORED: kept,
    }
    tail |= columns or {}
    return _closed(head, tail)


def scored_line(
    head: str,
    state: State,
    *,
    pass_threshold: float,
    kept: Row | None = None,
    columns: Mapping[str, Any] | None = None,
) -> str:
    """Return the line of a scored rollout.

    Args:
        head: from `encode_head`.
        state: the rollout.
        pass_threshold: it is correct from this reward on.
        kept: as for `generated_line`, where the rollout may have to be scored again.
        columns: as for `generated_line`.
    """
    reward = state["reward"]
    metrics = state.get("metrics") or {}
    tail = {
        "reward": reward,
        "correct": reward >= pass_threshold,
        "error": None,
        "timing": timing_columns(state.timing),
        "metrics": metrics,
        "state": "scored",
    }
    if state.get("reward_errors"):
        tail["reward_errors"] = state["reward_errors"]
    if state.get("eval_tool_runs"):
        tail["tool_runs"] = state["eval_tool_runs"]
    tail |= {name: value for name, value in metrics.items() if name not in STANDARD_KEYS}
    tail |= columns or {}
    if kept is not None:
        tail[UNSCORED] = kept
    return _closed(head, tail)


def failed_line(
    head: str,
    state: State | None,
    *,
    outcome: Outcome | Literal["generated"],
    error: BaseException,
    refers_to: str | None = None,
    kept: Row | None = None,
    columns: Mapping[str, Any] | None = None,
) -> str:
    """Return the line of a rollout without a reward.

    Args:
        head: from `encode_head`, or from `encode_unstarted_head` when it never ran.
        state: the rollout, or None when it never ran.
        outcome: unmeasured, broken, or generated when it has only to be scored; becomes the
            row's `state`.
        error: why; written with the chain of its causes.
        refers_to: the rollout that met the error first, when this one was not tried because of it.
        kept: as for `generated_line`, where the outcome is generated.
        columns: as for `generated_line`.
    """
    described = _describe(error)
    if refers_to is not None:
        described["refers_to"] = refers_to
    tail = {
        "reward": None,
        "correct": None,
        "error": described,
        "timing": timing_columns(Timing(start_time=0.0) if state is None else state.timing),
        "metrics": {},
        "error_chain": described["error_chain_repr"],
        "long_error_chain": described["error_chain_str"],
        "state": outcome,
    }
    if state is not None and state.get("eval_tool_runs"):
        tail["tool_runs"] = state["eval_tool_runs"]
    tail |= columns or {}
    if kept is not None:
        tail[UNSCORED] = kept
    return _closed(head, tail)


def _closed(head: str, tail: Row) -> str:
    return f"{head}, {to_json(tail)[1:]}\n"


def _example_columns(example: Mapping[str, Any], rollout: int) -> Row:
    row: Row = {
        "example_id": example["example_id"],
        "rollout": rollout,
        "prompt": None,  # holds its place at the head of the line
        "completion": None,
    }
    answer, info = example.get("answer"), example.get("info")
    if _is_given(answer):
        row["answer"] = answer
    if "task" in example:
        row["task"] = example["task"]
    if _is_given(info):
        row["info"] = info
    return row


def _is_given(value: Any) -> bool:
    try:
        return bool(value)
    except Exception:  # an array has no truth value
        return True


def _messages(value: Any) -> Any:
    if not isinstance(value, list | tuple):
        return value  # None, or the text of a prompt that is no chat
    return [_message(message) for message in value]


def _message(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    row = {key: value for key, value in message.items() if value is not None}
    calls = row.get("tool_calls")
    if calls and isinstance(calls, list | tuple):
        row.setdefault("content", "")
        row["tool_calls"] = [call if isinstance(call, str) else _tool_call(call) for call in calls]
    return row


def _tool_call(call: Any) -> str:
    try:
        return to_json(as_tool_call(call))
    except (TypeError, ValueError):  # of a hook that has its own idea of a tool call
        return to_json(call)


def _sum_calls(
    state: State, earlier: Usage | None
) -> tuple[int, str | None, dict[str, int] | None]:
    """Return a rollout's HTTP requests, the ids of the models that answered, and its tokens.

    `input_tokens` and `output_tokens` count every model call, also those that an environment makes
    besides the turns, and those of `earlier` tries. Of the last turn's context,
    `final_output_tokens` are those the model wrote in any turn and `final_input_tokens` the rest.
    """
    requests = written = context = 0
    models: dict[str, None] = {}
    for step in state.trajectory:
        response = step.get("response")
        if response is None:  # a step that the environment made by itself
            continue
        requests += response.requests
        if response.model:
            models[response.model] = None
        usage = response.usage
        if usage is not None:
            written += usage.completion_tokens
            context = usage.prompt_tokens + usage.completion_tokens
    served = ",".join(models) or None
    used = state.usage
    if earlier is not None:
        used = earlier if used is None else earlier + used
    if used is None:
        return requests, served, None
    return (
        requests,
        served,
        {
            "input_tokens": used.prompt_tokens,
            "output_tokens": used.completion_tokens,
            "final_output_tokens": written,
            "final_input_tokens": max(0, context - written),
        },
    )


def _describe(error: BaseException) -> dict[str, str]:
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and not any(cause is link for link in chain):
        chain.append(cause)
    name = type(error).__name__
    return {
        "error": name,
        "message": readable(error) or name,
        "error_chain_repr": " -> ".join(readable(link, repr) for link in chain),
        "error_chain_str": " -> ".join(type(link).__name__ for link in chain),
    }
