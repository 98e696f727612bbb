from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_evals.environments.dataset import Example
from pytest_evals.environments.env_group import EnvGroup
from pytest_evals.environments.environment import Environment
from pytest_evals.environments.multi_turn import MultiTurnEnv
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.errors import SetupError
from pytest_evals.lifecycle import cleanup, teardown
from pytest_evals.messages import AssistantMessage, Response
from pytest_evals.parsers import Parser, XMLParser
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State
from tests.environments.scripted_model import ScriptedModel


def rows(*questions: str, **columns: Any) -> list[dict[str, Any]]:
    return [{"question": question, **columns} for question in questions]


def one() -> float:
    return 1.0


def two(info: dict[str, Any], task: str) -> float:
    assert task == "b"
    return 2.0


def best(completions: list[Any]) -> list[float]:
    return [0.5 for _ in completions]


class Two(MultiTurnEnv):
    async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
        return "go on"


def pair(**kwargs: Any) -> EnvGroup:
    return EnvGroup(
        [
            SingleTurnEnv(dataset=rows("a0", "a1"), rubric=Rubric([one]), system_prompt="s"),
            Two(
                dataset=rows("b0"),
                rubric=Rubric([two], parser=XMLParser(["answer"])),
                max_turns=2,
                tool_defs=[{"name": "f", "description": "", "parameters": {}}],
            ),
        ],
        ["a", "b"],
        **kwargs,
    )


def questions(examples: list[Example]) -> list[str]:
    return [example["question"] for example in examples]


async def roll_out(environment: Environment, example: Example, said: str = "x") -> State:
    return await environment.rollout(example, ScriptedModel(lambda _: said), "m")


def test_the_datasets_come_one_after_the_other() -> None:
    group = pair()

    examples = group.get_dataset()

    assert questions(examples) == ["a0", "a1", "b0"]
    assert [example["example_id"] for example in examples] == [0, 1, 2]
    assert [example["info"] for example in examples] == [
        {"env_id": "a"},
        {"env_id": "a"},
        {"env_id": "b"},
    ]
    assert [example["task"] for example in examples] == ["a", "a", "b"]
    assert [message["content"] for message in examples[0]["prompt"]] == ["s", "a0"]
    assert questions(group.get_eval_dataset(2)) == ["a0", "a1"]
    assert (group.env_names, list(group.env_map)) == (["a", "b"], ["a", "b"])


def test_own_columns_and_info_of_the_members_are_kept() -> None:
    own = rows("q", info={"level": 3}, task="chess", example_id="q-1", board="x")

    (example,) = EnvGroup([SingleTurnEnv(dataset=own)]).get_dataset()

    assert example["info"] == {"level": 3, "env_id": "env_0"}
    assert (example["task"], example["src_id"], example["board"]) == ("chess", "q-1", "x")


def test_a_member_without_evaluation_examples_gives_its_training_ones() -> None:
    both = SingleTurnEnv(dataset=rows("train"), eval_dataset=rows("eval"))
    lazy = SingleTurnEnv(dataset=lambda: rows("lazy"))
    only = SingleTurnEnv(eval_dataset=rows("only"))

    group = EnvGroup([both, lazy, only])

    assert questions(group.get_dataset()) == ["train", "lazy"]
    assert questions(group.get_eval_dataset()) == ["eval", "lazy", "only"]
    assert questions(EnvGroup([lazy]).get_eval_dataset()) == ["lazy"]


async def test_each_example_is_rolled_out_and_scored_by_its_member() -> None:
    group = pair()
    first, _, last = group.get_dataset()

    states = [await roll_out(group, first), await roll_out(group, last)]
    for example, state in zip((first, last), states, strict=True):
        await group.rubric_of(example).score_rollout(state)

    assert [len(state.trajectory) for state in states] == [1, 2]
    assert [state["reward"] for state in states] == [1.0, 2.0]
    assert [state["metrics"] for state in states] == [
        {"one": 1.0, "num_turns": 1.0},
        {"two": 2.0, "num_turns": 2.0},
    ]
    assert [state["info"] for state in states] == [{"env_id": "a"}, {"env_id": "b"}]
    assert [len(state["tool_defs"]) for state in states] == [0, 1]
    assert isinstance(group.parser_of(last), XMLParser)
    assert type(group.parser_of(first)) is Parser


