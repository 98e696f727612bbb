"""What of an environment is found before the model is paid."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from pytest_evals.environments.checking import warnings_of
from pytest_evals.environments.env_group import EnvGroup
from pytest_evals.environments.multi_turn import MultiTurnEnv
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.errors import SetupError
from pytest_evals.rubrics.rubric import Rubric
from tests.environments.scripted_model import ScriptedModel

ROWS: list[dict[str, Any]] = [{"question": "?", "answer": "4"}]
NOTHING = "the rubric has no reward function: every reward is 0.0"


def one() -> float:
    return 1.0


class Game(MultiTurnEnv):
    def __init__(self, board_size: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    async def env_response(self, messages: Any, state: Any, **kwargs: Any) -> Any:
        return "go on"


@pytest.mark.parametrize(
    ("argument", "meant"),
    [
        ("rubrik", "rubric"),
        ("sytem_prompt", "system_prompt"),
        ("max_turn", "max_turns"),
        ("board_sise", "board_size"),
    ],
)
def test_an_argument_that_is_nearly_one_is_told(argument: str, meant: str) -> None:
    given: dict[str, Any] = {argument: "x"}
    environment = Game(dataset=ROWS, rubric=Rubric([one]), **given)

    assert list(warnings_of(environment, [environment.rubric])) == [
        f"Game has no argument {argument!r}, which only became an attribute"
        f" (did you mean {meant!r}?)"
    ]
    assert getattr(environment, argument) == "x"


def test_arguments_of_ones_own_are_attributes() -> None:
    environment = Game(dataset=ROWS, rubric=Rubric([one]), max_tokens=1, data_path="d", level=3)

    assert list(warnings_of(environment, [environment.rubric])) == []


def test_those_of_members_of_a_group_are_told() -> None:
    typo = SingleTurnEnv(dataset=ROWS, rubrik=Rubric([one]))
    group = EnvGroup([SingleTurnEnv(dataset=ROWS, rubric=Rubric([one])), EnvGroup([typo])])
    rubrics = [group.rubric_of(example) for example in group.get_dataset()]

    first, second = warnings_of(group, rubrics)

    assert "'rubrik'" in first
    assert second == NOTHING


def test_a_rubric_of_metrics_alone_is_told_where_it_scores() -> None:
    rubric = Rubric([one], weights=[0.0])
    environment = SingleTurnEnv(dataset=ROWS, rubric=rubric)

    assert list(warnings_of(environment, [environment.rubric])) == [NOTHING]
    environment.set_score_rollouts(False)
    assert list(warnings_of(environment, [environment.rubric])) == []


async def test_a_script_is_refused_before_it_pays(caplog: pytest.LogCaptureFixture) -> None:
    def grade(completon: Any) -> float:
        return 1.0

    environment = SingleTurnEnv(dataset=ROWS, rubric=Rubric([grade]), env_id="sums")
    client = ScriptedModel(["4"])

    with pytest.raises(SetupError) as caught:
        await environment.evaluate(client, "m")

    assert client.prompts == []
    assert str(caught.value).startswith("the rubric of environment 'sums' cannot score: grade() at")
    assert "'completon', which nothing provides (did you mean 'completion'?)" in str(caught.value)


async def test_a_script_is_told_what_is_odd(caplog: pytest.LogCaptureFixture) -> None:
    environment = SingleTurnEnv(dataset=ROWS, rubrik=Rubric([one]))

    with caplog.at_level(logging.WARNING):
        await environment.evaluate(ScriptedModel(["4"]), "m")

    assert [message.partition(" (")[0] for message in caplog.messages] == [
        "SingleTurnEnv has no argument 'rubrik', which only became an attribute",
        NOTHING,
    ]


async def test_what_is_not_scored_asks_for_nothing() -> None:
    def grade(nothing: Any) -> float:
        return 1.0

    environment = SingleTurnEnv(dataset=ROWS, rubric=Rubric([grade]), score_rollouts=False)
    results = await environment.evaluate(ScriptedModel(["4"]), "m")

    assert [row["state"] for row in results["outputs"]] == ["generated"]
