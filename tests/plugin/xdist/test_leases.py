"""How limits are divided among workers: never exceeded, fair, with no slot left unused."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Mapping

import pytest

from pytest_evals.plugin.xdist.leases import SESSION, Grant, Key, Leases, Need

A: Key = ("bench.toml::a",)
B: Key = ("bench.toml::b",)


def slots(grants: Mapping[str, Grant], key: Key = SESSION) -> dict[str, int]:
    return {name: grant.slots[key] for name, grant in grants.items()}


class Told:
    """Leases whose workers hear of every grant at once, and say so.

    What they have in flight stays what the test last told of.
    """

    def __init__(self, limits: Mapping[Key, int], *workers: str) -> None:
        self.leases = Leases(limits)
        self.numbers: dict[str, int] = {}
        self.needs: dict[str, dict[Key, Need]] = {}
        self.join(*workers)

    def join(self, *workers: str) -> dict[str, Grant]:
        return self._heard(self.leases.join(workers))

    def leave(self, worker: str) -> dict[str, Grant]:
        return self._heard(self.leases.leave(worker))

    def told(self, worker: str, **needs: tuple[int, int]) -> dict[str, Grant]:
        """Tell waiting and in flight by eval; return every grant that came of it, the last ones."""
        self.needs[worker] = {{"a": A, "b": B}[name]: Need(*need) for name, need in needs.items()}
        return self._heard(self._tell(worker))

    def _tell(self, worker: str) -> dict[str, Grant]:
        return self.leases.told(worker, self.numbers[worker], self.needs[worker])

    def _heard(self, grants: dict[str, Grant]) -> dict[str, Grant]:
        last: dict[str, Grant] = {}
        while grants:
            last.update(grants)
            self.numbers.update({name: grant.number for name, grant in grants.items()})
            told = [self._tell(name) for name in grants if name in self.needs]
            grants = {name: grant for each in told for name, grant in each.items()}
        return last


class TestDivision:
    def test_is_even_before_anybody_has_told_anything(self) -> None:
        grants = Leases({SESSION: 10}).join(["gw0", "gw1", "gw2"])

        assert slots(grants) == {"gw0": 4, "gw1": 3, "gw2": 3}
        assert {grant.number for grant in grants.values()} == {1}

    def test_gives_what_one_does_not_need_to_those_who_do(self) -> None:
        told = Told({SESSION: 12}, "gw0", "gw1", "gw2")
        told.told("gw1", a=(50, 4))
        told.told("gw2", a=(50, 4))

        grants = told.told("gw0", a=(0, 1))

        assert slots(grants) == {"gw0": 1, "gw1": 6, "gw2": 5}
        assert told.leases.granted("gw0") == 1

    def test_leaves_idle_slots_alone_while_nobody_lacks_one(self) -> None:
        told = Told({SESSION: 12}, "gw0", "gw1")
        told.told("gw0", a=(3, 3))
        told.told("gw1", a=(1, 3))

        assert told.told("gw0", a=(0, 0)) == {}
        assert told.told("gw1", a=(0, 2)) == {}
        assert told.told("gw0", a=(2, 4)) == {}

    def test_takes_no_more_idle_slots_than_are_lacking(self) -> None:
        told = Told({SESSION: 12}, "gw0", "gw1")
        told.told("gw0", a=(1, 6))
        told.told("gw1", a=(0, 6))
        told.told("gw0", a=(0, 1))

        assert slots(told.told("gw1", a=(2, 6))) == {"gw0": 4, "gw1": 8}

    def test_leaves_a_small_unfairness_alone(self) -> None:
        told = Told({SESSION: 32}, "gw0", "gw1")
        told.told("gw0", a=(99, 14))
        told.told("gw1", a=(0, 13))
        told.told("gw0", a=(99, 19))

        assert told.told("gw1", a=(99, 13)) == {}
        assert (told.leases.granted("gw0"), told.leases.granted("gw1")) == (19, 13)

    def test_puts_a_large_one_right(self) -> None:
        told = Told({SESSION: 32}, "gw0", "gw1")
        told.told("gw0", a=(99, 16))
        told.told("gw1", a=(0, 4))
        told.told("gw0", a=(99, 28))

        assert slots(told.told("gw1", a=(99, 4))) == {"gw0": 16}
        assert slots(told.told("gw0", a=(99, 16))) == {"gw1": 16}

    def test_is_steady_while_demands_that_exceed_it_change(self) -> None:
        told = Told({SESSION: 11}, "gw0", "gw1")
        rng = random.Random(1)
        told.told("gw0", a=(20, 6))
        told.told("gw1", a=(20, 5))

        changes = [
            told.told(worker, a=(rng.randint(6, 99), count))
            for _ in range(50)
            for worker, count in (("gw0", 6), ("gw1", 5))
        ]

        assert changes == [{}] * 100

    def test_of_fewer_slots_than_workers_waits_until_others_have_nothing_left(self) -> None:
        told = Told({SESSION: 1}, "gw0", "gw1")
        told.told("gw0", a=(5, 1))
        told.told("gw1", a=(5, 0))
        assert told.leases.granted("gw1") == 0

        assert slots(told.told("gw0")) == {"gw0": 0, "gw1": 1}

    @pytest.mark.parametrize("limit", [0, -1])
    def test_without_a_limit_grants_everything_at_once(self, limit: int) -> None:
        leases = Leases({SESSION: limit})

        assert leases.join(["gw0"]) == {"gw0": Grant(1, {})}
        assert leases.granted("gw0") is None
        assert leases.told("gw0", 1, {A: Need(1000, 1000)}) == {}


class TestHolding:
    def test_slots_are_given_on_once_they_are_let_go_of(self) -> None:
        leases = Leases({SESSION: 8})
        leases.join(["gw0"])
        leases.told("gw0", 1, {A: Need(20, 8)})

        grants = leases.join(["gw1"])
        assert slots(grants) == {"gw0": 4, "gw1": 0}
        assert leases.told("gw1", 1, {A: Need(20, 0)}) == {}
        assert leases.told("gw0", 1, {A: Need(20, 8)}) == {}  # it has not heard of it yet
        assert slots(leases.told("gw0", 2, {A: Need(20, 7)})) == {"gw1": 1}
        assert slots(leases.told("gw0", 2, {A: Need(20, 4)})) == {"gw1": 4}

    def test_a_grant_that_shrank_and_grew_counts_at_its_largest(self) -> None:
        leases = Leases({SESSION: 8})
        leases.join(["gw0", "gw1"])
        leases.told("gw0", 1, {A: Need(20, 4)})
        assert slots(leases.told("gw1", 1, {})) == {"gw1": 0}
        assert slots(leases.told("gw1", 2, {})) == {"gw0": 8}
        assert slots(leases.told("gw1", 2, {A: Need(9, 0)})) == {"gw0": 4}
        # Grant 2 may be in force by now, although the worker had not heard of it when it said this.
        assert leases.told("gw0", 1, {A: Need(20, 4)}) == {}
        assert slots(leases.told("gw0", 3, {A: Need(20, 4)})) == {"gw1": 4}

    def test_a_worker_that_died_holds_nothing(self) -> None:
        leases = Leases({SESSION: 8})
        leases.join(["gw0", "gw1"])
        leases.told("gw1", 1, {A: Need(20, 4)})
        leases.told("gw0", 1, {A: Need(20, 4)})

        assert slots(leases.leave("gw0")) == {"gw1": 8}
        assert leases.told("gw0", 1, {A: Need(1, 1)}) == {}
        assert leases.leave("gw0") == {}

    def test_one_that_takes_its_place_gets_its_share(self) -> None:
        told = Told({SESSION: 8}, "gw0", "gw1")
        told.told("gw0", a=(20, 4))
        told.told("gw1", a=(20, 4))
        assert slots(told.leave("gw1")) == {"gw0": 8}

        assert slots(told.join("gw2")) == {"gw0": 4, "gw2": 4}


class TestKeys:
    def test_an_evals_own_limit_is_divided_as_well(self) -> None:
        grants = Leases({SESSION: 32, A: 4}).join(["gw0", "gw1"])

        assert slots(grants, A) == {"gw0": 2, "gw1": 2}
        assert slots(grants) == {"gw0": 16, "gw1": 16}

    def test_what_an_evals_limit_keeps_back_needs_no_slot_of_the_session(self) -> None:
        told = Told({SESSION: 8, A: 4}, "gw0", "gw1")
        told.told("gw0", a=(50, 2))
        told.told("gw1", a=(50, 2), b=(50, 2))

        assert told.leases.granted("gw0") == 2
        assert told.leases.granted("gw1") == 6

    def test_an_evals_limit_holds_without_one_of_the_session(self) -> None:
        told = Told({SESSION: 0, A: 4}, "gw0", "gw1")
        told.told("gw0", a=(50, 2))

        told.told("gw1", b=(50, 50))

        assert told.leases.granted("gw0", A) == 4
        assert told.leases.granted("gw1", A) == 0

    def test_of_any_length_count_for_those_they_begin_with(self) -> None:
        endpoint: Key = ("demo",)
        leases = Leases({SESSION: 10, endpoint: 4, (*endpoint, "a"): 2})
        leases.join(["gw0", "gw1"])
        busy: dict[Key, Need] = {("demo", "a"): Need(9, 1), ("demo", "b"): Need(9, 1)}
        others: dict[Key, Need] = {("demo", "a"): Need(0, 0), ("other", "c"): Need(99, 5)}
        for number in (1, 2, 3):
            leases.told("gw0", number, busy)
            leases.told("gw1", number, others)

        assert leases.granted("gw0", (*endpoint, "a")) == 2
        assert leases.granted("gw0", endpoint) == 4
        assert leases.granted("gw0") == 4
        assert leases.granted("gw1") == 6


class Worker:
    """An engine as the leases know it, behind a queue in each direction."""

    def __init__(self) -> None:
        self.heard: Grant | None = None
        self.grants: deque[Grant] = deque()
        self.words: deque[tuple[int, dict[Key, Need]]] = deque()
        self.waiting: Counter[Key] = Counter()
        self.in_flight: Counter[Key] = Counter()

    def tell(self) -> None:
        needs = {key: Need(self.waiting[key], self.in_flight[key]) for key in (A, B)}
        self.words.append((self.heard.number if self.heard else 0, needs))

    def fill(self) -> None:
        for key in (A, B):
            while self.waiting[key] and self.may_start(key):
                self.waiting[key] -= 1
                self.in_flight[key] += 1

    def may_start(self, key: Key) -> bool:
        if self.heard is None:
            return False
        granted = self.heard.slots
        return self.in_flight[key] < granted.get(key, 10**9) and (
            self.in_flight.total() < granted.get(SESSION, 10**9)
        )

    def is_above(self) -> bool:
        assert self.heard is not None
        granted = self.heard.slots
        return any(self.in_flight[key] > granted.get(key, 10**9) for key in (A, B)) or (
            self.in_flight.total() > granted.get(SESSION, 10**9)
        )


class Simulation:
    """Workers that come, go, work and die, with messages that arrive when chance will have it."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.limits = {SESSION: self.rng.choice([0, 1, 2, 5, 16, 64])}
        if self.rng.random() < 0.5:
            self.limits[A] = self.rng.choice([1, 2, 7])
        self.leases = Leases(self.limits)
        self.workers: dict[str, Worker] = {}
        self.joined = self.sent = 0

    def send(self, grants: Mapping[str, Grant]) -> None:
        self.sent += len(grants)
        for name, grant in grants.items():
            self.workers[name].grants.append(grant)

    def join(self) -> None:
        name = f"gw{self.joined}"
        self.joined += 1
        self.workers[name] = Worker()
        self.send(self.leases.join([name]))

    def die(self) -> None:
        name = self.rng.choice([*self.workers])
        del self.workers[name]
        self.send(self.leases.leave(name))

    def hear(self, worker: Worker) -> None:
        if worker.grants:
            worker.heard = worker.grants.popleft()
            worker.fill()
            worker.tell()

    def listen(self, name: str) -> None:
        if self.workers[name].words:
            number, needs = self.workers[name].words.popleft()
            self.send(self.leases.told(name, number, needs))

    def end_one(self, worker: Worker) -> None:
        flying = [key for key in (A, B) if worker.in_flight[key]]
        if flying:
            worker.in_flight[self.rng.choice(flying)] -= 1
            worker.fill()
            worker.tell()

    def submit(self, worker: Worker) -> None:
        worker.waiting[self.rng.choice((A, B))] += self.rng.choice([1, 3, 40])
        worker.fill()
        worker.tell()

    def step(self) -> None:
        if not self.workers or (len(self.workers) < 6 and self.rng.random() < 0.02):
            self.join()
        elif self.rng.random() < 0.01:
            self.die()
        if not self.workers:
            return
        name = self.rng.choice([*self.workers])
        worker = self.workers[name]
        what = self.rng.choices(("hear", "listen", "end", "submit"), (4, 4, 6, 1))[0]
        if what == "listen":
            self.listen(name)
        else:
            {"hear": self.hear, "end": self.end_one, "submit": self.submit}[what](worker)

    def settle(self) -> None:
        """Let every message arrive, and every worker let go of what it has to."""
        for _ in range(1000):
            sent = self.sent
            for name, worker in self.workers.items():
                while worker.grants:
                    self.hear(worker)
                while worker.is_above():
                    self.end_one(worker)
                worker.tell()
                while worker.words:
                    self.listen(name)
                self.check()
            if self.sent == sent:
                return
        raise AssertionError("the leases do not settle")

    def check(self) -> None:
        """No limit is exceeded."""
        for key, limit in self.limits.items():
            flying = sum(
                w.in_flight[key] if key else w.in_flight.total() for w in self.workers.values()
            )
            assert limit <= 0 or flying <= limit, (key, flying, limit)

    def usable(self) -> int:
        """Return how many rollouts could be in flight at best."""
        total = 0
        for key in (A, B):
            need = sum(w.waiting[key] + w.in_flight[key] for w in self.workers.values())
            total += min(need, self.limits.get(key, need))
        return min(total, self.limits[SESSION]) if self.limits[SESSION] else total


