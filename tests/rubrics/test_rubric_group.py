from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_evals.errors import InfraError, JudgeError, ModelError, RewardError
from pytest_evals.lifecycle import cleanup, teardown
from pytest_evals.messages import AssistantMessage, Response
from pytest_evals.parsers import Parser, XMLParser
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.rubrics.rubric_group import RubricGroup
from pytest_evals.state import State, TrajectoryStep, new_state


def finished(answer: str = "4") -> State:
    row = {"example_id": 0, "prompt": [], "answer": answer}
    state = new_state(row, client=None, model="m", sampling_args={})
    state["completion"] = [{"role": "assistant", "content": answer}]
    return state


def half() -> float:
    return 0.5


def value(answer: str) -> float:
    return float(answer)


def rank(states: Any) -> list[float]:
    return [float(place) for place in range(len(states))]


def broken(answer: str) -> float:
    raise ValueError(answer)


async def scored(*rubrics: Rubric) -> State:
    state = finished()
    await RubricGroup(rubrics).score_rollout(state)
    return state


async def test_rewards_and_metrics_of_one_name_are_summed() -> None:
    state = await scored(Rubric([half, value], [1, 0.1]), Rubric([half], [2]), Rubric([value]))

    assert state["reward"] == pytest.approx(0.9 + 1.0 + 4.0)
    assert state["metrics"] == {"half": 1.0, "value": 8.0}
    assert state["error"] is None


async def test_groups_may_nest_and_members_be_empty() -> None:
    inner = RubricGroup([Rubric(), Rubric([half])])
    group = RubricGroup([Rubric(), inner, Rubric([value])])
    state = finished()
    await group.score_rollout(state)

    assert (state["reward"], state["metrics"]) == (4.5, {"half": 0.5, "value": 4.0})
    assert group.functions == [half, value]
    assert group.metric_names == ["half", "value"]
    assert (await scored(Rubric()))["reward"] == 0.0


def test_a_group_needs_a_rubric() -> None:
    with pytest.raises(ValueError, match="at least one rubric"):
        RubricGroup([])


async def test_each_rubric_has_its_own_parser_and_objects() -> None:
    def told(parser: Parser, judge: float) -> float:
        return judge if isinstance(parser, XMLParser) else -judge

    first, second = Rubric([told], parser=XMLParser(["answer"])), Rubric([told])
    first.add_class_object("judge", 1.0)
    second.add_class_object("judge", 10.0)
    group = RubricGroup([first, second])
    state = finished()
    await group.score_rollout(state)

    assert state["reward"] == -9.0
    assert group.parser is first.parser
    assert RubricGroup([first], parser=second.parser).parser is second.parser


async def test_what_is_added_to_the_group() -> None:
    group = RubricGroup([Rubric([half]), Rubric([lambda bonus: bonus])])
    group.add_reward_func(value, 0.5)
    group.add_metric(lambda bonus: bonus)
    group.add_class_object("bonus", 100.0)
    state = finished()
    await group.score_rollout(state)

    assert state["reward"] == 102.5
    assert state["metrics"] == {"half": 0.5, "value": 4.0, "<lambda>": 200.0}
    assert group.rubrics[0].weights == [1.0, 0.5, 0.0]


async def test_group_functions_beside_individual_ones() -> None:
    group = RubricGroup([Rubric([value]), Rubric([rank])])
    states = [finished("1"), finished("2"), finished("6")]
    await group.score_group(states)

    assert (group.has_group_functions, group.has_weighted_group_functions) == (True, True)
    assert [state["reward"] for state in states] == [1.0, 3.0, 8.0]
    assert [state["advantage"] for state in states] == [-3.0, -1.0, 4.0]
    assert states[2]["metrics"] == {"value": 6.0, "rank": 2.0}
    with pytest.raises(ValueError, match="score whole groups"):
        await group.score_rollout(finished())


async def test_rollouts_are_scored_concurrently() -> None:
    together = asyncio.Barrier(3)

    async def waits() -> float:
        async with asyncio.timeout(5):
            await together.wait()  # only passes when all three wait at once
        return 1.0

    states = [finished(), finished(), finished()]
    await RubricGroup([Rubric([waits]), Rubric([waits])]).score_group(states)

    assert [state["reward"] for state in states] == [2.0] * 3


