"""Leases: how limits on rollouts in flight are divided among workers, and divided anew."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

# What a limit is on: () is the whole session, ("bench.toml::gsm8k",) an eval in it. What a longer
# key stands for is part of what the keys it begins with stand for, and counts for each of them.
Key: TypeAlias = tuple[str, ...]
SESSION: Key = ()

# A worker that lacks less than this part of its fair share has no slots taken from a busy one for
# it: a slot that moves stays unused until the other worker's rollout has ended.
_WORTH_MOVING = 4


@dataclass(frozen=True, slots=True)
class Need:
    """What a worker has of one key: rollouts that wait and could start, and those in flight."""

    waiting: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Grant:
    """What one worker may have in flight, from when it hears of it.

    Attributes:
        number: grants to one worker count from 1.
        slots: for every key that has a limit.
    """

    number: int
    slots: Mapping[Key, int]


@dataclass(slots=True)
class _Worker:
    """What is known of a worker.

    Attributes:
        demands, in_flight: by key, as last told.
        has_told: whether it has told anything.
        grants: the one it last said to go by, and those sent since, which it may go by already.
    """

    has_told: bool = False
    demands: dict[Key, int] = field(default_factory=dict)
    in_flight: dict[Key, int] = field(default_factory=dict)
    grants: deque[Grant] = field(default_factory=deque)

    def granted(self, key: Key) -> int:
        """Return how many slots it was last given."""
        return self.grants[-1].slots[key] if self.grants else 0

    def held(self, key: Key) -> int:
        """Return the most that it can have in flight, now and until it is granted more."""
        return max([self.in_flight.get(key, 0), *(grant.slots[key] for grant in self.grants)])

    def demand(self, key: Key) -> int:
        """Return how many slots of a key it could use, as far as it has said."""
        return self.demands.get(key, 0)


class Leases:
    """Divides limits among workers by what they need.

    Fair: where slots are scarce, each worker gets as many as the others or all that it asks for.
    No slot stays unused that another worker could use, and none moves where nobody lacks one, or
    for less than a quarter of a share. A worker whose grant shrank holds its slots until it says
    that it has let go of them, so that the workers together never exceed a limit. With fewer slots
    than workers, some wait until others have nothing left.

    Pure: it sends nothing. Every method returns the new grants, by worker, to be sent in order.
    Not thread-safe.

    Args:
        limits: by key; one of 0 or less is no limit.
    """

    def __init__(self, limits: Mapping[Key, int]) -> None:
        self._limits = {key: limit for key, limit in limits.items() if limit > 0}
        self._workers: dict[str, _Worker] = {}

    def join(self, workers: Iterable[str]) -> dict[str, Grant]:
        """Add workers; each is granted its fair share at once, before it says what it needs."""
        self._workers.update({name: _Worker() for name in workers})
        return self._divided()

    def leave(self, worker: str) -> dict[str, Grant]:
        """Take away a worker that has ended; its slots are free at once."""
        self._workers.pop(worker, None)
        return self._divided()

    def told(self, worker: str, number: int, needs: Mapping[Key, Need]) -> dict[str, Grant]:
        """Take what a worker says of itself.

        Args:
            worker: one that has joined; another one is ignored, it has left.
            number: of the last grant that the worker had heard of by then; 0 for none.
            needs: of the keys that rollouts belong to, of all of them; what it leaves out is 0.
        """
        known = self._workers.get(worker)
        if known is None:
            return {}
        known.has_told = True
        known.demands = _summed({key: n.waiting + n.in_flight for key, n in needs.items()})
        known.in_flight = _summed({key: n.in_flight for key, n in needs.items()})
        while known.grants and known.grants[0].number < number:
            known.grants.popleft()
        return self._divided()

    def set_limit(self, key: Key, limit: int) -> None:
        """Go by another limit of a key that has one, from the next division on."""
        self._limits[key] = limit

    def grants(self) -> dict[str, Grant]:
        """Return what every worker was last given."""
        return {name: worker.grants[-1] for name, worker in self._workers.items()}

    def granted(self, worker: str, key: Key = SESSION) -> int | None:
        """Return how many slots of a key a worker was last given; None where there is no limit."""
        return self._workers[worker].granted(key) if key in self._limits else None

    def _divided(self) -> dict[str, Grant]:
        """Divide every limit; return the grants that changed, each worker's first among them."""
        slots: dict[str, dict[Key, int]] = {name: {} for name in self._workers}
        for key, wanted in self._wanted().items():
            for name, count in self._possible(key, wanted).items():
                slots[name][key] = count
        grants = {}
        for name, worker in self._workers.items():
            last = worker.grants[-1] if worker.grants else None
            if last is None or last.slots != slots[name]:
                grants[name] = Grant(last.number + 1 if last else 1, slots[name])
                worker.grants.append(grants[name])
        return grants

    def _wanted(self) -> dict[Key, dict[str, int]]:
        """Return by key how it should be divided.

        From the longest keys up: what a worker may not use of a key is no need of the keys above.
        """
        wanted: dict[Key, dict[str, int]] = {}
        unusable: dict[str, dict[Key, int]] = {name: {} for name in self._workers}
        for key in sorted(self._limits, key=len, reverse=True):
            limit = self._limits[key]
            demands = {
                name: worker.demand(key) - unusable[name].get(key, 0) if worker.has_told else limit
                for name, worker in self._workers.items()
            }
            granted = {name: worker.granted(key) for name, worker in self._workers.items()}
            wanted[key] = _division(limit, demands, granted)
            for name, count in wanted[key].items():
                surplus = max(0, demands[name] - count)
                for above in _above(key):
                    unusable[name][above] = unusable[name].get(above, 0) + surplus
        return wanted

    def _possible(self, key: Key, wanted: Mapping[str, int]) -> dict[str, int]:
        """Return how far `wanted` can be granted while others still hold what they lose."""
        held = {name: worker.held(key) for name, worker in self._workers.items()}
        slots = {name: min(count, held[name]) for name, count in wanted.items()}
        free = self._limits[key] - sum(held.values())
        lacking = {name: wanted[name] - slots[name] for name in slots}
        # Those who have the least come first where it is not enough for all.
        for name, count in _shared(free, lacking, {n: -slots[n] for n in slots}).items():
            slots[name] += count
        return slots


