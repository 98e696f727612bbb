"""Group rewards: the rollouts of a group wait for each other and are scored together, or not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pytest_evals.engine.groups import GroupBoard, is_scored_by_group
from pytest_evals.engine.rollouts import RolloutJob
from pytest_evals.engine.run import EvalRun
from pytest_evals.environments.env_group import EnvGroup
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.errors import IncompleteGroupError, InfraError, ModelError, RewardError
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State

from .bench import (
    Bench,
    FakeClient,
    agreeable,
    always_one,
    attempt_of,
    jobs_of,
    questions,
    rows_of,
    single_turn,
)


class Ranking:
    """A group reward: the longer of the completions, the higher; notes what it was called with."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def rank(self, completions: list[Any]) -> list[float]:
        texts = [completion[-1]["content"] for completion in completions]
        self.calls.append(texts)
        return [sorted(texts, key=len).index(text) / 10 for text in texts]


@pytest.fixture
def ranking() -> Ranking:
    return Ranking()


def group_run(bench: Bench, client: FakeClient, ranking: Ranking, **fields: Any) -> EvalRun:
    fields = {"name": "ranked", "rollouts_per_example": 3, **fields}
    count = fields.pop("count", 1)
    return bench.run(
        single_turn(count, ranking.rank), bench.endpoint(lambda: client, fields["name"]), **fields
    )


def states_of(run: EvalRun) -> list[str]:
    return [row["state"] for row in rows_of(run)]


class TestGroup:
    def test_is_scored_together_once_all_are_there(self, bench: Bench, ranking: Ranking) -> None:
        client = FakeClient()
        run = group_run(bench, client, ranking)
        on_disk: list[list[str]] = []
        bench.on_delivery = lambda result: on_disk.append(states_of(run))
        bench.start().submit(jobs_of(run))
        requests = [client.take() for _ in range(3)]

        for text, request in zip(["aaa", "a"], requests, strict=False):
            request.answer(text)
        assert bench.results.empty()
        requests[2].answer("aa")
        results = bench.take_all(3)

        assert [sorted(call) for call in ranking.calls] == [["a", "aa", "aaa"]]
        rewards = {
            str(result.completion and result.completion[-1].content): result.reward
            for result in results
        }
        assert rewards == {"a": 0.0, "aa": 0.1, "aaa": 0.2}
        assert len({result.key for result in results}) == 3
        assert on_disk[-1] == ["scored"] * 3

    def test_waits_as_generated(self, bench: Bench, ranking: Ranking) -> None:
        client = FakeClient()
        run = group_run(bench, client, ranking)
        bench.start(limit=1).submit(jobs_of(run))
        # One slot: a rollout that waits for its group has given it back, or this would not end.
        client.take().answer("a")
        second = client.take()
        assert states_of(run) == ["generated"]
        second.answer("aa")
        third = client.take()
        assert states_of(run) == ["generated"] * 2
        assert ranking.calls == []
        third.answer("aaa")

        assert [result.reward for result in bench.take_all(3)] == [0.0, 0.1, 0.2]

    def test_does_not_wait_for_another(self, bench: Bench, ranking: Ranking) -> None:
        client = FakeClient()
        run = group_run(bench, client, ranking, count=2, rollouts_per_example=2)
        bench.start().submit(jobs_of(run))
        requests = [client.take() for _ in range(4)]
        for request in requests:
            if request.text == "q1":
                request.answer("a")

        assert {result.key for result in bench.take_all(2)} == {(1, 0), (1, 1)}
        for request in requests:
            if request.text == "q0":
                request.answer("b")
        assert {result.key for result in bench.take_all(2)} == {(0, 0), (0, 1)}

    def test_is_of_one_eval_although_ids_are_the_same(self, bench: Bench) -> None:
        rankings = [Ranking(), Ranking()]
        client = FakeClient(agreeable)
        runs = [
            group_run(bench, client, ranking, name=name)
            for name, ranking in zip("ab", rankings, strict=True)
        ]
        bench.start(limit=1).submit([job for run in runs for job in jobs_of(run)])
        bench.take_all(6)

        assert [len(call) for ranking in rankings for call in ranking.calls] == [3, 3]

    def test_of_a_rubric_without_group_rewards_is_scored_one_by_one(self, bench: Bench) -> None:
        client = FakeClient()
        run = bench.run(single_turn(1), bench.endpoint(lambda: client), rollouts_per_example=2)
        bench.start().submit(jobs_of(run))
        first, _ = client.take(), client.take()
        first.answer()

        assert bench.take().outcome == "scored"

    def test_can_be_run_again(self, bench: Bench, ranking: Ranking) -> None:
        run = group_run(bench, FakeClient(agreeable), ranking)
        engine = bench.start()
        for _ in range(2):
            engine.submit(jobs_of(run))
            assert {result.outcome for result in bench.take_all(3)} == {"scored"}
        assert len(ranking.calls) == 2