async def test_a_failure_in_one_rubric_leaves_no_reward() -> None:
    calls: list[int] = []
    for rubrics in (
        [Rubric([half]), Rubric([broken]), Rubric([lambda: calls.append(1)])],
        [Rubric([broken]), Rubric([half])],
    ):
        state = await scored(*rubrics)

        assert isinstance(state["error"], RewardError)
        assert (state["reward"], state["metrics"]) == (None, None)
    assert calls == []


async def test_a_rollout_with_an_error_stays_unscored() -> None:
    state = finished()
    state["error"] = ModelError("down")
    await RubricGroup([Rubric([half])]).score_rollout(state)

    assert isinstance(state["error"], ModelError)
    assert state["reward"] is None


async def test_reward_errors_are_counted_over_all_rubrics() -> None:
    group = RubricGroup([Rubric([broken]), RubricGroup([Rubric([broken, half])])])
    group.reward_errors = "zero"
    state = finished()
    await group.score_rollout(state)

    assert group.reward_errors == "zero"
    assert state["reward"] == 0.5
    assert len(state["reward_errors"]) == 2


async def test_a_sum_that_overflows_is_an_error() -> None:
    state = await scored(Rubric([lambda: 1e308]), Rubric([lambda: 1e308]))

    assert "is inf, not a finite number" in str(state["error"])


async def test_incomplete_groups() -> None:
    with_metric = Rubric([half])
    with_metric.add_metric(rank)
    group = RubricGroup([with_metric, Rubric([value])])
    state = finished()
    await group.score_group([state], incomplete=True)
    weighted = finished()
    await RubricGroup([Rubric([half]), Rubric([rank])]).score_group([weighted], incomplete=True)

    assert not group.has_weighted_group_functions
    assert (state["reward"], state["metrics"]) == (4.5, {"half": 0.5, "value": 4.0})
    assert isinstance(weighted["error"], InfraError)


async def test_a_rollout_left_out_by_one_rubric_is_missing_in_the_next() -> None:
    def judged(answer: str) -> float:
        if answer == "0":
            raise JudgeError("down")
        return 1.0

    states = [finished("0"), finished("1")]
    await RubricGroup([Rubric([judged]), Rubric([rank])]).score_group(states)

    assert [type(state["error"]) for state in states] == [JudgeError, InfraError]


class Own(Rubric):
    """Scores in its own way, as one written for verifiers does."""

    def __init__(self, reward: Any) -> None:
        super().__init__()
        self.reward = reward

    async def score_rollout(self, state: State) -> None:
        if isinstance(self.reward, Exception):
            raise self.reward
        state["reward"] = self.reward
        state["metrics"]["own"] = 1.0


async def test_subclasses_that_score_in_their_own_way() -> None:
    class Group(Own):
        async def score_group(self, states: Sequence[State]) -> None:  # type: ignore[override]
            for place, state in enumerate(states):
                state["reward"], state["metrics"] = place * self.reward, None

    single = RubricGroup([Own(2.0), Rubric([half])])
    state = finished()
    await single.score_rollout(state)
    group = RubricGroup([Group(3.0), Own(1)])
    states = [finished(), finished()]
    await group.score_group(states)

    assert (state["reward"], state["metrics"]) == (2.5, {"own": 1.0, "half": 0.5})
    assert group.has_weighted_group_functions
    assert [state["reward"] for state in states] == [1.0, 4.0]


@pytest.mark.parametrize("reward", [None, "1", float("nan"), [1.0]])
async def test_a_subclass_that_leaves_no_reward(reward: Any) -> None:
    state = await scored(Own(reward), Rubric([half]))

    assert f"reward function 'Own' left the reward {reward!r}" in str(state["error"])
    assert state["reward"] is None


async def test_a_subclass_that_raises() -> None:
    cause = ValueError("mine")
    state = await scored(Own(cause), Rubric([half]))
    judged = await scored(Own(JudgeError("down")))

    assert str(state["error"]).startswith("reward function 'Own' raised ValueError: mine (")
    assert state["error"].__cause__ is cause
    assert isinstance(judged["error"], JudgeError)


async def test_the_error_comes_first_where_a_subclass_counts_on_a_reward() -> None:
    class Doubled(Rubric):
        async def score_rollout(self, state: State) -> None:
            await super().score_rollout(state)
            state["reward"] *= 2

    def judged() -> float:
        raise JudgeError("down")

    state = await scored(Doubled([judged]))

    assert isinstance(state["error"], JudgeError)


