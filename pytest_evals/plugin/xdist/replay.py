"""Replay: rows that a worker left on disk when it died."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...engine.rollouts import RolloutKey
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
