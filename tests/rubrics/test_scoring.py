from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.errors import InfraError, ModelError, RewardError, outcome_of
from pytest_evals.messages import Message, Response
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State, TrajectoryStep, new_state

HERE = __file__.removeprefix(f"{Path.cwd()}/")


def finished(answer: str = "4") -> State:
    row = {"example_id": 0, "prompt": [], "answer": answer}
    state = new_state(row, client=None, model="m", sampling_args={})
    state["completion"] = [{"role": "assistant", "content": answer}]
    return state


async def scored(*functions: Callable[..., Any], weights: list[float] | None = None) -> State:
    state = finished()
    await Rubric(funcs=functions, weights=weights).score_rollout(state)
    return state


def half() -> float:
    return 0.5


async def slow_one() -> int:
    await asyncio.sleep(0)
    return 1


async def test_reward_is_the_weighted_sum_and_metrics_are_raw() -> None:
    state = await scored(half, slow_one, weights=[1.0, -2.0])

    assert state["reward"] == -1.5
    assert state["metrics"] == {"half": 0.5, "slow_one": 1.0}
    assert state["error"] is None


async def test_weights_default_to_one_and_metrics_to_zero() -> None:
    rubric = Rubric(funcs=[half])
    rubric.add_reward_func(slow_one)
    rubric.add_metric(lambda: 100)
    state = finished()

    await rubric.score_rollout(state)

    assert rubric.weights == [1.0, 1.0, 0.0]
    assert rubric.functions[:2] == [half, slow_one]
    assert rubric.metric_names == ["half", "slow_one", "<lambda>"]
    assert state["reward"] == 1.5


async def test_an_empty_rubric_gives_nothing() -> None:
    state = await scored()

    assert (state["reward"], state["metrics"]) == (0.0, {})


async def test_two_functions_of_one_name_both_count() -> None:
    def half_2() -> float:
        return 8.0

    state = await scored(half, half_2, half, half)

    assert state["reward"] == 9.5
    assert state["metrics"] == {"half": 0.5, "half_2": 8.0, "half_3": 0.5, "half_4": 0.5}


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        ([1.0], "2 functions and 1 weights"),
        ([1.0, 2.0, 3.0], "2 functions and 3 weights"),
        ([1.0, float("nan")], "weight of reward function 'slow_one' is nan"),
    ],
)
def test_weights_that_make_no_sense(weights: list[float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Rubric(funcs=[half, slow_one], weights=weights)


class NumpyLike:
    def __float__(self) -> float:
        return 0.75


@pytest.mark.parametrize(
    ("value", "reward"),
    [
        (True, 1.0),
        (False, 0.0),
        (3, 3.0),
        (-0.5, -0.5),
        (Decimal("0.25"), 0.25),
        (Fraction(1, 4), 0.25),
        (NumpyLike(), 0.75),
    ],
)
async def test_numbers_of_every_kind(value: Any, reward: float) -> None:
    state = await scored(lambda: value)

    assert state["reward"] == reward
    assert type(state["metrics"]["<lambda>"]) is float


async def test_numpy_scalars_are_numbers_and_numpy_text_is_not() -> None:
    numpy = pytest.importorskip("numpy")

    for value in (numpy.float32(0.5), numpy.float64(0.5), numpy.int64(2), numpy.bool_(True)):
        assert (await scored(lambda value=value: value))["reward"] == float(value)
    for value in (numpy.str_("0.5"), numpy.array([0.5, 0.5])):
        error = (await scored(lambda value=value: value))["error"]
        assert "not a number" in str(error)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("0.5", "returned '0.5' (str), not a number"),
        (b"1", "returned b'1' (bytes), not a number"),
        (None, "returned None, not a number"),
        ([1.0], "returned [1.0] (list), not a number"),
        ({"reward": 1.0}, "returned {'reward': 1.0} (dict), not a number"),
        (1j, "returned 1j (complex), not a number"),
        (float("nan"), "returned nan, not a finite number"),
        (float("inf"), "returned inf, not a finite number"),
        (Decimal("NaN"), "returned nan, not a finite number"),
    ],
)
async def test_what_is_not_a_finite_number_is_an_error(value: Any, reason: str) -> None:
    function = lambda: value  # noqa: E731
    state = await scored(function)

    error = state["error"]
    assert isinstance(error, RewardError)
    place = f"{HERE}:{function.__code__.co_firstlineno}"
    assert error.reason == f"{reason} ({place})"
    assert str(error) == f"reward function '<lambda>' {reason} ({place})"
    assert outcome_of(error) == "broken"
    assert (state["reward"], state["metrics"]) == (None, None)