@pytest.mark.parametrize("seed", range(25))
def test_any_course_of_events(seed: int) -> None:
    simulation = Simulation(seed)
    for _ in range(12):
        for _ in range(100):
            simulation.step()
            simulation.check()
        simulation.settle()

        workers = simulation.workers.values()
        assert sum(w.in_flight.total() for w in workers) == simulation.usable()
        limit = simulation.limits[SESSION]
        if A in simulation.limits or not limit:
            continue
        level = limit // max(1, len(workers))
        for worker in workers:
            lacks = worker.waiting.total() and worker.in_flight.total() < level
            assert not lacks or level - worker.in_flight.total() < max(1, level // 4)


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_sent_while_every_worker_is_busy(seed: int) -> None:
    simulation = Simulation(seed)
    for _ in range(4):
        simulation.join()
    for worker in simulation.workers.values():
        worker.waiting.update({A: 500, B: 500})
    simulation.settle()
    sent = simulation.sent

    for _ in range(300):
        name = simulation.rng.choice([*simulation.workers])
        simulation.end_one(simulation.workers[name])
        simulation.listen(name)

    assert simulation.sent == sent


@pytest.mark.parametrize("seed", range(10))
def test_everything_ends_however_few_the_slots_are(seed: int) -> None:
    simulation = Simulation(seed)
    for _ in range(5):
        simulation.join()
    for worker in simulation.workers.values():
        worker.waiting.update({A: 30, B: 30})
        worker.tell()

    for _ in range(6_000):
        name = simulation.rng.choice([*simulation.workers])
        worker = simulation.workers[name]
        for act in (simulation.hear, simulation.end_one):
            act(worker)
        simulation.listen(name)
        simulation.check()

    assert all(not w.waiting.total() + w.in_flight.total() for w in simulation.workers.values())
