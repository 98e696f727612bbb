"""Releasing what is held: the rubric's cleanup after each rollout, environments' at the end."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import Any

import pytest

from pytest_evals.engine import engine as engine_module
from pytest_evals.engine import scoring
from pytest_evals.engine import shutdown as shutdown_module
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.errors import InfraError, ModelError
from pytest_evals.lifecycle import cleanup, teardown
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State

from .bench import (
    PATIENCE,
    Bench,
    FakeClient,
    Signal,
    agreeable,
    always_one,
    jobs_of,
    questions,
    rows_of,
    single_turn,
)


class Holding(Rubric):
    """Notes which rollouts it cleaned up after, and what it knew of them then."""

    def __init__(self, *funcs: Any, fails: BaseException | None = None) -> None:
        super().__init__(funcs=funcs or (always_one,))
        self.fails = fails
        self.released: list[tuple[int, float | None]] = []

    @cleanup
    async def release(self, state: State) -> None:
        self.released.append((state["example_id"], state["reward"]))
        if self.fails is not None:
            raise self.fails


def ranked(completions: list[Any]) -> list[float]:
    return [1.0 for _ in completions]


class TestCleanup:
    def test_follows_the_scoring_and_precedes_the_result(self, bench: Bench) -> None:
        rubric = Holding()
        seen: list[int] = []
        bench.on_delivery = lambda result: seen.append(len(rubric.released))
        environment = SingleTurnEnv(dataset=questions(2), rubric=rubric)
        bench.measure(bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable))), 1)

        assert rubric.released == [(0, 1.0), (1, 1.0)]
        assert seen == [1, 2]

    def test_follows_what_failed_too(self, bench: Bench) -> None:
        def reply(text: str) -> str:
            if text == "q0":
                raise InfraError("no box")
            return "fine"

        rubric = Holding()
        environment = SingleTurnEnv(dataset=questions(2), rubric=rubric)
        bench.measure(bench.run(environment, bench.endpoint(lambda: FakeClient(reply))))

        assert sorted(rubric.released, key=str) == [(0, None), (1, 1.0)]

    def test_follows_each_member_of_a_group_also_of_an_incomplete_one(self, bench: Bench) -> None:
        rubric = Holding(ranked)
        environment = SingleTurnEnv(dataset=questions(2), rubric=rubric)
        endpoint = bench.endpoint(lambda: FakeClient(agreeable))
        run = bench.run(environment, endpoint, rollouts_per_example=2)
        bench.start().submit(jobs_of(run)[:3])
        bench.take_all(3)

        assert sorted(rubric.released, key=str) == [(0, 1.0), (0, 1.0), (1, None)]

    @pytest.mark.parametrize("error", [ValueError("stuck"), SystemExit(3)], ids=repr)
    def test_that_fails_is_logged_and_changes_nothing(
        self, bench: Bench, caplog: pytest.LogCaptureFixture, error: BaseException
    ) -> None:
        environment = SingleTurnEnv(dataset=questions(1), rubric=Holding(fails=error))
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        (result,) = bench.measure(run).values()

        assert (result.outcome, result.reward) == ("scored", 1.0)
        (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
        assert "eval::0-r0: cleanup of the rubric failed" in record.getMessage()

    def test_that_hangs_is_left(
        self, bench: Bench, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Hanging(Rubric):
            @cleanup
            async def release(self) -> None:
                await asyncio.Event().wait()

        monkeypatch.setattr(scoring, "CLEANUP_SECONDS", 0.01)
        environment = SingleTurnEnv(dataset=questions(1), rubric=Hanging(funcs=[always_one]))
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        (result,) = bench.measure(run).values()

        assert result.outcome == "scored"
        assert "TimeoutError" in caplog.text

    def test_follows_scoring_that_is_cancelled(self, bench: Bench) -> None:
        async def reward() -> float:
            entered.set()
            await asyncio.Event().wait()
            return 1.0

        entered = Signal()
        rubric = Holding(reward)
        environment = SingleTurnEnv(dataset=questions(1), rubric=rubric)
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start()
        engine.submit(jobs_of(run))
        entered.wait()
        engine.cancel()

        assert rubric.released == [(0, None)]

    def test_follows_what_waits_for_its_group_when_all_is_cancelled(self, bench: Bench) -> None:
        client = FakeClient()
        rubric = Holding(ranked)
        environment = SingleTurnEnv(dataset=questions(1), rubric=rubric)
        run = bench.run(environment, bench.endpoint(lambda: client), rollouts_per_example=2)
        engine = bench.start()
        engine.submit(jobs_of(run))
        client.take().answer()
        client.take()
        bench.settle()
        engine.cancel()

        assert rubric.released == [(0, None)]
        assert [row["state"] for row in rows_of(run)] == ["generated"]

    def test_is_not_asked_of_a_rubric_without_it(self, bench: Bench) -> None:
        class Plain:
            has_group_functions = False

            async def score_rollout(self, state: State) -> None:
                state["reward"], state["metrics"] = 0.5, {}

        environment = single_turn(1)
        rubric: Any = Plain()
        environment.rubric = rubric
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))

        assert [result.reward for result in bench.measure(run).values()] == [0.5]


def test_scoring_without_end_is_unmeasured(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever() -> float:
        await asyncio.Event().wait()
        return 1.0

    monkeypatch.setattr(scoring, "LIMIT_SECONDS", 0.01)
    run = bench.run(single_turn(1, forever), bench.endpoint(lambda: FakeClient(agreeable)))
    (result,) = bench.measure(run).values()

    assert result.outcome == "unmeasured"
    assert "scoring did not end within" in str(result.error)
    assert [row["state"] for row in rows_of(run)] == ["generated"]


class Torn(SingleTurnEnv):
    """Notes in which thread it was torn down, how often, and fails at it as told."""

    def __init__(self, fails: BaseException | None = None, hangs: bool = False) -> None:
        super().__init__(dataset=questions(1), rubric=Rubric(funcs=[always_one]))
        self.fails, self.hangs = fails, hangs
        self.threads: list[str] = []

    @teardown
    async def release(self) -> None:
        self.threads.append(threading.current_thread().name)
        if self.hangs:
            await asyncio.Event().wait()
        if self.fails is not None:
            raise self.fails


class TestTearDown:
    def test_runs_once_for_each_environment_on_the_loop(self, bench: Bench) -> None:
        first, second = Torn(), Torn()
        engine = bench.start()

        assert engine.tear_down([first, second, first]) == []
        assert first.threads == second.threads == ["pytest-evals"]

    @pytest.mark.parametrize("error", [ValueError("stuck"), SystemExit(3)], ids=repr)
    def test_names_those_that_fail(self, bench: Bench, error: BaseException) -> None:
        failing, fine = Torn(fails=error), Torn()

        assert bench.start().tear_down([failing, fine]) == [(failing, error)]
        assert fine.threads

    def test_waits_only_so_long(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(engine_module, "_TEARDOWN_SECONDS", 0.02)
        hanging, fine = Torn(hangs=True), Torn()
        ((environment, error),) = bench.start().tear_down([hanging, fine])

        assert environment is hanging
        assert isinstance(error, TimeoutError)
        assert "did not end within 0.02 s" in str(error)
        assert fine.threads

    def test_does_not_wait_for_a_blocked_loop(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def block() -> float:
            entered.set()
            release.wait()
            return 1.0

        monkeypatch.setattr(shutdown_module, "_CANCEL_SECONDS", 0.05)
        monkeypatch.setattr(shutdown_module, "_BLOCKED_SECONDS", 0.05)
        entered, release = threading.Event(), threading.Event()
        run = bench.run(single_turn(1, block), bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start()
        engine.submit(jobs_of(run))
        assert entered.wait(10)
        try:
            ((_, error),) = engine.tear_down([run.environment])
        finally:
            release.set()
        assert "blocked" in str(error)
        assert bench.take().reward == 1.0  # what the loop was blocked by came to its end

    def test_needs_no_method_of_that_name(self, bench: Bench) -> None:
        assert bench.start().tear_down([object()]) == []

    def test_calls_a_plain_method_as_well(self, bench: Bench) -> None:
        class Plain:
            calls = 0

            def teardown(self) -> None:
                self.calls += 1

        plain = Plain()
        assert bench.start().tear_down([plain]) == []
        assert plain.calls == 1

    def test_of_nothing(self, bench: Bench) -> None:
        assert bench.start().tear_down([]) == []


def test_a_failure_of_the_provider_is_told_before_its_group_is_scored(bench: Bench) -> None:
    client = FakeClient()
    rubric = Holding(ranked)
    environment = SingleTurnEnv(dataset=questions(1), rubric=rubric)
    run = bench.run(environment, bench.endpoint(lambda: client), rollouts_per_example=2)
    bench.start().submit(jobs_of(run))
    requests = [client.take() for _ in range(2)]
    requests[0].answer()
    bench.settle()
    requests[1].fail(ModelError("reset"))
    first, second = bench.take_all(2)

    assert str(first.error) == "reset"
    assert "group is incomplete" in str(second.error)


class TestThreads:
    def test_are_as_many_as_were_asked_for(self, bench: Bench) -> None:
        both = threading.Barrier(40, timeout=10)

        async def reward() -> float:
            await asyncio.gather(*(asyncio.to_thread(both.wait) for _ in range(40)))
            return 1.0

        run = bench.run(single_turn(1, reward), bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start()
        engine.use_threads(40)
        engine.submit(jobs_of(run))

        assert bench.take().reward == 1.0


class Releasing(SingleTurnEnv):
    """Its cleanup handler takes until it is `released`; another one follows."""

    def __init__(self, count: int = 1, **fields: Any) -> None:
        fields.setdefault("rubric", Rubric(funcs=[always_one]))
        super().__init__(dataset=questions(count), **fields)
        self.entered = Signal()
        self.released = Signal()
        self.ended: list[str] = []

    @cleanup(priority=2)
    async def delete_sandbox(self, state: State) -> None:
        self.entered.set()
        await self.released.reached()
        self.ended.append("delete_sandbox")

    @cleanup(priority=1)
    async def delete_files(self, state: State) -> None:
        self.ended.append("delete_files")


class TestCleanupOfWhatIsCancelled:
    """It is waited for longer than code that ignores its cancellation."""

    @pytest.mark.parametrize("was_asked", [True, False], ids=["before", "by the cancellation"])
    def test_comes_to_its_end(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, was_asked: bool
    ) -> None:
        monkeypatch.setattr(shutdown_module, "_CANCEL_SECONDS", 0.01)
        monkeypatch.setattr(shutdown_module, "_BLOCKED_SECONDS", 0.1)
        environment = Releasing()
        client = FakeClient(agreeable if was_asked else None)
        run = bench.run(environment, bench.endpoint(lambda: client))
        engine = bench.start()
        engine.submit(jobs_of(run))
        if was_asked:
            environment.entered.wait()
        else:
            client.take()
        told: list[Any] = []

        def on_cleaning(jobs: Any) -> None:
            told.append([job.name for job in jobs])
            environment.released.set()

        assert engine.cancel(on_cleaning) == []
        assert environment.ended == ["delete_sandbox", "delete_files"]
        assert told == [["eval::0-r0"]]
        assert bench.results.empty()

    def test_of_a_rubric_too(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        class Slow(Rubric):
            @cleanup
            async def release(self) -> None:
                entered.set()
                await released.reached()
                ended.append("released")

        monkeypatch.setattr(shutdown_module, "_CANCEL_SECONDS", 0.01)
        monkeypatch.setattr(shutdown_module, "_BLOCKED_SECONDS", 0.1)
        entered, released = Signal(), Signal()
        ended: list[str] = []
        environment = SingleTurnEnv(dataset=questions(1), rubric=Slow(funcs=[always_one]))
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start()
        engine.submit(jobs_of(run))
        entered.wait()

        assert engine.cancel(lambda jobs: released.set()) == []
        assert ended == ["released"]
        assert bench.take().reward == 1.0  # all that was missing was its cleanup

    def test_is_left_when_it_takes_too_long(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shutdown_module, "_CANCEL_SECONDS", 0.01)
        monkeypatch.setattr(shutdown_module, "LAST_CLEANUP_SECONDS", 0.1)
        environment = Releasing()
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start()
        engine.submit(jobs_of(run))
        environment.entered.wait()

        assert [job.name for job in engine.cancel()] == ["eval::0-r0"]
        assert [job.name for job in engine.cancel()] == ["eval::0-r0"]
        assert environment.ended == ["delete_files"]

    def test_is_left_when_there_is_no_time(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shutdown_module, "_CANCEL_SECONDS", 0.01)
        monkeypatch.setattr(shutdown_module, "_BLOCKED_SECONDS", 0.1)
        environment = Releasing()
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start()
        engine.submit(jobs_of(run))
        environment.entered.wait()
        start = time.monotonic()
        left = engine.cancel(lambda jobs: engine.hurry())

        assert [job.name for job in left] == ["eval::0-r0"]
        assert time.monotonic() - start < 5.0

    def test_that_blocks_the_loop_is_waited_for(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Blocking(SingleTurnEnv):
            @cleanup
            def delete_sandbox(self, state: State) -> None:
                entered.set()
                ended.append(released.wait(PATIENCE))

        for name in ("_CANCEL_SECONDS", "_BLOCKED_SECONDS"):
            monkeypatch.setattr(shutdown_module, name, 0.01)
        entered, released = threading.Event(), threading.Event()
        ended: list[bool] = []
        environment = Blocking(dataset=questions(1), rubric=Rubric(funcs=[always_one]))
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start()
        engine.submit(jobs_of(run))
        assert entered.wait(PATIENCE)

        assert engine.cancel(lambda jobs: released.set()) == []
        assert ended == [True]

    def test_leads_to_nothing_that_is_not_cancelled(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What follows the cleanup is code of the environment like any other."""
        monkeypatch.setattr(shutdown_module, "_BLOCKED_SECONDS", 0.1)

        class Lingering(Releasing):
            async def rollout(self, *args: Any, **named: Any) -> State:
                await super().rollout(*args, **named)
                await asyncio.Event().wait()
                raise AssertionError

        environment = Lingering()
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        engine = bench.start()
        engine.submit(jobs_of(run))
        environment.entered.wait()

        assert engine.cancel(lambda jobs: environment.released.set()) == []
        assert environment.ended == ["delete_sandbox", "delete_files"]
        assert engine.in_flight == 0