class TestFailedMember:
    @pytest.mark.parametrize("failing", [0, 1, 2])
    @pytest.mark.parametrize("error", [InfraError("no box"), ValueError("a bug")], ids=repr)
    def test_leaves_its_siblings_unmeasured_and_generated(
        self, bench: Bench, ranking: Ranking, failing: int, error: Exception
    ) -> None:
        class Failing(SingleTurnEnv):
            async def rollout(self, *args: Any, **named: Any) -> State:
                state = await super().rollout(*args, **named)
                rollouts.append(state)
                if len(rollouts) - 1 == failing:
                    raise error
                return state

        rollouts: list[State] = []
        environment = Failing(dataset=questions(1), rubric=Rubric(funcs=[ranking.rank]))
        run = bench.run(
            environment, bench.endpoint(lambda: FakeClient(agreeable)), rollouts_per_example=3
        )
        results = bench.measure(run, limit=1)

        failed = results.pop((0, failing))
        assert failed.error is error
        assert ranking.calls == []
        for sibling in results.values():
            assert sibling.outcome == "unmeasured"
            assert isinstance(sibling.error, IncompleteGroupError)
            assert "group is incomplete: 2 of 3" in str(sibling.error)
            assert f"without 0-r{failing}," in str(sibling.error)
            assert (sibling.reward, sibling.cause) == (None, None)
            assert sibling.completion is not None
        for row in rows_of(run):
            assert (row["reward"], row["error"] is None) == (None, False)
        expected = ["generated"] * 3
        expected[failing] = failed.outcome
        assert states_of(run) == expected

    def test_does_not_touch_other_groups(self, bench: Bench, ranking: Ranking) -> None:
        def reply(text: str) -> str:
            if text == "q0" and client.asked.count("q0") == 2:
                raise ModelError("reset")
            return "fine"

        client = FakeClient(reply)
        run = group_run(bench, client, ranking, count=2)
        results = bench.measure(run, limit=1)

        outcomes = {key: result.outcome for key, result in results.items()}
        assert {outcomes[0, rollout] for rollout in range(3)} == {"unmeasured"}
        assert {outcomes[1, rollout] for rollout in range(3)} == {"scored"}

    def test_of_a_group_that_fails_as_a_whole(self, bench: Bench, ranking: Ranking) -> None:
        def reply(text: str) -> str:
            raise ModelError("down")

        run = group_run(bench, FakeClient(reply), ranking, count=2)
        results = bench.measure(run)

        assert len(results) == 6
        assert {str(result.error) for result in results.values()} == {"down"}
        assert ranking.calls == []

    def test_that_is_withheld_keeps_its_siblings_waiting(
        self, bench: Bench, ranking: Ranking
    ) -> None:
        client = FakeClient()
        run = group_run(bench, client, ranking)
        bench.start().submit(jobs_of(run))
        requests = [client.take() for _ in range(3)]

        requests[0].fail(ModelError("reset"))
        requests[1].answer()
        requests[2].answer()
        results = bench.take_all(3)

        # The answers cleared the doubt: a failure of its own, and two that lack it.
        texts = sorted(str(result.error) for result in results)
        assert texts[2] == "reset"
        assert all("2 of 3" in text for text in texts[:2])