@pytest.mark.parametrize("value", [10**400, "x" * 10_000_000])
async def test_huge_values_are_refused_in_few_words(value: Any) -> None:
    error = (await scored(lambda: value))["error"]

    assert "not a number" in str(error)
    assert len(str(error)) < 200


async def test_a_sum_that_overflows_is_an_error() -> None:
    state = await scored(lambda: 1e308, lambda: 1e308)

    assert "is inf, not a finite number" in str(state["error"])
    assert state["reward"] is None


def raises(error: BaseException) -> Callable[..., float]:
    def grade() -> float:
        raise error

    return grade


def raised_in(function: Callable[..., Any], line: int) -> str:
    """Return the place of a line of a function, counted from its `def`, as messages name it."""
    return f"{HERE}:{function.__code__.co_firstlineno + line}"


async def test_the_line_is_that_of_the_function_also_for_an_error_of_a_library() -> None:
    def grade(completion: Any) -> float:
        return float(json.loads("{")["x"])

    error = (await scored(grade))["error"]

    assert "raised JSONDecodeError: " in str(error)
    assert str(error).endswith(f" ({raised_in(grade, 1)})")


async def test_an_exception_is_the_rollouts_error_and_never_zero() -> None:
    cause = ValueError("bad\nanswer")

    grade = raises(cause)
    state = await scored(grade, half)

    error = state["error"]
    assert isinstance(error, RewardError)
    place = raised_in(grade, 1)
    assert str(error) == f"reward function 'grade' raised ValueError: bad answer ({place})"
    assert error.__cause__ is cause
    assert cause.__traceback__ is not None
    assert (state["reward"], state["metrics"]) == (None, None)


async def test_an_exception_of_an_async_function() -> None:
    async def grade() -> float:
        await asyncio.sleep(0)
        raise KeyError("x")

    error = (await scored(grade))["error"]

    place = raised_in(grade, 2)
    assert str(error) == f"reward function 'grade' raised KeyError: 'x' ({place})"
    assert isinstance(error.__cause__, KeyError)


class BrokenTextError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


async def test_hostile_exceptions() -> None:
    assert str((await scored(raises(BrokenTextError())))["error"]).endswith(
        f"raised BrokenTextError ({raised_in(raises(ValueError()), 1)})"
    )
    assert "SystemExit: 3" in str((await scored(raises(SystemExit(3))))["error"])
    assert len(str((await scored(raises(ValueError("x " * 10**6))))["error"])) < 10_100
    assert "xx" not in str((await scored(raises(ValueError("x" * 10**6))))["error"])


async def test_a_failed_judge_leaves_the_rollout_unmeasured() -> None:
    for cause in (ModelError("judge down"), InfraError("sandbox gone")):
        state = await scored(raises(cause), half)
        assert state["error"] is cause
        assert outcome_of(cause) == "unmeasured"
        assert state["reward"] is None


async def test_functions_after_a_failure_are_not_called() -> None:
    calls: list[int] = []

    await scored(raises(ValueError()), lambda: calls.append(1))

    assert calls == []


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyboardInterrupt])
async def test_cancellation_passes_through(error: type[BaseException]) -> None:
    if error is KeyboardInterrupt:  # through a task it would end the test's own loop
        coroutine = Rubric(funcs=[raises(error())]).score_rollout(finished())
        with pytest.raises(KeyboardInterrupt):
            coroutine.send(None)
        return
    with pytest.raises(asyncio.CancelledError):
        await scored(raises(error()))


async def test_a_rollout_with_an_error_stays_unscored() -> None:
    state = finished()
    state["error"] = ModelError("down")
    calls: list[int] = []

    await Rubric(funcs=[lambda: calls.append(1)]).score_rollout(state)

    assert isinstance(state["error"], ModelError)
    assert state["reward"] is None
    assert calls == []


async def test_scoring_one_rollout_needs_individual_functions_only() -> None:
    rubric = Rubric(funcs=[lambda states: [1.0]])

    with pytest.raises(ValueError, match="score whole groups"):
        await rubric.score_rollout(finished())


