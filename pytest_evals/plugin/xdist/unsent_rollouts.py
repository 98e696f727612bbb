"""UnsentRollouts: the rollouts that no worker has yet, and how many of them to send to one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from .protocol import Unit

# Beyond twice its share of the limit, so that a small share is no small queue.
_SPARE = 16


class UnsentRollouts:
    """A queue of rollouts, in units that stay together."""

    def __init__(self) -> None:
        self._units: deque[Unit] = deque()

    @property
    def are_left(self) -> bool:
        """Whether there are any."""
        return bool(self._units)

    def add(self, units: Iterable[Unit]) -> None:
        """Add rollouts that come last."""
        self._units.extend(units)

    def take(self, share: int, have: int, workers: int) -> list[Unit]:
        """Return what to send to a worker now; empty where it has enough.

        Args:
            share: how many rollouts it may have in flight; 0 or less for no limit.
            have: how many items it has been sent that have not ended.
            workers: how many there are.
        """
        if 2 * have >= 3 * share > 0:
            return []
        room = self._room(share, have, workers)
        taken: list[Unit] = []
        while self._units and room > 0:
            taken.append(self._units.popleft())
            room -= len(taken[-1])
        return taken

    def _room(self, share: int, have: int, workers: int) -> int:
        room = 2 * share + _SPARE - have
        if share > 0 and len(self._units) >= 4 * share:
            return room
        # The last of them are divided evenly, or one worker would have them all.
        even = -(-sum(len(unit) for unit in self._units) // workers)
        return even if share <= 0 else min(room, max(even, share - have))

    def take_back(self, lost: Mapping[int, Unit]) -> None:
        """Have rollouts come first that a worker had and did not run.

        Args:
            lost: by index, the unit that each was sent in.
        """
        again: dict[int, Unit] = {}
        for index, unit in lost.items():
            again.setdefault(id(unit), []).append(index)
        self._units.extendleft(reversed(again.values()))