class TestFailedMemberOfAGroupThatCanDoWithout:
    """Individual rewards stand on their own; so do group functions that are only reported."""

    @staticmethod
    def length(completion: Any) -> float:
        return float(len(completion[-1]["content"]))

    def rubric(self, ranking: Ranking) -> Rubric:
        return Rubric(funcs=[self.length, ranking.rank], weights=[1.0, 0.0])

    @pytest.mark.parametrize("failing", [0, 1, 2])
    @pytest.mark.parametrize("error", [InfraError("no box"), ValueError("a bug")], ids=repr)
    def test_leaves_the_others_scored(
        self, bench: Bench, ranking: Ranking, failing: int, error: Exception
    ) -> None:
        asked: list[str] = []

        def reply(text: str) -> str:
            asked.append(text)
            if len(asked) - 1 == failing:
                raise error
            return "fine"

        environment = SingleTurnEnv(dataset=questions(1), rubric=self.rubric(ranking))
        run = bench.run(
            environment, bench.endpoint(lambda: FakeClient(reply)), rollouts_per_example=3
        )
        results = bench.measure(run, limit=1)

        failed = results.pop((0, failing))
        assert failed.error is error
        assert {result.reward for result in results.values()} == {4.0}
        assert ranking.calls == []
        for result in results.values():
            assert set(result.metrics) == {"length", "num_turns"}
        expected = ["scored"] * 3
        expected[failing] = failed.outcome
        assert states_of(run) == expected

    def test_is_what_a_selection_has(self, bench: Bench, ranking: Ranking) -> None:
        environment = SingleTurnEnv(dataset=questions(1), rubric=self.rubric(ranking))
        run = bench.run(
            environment, bench.endpoint(lambda: FakeClient(agreeable)), rollouts_per_example=3
        )
        bench.start().submit(jobs_of(run)[1:])

        assert {result.reward for result in bench.take_all(2)} == {8.0}
        assert ranking.calls == []

    def test_whose_scoring_other_code_cancels_is_still_delivered(
        self, bench: Bench, ranking: Ranking
    ) -> None:
        """Tasks that are cancelled before their first step run nothing of their own."""

        def on_delivery(result: Any) -> None:
            if result.outcome == "unmeasured":  # the failure; the scoring of the rest comes next
                asyncio.get_running_loop().call_soon(cancel_everything)

        def cancel_everything() -> None:
            for task in asyncio.all_tasks():
                task.cancel()

        client = FakeClient()
        environment = SingleTurnEnv(dataset=questions(1), rubric=self.rubric(ranking))
        run = bench.run(environment, bench.endpoint(lambda: client), rollouts_per_example=2)
        bench.on_delivery = on_delivery
        bench.start().submit(jobs_of(run))
        requests = [client.take() for _ in range(2)]
        requests[0].answer()
        bench.settle()
        requests[1].fail(ModelError("reset"))
        results = bench.take_all(2)

        assert [result.outcome for result in results] == ["unmeasured", "broken"]
        assert "cancelled the scoring" in str(results[1].error)