def _above(key: Key) -> list[Key]:
    """Return the keys that a key begins with, besides itself."""
    return [key[:length] for length in range(len(key))]


def _summed(counts: Mapping[Key, int]) -> dict[Key, int]:
    """Return the counts of keys and of all keys above them."""
    total: dict[Key, int] = {}
    for key, count in counts.items():
        for each in (key, *_above(key)):
            total[each] = total.get(each, 0) + count
    return total


def _division(limit: int, demands: Mapping[str, int], granted: Mapping[str, int]) -> dict[str, int]:
    """Return how `limit` should be divided, given how it is."""
    is_enough = all(demands[name] <= granted[name] for name in demands)
    if is_enough and sum(granted.values()) <= limit:
        return dict(granted)
    fair = _shared(limit, demands, granted)
    spare = limit - sum(fair.values())
    if spare > 0:
        # Enough for everybody: what is not needed stays where it is, so far as there is room.
        for name in fair:
            kept = min(spare, max(0, granted[name] - fair[name]))
            fair[name] += kept
            spare -= kept
        return fair
    is_used = sum(min(demands[name], granted[name]) for name in demands) == limit
    if is_used and all(
        fair[name] - granted[name] < max(1, fair[name] // _WORTH_MOVING) for name in fair
    ):
        return dict(granted)
    return fair


def _shared(
    limit: int, demands: Mapping[str, int], preference: Mapping[str, int]
) -> dict[str, int]:
    """Share `limit` out: each gets as many as the others, or all it demands.

    What cannot be divided evenly goes to those of the highest preference.
    """
    shares: dict[str, int] = {}
    left = max(0, limit)
    rising = sorted(demands, key=lambda name: demands[name])
    while rising and demands[rising[0]] * len(rising) <= left:
        name = rising.pop(0)
        shares[name] = max(0, demands[name])
        left -= shares[name]
    if rising:
        level, extra = divmod(left, len(rising))
        rising.sort(key=lambda name: -preference[name])
        for position, name in enumerate(rising):
            shares[name] = level + (position < extra)
    return shares
