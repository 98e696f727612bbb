"""Limits that change while rollouts are in flight, and what is told of the demand meanwhile."""

from __future__ import annotations

import queue

import pytest

from pytest_evals.engine import notice as notice_module
from pytest_evals.engine.engine import Engine
from pytest_evals.engine.slots import Demand, Limits
from pytest_evals.errors import ModelError, RejectedError

from .bench import PATIENCE, Bench, FakeClient, Request, agreeable, jobs_of, single_turn


class TestResizing:
    def test_starts_more_at_once(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(5), bench.endpoint(lambda: client))
        engine = bench.start(limit=1)
        engine.submit(jobs_of(run))
        client.take()

        engine.resize(Limits(3))

        assert [client.take().text for _ in range(2)] == ["q1", "q2"]
        bench.settle()
        assert engine.in_flight == 3

    def test_to_less_lets_those_in_flight_end(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(6), bench.endpoint(lambda: client))
        engine = bench.start(limit=4)
        engine.submit(jobs_of(run))
        flying = client.take_all(4)
        engine.resize(Limits(2))

        for left, text in ((3, "q2"), (2, "q0")):
            flying[text].answer()
            assert bench.take().outcome == "scored"
            bench.settle()
            assert engine.in_flight == left
            assert client.requests.empty()
        flying["q1"].answer()
        assert bench.take().outcome == "scored"

        assert client.take().text == "q4"
        bench.settle()
        assert engine.in_flight == 2

    def test_to_nothing_and_back(self, bench: Bench) -> None:
        client = FakeClient(agreeable)
        run = bench.run(single_turn(3), bench.endpoint(lambda: client))
        engine = bench.start(limit=1)
        engine.resize(Limits(0))
        engine.submit(jobs_of(run))
        bench.settle()
        assert client.asked == []

        engine.resize(Limits(None))

        assert len(bench.take_all(3)) == 3

    def test_changes_an_evals_own_limit(self, bench: Bench) -> None:
        client = FakeClient()
        endpoint = bench.endpoint(lambda: client)
        capped = bench.run(single_turn(4, prefix="a"), endpoint, "a", max_concurrent=1)
        free = bench.run(single_turn(1, prefix="b"), endpoint, "b")
        engine = bench.start()
        engine.submit([*jobs_of(capped), *jobs_of(free)])
        assert set(client.take_all(2)) == {"a0", "b0"}

        engine.resize(Limits(None, {"a": 3}))

        assert set(client.take_all(2)) == {"a1", "a2"}
        bench.settle()
        assert client.requests.empty()

    def test_leaves_the_own_limit_of_an_eval_it_does_not_name(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(4), bench.endpoint(lambda: client), max_concurrent=2)
        engine = bench.start(limit=1)
        engine.resize(Limits(9))
        engine.submit(jobs_of(run))

        client.take_all(2)
        bench.settle()

        assert engine.in_flight == 2

    def test_without_slots_delivers_what_waits_for_an_endpoint_that_is_given_up(
        self, bench: Bench
    ) -> None:
        endpoint = bench.endpoint(lambda: FakeClient())
        run = bench.run(single_turn(2), endpoint)
        engine = bench.start(limit=1)
        engine.resize(Limits(0))
        engine.submit(jobs_of(run)[:1])
        bench.settle()

        engine.give_up(endpoint, ModelError("the server did not start"))
        engine.submit(jobs_of(run)[1:])

        assert [result.outcome for result in bench.take_all(2)] == ["unmeasured"] * 2

    def test_after_the_end_starts_nothing(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(2), bench.endpoint(lambda: client))
        engine = bench.start(limit=1)
        engine.submit(jobs_of(run))
        client.take()
        engine.cancel()

        engine.resize(Limits(2))
        bench.settle()

        assert client.requests.empty()


class Words:
    """An engine, its one client, and what it told of its demand."""

    def __init__(self, bench: Bench, limit: int) -> None:
        self.bench = bench
        self.client = FakeClient()
        self.endpoint = bench.endpoint(lambda: self.client)
        self._told: queue.SimpleQueue[Demand] = queue.SimpleQueue()
        self.engine: Engine = bench.start(limit, self._told.put)

    def next(self) -> Demand:
        return self._told.get(timeout=PATIENCE)

    def are_over(self) -> bool:
        """Whether nothing is told any more, nor is about to be."""
        self.bench.settle()
        assert self.engine._notice is not None
        return self._told.empty() and not self.engine._notice.is_due

    def answer(self, request: Request) -> None:
        """End a rollout."""
        request.answer()
        assert self.bench.take().outcome == "scored"