class TestExamplesWithRubricsOfTheirOwn:
    def test_are_scored_alone_or_together_each_as_its_rubric_says(
        self, bench: Bench, ranking: Ranking
    ) -> None:
        group = EnvGroup([single_turn(1, ranking.rank, prefix="g"), single_turn(1, prefix="a")])
        client = FakeClient()
        run = bench.run(group, bench.endpoint(lambda: client), rollouts_per_example=2)
        bench.start().submit(jobs_of(run))
        requests = [client.take() for _ in range(4)]
        alone = [request for request in requests if request.text == "a0"]
        together = [request for request in requests if request.text == "g0"]

        alone[0].answer()
        assert bench.take().reward == 1.0
        together[0].answer("b")
        together[1].answer("aa")
        assert {result.reward for result in bench.take_all(2)} == {0.0, 0.1}
        alone[1].fail(ModelError("reset"))
        assert bench.take().outcome == "unmeasured"

    def test_without_a_rubric_is_broken(self, bench: Bench) -> None:
        class Odd(SingleTurnEnv):
            def rubric_of(self, example: Mapping[str, Any]) -> Rubric:
                raise LookupError("which one?")

        environment = Odd(dataset=questions(1))
        run = bench.run(environment, bench.endpoint(lambda: FakeClient(agreeable)))
        (result,) = bench.measure(run).values()

        assert (result.outcome, str(result.error)) == ("broken", "which one?")
        assert states_of(run) == ["broken"]

    def test_are_not_needed_by_an_environment_of_another_kind(
        self, bench: Bench, ranking: Ranking
    ) -> None:
        """One that is only shaped like an environment has one rubric and one parser."""

        class Shaped:
            def __init__(self, inner: SingleTurnEnv) -> None:
                self.rubric, self.parser = inner.rubric, inner.parser
                self.rollout, self.get_eval_dataset = inner.rollout, inner.get_eval_dataset

        shaped: Any = Shaped(single_turn(1, ranking.rank))
        endpoint = bench.endpoint(lambda: FakeClient(agreeable))
        run = bench.run(shaped, endpoint, rollouts_per_example=2)

        assert {result.outcome for result in bench.measure(run).values()} == {"scored"}
        assert rows_of(run)[0]["prediction"] == "fine: q0"


class TestEnvironmentThatDoesNotScore:
    @pytest.mark.parametrize("by_group", [True, False])
    def test_keeps_what_was_generated(self, bench: Bench, ranking: Ranking, by_group: bool) -> None:
        environment = single_turn(1, *([ranking.rank] if by_group else []))
        environment.set_score_rollouts(False)
        endpoint = bench.endpoint(lambda: FakeClient(agreeable))
        run = bench.run(environment, endpoint, rollouts_per_example=2)
        results = bench.measure(run)

        assert ranking.calls == []
        for result in results.values():
            assert (result.outcome, result.reward, result.error) == ("generated", None, None)
            assert result.completion
        assert states_of(run) == ["generated"] * 2
        assert [row["error"] for row in rows_of(run)] == [None, None]


class TestSelection:
    @pytest.mark.parametrize("selected", [[0], [0, 2]])
    def test_smaller_than_the_group_is_never_scored_as_complete(
        self, bench: Bench, ranking: Ranking, selected: list[int]
    ) -> None:
        run = group_run(bench, FakeClient(agreeable), ranking)
        jobs = jobs_of(run)
        bench.start().submit([jobs[number] for number in selected])
        results = bench.take_all(len(selected))

        assert {result.outcome for result in results} == {"unmeasured"}
        assert f"{len(selected)} of 3" in str(results[0].error)
        assert ranking.calls == []
        assert states_of(run) == ["generated"] * len(selected)


def spoiled(error: BaseException) -> Callable[..., Any]:
    def reward(completions: list[Any], answers: list[str]) -> list[float]:
        raise error

    return reward


