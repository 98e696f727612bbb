"""Compaction: a run's journal becomes results.jsonl with one row per rollout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from .reading import OnProblem, last_lines, results_files
from .replacing import replacing
from .rows import RESULTS_FILE, Row


def compacted_rows(folder: Path, on_problem: OnProblem | None = None) -> Iterator[Row]:
    """Merge the rows of a run into results.jsonl, yielding them: the last line of each rollout.

    Nothing has changed until all were taken. The lines are copied, not encoded again. The files of
    xdist workers are removed once results.jsonl holds their rows. No process may be appending. A
    folder without rows is left as it is; one that was compacted stays the same.

    Raises:
        OSError: a file could not be read or written; nothing was lost.
    """
    paths = results_files(folder)
    if not paths:
        return
    results = folder / RESULTS_FILE
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in paths]
        with replacing(results) as merged:
            for row, line in last_lines(files, on_problem):
                merged.write(line)
                yield row
    for path in paths:
        if path != results:
            path.unlink()
