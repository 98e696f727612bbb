"""The adapter, on verifiers itself where that is installed and on a stand-in elsewhere."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.adapters.importing import VerifiersImports
from pytest_evals.adapters.package import PackageEnvironment, adapt
from pytest_evals.environments.environment import Environment
from pytest_evals.errors import (
    Error,
    InfraError,
    InvalidModelResponseError,
    JudgeError,
    ModelError,
    OverlongPromptError,
    RejectedError,
    RewardError,
    SandboxError,
    SetupError,
    ToolError,
    outcome_of,
)
from pytest_evals.messages import (
    AssistantMessage,
    Message,
    Response,
    ResponseMessage,
    ToolCall,
    UserMessage,
)
from pytest_evals.state import State
from tests.adapters.conftest import HAS_REAL, VERSION, ScriptedClient

ROUTED_BY_INFO = pytest.mark.skipif(
    HAS_REAL and str(VERSION).startswith(("0.1.11", "0.1.12")),
    reason="up to 0.1.12 every row has a task column, the route within a group",
)

ROWS = [
    {"question": "What is 1 + 1?", "answer": "2", "level": "easy"},
    {"question": "What is 2 + 2?", "answer": "4", "level": "hard"},
]


class Table(list[dict[str, Any]]):
    def to_list(self) -> list[dict[str, Any]]:
        return self


def table(vf: Any, rows: list[dict[str, Any]]) -> Any:
    if "fake_verifiers" in vf.Client.__module__:
        return Table(rows)
    from datasets import Dataset  # type: ignore[import-not-found,import-untyped,unused-ignore]

    return Dataset.from_list(rows)


Play = Callable[[Any, Any], Any]


def made(
    vf: Any, play: Play | None = None, *, rows: list[dict[str, Any]] | None = None, **kwargs: Any
) -> Any:
    """Return an environment of verifiers whose rollout asks once, then calls `play`."""

    class Asking(vf.Environment):  # type: ignore[misc]
        async def rollout(
            self, input: Any, client: Any, model: str, sampling_args: Any = None
        ) -> Any:
            state = await self.init_state(input, client, model, sampling_args)
            try:
                response = await self.get_model_response(state, state["prompt"])
                state["completion"] = [response.message]
                state["trajectory"].append(
                    {
                        "prompt": state["prompt"],
                        "completion": [response.message],
                        "response": response,
                        "is_truncated": False,
                        "trajectory_id": state["trajectory_id"],
                        "reward": None,
                        "advantage": None,
                        "extras": {},
                        "tokens": None,
                    }
                )
                if play is not None:
                    play(self, state)
            except vf.OverlongPromptError:
                state["prompt_too_long"] = True
            except vf.Error as error:
                state["error"] = error
            state["stop_condition"] = "done"
            return state

    return Asking(dataset=table(vf, rows or ROWS), **kwargs)


def adapted(vf: Any, *args: Any, **kwargs: Any) -> PackageEnvironment:
    original = made(vf, *args, **kwargs)
    original.env_id, original.env_args = "toy", {"n": 2}
    return adapt(original)[0]


async def rolled_out(
    environment: Environment, *answers: Any, number: int = 0, **kwargs: Any
) -> State:
    example = environment.get_eval_dataset()[number]
    client = ScriptedClient(*(answers or ("2",)))
    return await environment.rollout(example, client, "m", **kwargs)


async def test_what_was_said_before_a_bug_is_kept(vf: Any) -> None:
    def play(environment: Any, state: Any) -> None:
        state["completion"] = state["trajectory"][0]["completion"]
        raise KeyError("board")

    state = await rolled_out(adapted(vf, play))

    assert (type(state["error"]), outcome_of(state["error"])) == (KeyError, "broken")
    assert [message.content for message in state["completion"]] == ["2"]
    assert (len(state.trajectory), state.trajectory[0].response.requests) == (1, 2)
    assert state.usage is not None and state.usage.completion_tokens == 4


async def test_a_bug_before_the_first_call_and_one_that_spoils_the_state_are_raised(
    vf: Any,
) -> None:
    def play(environment: Any, state: Any) -> None:
        state["trajectory"] = 3
        raise ZeroDivisionError

    class Early(vf.Environment):  # type: ignore[misc]
        async def rollout(self, *args: Any, **kwargs: Any) -> Any:
            raise ZeroDivisionError

    early = Early(dataset=table(vf, ROWS))
    early.env_id, early.env_args = "early", {}
    for environment in (adapted(vf, play), adapt(early)[0]):
        with pytest.raises(ZeroDivisionError):
            await rolled_out(environment)


async def scored(environment: Environment, *states: State, **kwargs: Any) -> None:
    rubric = environment.rubric_of(environment.get_eval_dataset()[0])
    if rubric.has_group_functions or len(states) > 1:
        await rubric.score_group(states, **kwargs)
    else:
        await rubric.score_rollout(states[0])


def right(completion: Any, answer: str) -> float:
    return float(answer in completion[-1].content)


# Rows, messages, requests


@ROUTED_BY_INFO
def test_its_examples_are_ours(vf: Any) -> None:
    environment = adapted(vf, system_prompt="Add.")
    examples = environment.get_eval_dataset(n=1)

    assert len(environment.get_eval_dataset()) == len(environment.get_dataset()) == 2
    assert examples == [
        {
            "question": "What is 1 + 1?",
            "answer": "2",
            "level": "easy",
            "example_id": 0,
            "prompt": [
                {"role": "system", "content": "Add."},
                {"role": "user", "content": "What is 1 + 1?"},
            ],
            "info": {},
        }
    ]
    assert type(examples[0]["prompt"][1]) is UserMessage
    assert (environment.env_id, environment.env_args) == ("toy", {"n": 2})


async def test_a_rollout_is_ours(vf: Any) -> None:
    environment = adapted(vf, lambda env, state: state.update(guesses=3))
    example = environment.get_eval_dataset()[0]
    client = ScriptedClient("It is 2")
    state = await environment.rollout(example, client, "m")

    assert isinstance(state, State)
    assert state["completion"] == [{"role": "assistant", "content": "It is 2"}]
    assert state["completion"][0].content == "It is 2"
    assert type(state["completion"][0]) is AssistantMessage
    assert state["prompt"] == example["prompt"]
    assert (state["answer"], state["example_id"], state["info"]) == ("2", 0, {})
    assert state["input"]["level"] == "easy"
    assert (state["guesses"], state["stop_condition"], state["error"]) == (3, "done", None)
    assert (state["reward"], state["metrics"]) == (None, None)
    assert state["client"] is client
    assert state["usage"] == {"input_tokens": 3.0, "output_tokens": 4.0}
    (step,) = state.trajectory
    assert (step.response.requests, step.response.model) == (2, "served")
    assert step.completion == state["completion"]
    assert state.timing.start_time > 0


async def test_sampling_arguments_are_merged(vf: Any) -> None:
    environment = adapted(vf, sampling_args={"temperature": 0.1, "extra_body": {"top_k": 1}})
    client = ScriptedClient("2")
    example = environment.get_eval_dataset()[0]
    await environment.rollout(example, client, "m", {"temperature": 1.0, "seed": 3})

    assert client.asked[0]["sampling_args"] == {
        "n": 1,
        "extra_body": {"top_k": 1},
        "temperature": 1.0,
        "seed": 3,
    }
    assert environment.sampling_args["temperature"] == 0.1
    assert client.asked[0]["model"] == "m"
    assert client.asked[0]["tools"] is None
    assert [type(message) for message in client.asked[0]["prompt"]] == [UserMessage]


async def test_tools_and_their_calls_pass_through(vf: Any) -> None:
    tool = {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}
    seen: list[Any] = []
    environment = adapted(
        vf,
        lambda env, state: seen.extend(state["completion"][0].tool_calls),
        tool_defs=[tool],
    )
    call = ToolCall(id="c1", name="add", arguments='{"a": 1}')
    nameless = ToolCall(name="add", arguments="{}")
    message = ResponseMessage(content=None, tool_calls=[call, nameless], reasoning_content="Hm.")
    client = ScriptedClient(Response(message=message, finish_reason="tool_calls"))
    state = await environment.rollout(environment.get_eval_dataset()[0], client, "m")

    assert client.asked[0]["tools"] == [tool]
    assert state["tool_defs"] == [tool]
    assert (seen[0].id, seen[0].name, seen[0].arguments) == ("c1", "add", '{"a": 1}')
    assert seen[1].id == "add"
    (answer,) = state["completion"]
    assert answer["tool_calls"][0] == call
    assert type(answer["tool_calls"][0]) is ToolCall
    assert answer["content"] is None
    assert answer["reasoning_content"] == "Hm."


async def test_a_reply_that_verifiers_cannot_take(vf: Any) -> None:
    message = ResponseMessage(content="", tool_calls=[{"id": 1, "name": 2, "arguments": 3}])
    state = await rolled_out(adapted(vf), Response(message=message))

    assert isinstance(state["error"], InvalidModelResponseError)
    assert outcome_of(state["error"]) == "unmeasured"


async def test_a_response_that_the_environment_made_itself(vf: Any) -> None:
    def play(env: Any, state: Any) -> None:
        step = dict(state["trajectory"][0])
        step["response"] = step["response"].model_copy(deep=True)
        state["trajectory"] += [step, {**step, "response": None}]

    state = await rolled_out(adapted(vf, play))
    first, copied, without = state.trajectory

    assert (copied.response.message, copied.response.usage) == (
        {"role": "assistant", "content": "2"},
        first.response.usage,
    )
    assert copied.response.requests == 0
    assert without.response is None


# Errors


@pytest.mark.parametrize("kind", [ModelError, RejectedError, InvalidModelResponseError])
async def test_an_error_of_our_client_comes_back_as_itself(vf: Any, kind: type[ModelError]) -> None:
    error = kind("no credit")
    state = await rolled_out(adapted(vf), error)

    assert state["error"] is error


async def test_what_the_environment_sees_of_it(vf: Any) -> None:
    state = await rolled_out(adapted(vf), OverlongPromptError("too long"))

    assert state["error"] is None
    assert state["prompt_too_long"] is True


@pytest.mark.parametrize(
    ("name", "kind", "outcome"),
    [
        ("SandboxError", SandboxError, "unmeasured"),
        ("InfraError", InfraError, "unmeasured"),
        ("ToolError", ToolError, "broken"),
        ("ModelError", ModelError, "unmeasured"),
    ],
)
async def test_an_error_of_verifiers(vf: Any, name: str, kind: type[Error], outcome: str) -> None:
    theirs: Any = getattr(sys.modules["verifiers.errors"], name)

    class Own(theirs):  # type: ignore[misc,unused-ignore]
        pass

    def play(env: Any, state: Any) -> None:
        raise Own("the box is gone")

    state = await rolled_out(adapted(vf, play))

    error: BaseException = state["error"]
    assert type(error) is kind
    assert str(error) == "the box is gone"
    assert isinstance(error.__cause__, Own)
    assert outcome_of(error) == outcome


# Scoring


async def test_reward_and_metrics(vf: Any) -> None:
    async def long(completion: Any) -> int:
        return len(completion[-1].content)

    environment = adapted(vf, rubric=vf.Rubric(funcs=[right, long], weights=[1.0, 0.1]))
    rubric = environment.rubric_of(environment.get_eval_dataset()[0])
    state = await rolled_out(environment, "2!")
    await scored(environment, state)

    assert rubric.metric_names == environment.rubric.metric_names == ["right", "long"]
    assert [function.__name__ for function in rubric.functions] == ["right", "long"]
    assert state["reward"] == pytest.approx(1.2)
    assert state["metrics"] == {"right": 1.0, "long": 2.0}
    assert (state["error"], "reward_errors" in state, "slow_calls" in state) == (
        None,
        False,
        False,
    )
    assert (rubric.has_group_functions, rubric.has_weighted_group_functions) == (False, False)


def raises(completion: Any) -> float:
    raise ValueError("no JSON")


def returns_nothing(completion: Any) -> None:
    return None


async def raises_late(completion: Any) -> float:
    await asyncio.sleep(0)
    raise ValueError("no JSON")


@pytest.mark.parametrize("function", [raises, returns_nothing, raises_late])
async def test_a_reward_function_that_raises_is_broken(vf: Any, function: Any) -> None:
    environment = adapted(vf, rubric=vf.Rubric(funcs=[right, function]))
    state = await rolled_out(environment)
    await scored(environment, state)

    assert isinstance(state["error"], RewardError)
    assert outcome_of(state["error"]) == "broken"
    assert function.__name__ in str(state["error"])
    assert (state["reward"], state["metrics"]) == (None, None)


async def test_or_counts_as_zero_and_is_counted(vf: Any) -> None:
    environment = adapted(vf, rubric=vf.Rubric(funcs=[right, raises, raises_late]))
    environment.rubric_of(environment.get_eval_dataset()[0]).reward_errors = "zero"
    state = await rolled_out(environment)
    await scored(environment, state)
    first = dict(state)
    await scored(environment, state)  # again, as after a resume

    assert first["reward"] == state["reward"] == 1.0
    assert state["metrics"] == {"right": 1.0, "raises": 0.0, "raises_late": 0.0}
    assert first["reward_errors"] == state["reward_errors"]
    assert [line.partition(":")[0] for line in state["reward_errors"]] == ["raises", "raises_late"]
    assert "test_package.py:" in state["reward_errors"][0]


@pytest.mark.parametrize("meaning", ["broken", "zero"])
async def test_a_judge_that_fails_leaves_the_rollout_unmeasured(vf: Any, meaning: Any) -> None:
    import httpx2
    import openai

    async def judged(completion: Any) -> float:
        try:
            raise openai.APIConnectionError(request=httpx2.Request("POST", "http://judge"))
        except openai.APIError as error:
            raise RuntimeError("Judge model API error") from error  # as JudgeRubric does

    environment = adapted(vf, rubric=vf.Rubric(funcs=[right, judged]))
    environment.rubric_of(environment.get_eval_dataset()[0]).reward_errors = meaning
    state = await rolled_out(environment)
    await scored(environment, state)

    assert isinstance(state["error"], JudgeError)
    assert state["reward"] is None


async def test_a_function_that_blocks_the_loop_is_named(vf: Any) -> None:
    def slow(completion: Any) -> float:
        end = time.perf_counter() + 0.12
        while time.perf_counter() < end:
            pass
        return 1.0

    async def patient(completion: Any) -> float:
        await asyncio.sleep(0.11)
        return 1.0

    environment = adapted(vf, rubric=vf.Rubric(funcs=[slow, patient]))
    state = await rolled_out(environment)
    await scored(environment, state)

    assert [what for what, _ in state["slow_calls"]] == ["reward function 'slow'"]
    assert state["slow_calls"][0][1] >= 0.12


def longest(states: list[Any]) -> list[float]:
    lengths = [len(state["completion"][-1].content) for state in states]
    return [float(length == max(lengths)) for length in lengths]


def broken_group(states: list[Any]) -> list[float]:
    raise ValueError("no group")


async def test_a_group_is_compared(vf: Any) -> None:
    environment = adapted(vf, rubric=vf.Rubric(funcs=[right, longest]))
    rubric = environment.rubric_of(environment.get_eval_dataset()[0])
    states = [await rolled_out(environment, answer) for answer in ("2", "22")]
    await scored(environment, *states)

    assert (rubric.has_group_functions, rubric.has_weighted_group_functions) == (True, True)
    assert [state["reward"] for state in states] == [1.0, 2.0]
    assert [state["advantage"] for state in states] == [-0.5, 0.5]


async def test_a_group_function_that_raises_breaks_all(vf: Any) -> None:
    environment = adapted(vf, rubric=vf.Rubric(funcs=[right, broken_group]))
    states = [await rolled_out(environment) for _ in range(2)]
    await scored(environment, *states)

    assert [type(state["error"]) for state in states] == [RewardError, RewardError]


async def test_part_of_a_group_cannot_be_compared(vf: Any) -> None:
    environment = adapted(vf, rubric=vf.Rubric(funcs=[right, longest]))
    failed = await rolled_out(environment, ModelError("down"))
    state = await rolled_out(environment)
    await scored(environment, state, failed)
    lonely = await rolled_out(environment)
    await scored(environment, lonely, incomplete=True)

    assert isinstance(state["error"], InfraError)
    assert isinstance(lonely["error"], InfraError)
    assert isinstance(failed["error"], ModelError)
    assert (state["reward"], failed["reward"]) == (None, None)


async def test_without_weight_a_group_function_is_left_out(vf: Any) -> None:
    environment = adapted(vf, rubric=vf.Rubric(funcs=[right, longest], weights=[1.0, 0.0]))
    rubric = environment.rubric_of(environment.get_eval_dataset()[0])
    state = await rolled_out(environment)
    await scored(environment, state, incomplete=True)

    assert (rubric.has_group_functions, rubric.has_weighted_group_functions) == (True, False)
    assert state["metrics"] == {"right": 1.0}
    assert state["reward"] == 1.0


async def test_a_rubric_that_scores_groups_itself(vf: Any) -> None:
    class Ranked(vf.Rubric):  # type: ignore[misc]
        async def score_group(self, states: list[Any]) -> None:
            for rank, state in enumerate(states):
                state["reward"], state["metrics"] = float(rank), {"rank": float(rank)}

    environment = adapted(vf, rubric=Ranked())
    rubric = environment.rubric_of(environment.get_eval_dataset()[0])
    states = [await rolled_out(environment) for _ in range(2)]
    await scored(environment, *states)

    assert rubric.has_weighted_group_functions
    assert [state["reward"] for state in states] == [0.0, 1.0]


async def test_rubrics_in_a_group(vf: Any) -> None:
    shared = vf.Rubric(funcs=[raises])
    environment = adapted(vf, rubric=vf.RubricGroup([vf.Rubric(funcs=[right]), shared]))
    other = adapted(vf, rubric=shared)
    for each, total in ((environment, 1.0), (other, 0.0)):
        each.rubric_of(each.get_eval_dataset()[0]).reward_errors = "zero"
        state = await rolled_out(each)
        await scored(each, state)

        assert state["reward"] == total
        assert len(state["reward_errors"]) == 1  # once, although two environments share the rubric
    assert environment.rubric.metric_names == ["right", "raises"]


async def test_an_empty_rubric(vf: Any) -> None:
    environment = adapted(vf)
    state = await rolled_out(environment)
    await scored(environment, state)

    assert (state["reward"], state["metrics"], state["error"]) == (0.0, {}, None)


async def test_keys_that_reward_functions_add_are_seen(vf: Any) -> None:
    def judged(state: Any) -> float:
        state["judge_response"] = {"prompt": "yes"}
        return 1.0

    environment = adapted(vf, rubric=vf.Rubric(funcs=[judged]))
    state = await rolled_out(environment)
    await scored(environment, state)

    assert state["judge_response"] == {"prompt": "yes"}


@pytest.mark.skipif(HAS_REAL and VERSION == "0.1.11", reason="its rubrics have neither")
async def test_cleanup_and_teardown(vf: Any) -> None:
    calls: list[str] = []

    class Holding(vf.Rubric):  # type: ignore[misc]
        async def cleanup(self, state: Any) -> None:
            calls.append("cleanup")
            state["released"] = True

        async def teardown(self) -> None:
            calls.append("teardown")

    environment = adapted(vf, rubric=Holding(funcs=[raises]))
    state = await rolled_out(environment)
    await scored(environment, state)
    await environment.rubric_of(environment.get_eval_dataset()[0]).cleanup(state)
    await environment.teardown()
    await environment.original._teardown()  # as verifiers does when the interpreter exits

    assert calls == ["cleanup", "teardown"]
    assert state["released"] is True
    assert (state["reward"], type(state["error"])) == (None, RewardError)


# Rows that need care, and settings


@ROUTED_BY_INFO
@pytest.mark.parametrize(("task", "stays"), [("route", False), ('{"prompt": []}', True)])
def test_a_route_is_taken_out_of_the_row(vf: Any, task: str, stays: bool) -> None:
    environment = adapted(vf, rows=[{"question": "?", "task": task}])
    _, row = environment._routed(environment.get_eval_dataset()[0])

    assert ("task" in row) is stays


async def test_a_row_with_a_route_runs(vf: Any) -> None:
    environment = adapted(vf, rows=[{"question": "?", "task": "route"}])
    state = await rolled_out(environment)

    assert state["error"] is None
    assert state["input"]["task"] == "route"


@ROUTED_BY_INFO
async def test_groups_inside_groups(vf: Any) -> None:
    def tagged(name: str) -> Callable[..., float]:
        def tag(info: Mapping[str, Any]) -> float:
            return float("env_id" not in info)

        tag.__name__ = name
        return tag

    leaves = [made(vf, rubric=vf.Rubric(funcs=[tagged(name)])) for name in ("one", "two", "three")]
    for leaf in leaves:
        leaf.timeout_seconds = None
    # All on one level: `datasets` cannot put routes of different forms in one column.
    group = vf.EnvGroup([vf.EnvGroup(leaves[:1]), vf.EnvGroup(leaves[1:])])
    environment = adapt(group)[0]
    examples = environment.get_eval_dataset()
    environment.timeout_seconds = 5.0

    assert [example["example_id"] for example in examples] == list(range(6))
    for number, name in ((0, "one"), (2, "two"), (4, "three")):
        state = await rolled_out(environment, "ok", number=number)
        rubric = environment.rubric_of(examples[number])
        await rubric.score_rollout(state)
        assert state["metrics"] == {name: 1.0}
        assert state["example_id"] == number
        assert state["info"]["env_id"] == examples[number]["info"]["env_id"]
        assert environment.parser_of(examples[number]) is leaves[int(number / 2)].parser
        assert rubric is environment.rubric_of(examples[number + 1])
    assert [leaf.timeout_seconds for leaf in leaves] == [5.0] * 3


def test_settings_reach_the_environment(vf: Any) -> None:
    environment = adapted(vf, pass_threshold=0.9)
    assert environment.pass_threshold == 0.9

    environment.set_kwargs(pass_threshold=0.7, board="big")
    environment.set_score_rollouts(False)
    environment.set_max_seq_len(7)
    environment.set_concurrency(9)

    assert (environment.pass_threshold, environment.original.board) == (0.7, "big")
    assert (environment.score_rollouts, environment.original.score_rollouts) == (False, False)
    assert (environment.max_seq_len, environment.concurrency) == (7, 9)


def test_a_timeout_that_nothing_takes(vf: Any) -> None:
    environment = adapted(vf)

    assert environment.timeout_seconds is None
    with pytest.raises(SetupError, match="'toy' takes no timeout"):
        environment.set_kwargs(timeout_seconds=3)


# Which environments are adapted


@pytest.mark.parametrize("version", ["0.1.9", "0.4.0"])
def test_a_release_that_cannot_be_driven(
    vf: Any, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    monkeypatch.setattr(vf, "__version__", version)

    with pytest.raises(SetupError, match=rf"made by verifiers {version}, which cannot be driven"):
        adapted(vf)


def test_what_verifiers_made_is_adapted_once(vf: Any) -> None:
    imports = VerifiersImports("auto")
    original = made(vf)
    with imports.importable():
        pass
    environment = imports.adapted(original)

    assert isinstance(environment, PackageEnvironment)
    assert environment is imports.adapted(original)
    assert imports.notices[-1:] and "verifiers: " in imports.notices[0]


def test_a_judge_that_gets_no_question_is_named(vf: Any) -> None:
    class Judging(vf.Rubric):  # type: ignore[misc]
        judge_prompt = "Question: {question}"

    imports = VerifiersImports("native")
    original = made(vf, rubric=vf.RubricGroup([vf.Rubric(), Judging()]))
    original.env_id = "judged"
    imports.adapted(original)

    assert imports.notices == [
        f"verifiers: environments importing it run on the installed {vf.__version__}",
        "verifiers: judged: JudgeRubric of the package leaves {question} in its prompt empty;"
        " --evals-verifiers=native fills it in",
    ]


def test_any_other_environment_is_left_alone(tmp_path: Path) -> None:
    class Plain(Environment):
        async def rollout(
            self, input: Any, client: Any, model: str, sampling_args: Any = None
        ) -> State:
            raise NotImplementedError

    environment = Plain(dataset=ROWS)
    imports = VerifiersImports()

    assert imports.adapted(environment) is environment
    assert imports.notices == []


def test_messages_are_of_their_classes(vf: Any) -> None:
    from pytest_evals.adapters.package_messages import own_messages

    assert own_messages(None) is None
    assert own_messages("text") == "text"
    (message,) = own_messages([{"role": "tool", "tool_call_id": "1", "content": "x", "name": None}])
    assert isinstance(message, Message)
    assert "name" not in message
