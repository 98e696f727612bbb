"""Fields of rows as numbers: what is not of the expected form is nothing, and never an error."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def number(value: object) -> float | None:
    """Return an int, float or bool as a float; None for anything else."""
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:  # an int beyond the range of float
            return math.inf
    return None


def generation_seconds(timing: object) -> float | None:
    """Return how long the model took to generate, as a row's `timing` says."""
    generation = timing.get("generation") if isinstance(timing, Mapping) else None
    return number(generation.get("duration")) if isinstance(generation, Mapping) else None


def turns(row: Mapping[str, Any]) -> float | None:
    """Return the metric `num_turns` of a row, or else its assistant messages."""
    metrics = row.get("metrics")
    counted = number(metrics.get("num_turns")) if isinstance(metrics, Mapping) else None
    if counted is not None:
        return counted
    completion = row.get("completion")
    if not isinstance(completion, list):
        return None
    return float(
        sum(isinstance(turn, Mapping) and turn.get("role") == "assistant" for turn in completion)
    )


def are_tool_runs(runs: object) -> bool:
    """Whether rows say of each tool how often it was called, and its errors by type."""
    return isinstance(runs, Mapping) and all(
        isinstance(run, Mapping)
        and isinstance(run.get("calls"), int)
        and isinstance(run.get("errors"), Mapping)
        and all(isinstance(count, int) for count in run["errors"].values())
        for run in runs.values()
    )


def is_empty(prediction: object) -> bool:
    """Whether a parsed answer is none: null, blank, or an empty list or table; 0 is an answer."""
    if isinstance(prediction, str):
        return not prediction.strip()
    return prediction is None or prediction == [] or prediction == {}


def example_column(row: Mapping[str, Any], column: str) -> tuple[str, ...]:
    """Return what a row says of its example in a column, as text; () where it says nothing.

    Args:
        row: of a rollout, or an example of the dataset.
        column: `task`, `info.KEY`, or a column that the example has of its own.
    """
    if column.startswith("info."):
        info = row.get("info")
        if isinstance(info, str):
            try:
                info = json.loads(info)
            except (ValueError, RecursionError):
                return ()
        value = info.get(column[5:]) if isinstance(info, Mapping) else None
    else:
        metrics = row.get("metrics")
        is_metric = isinstance(metrics, Mapping) and column in metrics  # found beside it as well
        value = None if is_metric else row.get(column)
    if isinstance(value, float) and not math.isfinite(value):
        return ()
    text = str(value).strip() if isinstance(value, str | int | float) else ""
    return (text,) if text else ()