@pytest.fixture(autouse=True)
def _prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notice_module, "_TELL_SECONDS", 0.001)


class TestDemand:
    def test_is_told_when_rollouts_come(self, bench: Bench) -> None:
        words = Words(bench, limit=2)
        runs = [
            bench.run(single_turn(count), words.endpoint, name)
            for name, count in (("a", 3), ("b", 4))
        ]

        words.engine.submit([job for run in runs for job in jobs_of(run)])

        assert words.next() == Demand(0, {"a": (1, 2), "b": (4, 0)})

    def test_is_not_told_while_every_slot_is_used_and_rollouts_wait(self, bench: Bench) -> None:
        words = Words(bench, limit=2)
        words.engine.submit(jobs_of(bench.run(single_turn(9), words.endpoint)))
        assert words.next().evals == {"eval": (7, 2)}

        for _ in range(6):
            words.answer(words.client.take())

        assert words.are_over()

    def test_is_told_when_none_waits_and_when_slots_are_unused(self, bench: Bench) -> None:
        words = Words(bench, limit=2)
        words.engine.submit(jobs_of(bench.run(single_turn(3), words.endpoint)))
        assert words.next().evals == {"eval": (1, 2)}

        for expected in ({"eval": (0, 2)}, {"eval": (0, 1)}, {}):
            words.answer(words.client.take())
            assert words.next().evals == expected
        assert words.are_over()

    def test_is_told_as_slots_are_let_go_of(self, bench: Bench) -> None:
        words = Words(bench, limit=3)
        words.engine.submit(jobs_of(bench.run(single_turn(9), words.endpoint)))
        words.next()

        words.engine.resize(Limits(1, number=7))

        assert words.next() == Demand(7, {"eval": (6, 3)})
        words.answer(words.client.take())
        assert words.next() == Demand(7, {"eval": (6, 2)})
        words.answer(words.client.take())
        assert words.next() == Demand(7, {"eval": (6, 1)})
        words.answer(words.client.take())
        words.client.take()
        assert words.are_over()

    def test_is_told_after_a_change_of_limits_that_changes_nothing(self, bench: Bench) -> None:
        words = Words(bench, limit=3)

        words.engine.resize(Limits(3, number=1))

        assert words.next() == Demand(1, {})

    def test_is_told_as_slots_of_an_evals_own_limit_fall_idle(self, bench: Bench) -> None:
        words = Words(bench, limit=3)
        capped = bench.run(single_turn(2, prefix="a"), words.endpoint, "a", max_concurrent=2)
        free = bench.run(single_turn(9, prefix="b"), words.endpoint, "b")
        words.engine.submit([*jobs_of(capped), *jobs_of(free)])
        assert words.next().evals == {"a": (0, 2), "b": (8, 1)}
        flying = words.client.take_all(3)

        words.answer(flying["a0"])

        assert words.next().evals == {"a": (0, 1), "b": (7, 2)}

    def test_leaves_out_what_waits_for_an_endpoint_in_doubt(self, bench: Bench) -> None:
        words = Words(bench, limit=2)
        words.engine.submit(jobs_of(bench.run(single_turn(4), words.endpoint)))
        assert words.next().evals == {"eval": (2, 2)}
        first, second = (words.client.take() for _ in range(2))

        first.fail(ModelError("connection refused"))
        assert words.next().evals == {"eval": (0, 1)}
        second.answer()  # clears the doubt
        assert words.next().evals == {"eval": (0, 2)}

        for _ in range(2):
            words.client.take().answer()
        assert len(bench.take_all(4)) == 4

    def test_ends_with_an_endpoint_that_is_given_up(self, bench: Bench) -> None:
        words = Words(bench, limit=1)
        words.engine.submit(jobs_of(bench.run(single_turn(4), words.endpoint)))
        words.next()

        words.client.take().fail(RejectedError("401"))

        assert words.next().evals == {}
        assert len(bench.take_all(4)) == 4

    def test_is_not_told_once_cancelled(self, bench: Bench) -> None:
        words = Words(bench, limit=1)
        words.engine.submit(jobs_of(bench.run(single_turn(4), words.endpoint)))
        words.next()

        words.engine.cancel()

        assert words.are_over()
