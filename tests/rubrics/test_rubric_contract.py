"""What environments written for verifiers do with a rubric, besides having it score."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import Callable, Sequence
from typing import Any

import openai
import pytest

from pytest_evals.errors import (
    InfraError,
    JudgeError,
    ModelError,
    RewardError,
    SandboxError,
    outcome_of,
)
from pytest_evals.lifecycle import cleanup, teardown
from pytest_evals.parsers import XMLParser
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.rubrics.rubric_group import RubricGroup
from pytest_evals.state import State, new_state


def finished(answer: str = "4") -> State:
    row = {"example_id": 0, "prompt": [], "answer": answer, "info": {}, "category": "sums"}
    state = new_state(row, client=None, model="m", sampling_args={})
    state["completion"] = [{"role": "assistant", "content": answer}]
    return state


def half() -> float:
    return 0.5


def one() -> float:
    return 1.0


def rank(states: Any) -> list[float]:
    return [float(place) for place in range(len(states))]


def raises(error: BaseException) -> Callable[..., float]:
    def grade() -> float:
        raise error

    return grade


async def reward_of(rubric: Rubric) -> float | None:
    state = finished()
    await rubric.score_rollout(state)
    reward: float | None = state["reward"]
    return reward


# Functions and weights.


async def test_funcs_and_weights_can_be_read_and_changed() -> None:
    given = [half]
    rubric = Rubric(given, [2.0])
    assert await reward_of(rubric) == 1.0

    rubric.funcs.append(one)
    rubric.weights.append(1.0)
    assert await reward_of(rubric) == 2.0
    rubric.weights[0] = 0.0
    assert await reward_of(rubric) == 1.0
    rubric.funcs, rubric.weights = [one], [5.0]
    assert await reward_of(rubric) == 5.0
    assert rubric.metric_names == ["one"]
    assert given == [half]


async def test_lists_that_no_longer_fit_are_said_to() -> None:
    rubric = Rubric([half])
    rubric.funcs.append(one)

    with pytest.raises(ValueError, match="2 functions and 1 weights"):
        await rubric.score_rollout(finished())


def test_a_function_that_cannot_be_one_is_refused_when_it_is_added() -> None:
    rubric = Rubric()

    with pytest.raises(TypeError, match="must be callable"):
        rubric.add_reward_func(None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is inf"):
        rubric.add_metric(half, float("inf"))
    assert (rubric.funcs, rubric.weights) == ([], [])


def test_group_functions_and_their_weights() -> None:
    rubric = Rubric([half])
    assert (rubric.has_group_functions, rubric.has_weighted_group_functions) == (False, False)
    rubric.add_metric(rank)
    assert (rubric.has_group_functions, rubric.has_weighted_group_functions) == (True, False)
    rubric.add_reward_func(rank, -1.0)
    assert (rubric.has_group_functions, rubric.has_weighted_group_functions) == (True, True)


class Graded(Rubric):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(funcs=[self.exact], **kwargs)
        self.add_reward_func(self.short, weight=0.5)
        self.add_metric(self.length)

    def exact(self, completion: Any, answer: str, parser: XMLParser) -> float:
        return float(completion[-1]["content"] == answer and parser is self.parser)

    async def short(self, completion: Any, **kwargs: Any) -> bool:
        return len(completion[-1]["content"]) < 3 and kwargs["category"] == "sums"

    def length(self, completion: Any) -> int:
        return len(completion[-1]["content"])


async def test_a_subclass_whose_functions_are_its_methods() -> None:
    state = finished("42")
    await Graded(parser=XMLParser(["answer"])).score_rollout(state)

    assert state["error"] is None
    assert state["reward"] == 1.5
    assert state["metrics"] == {"exact": 1.0, "short": 1.0, "length": 2.0}


async def test_a_subclass_that_scores_a_rollout_in_its_own_way() -> None:
    class Doubled(Rubric):
        async def score_rollout(self, state: State) -> None:
            await super().score_rollout(state)
            state["reward"] *= 2

    rubric = Doubled([half])

    assert await reward_of(rubric) == 1.0
    assert not rubric.has_group_functions


async def test_a_subclass_that_scores_groups_in_its_own_way_gets_whole_groups() -> None:
    class Best(Rubric):
        async def score_group(self, states: Sequence[State], **kwargs: Any) -> None:
            await super().score_group(states, **kwargs)
            best = max(state["reward"] for state in states)
            for state in states:
                state["reward"] = float(state["reward"] == best)

    rubric = Best([lambda answer: float(answer)])
    states = [finished("1"), finished("3")]
    await rubric.score_group(states)

    assert rubric.has_group_functions
    assert rubric.has_weighted_group_functions
    assert [state["reward"] for state in states] == [0.0, 1.0]


def test_a_subclass_has_a_logger_of_its_own_name() -> None:
    assert Graded().logger.name == f"{__name__}.Graded"


# Ends of rollouts and of the session.


class Housekeeping(Rubric):
    def __init__(self) -> None:
        super().__init__()
        self.add_class_object("judge", "the judge")
        self.seen: list[Any] = []

    @cleanup(priority=5)
    async def first(self, state: State, judge: str) -> None:
        self.seen.append(("first", state["answer"], judge))

    @cleanup
    def last(self, completion: Any, category: str, unknown: int = 3) -> None:
        self.seen.append(("last", completion[-1]["content"], category, unknown))

    @teardown
    async def close(self) -> None:
        self.seen.append("close")

    @teardown(priority=1)
    def flush(self) -> None:
        self.seen.append("flush")


async def test_cleanup_and_teardown_methods() -> None:
    rubric = Housekeeping()
    await rubric.cleanup(finished("7"))
    await rubric.teardown()

    assert rubric.seen == [
        ("first", "7", "the judge"),
        ("last", "7", "sums", 3),
        "flush",
        "close",
    ]


def test_whether_cleaning_up_does_anything() -> None:
    class Own(Rubric):
        async def cleanup(self, state: State) -> None: ...

    class OwnGroup(RubricGroup):
        async def cleanup(self, state: State) -> None: ...

    assert not Rubric().cleans_up
    assert Housekeeping().cleans_up
    assert Own().cleans_up
    assert not RubricGroup([Rubric(), Rubric()]).cleans_up
    assert RubricGroup([Rubric(), Housekeeping()]).cleans_up
    assert RubricGroup([Rubric(), RubricGroup([Own()])]).cleans_up
    assert OwnGroup([Rubric()]).cleans_up


async def test_every_method_is_called_though_one_raises() -> None:
    class Failing(Housekeeping):
        @teardown(priority=9)
        def broken(self) -> None:
            raise OSError("disk")

        @cleanup(priority=9)
        async def broken_too(self) -> None:
            raise KeyError("gone")

    rubric = Failing()
    with pytest.raises(ExceptionGroup, match="teardown of Failing") as torn:
        await rubric.teardown()
    with pytest.raises(ExceptionGroup, match="cleanup of Failing"):
        await rubric.cleanup(finished())

    assert [str(error) for error in torn.value.exceptions] == ["disk"]
    assert len(rubric.seen) == 4


async def test_a_rubric_without_such_methods() -> None:
    rubric = Rubric()
    state = finished()
    before = dict(state)
    await rubric.cleanup(state)
    await rubric.teardown()

    assert state == before


# Failures.


async def test_reward_errors_zero_counts_a_mistake_as_0() -> None:
    rubric = Rubric([raises(ValueError()), one, lambda: None, lambda: float("nan")], [2, 1, 1, 1])
    rubric.add_reward_func(lambda reference: reference)
    rubric.reward_errors = "zero"
    state = finished()
    await rubric.score_rollout(state)

    assert state["error"] is None
    assert state["reward"] == 1.0
    assert state["metrics"]["grade"] == 0.0
    assert [re.split(r" \(|;", line)[0] for line in state["reward_errors"]] == [
        "grade: ValueError",
        "<lambda>: returned None, not a number",
        "<lambda>: returned nan, not a finite number",
        "<lambda>: asks for 'reference', which nothing provides",
    ]
    assert "test_rubric_contract.py:" in state["reward_errors"][0]


async def test_reward_errors_zero_in_a_group() -> None:
    def picky(answer: str) -> float:
        return 1 / float(answer)

    rubric = Rubric([picky, lambda states: [1.0]])
    rubric.reward_errors = "zero"
    states = [finished("0"), finished("2")]
    await rubric.score_group(states)

    assert [state["reward"] for state in states] == [0.0, 0.5]
    assert [len(state["reward_errors"]) for state in states] == [2, 1]
    assert states[0]["reward_errors"][0].startswith("picky: ZeroDivisionError: ")


async def test_without_failures_nothing_is_counted() -> None:
    rubric = Rubric([one])
    rubric.reward_errors = "zero"
    state = finished()
    await rubric.score_rollout(state)

    assert "reward_errors" not in state


def api_error() -> openai.APIError:
    import httpx2

    request = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")
    return openai.APIConnectionError(request=request)


@pytest.mark.parametrize("reward_errors", ["broken", "zero"])
@pytest.mark.parametrize(
    "error", [JudgeError("no verdict"), SandboxError("gone"), ModelError("down")]
)
async def test_a_failed_judge_is_never_0(reward_errors: Any, error: Exception) -> None:
    rubric = Rubric([one, raises(error)])
    rubric.reward_errors = reward_errors
    state = finished()
    await rubric.score_rollout(state)

    assert state["error"] is error
    assert outcome_of(error) == "unmeasured"
    assert state["reward"] is None


@pytest.mark.parametrize("reward_errors", ["broken", "zero"])
async def test_nor_is_a_judge_that_the_reward_function_asks_itself(reward_errors: Any) -> None:
    async def wrapped() -> float:
        try:
            raise api_error()
        except openai.APIError as error:
            raise RuntimeError("judge model API error") from error

    for grade in (raises(api_error()), wrapped):
        rubric = Rubric([grade])
        rubric.reward_errors = reward_errors
        state = finished()
        await rubric.score_rollout(state)

        assert isinstance(state["error"], JudgeError)
        assert "could not ask" in str(state["error"])
        assert outcome_of(state["error"]) == "unmeasured"


@pytest.mark.parametrize("reward_errors", ["broken", "zero"])
async def test_an_exception_raised_while_handling_one_of_a_judge(reward_errors: Any) -> None:
    def grade() -> float:
        try:
            raise JudgeError("down")
        except JudgeError:
            return float("no verdict")

    async def several() -> float:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(failing())
        return 1.0

    async def failing() -> None:
        raise ConnectionResetError

    for function in (grade, several):
        rubric = Rubric([function])
        rubric.reward_errors = reward_errors
        state = finished()
        await rubric.score_rollout(state)

        assert isinstance(state["error"], JudgeError)
        assert outcome_of(state["error"]) == "unmeasured"


@pytest.mark.parametrize("reward_errors", ["broken", "zero"])
async def test_a_time_limit_by_signals_is_never_0(reward_errors: Any) -> None:
    def grade(completion: Any) -> float:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        return 1.0

    def verified(completion: Any) -> float:
        try:
            return grade(completion)
        except ValueError as error:
            raise ValueError("doesn't support threaded environment") from error

    def score(function: Any) -> State:
        rubric = Rubric([function])
        rubric.reward_errors = reward_errors
        state = finished()
        asyncio.run(rubric.score_rollout(state))
        return state

    for function in (grade, verified):
        state = await asyncio.to_thread(score, function)

        assert isinstance(state["error"], RewardError)
        assert "parsing_timeout=None" in str(state["error"])
        assert "--evals-sequential" in str(state["error"])
        assert outcome_of(state["error"]) == "broken"
        assert "reward_errors" not in state


async def test_a_late_import_of_verifiers_is_told_what_to_do() -> None:
    def grade() -> float:
        raise ModuleNotFoundError("No module named 'verifiers'", name="verifiers")

    state = finished()
    await Rubric([grade]).score_rollout(state)

    assert "import it at the top of the environment's module" in str(state["error"])


async def test_causes_that_go_in_circles() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__cause__ = second, first
    state = finished()
    await Rubric([raises(first)]).score_rollout(state)

    assert isinstance(state["error"], RewardError)


# Parts of groups.


async def test_an_incomplete_group_is_scored_without_metrics_that_compare() -> None:
    rubric = Rubric([half])
    rubric.add_metric(rank)
    states = [finished(), finished()]
    await rubric.score_group(states, incomplete=True)

    assert [state["metrics"] for state in states] == [{"half": 0.5}] * 2


async def test_an_incomplete_group_has_no_reward_that_compares() -> None:
    states = [finished(), finished()]
    await Rubric([half, rank]).score_group(states, incomplete=True)

    for state in states:
        assert isinstance(state["error"], InfraError)
        assert str(state["error"]) == (
            "reward function 'rank' needs every rollout of the group, and some are missing"
        )
        assert state["reward"] is None


async def test_a_rollout_whose_judge_fails_is_missing_in_the_comparison() -> None:
    async def judged(answer: str) -> float:
        await asyncio.sleep(0)
        if answer == "0":
            raise JudgeError("down")
        return 1.0

    weighted = [finished("0"), finished("1")]
    await Rubric([judged, rank]).score_group(weighted)
    metric_only = Rubric([judged])
    metric_only.add_metric(rank)
    unweighted = [finished("0"), finished("1")]
    await metric_only.score_group(unweighted)

    assert [type(state["error"]) for state in weighted] == [JudgeError, InfraError]
    assert [type(state["error"]) for state in unweighted] == [JudgeError, type(None)]
    assert unweighted[1]["metrics"] == {"judged": 1.0}


async def test_a_broken_environment_leaves_the_others_unmeasured() -> None:
    states = [finished(), finished()]
    states[0]["error"] = TypeError("hook")
    await Rubric([rank]).score_group(states)

    assert isinstance(states[0]["error"], TypeError)
    assert outcome_of(states[1]["error"]) == "unmeasured"
