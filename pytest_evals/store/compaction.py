"""Compaction: a run's journal becomes results.jsonl with one row per rollout."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from .reading import OnProblem, index_rows, read_line, results_files
from .replacing import replacing
from .rows import RESULTS_FILE


def compact(folder: Path, on_problem: OnProblem | None = None) -> None:
    """Merge the rows of a run into results.jsonl: the last line of each rollout, in order.

    The lines are copied, not encoded again. The files of xdist workers are removed once
    results.jsonl holds their rows. No process may be appending. A folder without rows is left as it
    is; one that was compacted stays the same.

    Raises:
        OSError: a file could not be read or written; nothing was lost.
    """
    paths = results_files(folder)
    if not paths:
        return
    results = folder / RESULTS_FILE
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("rb")) for path in paths]
        rows = index_rows(files, on_problem)
        with replacing(results) as merged:
            for _, place in rows:
                merged.write(read_line(files, place))
    for path in paths:
        if path != results:
            path.unlink()
