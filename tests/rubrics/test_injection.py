from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from pytest_evals.errors import RewardError
from pytest_evals.parsers import Parser, XMLParser
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State, new_state

ROW = {
    "example_id": 7,
    "prompt": [{"role": "user", "content": "2+2"}],
    "answer": "4",
    "info": {"level": 1},
    "category": "sums",
}


def finished(**columns: Any) -> State:
    state = new_state({**ROW, **columns}, client=None, model="m", sampling_args={})
    state["completion"] = [{"role": "assistant", "content": "4"}]
    return state


async def given(
    function: Callable[..., Any], rubric: Rubric | None = None, **columns: Any
) -> State:
    rubric = rubric or Rubric()
    rubric.add_reward_func(function)
    state = finished(**columns)
    await rubric.score_rollout(state)
    return state


async def test_each_name_brings_its_value() -> None:
    seen: dict[str, Any] = {}

    def look(
        prompt: Any, completion: Any, answer: Any, state: Any, info: Any, task: Any, parser: Any
    ) -> float:
        seen.update(locals())
        return 1.0

    parser = XMLParser(["answer"])
    state = await given(look, Rubric(parser=parser), task="maths")

    assert state["error"] is None
    assert seen["state"] is state
    assert seen["parser"] is parser
    assert (seen["prompt"], seen["answer"], seen["info"]) == (ROW["prompt"], "4", {"level": 1})
    assert (seen["completion"], seen["task"]) == (state["completion"], "maths")


async def test_extra_columns_come_by_name_and_the_rollouts_fields_win() -> None:
    def look(category: str, completion: Any, example_id: int) -> bool:
        return category == "sums" and completion[0]["content"] == "4" and example_id == 7

    state = await given(look, completion="a column of this name")

    assert state["reward"] == 1.0


async def test_class_objects_win_where_names_clash() -> None:
    rubric = Rubric()
    rubric.add_class_object("answer", "mine")
    rubric.add_class_object("judge", len)

    state = await given(lambda answer, judge: judge(answer), rubric)

    assert state["reward"] == 4.0


async def test_an_object_added_after_the_function_is_found() -> None:
    rubric = Rubric(funcs=[lambda judge: judge])
    rubric.add_class_object("judge", 0.25)
    state = finished()

    await rubric.score_rollout(state)

    assert state["reward"] == 0.25


async def test_kwargs_take_everything() -> None:
    seen: dict[str, Any] = {}

    def look(answer: str, /, completion: Any, **kwargs: Any) -> float:
        seen.update(kwargs)
        return float(answer == "4")

    state = await given(look)

    assert state["reward"] == 1.0
    assert {"prompt", "state", "info", "task", "parser", "category", "example_id"} <= set(seen)
    assert not {"answer", "completion"} & set(seen)


async def test_defaults_are_kept_where_nothing_provides() -> None:
    def look(answer: str, threshold: float = 0.5, *args: Any, scale: float = 2.0) -> float:
        return threshold * scale

    assert (await given(look))["reward"] == 1.0


async def test_keyword_only_and_positional_only_parameters() -> None:
    def look(answer: str, category: str, missing: int = 3, /, *, info: dict[str, int]) -> float:
        return float(f"{answer}{info['level']}{missing}") if category == "sums" else 0.0

    assert (await given(look))["reward"] == 413.0


async def test_a_parameter_that_nothing_provides_is_named() -> None:
    def grade(completion: Any, reference: str) -> float:
        return 1.0

    error = (await given(grade))["error"]

    assert isinstance(error, RewardError)
    assert str(error) == (
        "reward function 'grade' asks for 'reference', which nothing provides; available: "
        "answer, category, completion, example_id, info, parser, prompt, state, task"
    )


async def test_a_positional_only_parameter_that_nothing_provides() -> None:
    def grade(reference: str, /) -> float:
        return 1.0

    assert "asks for 'reference'" in str((await given(grade))["error"])


class Grader:
    def __call__(self, answer: str) -> float:
        return float(answer)


class Methods:
    def grade(self, answer: str) -> float:
        return float(answer) + 1

    @staticmethod
    async def static(answer: str) -> float:
        return float(answer) + 2


def scaled(answer: str, factor: float) -> float:
    return float(answer) * factor


@pytest.mark.parametrize(
    ("function", "name", "reward"),
    [
        (Grader(), "Grader", 4.0),
        (Methods().grade, "grade", 5.0),
        (Methods.static, "static", 6.0),
        (functools.partial(scaled, factor=2), "scaled", 8.0),
        (functools.partial(functools.partial(scaled), factor=3), "scaled", 12.0),
        (lambda answer: 1, "<lambda>", 1.0),
    ],
)
async def test_everything_callable(function: Any, name: str, reward: float) -> None:
    state = await given(function)

    assert state["metrics"] == {name: reward}


def test_signatures_are_read_when_the_function_is_added() -> None:
    with pytest.raises(TypeError, match="must be callable, not 'accuracy'"):
        Rubric(funcs=["accuracy"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="wrap it in a def"):
        Rubric(funcs=[max])


def listed(completions: Any) -> Any: ...
def annotated(state: State) -> list[float]: ...  # type: ignore[empty-body]
def single(state: State) -> float: ...  # type: ignore[empty-body]


# As in a module without `from __future__ import annotations`.
def evaluated(state: State): ...  # type: ignore[no-untyped-def]


evaluated.__annotations__["return"] = list[float]


@pytest.mark.parametrize(
    ("function", "group"),
    [(listed, True), (annotated, True), (evaluated, True), (single, False)],
)
def test_group_functions_are_known_by_their_signature(
    function: Callable[..., Any], group: bool
) -> None:
    assert Rubric(funcs=[function]).has_group_functions is group


@pytest.mark.parametrize(
    "plural", ["states", "prompts", "completions", "answers", "tasks", "infos"]
)
def test_each_plural_parameter_makes_a_group_function(plural: str) -> None:
    namespace: dict[str, Any] = {}
    exec(f"def grade({plural}): ...", namespace)

    assert Rubric(funcs=[namespace["grade"]]).has_group_functions


async def test_group_arguments_are_lists_in_the_order_of_the_rollouts() -> None:
    seen: dict[str, Any] = {}

    def look(
        states: Any, prompts: Any, completions: Any, answers: Any, tasks: Any, infos: Any,
        parser: Any, **kwargs: Any,
    ) -> list[float]:  # fmt: skip
        seen.update(locals())
        return [0.0] * len(states)

    states = [finished(answer=str(number), task="t") for number in range(3)]
    await Rubric(funcs=[look]).score_group(states)

    assert seen["answers"] == ["0", "1", "2"]
    assert all(a is b for a, b in zip(seen["states"], states, strict=True))
    assert seen["prompts"] == [ROW["prompt"]] * 3
    assert seen["infos"] == [{"level": 1}] * 3
    assert seen["tasks"] == ["t"] * 3
    assert seen["completions"] == [state["completion"] for state in states]
    assert isinstance(seen["parser"], Parser)


async def test_a_group_function_cannot_ask_for_one_rollouts_fields() -> None:
    def grade(completions: Any, answer: str) -> list[float]:
        return [1.0]

    state = finished()
    await Rubric(funcs=[grade]).score_group([state])

    told = str(state["error"])
    assert (
        "asks for 'answer', which nothing provides (did you mean 'answers'?); available: " in told
    )
