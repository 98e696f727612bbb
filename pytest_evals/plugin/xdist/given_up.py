"""GivenUp: which workers have given which evals up, and where these can still run."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any


class GivenUp:
    """The evals whose endpoint, or what scores them, workers have given up.

    Each worker knows only what its own rollouts met. What one gives up may work from another, as
    long as there is one; once all have given an eval up, all are told to refuse what is left of it.

    Args:
        present: returns the workers that run rollouts, or will.
        tell: sends a message to a worker.
    """

    def __init__(self, present: Callable[[], Collection[Any]], tell: Callable[..., None]) -> None:
        self._present = present
        self._tell = tell
        self._workers: dict[str, set[Any]] = {}
        self._told: set[tuple[Any, str]] = set()

    def note(self, node: Any, nodeid: str) -> None:
        """Note that a worker has given an eval up."""
        self._workers.setdefault(nodeid, set()).add(node)
        self.settle()

    def settle(self) -> None:
        """Tell workers to refuse what all have given up; to be called when one has ended."""
        for nodeid, workers in self._workers.items():
            if self._by_all(workers):
                for node in workers:
                    if (node, nodeid) not in self._told:
                        self._told.add((node, nodeid))
                        self._tell(node, "refuse", nodeid=nodeid)

    def by(self, node: Any) -> Collection[str]:
        """Return the evals that a worker has given up and another one has not."""
        return {
            nodeid
            for nodeid, workers in self._workers.items()
            if node in workers and not self._by_all(workers)
        }

    def _by_all(self, workers: set[Any]) -> bool:
        return workers.issuperset(self._present())
