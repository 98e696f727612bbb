"""Replay: rollouts that a worker had finished when it died, from the rows it left on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...engine.rollouts import RolloutKey, RolloutResult
from ...engine.run import EvalRun
from ...store import rows
from ...store.encoding import to_json
from ...store.run_folder import RunFolder


def absorb(folder: RunFolder, worker: str) -> dict[RolloutKey, str]:
    """Move the lines of a dead worker to results.jsonl.

    What other workers write from now on replaces them: among the files of workers there is no
    order.

    Returns:
        The last line of each rollout.
    """
    path = folder.path / f"results.{worker}.jsonl"
    last: dict[RolloutKey, str] = {}
    for line in _whole_lines(path):
        folder.append(line)
        row = json.loads(line)
        last[row["example_id"], row["rollout"]] = line
    path.unlink(missing_ok=True)
    return last


def is_scored(line: str) -> bool:
    """Whether a line is of a rollout that needs nothing more."""
    return bool(json.loads(line)["state"] == "scored")


def is_generated(line: str) -> bool:
    """Whether a line is of a rollout that has only to be scored."""
    return bool(json.loads(line)["state"] == "generated")


def broken_line(key: RolloutKey, line: str | None, error: BaseException) -> str:
    """Return the row of a rollout that broke its worker, with what the model had answered.

    Args:
        key: which rollout.
        line: its last row; None when it has none.
        error: why it is broken.
    """
    example_id, rollout = key
    head = rows.encode_unstarted_head({"example_id": example_id}, rollout=rollout)
    broken = rows.failed_line(head, None, outcome="broken", error=error)
    if line is None:
        return broken
    failure = json.loads(broken)
    kept = ("state", "error", "error_chain", "long_error_chain")
    return to_json(json.loads(line) | {name: failure[name] for name in kept}) + "\n"


def _whole_lines(path: Path) -> Iterator[str]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return
    for line in data.split(b"\n")[:-1]:  # a last line without an end was torn
        try:
            text = line.decode()
            row = json.loads(text)
        except ValueError:
            continue
        if isinstance(row, dict) and {"example_id", "rollout", "state"} <= row.keys():
            yield text + "\n"


def result_of_row(run: EvalRun, line: str) -> RolloutResult:
    """Return the result that the row of a scored rollout stands for."""
    row = json.loads(line)
    timing = row["timing"]
    usage = row.get("token_usage") or {}
    start: float = timing["generation"]["start"]
    return RolloutResult(
        run=run,
        key=(row["example_id"], row["rollout"]),
        outcome="scored",
        start=start,
        stop=timing["scoring"]["end"] or start,
        reward=row["reward"],
        metrics=row["metrics"],
        input_tokens=_whole(usage.get("input_tokens")),
        output_tokens=_whole(usage.get("output_tokens")),
        cost_usd=(row.get("cost") or {}).get("total_usd"),
        reward_errors=len(row.get("reward_errors", ())),
        prompt=row["prompt"],
        completion=row["completion"],
    )


def _whole(count: Any) -> int | None:
    return None if count is None else round(count)