class TestScoringThatFails:
    @pytest.mark.parametrize(
        "error",
        [
            ValueError("a bug"),
            SystemExit(3),
            KeyboardInterrupt(),
            asyncio.CancelledError(),
            GeneratorExit(),
            BaseExceptionGroup("several", [SystemExit(3)]),
        ],
        ids=repr,
    )
    def test_breaks_every_member_once(self, bench: Bench, error: BaseException) -> None:
        run = bench.run(
            single_turn(2, spoiled(error)),
            bench.endpoint(lambda: FakeClient(agreeable)),
            rollouts_per_example=3,
        )
        results = bench.measure(run, limit=2)

        assert len(results) == 6
        assert {result.outcome for result in results.values()} == {"broken"}
        assert states_of(run) == ["broken"] * 6

    def test_because_of_the_judge_is_unmeasured(self, bench: Bench) -> None:
        run = bench.run(
            single_turn(1, spoiled(InfraError("judge down"))),
            bench.endpoint(lambda: FakeClient(agreeable)),
            rollouts_per_example=2,
        )
        assert {result.outcome for result in bench.measure(run).values()} == {"unmeasured"}

    def test_for_one_member_leaves_the_others_their_rewards(self, bench: Bench) -> None:
        class Own(Rubric):
            async def score_group(self, states: Any, **named: Any) -> None:
                await super().score_group(states, **named)
                states[1]["reward"] = "high"

        def spread(completions: list[Any]) -> list[float]:
            return [0.5 for _ in completions]

        environment = SingleTurnEnv(dataset=questions(1), rubric=Own(funcs=[spread]))
        run = bench.run(
            environment, bench.endpoint(lambda: FakeClient(agreeable)), rollouts_per_example=3
        )
        results = bench.measure(run, limit=1)

        assert [result.reward for result in results.values()] == [0.5, None, 0.5]
        assert isinstance(results[0, 1].error, RewardError)
        assert states_of(run) == ["scored", "broken", "scored"]

    def test_in_the_middle_of_delivery_loses_nobody(self, bench: Bench) -> None:
        """What a rubric leaves behind is only read when the row is made."""

        class Own(Rubric):
            async def score_group(self, states: Any, **named: Any) -> None:
                await super().score_group(states, **named)
                states[1]["metrics"] = [1]
                dict.__setitem__(states[2], "timing", 7)

        def spread(completions: list[Any]) -> list[float]:
            return [0.5 for _ in completions]

        environment = SingleTurnEnv(dataset=questions(1), rubric=Own(funcs=[spread]))
        run = bench.run(
            environment, bench.endpoint(lambda: FakeClient(agreeable)), rollouts_per_example=4
        )
        results = bench.measure(run, limit=1)

        outcomes = [result.outcome for result in results.values()]
        assert outcomes == ["scored", "broken", "broken", "scored"]
        assert states_of(run) == outcomes
        assert rows_of(run)[1]["completion"] is not None  # the answer was paid for


class TestBoard:
    @pytest.fixture
    def run(self, bench: Bench, ranking: Ranking) -> EvalRun:
        return group_run(bench, FakeClient(), ranking, rollouts_per_example=2)

    def test_gives_the_group_to_its_last_member(self, run: EvalRun) -> None:
        board = GroupBoard()
        board.expect(jobs_of(run))
        first, second = attempt_of(run), attempt_of(run, rollout=1)

        assert board.ended(first) == []
        assert board.ended(second) == [first, second]

    @pytest.mark.parametrize("failed_first", [True, False])
    def test_leaves_failed_members_out(self, run: EvalRun, failed_first: bool) -> None:
        board = GroupBoard()
        board.expect(jobs_of(run))
        failed, generated = attempt_of(run, ValueError()), attempt_of(run, rollout=1)
        order = [failed, generated] if failed_first else [generated, failed]

        assert board.ended(order[0]) == []
        assert board.ended(order[1]) == [generated]

    def test_groups_that_were_begun_are_not_given_away(self, run: EvalRun) -> None:
        board = GroupBoard()
        jobs = jobs_of(run)
        board.expect(jobs)
        assert board.divided(jobs) == (jobs, [])
        assert board.divided(jobs[1:]) == ([], jobs[1:])  # the other one is in flight
        board.ended(attempt_of(run, ValueError()))
        assert board.divided(jobs[1:]) == ([], jobs[1:])
        board.forget(jobs)
        assert not board.holds(jobs[0])

    def test_keeps_groups_apart(self, bench: Bench, run: EvalRun, ranking: Ranking) -> None:
        other = group_run(bench, FakeClient(), ranking, name="other", rollouts_per_example=1)
        board = GroupBoard()
        board.expect([*jobs_of(run), *jobs_of(other)])

        waiting, alone = attempt_of(run), attempt_of(other)
        assert board.ended(waiting) == []
        assert board.ended(alone) == [alone]

    def test_forgets_a_group_that_has_ended(self, run: EvalRun) -> None:
        board = GroupBoard()
        for _ in range(2):
            board.expect(jobs_of(run)[:1])
            attempt = attempt_of(run)
            assert board.ended(attempt) == [attempt]

    def test_expects_nothing_of_rubrics_without_group_rewards(self, bench: Bench) -> None:
        run = bench.run(single_turn(1, always_one), bench.endpoint(FakeClient))
        job = RolloutJob(run, {"example_id": 0}, 0)
        assert not is_scored_by_group(job)
        board = GroupBoard()
        board.expect([job])
        assert not board.holds(job)

    def test_gives_up_what_waits(self, run: EvalRun) -> None:
        board = GroupBoard()
        jobs = jobs_of(run)
        board.expect(jobs)
        waiting = attempt_of(run)
        board.ended(waiting)

        assert board.take_waiting() == [waiting]
        assert not any(board.holds(job) for job in jobs)


