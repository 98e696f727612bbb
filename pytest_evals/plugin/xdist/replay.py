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


def absorb(folder: RunFolder, worker: str) -> Iterator[tuple[RolloutKey, str, str]]:
    """Move the lines of a dead worker to results.jsonl, one at a time: there may be gigabytes.

    What other workers write from now on replaces them: among the files of workers there is no
    order.

    Yields:
        Which rollout a line is of, the state of that and the line, in order.
    """
    path = folder.path / f"results.{worker}.jsonl"
    for row, line in _whole_lines(path):
        folder.append(line)
        yield (row["example_id"], row["rollout"]), row["state"], line
    path.unlink(missing_ok=True)


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


def _whole_lines(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    if not path.exists():
        return
    with path.open("rb") as file:
        for line in file:
            try:
                text = line.decode()
                row = json.loads(text)
            except ValueError:
                continue
            is_row = isinstance(row, dict) and {"example_id", "rollout", "state"} <= row.keys()
            if is_row and text.endswith("\n"):  # else it was torn
                yield row, text


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
        reward_errors=len(row.get("reward_errors", ())),
        prompt=row["prompt"],
        completion=row["completion"],
    )


def _whole(count: Any) -> int | None:
    return None if count is None else round(count)