class Seeing(SingleTurnEnv):
    """Keeps the infos that its rollouts saw."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.infos: list[Any] = []

    async def setup_state(self, state: State) -> None:
        self.infos.append(dict(state["info"]))

    @cleanup
    async def look(self, state: State) -> None:
        self.infos.append(dict(state["info"]))


async def test_groups_nest() -> None:
    leaf = Seeing(dataset=rows("x", info={"env_id": "its own", "n": 1}))
    inner = EnvGroup([pair(), leaf], ["pair", "leaf"])
    outer = EnvGroup([SingleTurnEnv(dataset=rows("s")), inner], ["single", "inner"])
    examples = outer.get_dataset()

    assert questions(examples) == ["s", "a0", "a1", "b0", "x"]
    assert [example["info"]["env_id"] for example in examples] == [
        "single",
        ["inner", "pair", "a"],
        ["inner", "pair", "a"],
        ["inner", "pair", "b"],
        ["inner", "leaf", "its own"],
    ]
    assert [example["task"] for example in examples] == ["single", "a", "a", "b", "leaf"]
    state = await roll_out(outer, examples[3])
    await outer.rubric_of(examples[3]).score_rollout(state)
    assert (state["reward"], len(state.trajectory)) == (2.0, 2)
    assert state["info"] == {"env_id": ["inner", "pair", "b"]}
    assert isinstance(outer.parser_of(examples[3]), XMLParser)
    seen = await roll_out(outer, examples[4])
    assert leaf.infos == [{"env_id": "its own", "n": 1}] * 2
    assert seen["info"] == examples[4]["info"]


async def test_an_example_may_hold_its_info_as_json() -> None:
    group = pair()
    example = {**group.get_dataset()[2], "info": json.dumps({"env_id": "b"})}

    state = await roll_out(group, example)

    assert (len(state.trajectory), state["info"]) == (2, {"env_id": "b"})


async def test_an_example_that_names_no_member_is_refused() -> None:
    group = pair()
    example = group.get_dataset()[0]

    with pytest.raises(SetupError, match=r"no environment 'z'.* it has a, b"):
        await roll_out(group, {**example, "info": {"env_id": "z"}})
    with pytest.raises(SetupError, match=r"names its environment in info\['env_id'\]"):
        group.rubric_of({**example, "info": {}})


async def test_a_group_of_one_needs_no_route() -> None:
    group = EnvGroup([SingleTurnEnv(dataset=rows("q"), rubric=Rubric([one]))])
    example = {**group.get_dataset()[0], "info": {}}

    assert (await roll_out(group, example))["info"] == {"env_id": "env_0"}


@pytest.mark.parametrize(
    ("envs", "names", "kwargs", "words"),
    [
        (0, None, {}, "at least one environment"),
        (2, ["a"], {}, "2 environments and 1 env_names"),
        (2, ["a", "a"], {}, "two environments named 'a'"),
        (1, None, {"rubric": Rubric()}, "takes no 'rubric'"),
        (1, None, {"dataset": []}, "takes no 'dataset'"),
    ],
)
def test_a_group_that_makes_no_sense_is_refused(
    envs: int, names: list[str] | None, kwargs: dict[str, Any], words: str
) -> None:
    members = [SingleTurnEnv(dataset=rows("q")) for _ in range(envs)]

    with pytest.raises(SetupError, match=words):
        EnvGroup(members, names, **kwargs)


def test_settings_reach_every_member_of_every_group() -> None:
    group = pair()
    outer = EnvGroup([group])

    outer.set_kwargs(
        max_seq_len=7, score_rollouts=False, concurrency=9, max_total_completion_tokens=5, mine="x"
    )

    for environment in (outer, group, *group.envs):
        assert (environment.max_seq_len, environment.score_rollouts) == (7, False)
        assert environment.concurrency == 9
        assert environment.mine == "x"  # type: ignore[attr-defined]
    assert [env.max_total_completion_tokens for env in group.envs] == [5, 5]  # type: ignore[attr-defined]


async def test_a_rubric_that_is_added_scores_in_every_member() -> None:
    group = pair()
    examples = group.get_dataset()
    group.add_rubric(Rubric([one], weights=[10.0]))

    rewards = []
    for example in examples:
        state = await roll_out(group, example)
        await group.rubric_of(example).score_rollout(state)
        rewards.append(state["reward"])

    assert rewards == [11.0, 11.0, 12.0]


async def test_the_rubric_of_the_group_scores_with_that_of_the_member() -> None:
    grouped = SingleTurnEnv(dataset=rows("c"), rubric=Rubric([best]))
    group = EnvGroup([*pair().envs, grouped], ["a", "b", "c"])
    examples = group.get_dataset()
    alone = await roll_out(group, examples[2])
    together = [await roll_out(group, examples[3]) for _ in range(2)]

    await group.rubric.score_rollout(alone)
    await group.rubric.score_group(together)
    await group.rubric.cleanup(alone)

    assert (alone["reward"], [state["reward"] for state in together]) == (2.0, [0.5, 0.5])
    assert group.rubric.has_group_functions
    assert group.rubric.has_weighted_group_functions
    assert not group.rubric_of(examples[0]).has_group_functions
    assert {"one", "two", "best", "num_turns"} == set(group.rubric.metric_names)
    assert one in group.rubric.functions
    group.rubric.reward_errors = "zero"
    assert {env.rubric.reward_errors for env in group.envs} == {"zero"}


async def test_every_member_is_torn_down_also_after_one_that_fails() -> None:
    called: list[str] = []

    class Owner(SingleTurnEnv):
        @teardown
        async def close(self) -> None:
            called.append(self.env_id)
            raise ValueError(self.env_id)

    class OwningGroup(EnvGroup):
        @teardown
        async def close(self) -> None:
            called.append("group")

    group = OwningGroup([Owner(dataset=rows("q"), env_id=name) for name in ("a", "b")])

    with pytest.raises(ValueError, match="a") as caught:
        await group.teardown()

    assert called == ["a", "b", "group"]
    assert caught.value.__notes__ == ["after that, env_1.teardown() raised ValueError: b"]


class Model:
    """A client that says one thing."""

    async def get_response(self, prompt: Any, model: str, *args: Any, **kwargs: Any) -> Response:
        return Response(AssistantMessage(content="x"))

    async def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("is_group", [False, True])
async def test_reward_functions_do_not_see_the_route_that_rows_have(is_group: bool) -> None:
    seen: list[Any] = []

    def look(state: State, info: dict[str, Any]) -> float:
        seen.append((dict(state["info"]), dict(info), dict(state["input"]["info"])))
        return 1.0

    rubrics = [Rubric([look, best] if is_group else [look]) for _ in range(2)]
    plain, own = (
        SingleTurnEnv(dataset=rows("q", info=info), rubric=rubric)
        for info, rubric in zip(({"n": 1}, {"env_id": "own"}), rubrics, strict=True)
    )
    outer = EnvGroup([EnvGroup([plain, own], ["plain", "own"])], ["inner"])

    results = await outer.evaluate(Model(), "m", rollouts_per_example=2)

    assert seen == [({"n": 1},) * 3] * 2 + [({"env_id": "own"},) * 3] * 2
    assert [row["info"] for row in results["outputs"]] == [
        *[{"n": 1, "env_id": ["inner", "plain"]}] * 2,
        *[{"env_id": ["inner", "own", "own"]}] * 2,
    ]
    assert {row["state"] for row in results["outputs"]} == {"scored"}
