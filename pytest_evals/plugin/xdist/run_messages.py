"""RunMessages: what workers tell of the runs while these go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .evals import DistributedEvals
from .remote import keep_log, keep_row


class RunMessages:
    """Takes the messages of workers about runs.

    Args:
        evals: the runs.
        tell: sends a message to a worker.
    """

    def __init__(self, evals: DistributedEvals, tell: Callable[..., None]) -> None:
        self._evals = evals
        self._tell = tell

    @property
    def handlers(self) -> dict[str, Callable[..., None]]:
        """What takes each message, by its name."""
        return {
            "open": self._open,
            "row": self._row,
            "log": self._log,
            "note": self._note,
            "used": self._used,
        }

    def _used(self, node: Any, tokens: int | None, usd: float | None) -> None:
        """Count what an answer used of the session's budget."""
        if self._evals.budget is not None:
            self._evals.budget.count(tokens, usd)

    def _open(self, node: Any, nodeid: str) -> None:
        """Begin a run that begins with its first rollout, and answer where it is."""
        self._tell(node, "opened", nodeid=nodeid, run=self._evals.open(nodeid))

    def _row(self, node: Any, nodeid: str, line: str) -> None:
        """Keep a row of a worker that cannot write into the run's folder."""
        keep_row(self._evals.runs[nodeid], node.gateway.id, line)

    def _log(self, node: Any, nodeid: str, text: str) -> None:
        """Keep what such a worker logs."""
        keep_log(self._evals.runs[nodeid], text)

    def _note(self, node: Any, nodeid: str, **notes: Any) -> None:
        """Take what the summary tells of a run."""
        run = self._evals.runs.get(nodeid)
        if run is None:
            return
        run.first_unmeasured = run.first_unmeasured or notes.get("first_unmeasured")
        run.slow_calls.note(notes.get("slow_calls") or {})
        run.warnings += [text for text in notes.get("warnings", ()) if text not in run.warnings]