async def test_cancellation_passes_through() -> None:
    def cancelled() -> float:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await scored(Rubric([cancelled]))


async def test_cleanup_and_teardown_of_every_rubric() -> None:
    seen: list[str] = []

    class Kept(Rubric):
        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

        @cleanup
        def clean(self, state: State) -> None:
            seen.append(f"{self.name} cleaned {state['answer']}")
            if self.name == "a":
                raise OSError("a")

        @teardown
        async def tear(self) -> None:
            seen.append(f"{self.name} torn down")

    class Group(RubricGroup):
        @teardown
        def own(self) -> None:
            seen.append("group torn down")

    group = Group([Kept("a"), RubricGroup([Kept("b")])])
    with pytest.raises(ExceptionGroup):
        await group.cleanup(finished("7"))
    await group.teardown()

    assert seen == [
        "a cleaned 7",
        "b cleaned 7",
        "group torn down",
        "a torn down",
        "b torn down",
    ]


def test_parameters_that_nothing_provides_are_found_before_any_rollout() -> None:
    def grade(answer: str, reference: str, scale: float = 1.0) -> float:
        return 1.0

    def compare(states: Any, references: Any) -> list[float]:
        return [1.0]

    group = RubricGroup([Rubric([grade]), Rubric([half, compare])])

    alone, together = group.parameter_problems({"answer": "4", "referense": "4"})
    assert re.match(r"grade\(\) at .*test_rubric_group\.py:\d+ asks for 'reference'", alone)
    assert alone.endswith(
        "which nothing provides (did you mean 'referense'?); available: answer, completion, info,"
        " parser, prompt, referense, state, task"
    )
    assert "asks for 'references', which nothing provides; available: answers, " in together
    assert len(group.parameter_problems({"reference": "4"})) == 1


def test_whether_a_reward_can_be_more_than_nothing() -> None:
    class Own(Rubric):
        async def score_rollout(self, state: State) -> None:
            state["reward"] = 1.0

    metrics = Rubric([half], weights=[0.0])
    assert not Rubric().gives_rewards
    assert not RubricGroup([metrics, RubricGroup([Rubric()])]).gives_rewards
    assert Rubric([half]).gives_rewards
    assert Own().gives_rewards
    assert RubricGroup([metrics, Own()]).gives_rewards


async def test_the_steps_get_what_the_rollout_got() -> None:
    def stepping() -> State:
        state = finished()
        response = Response(AssistantMessage(content="4"))
        state["trajectory"] = [
            TrajectoryStep(prompt=[], completion=[response.message], response=response)
        ]
        return state

    states = [stepping(), stepping()]
    await RubricGroup([Rubric([rank]), Rubric([rank])]).score_group(states)

    assert [state["reward"] for state in states] == [0.0, 2.0]
    assert [state.trajectory[0]["reward"] for state in states] == [0.0, 2.0]
    assert [state.trajectory[0]["advantage"] for state in states] == [-1.0, 1.0]


@pytest.mark.parametrize("metrics", [[1], {"a": "one"}, 7])
async def test_metrics_that_are_none_are_that_rollouts_error(metrics: Any) -> None:
    class Own(Rubric):
        async def score_group(self, states: Any, **named: Any) -> None:
            await super().score_group(states, **named)
            states[0]["metrics"] = metrics

    states = [finished(), finished()]
    await RubricGroup([Own([rank, half]), Rubric([half])]).score_group(states)

    assert isinstance(states[0]["error"], RewardError)
    assert "left the metrics" in str(states[0]["error"])
    assert (states[1]["error"], states[1]["reward"]) == (None, 2.0)


async def test_a_single_failure_of_a_handler_keeps_the_name_of_its_rubric() -> None:
    class Holding(Rubric):
        @teardown
        def close(self) -> None:
            raise OSError("disk")

    with pytest.raises(ExceptionGroup, match="teardown of Holding"):
        await RubricGroup([Rubric(), Holding()]).teardown()
    with pytest.raises(ExceptionGroup, match="teardown of RubricGroup") as caught:
        await RubricGroup([Holding(), Holding()]).teardown()

    assert len(caught.value.exceptions) == 2
