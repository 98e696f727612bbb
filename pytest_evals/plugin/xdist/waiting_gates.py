"""WaitingGates: the gates that no worker has, each until every rollout of its eval has reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class WaitingGates:
    """The gates that no worker has, and how many rollouts each eval still waits for.

    Args:
        gates: indices of the items, by node id of the eval and by name.
        eval_of: the node id of the eval of every rollout, by index of its item.
    """

    def __init__(self, gates: Mapping[str, Mapping[str, int]], eval_of: Mapping[int, str]) -> None:
        self._eval_of = eval_of
        self._eval_of_gate = {
            index: nodeid for nodeid, names in gates.items() for index in names.values()
        }
        self._waiting = {nodeid: list(names.values()) for nodeid, names in gates.items()}
        self._left = dict.fromkeys(gates, 0)
        for nodeid in eval_of.values():
            self._left[nodeid] += 1

    @property
    def are_left(self) -> bool:
        """Whether any gate waits."""
        return any(self._waiting.values())

    def is_rollout(self, index: int) -> bool:
        """Whether an item of an eval is a rollout, not a gate."""
        return index in self._eval_of

    def count(self, index: int) -> None:
        """Note that a rollout has reported."""
        self._left[self._eval_of[index]] -= 1

    def due(self) -> list[str]:
        """Return the evals with waiting gates of which every rollout has reported, in order."""
        return [
            nodeid
            for nodeid, waiting in self._waiting.items()
            if waiting and not self._left[nodeid]
        ]

    def take(self, nodeid: str) -> list[int]:
        """Return the waiting gates of an eval, which a worker is sent now."""
        taken, self._waiting[nodeid] = self._waiting[nodeid], []
        return taken

    def take_back(self, indices: Iterable[int]) -> None:
        """Have gates wait again that a worker had and did not run."""
        for index in indices:
            self._waiting[self._eval_of_gate[index]].append(index)