class _EndsItsHelper(Rubric):
    """Cancels a task of its own in the cleanup, and awaits it."""

    async def cleanup(self, state: State) -> None:
        helper = asyncio.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
        helper.cancel()
        await helper


class _EndsItself(Rubric):
    """Cancels the task that it runs in."""

    async def cleanup(self, state: State) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()


class _Failing(SingleTurnEnv):
    """Leaves an error in the second rollout."""

    async def rollout(self, *args: Any, **kwargs: Any) -> State:
        state = await super().rollout(*args, **kwargs)
        if state["example_id"] == 1:
            state["error"] = InfraError("no box")
        return state


def test_a_cancelled_helper_of_a_cleanup_cancels_no_rollout(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    environment = _Failing(dataset=questions(3), rubric=_EndsItsHelper(funcs=[always_one]))
    run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
    results = bench.measure(run, limit=2)
    assert [results[number, 0].outcome for number in range(3)] == ["scored", "unmeasured", "scored"]
    assert str(results[1, 0].error) == "no box"
    assert caplog.text.count("cleanup of the rubric failed") == 3


def test_a_cleanup_that_ends_its_own_task_leaves_a_result(bench: Bench) -> None:
    environment = _Failing(dataset=questions(3), rubric=_EndsItself(funcs=[always_one]))
    run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
    results = bench.measure(run, limit=2)
    assert {result.outcome for result in results.values()} == {"broken"}
    assert "cancelled" in str(results[1, 0].error)


class _TwoHandlers(Rubric):
    """Has a handler that is cancelled, and one after it."""

    released = 0

    @cleanup
    async def a_first(self, state: State) -> None:
        helper = asyncio.create_task(asyncio.Event().wait())
        await asyncio.sleep(0)
        helper.cancel()
        await helper

    @cleanup
    async def b_second(self, state: State) -> None:
        self.released += 1


def test_a_cancelled_handler_keeps_the_next_one_from_nothing(bench: Bench) -> None:
    rubric = _TwoHandlers(funcs=[always_one])
    environment = SingleTurnEnv(dataset=questions(2), rubric=rubric)
    run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
    results = bench.measure(run, limit=2)
    assert {result.outcome for result in results.values()} == {"scored"}
    assert rubric.released == 2
