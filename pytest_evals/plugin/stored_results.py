"""Stored results: what the rows on disk say of rollouts, as the engine would have told it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..engine.rollouts import RolloutResult
from ..engine.run import EvalRun
from ..errors import InfraError


class StoredFailureError(InfraError):
    """What kept a rollout of an earlier session from a reward."""


def is_scored(line: str) -> bool:
    """Whether a line is of a rollout that needs nothing more."""
    return bool(json.loads(line)["state"] == "scored")


def is_generated(line: str) -> bool:
    """Whether a line is of a rollout that has only to be scored."""
    return bool(json.loads(line)["state"] == "generated")


def result_of_row(run: EvalRun, line: str, *, is_earlier: bool = False) -> RolloutResult:
    """Return the result that the row of a rollout stands for.

    Args:
        run: the eval.
        line: of a scored row; also of one with an error, where that counts as done.
        is_earlier: it is of an earlier session.
    """
    row = json.loads(line)
    timing = row["timing"]
    usage = row.get("token_usage") or {}
    start: float = timing["generation"]["start"]
    return RolloutResult(
        run=run,
        key=(row["example_id"], row["rollout"]),
        outcome=row["state"],
        start=start,
        stop=timing["scoring"]["end"] or start,
        reward=row["reward"],
        metrics=row["metrics"],
        error=None if row["state"] == "scored" else _error_of(row.get("error")),
        input_tokens=_whole(usage.get("input_tokens")),
        output_tokens=_whole(usage.get("output_tokens")),
        cost_usd=(row.get("cost") or {}).get("total_usd"),
        reward_errors=len(row.get("reward_errors", ())),
        prompt=row.get("prompt"),
        completion=row.get("completion"),
        is_earlier=is_earlier,
    )


def _error_of(described: Any) -> StoredFailureError:
    if not isinstance(described, Mapping):
        return StoredFailureError(str(described))
    name, message = described.get("error"), described.get("message")
    return StoredFailureError(str(name) if message in (None, "", name) else f"{name}: {message}")


def _whole(count: Any) -> int | None:
    return None if count is None else round(count)
