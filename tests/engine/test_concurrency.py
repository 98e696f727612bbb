"""How many rollouts are in flight, which start first, and in which order they are delivered."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.lifecycle import cleanup
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State

from .bench import Bench, FakeClient, Signal, agreeable, jobs_of, questions, single_turn


class Counting(SingleTurnEnv):
    """Counts its rollouts from the first step of the rollout to the last of its scoring."""

    def __init__(self, count: int) -> None:
        async def reward() -> float:
            await asyncio.sleep(0)
            self.now -= 1
            return 1.0

        super().__init__(dataset=questions(count), rubric=Rubric(funcs=[reward]))
        self.now = self.peak = 0

    async def setup_state(self, state: State) -> State:
        self.now += 1
        self.peak = max(self.peak, self.now)
        await asyncio.sleep(0)
        return state


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_the_limit_is_reached_and_never_passed(bench: Bench, limit: int) -> None:
    environment = Counting(20)
    run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))

    results = bench.measure(run, limit)

    assert environment.peak == limit
    assert [result.outcome for result in results.values()] == ["scored"] * 20


@pytest.mark.parametrize("limit", [0, -1])
def test_no_limit_starts_everything(bench: Bench, limit: int) -> None:
    client = FakeClient()
    run = bench.run(single_turn(50), bench.endpoint(lambda: client))
    engine = bench.start(limit)
    engine.submit(jobs_of(run))

    requests = client.take_all(50)

    assert engine.in_flight == 50
    for request in requests.values():
        request.answer()
    assert len(bench.take_all(50)) == 50


def test_the_limit_holds_over_all_evals(bench: Bench) -> None:
    client = FakeClient(agreeable)
    endpoint = bench.endpoint(lambda: client)
    runs = [bench.run(single_turn(8), endpoint, name) for name in ("a", "b", "c")]
    bench.start(limit=4).submit([job for run in runs for job in jobs_of(run)])

    bench.take_all(24)

    assert client.peak == 4


def test_a_rollout_being_scored_counts(bench: Bench) -> None:
    events: list[str] = []

    async def reward(prompt: Any) -> float:
        await asyncio.sleep(0)
        events.append(f"scored {prompt[-1]['content']}")
        return 1.0

    def reply(text: str) -> str:
        events.append(f"asked {text}")
        return "fine"

    run = bench.run(single_turn(3, reward), bench.endpoint(lambda: FakeClient(reply)))
    bench.measure(run, limit=1)

    assert events == ["asked q0", "scored q0", "asked q1", "scored q1", "asked q2", "scored q2"]


def test_an_evals_own_cap_leaves_the_slots_to_another(bench: Bench) -> None:
    client = FakeClient()
    endpoint = bench.endpoint(lambda: client)
    capped = bench.run(single_turn(3, prefix="a"), endpoint, "a", max_concurrent=1)
    free = bench.run(single_turn(3, prefix="b"), endpoint, "b")
    bench.start(limit=3).submit([*jobs_of(capped), *jobs_of(free)])

    first = client.take_all(3)
    assert set(first) == {"a0", "b0", "b1"}
    first["b0"].answer()
    last = client.take()
    assert last.text == "b2"  # although a1 was submitted before it
    first["a0"].answer()
    second = client.take()
    assert second.text == "a1"
    second.answer()
    third = client.take()
    assert third.text == "a2"
    for request in (first["b1"], last, third):
        request.answer()
    assert len(bench.take_all(6)) == 6


def test_a_cap_holds_without_a_limit(bench: Bench) -> None:
    environment = Counting(10)
    run = bench.run(
        environment, bench.endpoint(lambda: FakeClient(agreeable)), "eval", max_concurrent=2
    )
    bench.measure(run, limit=0)

    assert environment.peak == 2


def test_rollouts_start_in_the_order_they_were_submitted(bench: Bench) -> None:
    client = FakeClient(agreeable)
    endpoint = bench.endpoint(lambda: client)
    runs = [bench.run(single_turn(3, prefix=name), endpoint, name) for name in ("b", "a")]
    engine = bench.start(limit=1)
    engine.submit(jobs_of(runs[0]))
    engine.submit(jobs_of(runs[1]))

    bench.take_all(6)

    assert client.asked == ["b0", "b1", "b2", "a0", "a1", "a2"]


def test_rollouts_submitted_later_join_those_in_flight(bench: Bench) -> None:
    client = FakeClient()
    run = bench.run(single_turn(2), bench.endpoint(lambda: client))
    first, second = jobs_of(run)
    engine = bench.start(limit=2)
    engine.submit([first])
    waiting = client.take()
    engine.submit([second])

    client.take().answer()

    assert bench.take().key == second.key
    waiting.answer()
    assert bench.take().key == first.key


def test_results_come_in_the_order_rollouts_end(bench: Bench) -> None:
    client = FakeClient()
    run = bench.run(single_turn(5), bench.endpoint(lambda: client))
    bench.start().submit(jobs_of(run))
    requests = client.take_all(5)

    for number in (3, 1, 4, 2):  # the head of the queue is the straggler
        requests[f"q{number}"].answer()
        assert bench.take().key == (number, 0)
    requests["q0"].answer()

    assert bench.take().key == (0, 0)


def test_a_straggler_holds_one_slot_only(bench: Bench) -> None:
    client = FakeClient()
    run = bench.run(single_turn(6), bench.endpoint(lambda: client))
    bench.start(limit=2).submit(jobs_of(run))
    straggler = client.take()
    for number in range(1, 6):
        request = client.take()
        assert request.text == f"q{number}"
        request.answer()
        assert bench.take().key == (number, 0)

    straggler.answer()

    assert bench.take().key == (0, 0)


def test_what_is_said_of_a_scored_rollout(bench: Bench) -> None:
    def half() -> float:
        return 0.5

    def reward() -> float:
        return 0.25

    run = bench.run(single_turn(1, half, reward), bench.endpoint(lambda: FakeClient(agreeable)))
    result = bench.measure(run)[0, 0]

    assert (result.outcome, result.error, result.cause) == ("scored", None, None)
    assert result.run is run
    assert result.reward == 0.75
    assert result.metrics == {"half": 0.5, "reward": 0.25, "num_turns": 1.0}
    assert (result.input_tokens, result.output_tokens) == (10, 3)
    assert result.prompt is not None and result.prompt[-1].content == "q0"
    assert result.completion is not None and result.completion[0].content == "fine: q0"


def test_times_leave_out_the_wait_for_a_slot(bench: Bench) -> None:
    run = bench.run(single_turn(3), bench.endpoint(lambda: FakeClient(agreeable)))
    results = bench.measure(run, limit=1)

    for before, after in ((0, 1), (1, 2)):
        assert results[before, 0].start <= results[before, 0].stop <= results[after, 0].start


def test_one_client_for_an_endpoint_and_its_model_is_asked_for(bench: Bench) -> None:
    made: list[FakeClient] = []

    def make() -> FakeClient:
        made.append(FakeClient(agreeable))
        return made[-1]

    endpoint = bench.endpoint(make)
    runs = [bench.run(single_turn(3), endpoint, name) for name in ("a", "b")]
    bench.start().submit([job for run in runs for job in jobs_of(run)])
    bench.take_all(6)

    assert len(made) == 1
    assert made[0].models == {"m"}


def test_rollouts_do_not_see_each_others_context(bench: Bench) -> None:
    variable = contextvars.ContextVar("variable", default="untouched")
    seen: list[str] = []

    class Marking(SingleTurnEnv):
        async def setup_state(self, state: State) -> State:
            seen.append(variable.get())
            variable.set("touched")
            return state

    run = bench.run(
        Marking(dataset=questions(4)), bench.endpoint(lambda: FakeClient(agreeable)), "eval"
    )
    bench.measure(run, limit=1)

    assert seen == ["untouched"] * 4


def test_the_engine_waits_idle_between_submissions(bench: Bench) -> None:
    run = bench.run(single_turn(2), bench.endpoint(lambda: FakeClient(agreeable)))
    first, second = jobs_of(run)
    engine = bench.start(limit=1)
    engine.submit([first])
    assert bench.take().key == first.key
    engine.submit([second])
    assert bench.take().key == second.key
    engine.submit([])
    engine.submit([first])  # an item that is run again
    assert bench.take().key == first.key


def test_a_slow_reward_function_delays_nobody_else(bench: Bench) -> None:
    judge = Signal()

    async def reward(prompt: Any) -> float:
        if prompt[-1]["content"] == "q0":
            await judge.reached()
        return 1.0

    run = bench.run(single_turn(3, reward), bench.endpoint(lambda: FakeClient(agreeable)))
    bench.start(limit=2).submit(jobs_of(run))

    assert [result.key for result in bench.take_all(2)] == [(1, 0), (2, 0)]
    judge.set()
    assert bench.take().key == (0, 0)


def test_the_oldest_rollout_is_known_with_what_it_does(bench: Bench) -> None:
    async def reward() -> float:
        scoring.set()
        await release.reached()
        return 1.0

    class Cleaned(SingleTurnEnv):
        @cleanup
        async def release(self, state: State) -> None:
            cleaning.set()
            await cleaned.reached()

    client = FakeClient()
    cleaning, cleaned, scoring, release = Signal(), Signal(), Signal(), Signal()
    environment = Cleaned(dataset=questions(1), rubric=Rubric(funcs=[reward]))
    run = bench.run(environment, bench.endpoint(lambda: client))
    engine = bench.start()
    assert engine.oldest is None
    engine.submit(jobs_of(run))
    phases: list[str] = []
    request = client.take()
    for go_on, reached in ((request.answer, cleaning), (cleaned.set, scoring), (release.set, None)):
        assert engine.oldest is not None
        assert (engine.oldest.name, 0 <= engine.oldest.seconds < 60) == ("eval::0-r0", True)
        phases.append(engine.oldest.phase)
        go_on()
        if reached is not None:
            reached.wait()
    bench.take()
    bench.settle()

    assert phases == ["generating", "cleaning up", "scoring"]
    assert engine.oldest is None