def test_scoring_the_rest_of_a_group_takes_a_slot(bench: Bench) -> None:
    """A judge may be asked: more at once than the limit would be as bad as rollouts."""
    counts = {"now": 0, "peak": 0}

    def enter() -> None:
        counts["now"] += 1
        counts["peak"] = max(counts.values())

    class Counting(FakeClient):
        async def get_response(self, *args: Any, **named: Any) -> Any:
            enter()
            try:
                await asyncio.sleep(0)
                number = len(self.asked)
                response = await super().get_response(*args, **named)
                if number % 2:
                    raise ModelError("down")
                return response
            finally:
                counts["now"] -= 1

    async def judged(completions: list[Any]) -> list[float]:
        return [1.0 for _ in completions]

    async def slowly(completion: Any) -> float:
        enter()
        for _ in range(20):
            await asyncio.sleep(0)
        counts["now"] -= 1
        return 1.0

    client = Counting(agreeable)
    rubric = Rubric(funcs=[slowly, judged], weights=[1.0, 0.0])
    environment = SingleTurnEnv(dataset=questions(6), rubric=rubric)
    run = bench.run(environment, bench.endpoint(lambda: client), rollouts_per_example=2)
    results = bench.measure(run, limit=1)
    assert counts["peak"] == 1
    outcomes = [result.outcome for result in results.values()]
    assert (outcomes.count("scored"), outcomes.count("unmeasured")) == (6, 6)


def test_the_rest_of_groups_is_scored_when_their_endpoint_is_given_up(bench: Bench) -> None:
    async def judged(completions: list[Any]) -> list[float]:
        return [1.0 for _ in completions]

    async def fine(completion: Any) -> float:
        return 1.0

    client = FakeClient(agreeable)
    endpoint = bench.endpoint(lambda: client)
    rubric = Rubric(funcs=[fine, judged], weights=[1.0, 0.0])
    environment = SingleTurnEnv(dataset=questions(1), rubric=rubric)
    run = bench.run(environment, endpoint, rollouts_per_example=2)
    engine = bench.start(limit=1)
    client.reply = None
    engine.submit(jobs_of(run))
    request = client.take()
    engine.give_up(endpoint, ModelError("gone"))
    assert bench.take().outcome == "unmeasured"  # the one that waited
    request.answer()
    assert bench.take().outcome == "scored"


def test_all_of_a_group_are_on_disk_before_one_is_delivered(bench: Bench, ranking: Ranking) -> None:
    run = group_run(bench, FakeClient(agreeable), ranking)
    seen: list[list[str]] = []
    bench.on_delivery = lambda result: seen.append(states_of(run))
    bench.measure(run)
    assert seen == [["scored"] * 3] * 3
