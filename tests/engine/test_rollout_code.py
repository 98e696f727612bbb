"""Code of environments and reward functions that does what it should not: each rollout still ends.

With one slot, a rollout that was never delivered or kept its slot would stop the second one.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from typing import Any

import pytest

from pytest_evals.engine import attempts
from pytest_evals.engine.rollouts import RolloutResult
from pytest_evals.environments.environment import Environment
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.errors import InfraError, ModelError, RewardError, SandboxError
from pytest_evals.parsers import Parser
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State

from .bench import (
    Bench,
    FakeClient,
    Scripted,
    agreeable,
    jobs_of,
    questions,
    rows_of,
    single_turn,
)

BUGS = [
    ValueError("a bug"),
    KeyError("missing"),
    TimeoutError("of its own"),
    RecursionError("too deep"),
    SystemExit(3),
    KeyboardInterrupt(),
    ExceptionGroup("several", [ValueError("one"), TypeError("two")]),
    BaseExceptionGroup("several", [SystemExit(1), ValueError("two")]),
]
# What asyncio and Python use themselves to end a coroutine: told apart from a real request.
ENDINGS = [asyncio.CancelledError("of its own"), GeneratorExit()]


def first_only(failure: Callable[[], Any]) -> Callable[[Any], Any]:
    """Return a step that calls `failure` for the first example and leaves the others alone."""

    def step(state: Any) -> Any:
        return failure() if state["example_id"] == 0 else state

    return step


def raising(error: BaseException) -> Callable[[], Any]:
    def failure() -> Any:
        raise error

    return failure


def measure_two(bench: Bench, environment: Environment) -> tuple[RolloutResult, RolloutResult]:
    """Run two examples, one after the other; the second is scored whatever the first did."""
    run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
    results = bench.measure(run, limit=1)
    assert results[1, 0].outcome == "scored"
    assert [row["state"] for row in rows_of(run)] == [results[0, 0].outcome, "scored"]
    assert (results[0, 0].reward, results[0, 0].metrics) == (None, {})
    return results[0, 0], results[1, 0]


@pytest.mark.parametrize("error", BUGS, ids=repr)
def test_rollout_that_raises_is_broken(bench: Bench, error: BaseException) -> None:
    result, _ = measure_two(bench, Scripted(first_only(raising(error))))

    assert result.outcome == "broken"
    assert result.error is error
    assert result.cause is None


@pytest.mark.parametrize("error", ENDINGS, ids=repr)
def test_rollout_that_ends_itself_is_broken(bench: Bench, error: BaseException) -> None:
    result, _ = measure_two(bench, Scripted(first_only(raising(error))))

    assert result.outcome == "broken"
    assert "cancelled the rollout" in str(result.error)
    assert result.error is not None and result.error.__cause__ is error


def test_rollout_that_cancels_its_task_is_broken(bench: Bench) -> None:
    async def suicide() -> Any:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    result, _ = measure_two(bench, Scripted(first_only(suicide)))

    assert result.outcome == "broken"
    assert "cancelled" in str(result.error)


def test_rollout_that_cancels_its_task_and_ends_is_delivered_once(bench: Bench) -> None:
    def suicide(state: State) -> State:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()  # comes into force at the next await, of which there is none
        return state

    run = bench.run(Scripted(suicide), bench.endpoint(lambda: FakeClient(agreeable)))
    results = bench.measure(run, limit=1)
    bench.close()

    assert {result.outcome for result in results.values()} == {"scored"}
    assert [row["state"] for row in rows_of(run)] == ["scored"] * 2


def test_rollout_that_cancels_every_task_breaks_those(bench: Bench) -> None:
    def massacre() -> Any:
        for task in asyncio.all_tasks():
            task.cancel()
        return None

    run = bench.run(
        Scripted(first_only(massacre), count=3), bench.endpoint(lambda: FakeClient(agreeable))
    )
    results = bench.measure(run)  # all three are in flight

    assert {result.outcome for result in results.values()} == {"broken"}


def test_tasks_cancelled_before_their_first_step_are_delivered(bench: Bench) -> None:
    client = FakeClient(agreeable)
    run = bench.run(single_turn(3), bench.endpoint(lambda: client), rollouts_per_example=1)
    engine = bench.start()
    loop = engine._host.loop

    def submit_and_cancel() -> None:
        before = asyncio.all_tasks()
        engine._enqueue(jobs_of(run))
        for task in asyncio.all_tasks() - before:
            task.cancel()

    loop.call_soon_threadsafe(submit_and_cancel)
    results = bench.take_all(3)

    assert {result.outcome for result in results} == {"broken"}
    assert client.asked == []


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), ValueError("a bug")], ids=repr
)
def test_task_of_a_rollout_that_raises_breaks_the_rollout_only(
    bench: Bench, error: BaseException
) -> None:
    async def child() -> None:
        raise error

    async def parent() -> Any:
        await asyncio.gather(child())

    result, _ = measure_two(bench, Scripted(first_only(parent)))

    assert result.outcome == "broken"
    assert result.error is error


def test_stray_callbacks_do_not_end_the_loop(bench: Bench) -> None:
    def exits() -> None:
        raise SystemExit(3)

    async def plant(state: State) -> State:
        loop = asyncio.get_running_loop()
        loop.call_soon(exits)
        loop.call_soon(loop.stop)
        await asyncio.sleep(0)
        return state

    run = bench.run(Scripted(plant, count=3), bench.endpoint(lambda: FakeClient(agreeable)))
    results = bench.measure(run, limit=1)

    assert {result.outcome for result in results.values()} == {"scored"}


@pytest.mark.parametrize(
    "error", [InfraError("no box"), SandboxError("no box"), ConnectionResetError("by peer")]
)
def test_errors_that_say_nothing_of_the_model_are_unmeasured(
    bench: Bench, error: Exception
) -> None:
    raised, _ = measure_two(bench, Scripted(first_only(raising(error))))
    assert (raised.outcome, raised.error) == ("unmeasured", error)


def test_an_error_left_in_the_state_counts_like_one_raised(bench: Bench) -> None:
    error = InfraError("no box")

    def leave(state: State) -> State:
        if state["example_id"] == 0:
            state["error"] = error
        return state

    result, _ = measure_two(bench, Scripted(leave))

    assert (result.outcome, result.error) == ("unmeasured", error)
    assert result.completion is not None  # what the model said is kept


@pytest.mark.parametrize("returned", [None, {}, {"completion": []}, "text", 7], ids=repr)
def test_rollout_that_returns_no_state_is_broken(bench: Bench, returned: object) -> None:
    result, _ = measure_two(bench, Scripted(first_only(lambda: returned)))

    assert result.outcome == "broken"
    assert isinstance(result.error, TypeError)
    assert f"returned {type(returned).__name__}, not a State" in str(result.error)


@pytest.mark.parametrize("missing", ["input", "trajectory", "timing", "error", "reward", "metrics"])
def test_a_state_that_was_not_begun_is_broken(bench: Bench, missing: str) -> None:
    def strip(state: State) -> State:
        if state["example_id"] == 0:
            del state[missing]
        return state

    result, _ = measure_two(bench, Scripted(strip))

    assert result.outcome == "broken"
    assert f"without {missing}; begin with self.init_state()" in str(result.error)


def test_an_empty_state_is_broken(bench: Bench) -> None:
    result, _ = measure_two(bench, Scripted(first_only(State)))
    assert "without error, input, metrics" in str(result.error)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("error", "boom"),
        ("error", 3),
        ("trajectory", [1, 2]),
        ("trajectory", None),
        ("timing", None),
        ("timing", "fast"),
        ("input", None),
    ],
)
def test_a_state_with_nonsense_in_it_is_broken(bench: Bench, key: str, value: object) -> None:
    def spoil(state: State) -> State:
        if state["example_id"] == 0:
            dict.__setitem__(state, key, value)
        return state

    result, _ = measure_two(bench, Scripted(spoil))

    assert result.outcome == "broken"
    assert isinstance(result.error, Exception)


@pytest.mark.parametrize(
    ("key", "value"),
    [("timing", None), ("error", "boom"), ("metrics", [1])],
)
def test_a_reward_function_that_spoils_the_state_breaks_its_rollout(
    bench: Bench, key: str, value: object
) -> None:
    class Spoiling(Rubric):
        async def score_rollout(self, state: State) -> None:
            await super().score_rollout(state)
            if state["example_id"] == 0:
                dict.__setitem__(state, key, value)

    environment = SingleTurnEnv(dataset=questions(2), rubric=Spoiling(funcs=[agreed]))
    result, _ = measure_two(bench, environment)

    assert result.outcome == "broken"


def agreed() -> float:
    return 1.0


class TestParser:
    class Failing(Parser):
        def parse_answer(self, completion: Any) -> str | None:
            raise ValueError("cannot parse")

    def test_a_failing_one_costs_the_prediction_only(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        environment = SingleTurnEnv(
            dataset=questions(1), rubric=Rubric(funcs=[agreed], parser=self.Failing())
        )
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)), "gsm8k")
        results = bench.measure(run)

        assert results[0, 0].outcome == "scored"
        assert rows_of(run)[0]["prediction"] is None
        assert "gsm8k::0-r0: parser failed: ValueError('cannot parse')" in caplog.messages

    def test_its_answer_is_the_prediction(self, bench: Bench) -> None:
        class Upper(Parser):
            def parse_answer(self, completion: Any) -> str | None:
                return str(completion[-1]["content"]).upper()

        environment = SingleTurnEnv(
            dataset=questions(1), rubric=Rubric(funcs=[agreed], parser=Upper())
        )
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        bench.measure(run)

        assert rows_of(run)[0]["prediction"] == "FINE: Q0"


def rewarding(failure: Callable[[], Any], is_async: bool) -> Callable[..., Any]:
    """Return a reward function that calls `failure` for the first example."""

    def reward(state: Any) -> Any:
        return failure() if state["example_id"] == 0 else 1.0

    async def reward_later(state: Any) -> Any:
        await asyncio.sleep(0)
        return reward(state)

    return reward_later if is_async else reward


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("error", [*BUGS, *ENDINGS], ids=repr)
def test_reward_function_that_raises_breaks_its_rollout(
    bench: Bench, error: BaseException, is_async: bool
) -> None:
    result, _ = measure_two(bench, single_turn(2, rewarding(raising(error), is_async)))

    assert result.outcome == "broken"
    assert result.error is not None
    assert error in (result.error, result.error.__cause__)
    assert result.completion is not None


def test_reward_function_that_cancels_its_task_breaks_its_rollout(bench: Bench) -> None:
    def suicide() -> float:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return 1.0

    async def reward(state: Any) -> float:
        value = suicide() if state["example_id"] == 0 else 1.0
        await asyncio.sleep(0)
        return value

    result, _ = measure_two(bench, single_turn(2, reward))

    assert result.outcome == "broken"
    assert "a reward function cancelled the scoring" in str(result.error)


@pytest.mark.parametrize("returned", [None, "1.0", float("nan"), float("inf"), [1.0]], ids=repr)
def test_reward_that_is_no_number_is_broken(bench: Bench, returned: object) -> None:
    result, _ = measure_two(bench, single_turn(2, rewarding(lambda: returned, False)))

    assert result.outcome == "broken"
    assert isinstance(result.error, RewardError)


@pytest.mark.parametrize(
    "left",
    [None, "1.0", float("nan"), float("-inf"), [1.0], 10**400],
    ids=["None", "str", "nan", "-inf", "list", "beyond float"],
)
def test_rubric_that_scores_its_own_way_is_held_to_a_number(bench: Bench, left: object) -> None:
    class Own(Rubric):
        async def score_rollout(self, state: State) -> None:
            state["reward"] = left if state["example_id"] == 0 else 1
            state["metrics"] = {}

    environment = SingleTurnEnv(dataset=questions(2), rubric=Own())
    result, second = measure_two(bench, environment)

    assert result.outcome == "broken"
    assert isinstance(result.error, RewardError)
    assert "'Own' left the reward" in str(result.error)
    assert second.reward == 1


def test_a_judge_that_is_down_leaves_the_rollout_unmeasured(bench: Bench) -> None:
    run = bench.run(
        single_turn(2, rewarding(raising(InfraError("judge down")), True)),
        bench.endpoint(lambda: FakeClient(agreeable)),
    )
    results = bench.measure(run, limit=1)

    assert [result.outcome for result in results.values()] == ["unmeasured", "scored"]
    assert rows_of(run)[0]["completion"][0]["content"] == "fine: q0"


def test_a_judge_that_asks_a_model_gives_up_no_endpoint(bench: Bench) -> None:
    judge = rewarding(raising(ModelError("judge down")), True)
    run = bench.run(single_turn(2, judge), bench.endpoint(lambda: FakeClient(agreeable)))
    results = bench.measure(run, limit=1)

    assert [result.outcome for result in results.values()] == ["unmeasured", "scored"]
    assert results[0, 0].cause is None
    first, second = rows_of(run)
    # Only to be scored again: the model's answer is there.
    assert (first["state"], first["reward"]) == ("generated", None)
    assert first["error"]["message"] == "judge down"
    assert first["completion"][0]["content"] == "fine: q0"
    assert second["state"] == "scored"


def test_a_rollout_without_end_is_unmeasured(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "LIMIT_SECONDS", 0.01)

    async def forever() -> Any:
        await asyncio.Event().wait()

    result, _ = measure_two(bench, Scripted(first_only(forever)))

    assert result.outcome == "unmeasured"
    assert isinstance(result.error, InfraError)
    assert "did not end within" in str(result.error)


def test_a_result_tells_what_its_reward_functions_did(bench: Bench) -> None:
    def faulty() -> float:
        raise ValueError("a bug")

    def slow() -> float:
        time.sleep(0.11)
        return 1.0

    environment = single_turn(1, slow, faulty)
    environment.rubric.reward_errors = "zero"
    run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
    (result,) = bench.measure(run).values()

    assert (result.reward, result.reward_errors) == (1.0, 1)
    assert list(result.slow_calls) == ["reward function 'slow'"]
    assert 0.1 < result.slow_calls["reward function 'slow'"] < 5.0
    (line,) = rows_of(run)[0]["reward_errors"]
    place = f"test_rollout_code.py:{faulty.__code__.co_firstlineno + 1})"
    assert line.startswith("faulty: ValueError: a bug (")
    assert line.endswith(place)


class TestClientThatCannotBeMade:
    @pytest.mark.parametrize("error", [ValueError("no such wire format"), SystemExit(3)], ids=repr)
    def test_breaks_the_rollouts_of_its_endpoint(self, bench: Bench, error: BaseException) -> None:
        without = bench.run(single_turn(2), bench.endpoint(raising(error), "without"), "without")
        other = bench.endpoint(lambda: FakeClient(agreeable), "other")
        bench.start(limit=1).submit([*jobs_of(without), *jobs_of(bench.run(single_turn(2), other))])
        results = bench.take_all(4)

        assert [result.outcome for result in results] == ["broken", "broken", "scored", "scored"]
        assert [result.error for result in results[:2]] == [error, error]
        assert [row["completion"] for row in rows_of(without)] == [None, None]

    def test_leaves_no_group_open(self, bench: Bench) -> None:
        def spread(completions: list[Any]) -> list[float]:
            return [1.0 for _ in completions]

        endpoint = bench.endpoint(raising(ValueError("no such wire format")))
        run = bench.run(single_turn(1, spread), endpoint, rollouts_per_example=3)
        results = bench.measure(run)

        assert {result.outcome for result in results.values()} == {"broken"}


def test_tasks_left_behind_end_without_a_word(bench: Bench) -> None:
    async def endless() -> None:
        await asyncio.Event().wait()

    async def failing() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("while it is cancelled")

    left: list[asyncio.Task[None]] = []

    async def plant(state: State) -> State:
        left.extend(asyncio.create_task(work()) for work in (endless, failing))
        await asyncio.sleep(0)
        return state

    run = bench.run(Scripted(plant), bench.endpoint(lambda: FakeClient(agreeable)))
    bench.measure(run)
    bench.close()

    assert all(task.done() for task in left)
    left.clear()
    gc.collect()  # the fixture sees what asyncio says of them
