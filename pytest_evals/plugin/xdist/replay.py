"""Replay: rows that a worker left on disk when it died."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from ...engine.rollouts import RolloutKey
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
