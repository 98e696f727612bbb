"""UnsentRollouts: the rollouts that no worker has yet, and how many of them to send to one."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence

from .protocol import Unit

# Beyond twice its share of the limit, so that a small share is no small queue.
_SPARE = 16


class UnsentRollouts:
    """A queue of rollouts for each eval, in units that stay together.

    Args:
        eval_of: the node id of the eval of every rollout, by index of its item.
    """

    def __init__(self, eval_of: Mapping[int, str]) -> None:
        self._eval_of = eval_of
        self._queues: dict[str, deque[Unit]] = {}

    @property
    def are_left(self) -> bool:
        """Whether there are any."""
        return any(self._queues.values())

    def add(self, units: Iterable[Unit]) -> None:
        """Add rollouts that come last."""
        for unit in units:
            self._queue_of(unit).append(unit)

    def _queue_of(self, unit: Unit) -> deque[Unit]:
        return self._queues.setdefault(self._eval_of[unit[0]], deque())

    def take(
        self, share: int, have: int, workers: int, without: Collection[str] = ()
    ) -> list[Unit]:
        """Return what to send to a worker now; empty where it has enough.

        Args:
            share: how many rollouts it may have in flight; 0 or less for no limit.
            have: how many items it has been sent that have not ended.
            workers: how many there are.
            without: evals of which it is sent nothing.
        """
        if 2 * have >= 3 * share > 0:
            return []
        queues = [
            queue for nodeid, queue in self._queues.items() if queue and nodeid not in without
        ]
        room = self._room(queues, share, have, workers)
        taken: list[Unit] = []
        for queue in queues:
            while queue and room > 0:
                taken.append(queue.popleft())
                room -= len(taken[-1])
        return taken

    def _room(self, queues: Sequence[deque[Unit]], share: int, have: int, workers: int) -> int:
        room = 2 * share + _SPARE - have
        if share > 0 and sum(map(len, queues)) >= 4 * share:
            return room
        # The last of them are divided evenly, or one worker would have them all.
        even = -(-sum(len(unit) for queue in queues for unit in queue) // workers)
        return even if share <= 0 else min(room, max(even, share - have))

    def take_back(self, lost: Mapping[int, Unit]) -> None:
        """Have rollouts come first that a worker had and did not run.

        Args:
            lost: by index, the unit that each was sent in.
        """
        again: dict[int, Unit] = {}
        for index, unit in lost.items():
            again.setdefault(id(unit), []).append(index)
        for left in reversed(again.values()):
            self._queue_of(left).appendleft(left)