def correct(completion: Any) -> float:
    return float(completion[0]["content"])


def rank(completions: Any) -> list[float]:
    return [10.0 * position for position in range(len(completions))]


async def test_group_rewards_metrics_and_advantages() -> None:
    states = [finished("1"), finished("2"), finished("6")]
    states[0]["trajectory"].append(
        TrajectoryStep(
            prompt=[], completion=[], response=Response(Message(role="assistant", content=""))
        )
    )

    await Rubric(funcs=[correct, rank], weights=[1.0, 0.1]).score_group(states)

    assert [state["reward"] for state in states] == [1.0, 3.0, 8.0]
    assert [state["advantage"] for state in states] == [-3.0, -1.0, 4.0]
    assert states[2]["metrics"] == {"correct": 6.0, "rank": 20.0}
    assert states[0].trajectory[0].reward == 1.0


async def test_group_function_may_be_async_and_return_any_sequence() -> None:
    async def grade(states: Any) -> Any:
        await asyncio.sleep(0)
        return tuple(True for _ in states)

    states = [finished(), finished()]
    await Rubric(funcs=[grade]).score_group(states)

    assert [state["reward"] for state in states] == [1.0, 1.0]


async def test_functions_run_in_order_and_concurrently_over_the_group() -> None:
    together = asyncio.Barrier(3)
    order: list[str] = []

    async def first(answer: str) -> float:
        async with asyncio.timeout(5):
            await together.wait()  # only passes when all three wait at once
        order.append("first")
        return 1.0

    def second() -> float:
        order.append("second")
        return 1.0

    await Rubric(funcs=[first, second]).score_group([finished(), finished(), finished()])

    assert order == ["first"] * 3 + ["second"] * 3


async def test_an_individual_failure_is_that_rollouts_alone() -> None:
    def grade(answer: str) -> float:
        return 1.0 / float(answer)

    states = [finished("0"), finished("1"), finished("2")]
    await Rubric(funcs=[grade, rank]).score_group(states)

    assert "ZeroDivisionError" in str(states[0]["error"])
    assert states[0]["reward"] is None
    assert [state["reward"] for state in states[1:]] == [11.0, 20.5]
    assert [state["advantage"] for state in states[1:]] == [-4.75, 4.75]
    assert "advantage" not in states[0]


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        ([1.0], "returned 1 numbers for 2 rollouts"),
        ([1.0, 2.0, 3.0], "returned 3 numbers for 2 rollouts"),
        ([], "returned 0 numbers for 2 rollouts"),
        ([1.0, None], "returned None, not a number"),
        ([1.0, float("nan")], "returned nan, not a finite number"),
        (1.0, "returned a float, not a list"),
        ("ab", "returned a str, not a list"),
        ({0: 1.0, 1: 1.0}, "returned a dict, not a list"),
        (None, "returned a NoneType, not a list"),
    ],
)
async def test_a_group_function_that_returns_nonsense_fails_the_group(
    returned: Any, text: str
) -> None:
    def grade(states: Any) -> Any:
        return returned

    states = [finished(), finished()]
    await Rubric(funcs=[half, grade]).score_group(states)

    assert all(text in str(state["error"]) for state in states)
    assert all(state["reward"] is None for state in states)


async def test_a_group_function_that_raises_fails_the_group() -> None:
    def grade(states: Any) -> Any:
        raise IndexError("of mine")

    states = [finished(), finished()]
    await Rubric(funcs=[grade]).score_group(states)

    assert {str(state["error"]) for state in states} == {
        f"reward function 'grade' raised IndexError: of mine ({raised_in(grade, 1)})"
    }
    assert outcome_of(states[0]["error"]) == "broken"


async def test_part_of_a_group_is_not_judged() -> None:
    states = [finished(), finished()]
    states[0]["error"] = ModelError("down")

    await Rubric(funcs=[rank]).score_group(states)

    assert isinstance(states[0]["error"], ModelError)
    assert "needs every rollout of the group, and one ended in ModelError: down" in str(
        states[1]["error"]
    )
    assert outcome_of(states[1]["error"]) == "unmeasured"
    assert states[1]["reward"] is None


async def test_an_empty_group_is_nothing_to_do() -> None:
    states: list[State] = []

    await Rubric(funcs=[half, rank]).score_group(states)

    assert states == []
