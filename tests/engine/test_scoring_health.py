"""A judge that is down: the model is not paid for answers that nobody can score."""

from __future__ import annotations

from typing import Any

from pytest_evals.engine.rollouts import RolloutResult
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.errors import JudgeError
from pytest_evals.rubrics.rubric import Rubric

from .bench import Bench, FakeClient, agreeable, jobs_of, questions, rows_of, single_turn


def _refused(text: str = "401") -> float:
    raise JudgeError(f"judge 'j' failed: {text}") from PermissionError(text)


def _ends(results: list[RolloutResult]) -> dict[str, int]:
    ends: dict[str, int] = {}
    for result in results:
        end = "first" if result.cause is None else result.cause
        ends[end] = ends.get(end, 0) + 1
    return ends


class TestJudgeThatIsDown:
    def test_ends_the_eval(self, bench: Bench) -> None:
        client = FakeClient(agreeable)
        run = bench.run(single_turn(50, _refused), bench.endpoint(lambda: client))
        results = list(bench.measure(run, limit=2).values())

        assert 8 <= len(client.asked) < 8 + 2
        assert {result.outcome for result in results} == {"unmeasured"}
        first = next(result for result in results if result.cause is None)
        assert _ends(results) == {"first": 1, f"eval::{first.key[0]}-r0": 49}
        states = [row["state"] for row in rows_of(run)]
        assert states.count("generated") == len(client.asked)  # paid for: only to be scored
        assert states.count("unmeasured") == 50 - len(client.asked)
        (advice,) = {text for result in results for text in result.warnings}
        assert advice.startswith("none of the first 8 rollouts could be scored (JudgeError: judge")

    def test_costs_as_many_as_are_in_flight(self, bench: Bench) -> None:
        client = FakeClient(agreeable)
        run = bench.run(single_turn(80, _refused), bench.endpoint(lambda: client))
        bench.measure(run, limit=20)

        assert 20 <= len(client.asked) < 40

    def test_refuses_what_is_submitted_later(self, bench: Bench) -> None:
        client = FakeClient(agreeable)
        run = bench.run(single_turn(12, _refused), bench.endpoint(lambda: client))
        engine = bench.start(limit=1)
        for job in jobs_of(run):
            engine.submit([job])
            bench.take()

        assert len(client.asked) == 8

    def test_ends_no_other_eval(self, bench: Bench) -> None:
        endpoint = bench.endpoint(lambda: FakeClient(agreeable))
        down = bench.run(single_turn(30, _refused), endpoint, name="down")
        fine = bench.run(single_turn(30), endpoint, name="fine")
        bench.start(limit=2).submit([*jobs_of(down), *jobs_of(fine)])
        results = bench.take_all(60)

        assert {r.outcome for r in results if r.run is fine} == {"scored"}

    def test_with_groups_whose_other_members_were_not_started(self, bench: Bench) -> None:
        def ranked(completions: list[Any]) -> list[float]:
            _refused()
            return [1.0 for _ in completions]

        environment = SingleTurnEnv(dataset=questions(20), rubric=Rubric(funcs=[ranked]))
        client = FakeClient(agreeable)
        endpoint = bench.endpoint(lambda: client)
        run = bench.run(environment, endpoint, rollouts_per_example=3)
        results = list(bench.measure(run, limit=4).values())

        assert len(client.asked) < 16
        assert _ends(results) == {"first": 1, "eval::0-r0": 59}


class TestJudgeThatAnswersSometimes:
    def test_ends_nothing(self, bench: Bench) -> None:
        def reward(answer: str, prompt: list[Any]) -> float:
            return 1.0 if prompt[-1]["content"] == "q3" else _refused()

        client = FakeClient(agreeable)
        run = bench.run(single_turn(40, reward), bench.endpoint(lambda: client))
        results = list(bench.measure(run, limit=1).values())

        assert len(client.asked) == 40
        # Explained by the first while nothing was known of the judge; by themselves from then on.
        assert _ends(results) == {"first": 1 + 1 + 36, "eval::0-r0": 2}
        assert not any(result.warnings for result in results)

    def test_explains_nothing_that_has_another_reason(self, bench: Bench) -> None:
        def reward(prompt: list[Any]) -> float:
            if prompt[-1]["content"] == "q1":
                raise JudgeError("judge 'j' said nothing")
            return _refused()

        run = bench.run(single_turn(4, reward), bench.endpoint(lambda: FakeClient(agreeable)))
        results = bench.measure(run, limit=1)

        causes = [results[number, 0].cause for number in range(4)]
        assert causes == [None, None, "eval::0-r0", "eval::0-r0"]


def test_a_bug_in_a_reward_function_ends_nothing(bench: Bench) -> None:
    def reward() -> float:
        raise KeyError("answer")

    client = FakeClient(agreeable)
    run = bench.run(single_turn(20, reward), bench.endpoint(lambda: client))
    results = bench.measure(run, limit=2).values()

    assert len(client.asked) == 20
    assert {result.outcome for result in results} == {"broken"}
