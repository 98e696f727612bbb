from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_evals.environments.tool_env import ToolEnv
from pytest_evals.errors import (
    InfraError,
    ModelError,
    SandboxError,
    SetupError,
    ToolCallError,
    ToolParseError,
    outcome_of,
)
from pytest_evals.messages import AssistantMessage, Message, ToolMessage
from pytest_evals.rubrics import slowness
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.rubrics.rubric_group import RubricGroup
from pytest_evals.state import State
from tests.environments.scripted_model import Script, ScriptedModel, calling

ROWS = [{"question": "2+2", "answer": "4"}]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def shout(text: str) -> str:
    """Say it louder."""
    await asyncio.sleep(0)
    return text.upper()


def fail(reason: str) -> str:
    """Fail."""
    raise ValueError(reason)


async def roll_out(environment: ToolEnv, script: Script | ScriptedModel) -> State:
    client = script if isinstance(script, ScriptedModel) else ScriptedModel(script)
    return await environment.rollout(environment.get_dataset()[0], client, "a-model")


def answers(state: State) -> list[Any]:
    return [message["content"] for message in state["completion"] if message["role"] == "tool"]


def tools_env(*tools: Callable[..., Any], **kwargs: Any) -> ToolEnv:
    return ToolEnv(tools=list(tools), dataset=ROWS, **kwargs)


async def told(
    *calls: tuple[str, Any], tools: Any = (add, shout, fail), **kwargs: Any
) -> list[Any]:
    """Return what the model is told about these calls, made in one message."""
    state = await roll_out(tools_env(*tools, **kwargs), [calling(*calls), "done"])
    assert (state["error"], state["stop_condition"]) == (None, "no_tools_called")
    return answers(state)


class TestRollout:
    async def test_goes_on_until_no_tool_is_called(self) -> None:
        model = ScriptedModel([calling(("add", {"a": 1, "b": 2}), text="so"), "3"])

        state = await roll_out(tools_env(add), model)

        assert state["completion"] == [
            {
                "role": "assistant",
                "content": "so",
                "tool_calls": [{"id": "call-0", "name": "add", "arguments": '{"a": 1, "b": 2}'}],
            },
            {"role": "tool", "content": "3", "tool_call_id": "call-0"},
            {"role": "assistant", "content": "3"},
        ]
        assert isinstance(state["completion"][1], ToolMessage)
        assert model.prompts[1] == [*state["prompt"], *state["completion"][:2]]
        assert (state["stop_condition"], state["is_completed"]) == ("no_tools_called", True)

    async def test_the_model_is_told_of_the_tools(self) -> None:
        model = ScriptedModel(["no need"])

        state = await roll_out(tools_env(add, shout), model)

        assert state["tool_defs"] == model.tools[0]
        assert [tool["name"] for tool in model.tools[0] or ()] == ["add", "shout"]

    async def test_without_tools_it_is_one_answer(self) -> None:
        model = ScriptedModel(["4"])

        state = await roll_out(ToolEnv(dataset=ROWS), model)

        assert (state["completion"][0]["content"], model.tools) == ("4", [None])

    async def test_calls_of_one_message_are_answered_in_order(self) -> None:
        calls = [("shout", {"text": "a"}), ("add", {"a": 1, "b": 1}), ("shout", {"text": "b"})]

        state = await roll_out(tools_env(add, shout), [calling(*calls), "done"])

        given = [message for message in state["completion"] if message["role"] == "tool"]
        assert [message.content for message in given] == ["A", "2", "B"]
        assert [message.tool_call_id for message in given] == ["call-0", "call-1", "call-2"]

    async def test_calls_are_made_one_by_one(self) -> None:
        running: list[int] = []

        async def alone() -> int:
            running.append(1)
            await asyncio.sleep(0)
            return len(running) - running.pop()

        assert await told(("alone", {}), ("alone", {}), tools=[alone]) == ["0", "0"]

    async def test_a_tool_loop_without_end_ends_with_the_turns(self) -> None:
        state = await roll_out(tools_env(add), lambda _: calling(("add", {"a": 1, "b": 1})))

        assert state["stop_condition"] == "max_turns_reached"
        assert (len(state["trajectory"]), len(answers(state))) == (10, 9)
        assert state["error"] is None

    async def test_a_call_without_an_id_is_answered(self) -> None:
        calls = [{"name": "add", "arguments": '{"a": 1, "b": 1}'}]
        message = AssistantMessage(content=None, tool_calls=calls)

        (message,) = await tools_env(add).env_response([message], State())

        assert message == {"role": "tool", "content": "2", "tool_call_id": ""}

    async def test_it_can_be_asked_with_plain_dicts(self) -> None:
        call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "[]"}}
        messages: Any = [{"role": "assistant", "content": None, "tool_calls": [call]}]

        (message,) = await tools_env(add).env_response(messages, State())

        assert "Expected tool arguments to be a dict, got list" in message["content"]

    async def test_concurrent_rollouts_share_a_tool_and_nothing_else(self) -> None:
        waiting: list[asyncio.Event] = []

        async def echo(text: str) -> str:
            """Return the text, once all have asked."""
            waiting.append(asyncio.Event())
            if len(waiting) == 32:
                for event in waiting:
                    event.set()
            await waiting[-1].wait() if len(waiting) < 32 else None
            return text

        environment = tools_env(echo)
        models = [ScriptedModel([calling(("echo", {"text": f"t{i}"})), "end"]) for i in range(32)]

        states = await asyncio.gather(*(roll_out(environment, model) for model in models))

        assert [answers(state) for state in states] == [[f"t{i}"] for i in range(32)]


class TestResults:
    @pytest.mark.parametrize(
        ("result", "text"),
        [
            (None, "None"),
            (3.5, "3.5"),
            ({"a": 1}, "{'a': 1}"),
            ("", ""),
            ([], "[]"),
            ([1, 2], "[1, 2]"),
            ([{"type": "audio"}], "[{'type': 'audio'}]"),
            ([{"type": "text", "text": "x"}, "y"], "[{'type': 'text', 'text': 'x'}, 'y']"),
        ],
    )
    async def test_become_text(self, result: Any, text: str) -> None:
        assert await told(("tool", {}), tools=[returning(result)]) == [text]

    async def test_content_parts_stay_as_they_are(self) -> None:
        parts = [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:,x"}},
        ]

        (content,) = await told(("tool", {}), tools=[returning(parts)])

        assert content == parts
        assert content[1].image_url == {"url": "data:,x"}

    async def test_one_that_has_no_text_is_a_failure_of_the_tool(self) -> None:
        class Mute:
            def __str__(self) -> str:
                raise ValueError("no words")

        assert await told(("tool", {}), tools=[returning(Mute())]) == ["no words"]


def returning(result: Any) -> Callable[[], Any]:
    def tool() -> Any:
        return result

    return tool


class TestMistakesOfTheModel:
    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ("", "Expecting value: line 1 column 1 (char 0)"),
            ("{'a': 1}", "Expecting property name enclosed in double quotes"),
            ('{"a": 1', "Expecting ',' delimiter"),
            ("[1, 2]", "Expected tool arguments to be a dict, got list: [1, 2]"),
            ("null", "Expected tool arguments to be a dict, got NoneType: None"),
            ('"a"', "Expected tool arguments to be a dict, got str: a"),
            ("[" * 100_000, "maximum recursion depth exceeded"),
            ('{"a": 1' + "0" * 5000 + "}", "Exceeds the limit"),
            ('{"a": 1, "c": 2}', "add() got an unexpected keyword argument 'c'"),
            ('{"a": 1}', "add() missing 1 required positional argument: 'b'"),
            ('{"self": 1, "tool_name": 2}', "add() got an unexpected keyword argument 'self'"),
        ],
    )
    async def test_bad_arguments_are_told(self, arguments: str, words: str) -> None:
        (content,) = await told(("add", arguments))

        assert words in content

    async def test_a_tool_that_does_not_exist_is_told_as_verifiers_does(self) -> None:
        assert await told(("subtract", {"a": 1}), ("__class__", {})) == [
            "'subtract'",
            "'__class__'",
        ]

    async def test_a_tool_where_there_are_none(self) -> None:
        assert await told(("add", {}), tools=[]) == ["'add'"]

    async def test_one_bad_call_leaves_the_others_alone(self) -> None:
        calls = [("add", "nonsense"), ("add", {"a": 1, "b": 1}), ("fail", {"reason": "no"})]

        contents = await told(*calls, ("shout", {"text": "a"}))

        assert contents[1:] == ["2", "no", "A"]

    async def test_unicode_and_nulls_reach_the_tool(self) -> None:
        assert await told(("shout", '{"text": "\\u0000\\ud83d\\ude00é"}')) == ["\0😀É"]


class TestMistakesOfTools:
    async def test_what_a_tool_raises_is_told(self) -> None:
        assert await told(("fail", {"reason": "not today"})) == ["not today"]

    async def test_in_the_words_of_the_formatter(self) -> None:
        def words(error: Exception) -> str:
            return f"[{type(error).__name__}] {error}"

        contents = await told(
            ("fail", {"reason": "no"}), ("add", "{"), ("sub", {}), error_formatter=words
        )

        assert contents[0] == "[ValueError] no"
        assert contents[1].startswith("[JSONDecodeError] ")
        assert contents[2] == "[KeyError] 'sub'"

    async def test_a_formatter_that_raises_is_a_bug(self) -> None:
        def words(error: Exception) -> str:
            raise RuntimeError("no words")

        environment = tools_env(fail, error_formatter=words)
        error = (await roll_out(environment, [calling(("fail", {"reason": "no"}))]))["error"]

        assert (type(error), str(error)) == (RuntimeError, "no words")

    async def test_a_tool_that_times_out_is_told(self) -> None:
        async def slow() -> None:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

        assert await told(("slow", {}), tools=[slow], error_formatter=repr) == ["TimeoutError()"]

    @pytest.mark.parametrize(
        "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit()]
    )
    async def test_what_ends_a_program_is_passed_on(self, error: BaseException) -> None:
        coroutine = tools_env(raising(error), stop_errors=[Exception]).call_tool("tool", {}, "1")
        with pytest.raises(type(error)):
            coroutine.send(None)

        response = tools_env(raising(error)).env_response([calling(("tool", {}))], State())
        with pytest.raises(type(error)):
            response.send(None)
        assert outcome_of(SystemExit(3)) == "broken"

    async def test_a_tool_that_hangs_ends_with_the_time_of_the_rollout(self) -> None:
        async def hang() -> None:
            await asyncio.Event().wait()

        environment = tools_env(hang, timeout_seconds=0.05)

        state = await roll_out(environment, [calling(("hang", {}))])

        assert (state["stop_condition"], state["error"]) == ("timeout_reached", None)
        assert answers(state) == []


def raising(error: BaseException) -> Callable[[], Any]:
    def tool() -> Any:
        raise error

    return tool


class TestStopErrors:
    async def test_one_that_a_tool_raises_ends_the_rollout(self) -> None:
        environment = tools_env(fail, stop_errors=[ValueError])

        state = await roll_out(environment, [calling(("fail", {"reason": "no"}))])

        error = state["error"]
        assert state["stop_condition"] == "has_error"
        assert type(error) is ToolCallError
        assert str(error) == "tool 'fail': ValueError: no"
        assert isinstance(error.__cause__, ValueError)
        assert outcome_of(error) == "broken"

    async def test_arguments_that_cannot_be_read(self) -> None:
        environment = tools_env(add, stop_errors=[json.JSONDecodeError])

        state = await roll_out(environment, [calling(("add", "nonsense"))])

        assert type(state["error"]) is ToolParseError
        assert isinstance(state["error"].__cause__, json.JSONDecodeError)

    async def test_a_tool_that_does_not_exist_is_a_key_error(self) -> None:
        environment = tools_env(add, stop_errors=[KeyError])

        state = await roll_out(environment, [calling(("sub", {}))])

        assert isinstance(state["error"], ToolCallError)
        assert isinstance(state["error"].__cause__, KeyError)

    async def test_others_are_told(self) -> None:
        assert await told(("fail", {"reason": "no"}), stop_errors=[OSError, TypeError]) == ["no"]

    @pytest.mark.parametrize("listed", [[], [InfraError]])
    async def test_a_sandbox_that_is_down_leaves_the_rollout_unmeasured(self, listed: Any) -> None:
        environment = tools_env(raising(SandboxError("gone")), stop_errors=listed)

        state = await roll_out(environment, [calling(("tool", {}))])

        assert type(state["error"]) is (ToolCallError if listed else SandboxError)
        assert outcome_of(state["error"]) == "unmeasured"

    async def test_so_does_a_model_that_a_tool_asks(self) -> None:
        environment = tools_env(raising(ModelError("503")))

        state = await roll_out(environment, [calling(("tool", {}))])

        assert isinstance(state["error"], ModelError)


class TestMetrics:
    async def test_calls_are_counted_failed_ones_too(self) -> None:
        script: Script = [
            calling(("add", {"a": 1, "b": 2}), ("add", "x"), ("nothing", {})),
            calling(("fail", {"reason": "no"})),
            "done",
        ]
        environment = tools_env(add, shout, fail, rubric=Rubric([lambda completion: 0.5]))
        state = await roll_out(environment, script)

        await environment.rubric.score_rollout(state)

        assert state["reward"] == 0.5
        assert {
            name: value for name, value in state["metrics"].items() if "lambda" not in name
        } == {
            "num_turns": 3.0,
            "total_tool_calls": 4.0,
            "add_calls": 2.0,
            "shout_calls": 0.0,
            "fail_calls": 1.0,
        }

    async def test_a_rubric_of_several_environments_is_left_alone(self) -> None:
        rubric = Rubric([functools.partial(lambda completion: 1.0)])
        one, other = tools_env(add, rubric=rubric), tools_env(shout, rubric=rubric)
        state = await roll_out(one, ["done"])

        await one.rubric.score_rollout(state)

        assert "add_calls" in state["metrics"]
        assert "shout_calls" not in state["metrics"]
        assert "shout_calls" in other.rubric.metric_names


class TestAddAndRemove:
    async def test_an_added_tool_can_be_called_and_is_counted(self) -> None:
        environment = tools_env(add)
        environment.add_tool(shout)
        state = await roll_out(environment, [calling(("shout", {"text": "a"})), "done"])

        await environment.rubric.score_rollout(state)

        assert answers(state) == ["A"]
        assert state["metrics"]["shout_calls"] == 1.0
        assert list(environment.tool_map) == ["add", "shout"]

    async def test_a_removed_one_cannot(self) -> None:
        environment = tools_env(add, shout, fail)
        environment.remove_tool(shout)
        model = ScriptedModel([calling(("shout", {"text": "a"})), "done"])
        state = await roll_out(environment, model)

        await environment.rubric.score_rollout(state)

        assert [tool["name"] for tool in model.tools[0] or ()] == ["add", "fail"]
        assert answers(state) == ["'shout'"]
        assert set(state["metrics"]) == {"num_turns", "total_tool_calls", "add_calls", "fail_calls"}
        assert (environment.tools, list(environment.tool_map)) == ([add, fail], ["add", "fail"])

    async def test_a_rollout_under_way_keeps_the_tools_it_was_told_of(self) -> None:
        environment = tools_env(add)

        def turn(prompt: Any) -> Any:
            if len(prompt) > 1:
                return "done"
            environment.add_tool(shout)
            return calling(("add", {"a": 1, "b": 1}))

        model = ScriptedModel(turn)
        await roll_out(environment, model)

        assert [[tool["name"] for tool in tools or ()] for tools in model.tools] == [["add"]] * 2

    def test_the_list_that_was_given_is_left_alone(self) -> None:
        given: list[Callable[..., Any]] = [add]

        ToolEnv(tools=given, dataset=ROWS).add_tool(shout)

        assert given == [add]

    def test_two_tools_of_one_name_are_a_mistake(self) -> None:
        def add(x: str) -> str:
            return x

        with pytest.raises(SetupError, match="ToolEnv: two tools are named 'add'"):
            tools_env(globals()["add"], add)
        environment = tools_env(shout)
        with pytest.raises(SetupError, match="two tools are named 'shout'"):
            environment.add_tool(shout)
        assert len(environment.tools) == 1

    def test_one_that_is_not_there_cannot_be_removed(self) -> None:
        with pytest.raises(ValueError, match="'shout' is not one of the tools: add"):
            tools_env(add).remove_tool(shout)

    def test_a_tool_without_a_schema_is_named(self) -> None:
        def look_up(table: dict[str, int]) -> int:
            return len(table)

        with pytest.raises(
            SetupError, match="tool 'look_up': no JSON schema for parameter 'table'"
        ):
            tools_env(look_up)


class TestSubclasses:
    async def test_may_make_the_calls_their_own_way(self) -> None:
        class Remote(ToolEnv):
            async def call_tool(
                self, tool_name: str, tool_args: dict[str, Any], tool_call_id: str, **kwargs: Any
            ) -> ToolMessage:
                if tool_name == "far_away":
                    return ToolMessage(content="from afar", tool_call_id=tool_call_id)
                message = await super().call_tool(tool_name, tool_args, tool_call_id)
                return ToolMessage(message, content=f"<{message.content}>")

        environment = Remote(tools=[add], dataset=ROWS)

        state = await roll_out(
            environment, [calling(("add", {"a": 1, "b": 1}), ("far_away", {})), "done"]
        )

        assert answers(state) == ["<2>", "from afar"]

    async def test_may_end_the_rollout_with_the_answers(self) -> None:
        class Once(ToolEnv):
            async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
                given = await super().env_response(messages, state, **kwargs)
                state["final_env_response"] = given
                return given

        state = await roll_out(
            Once(tools=[add], dataset=ROWS), [calling(("add", {"a": 1, "b": 1}))]
        )

        assert (answers(state), state["stop_condition"]) == (["2"], "has_final_env_response")


class TestToolsThatTheModelCannotCall:
    def test_are_named_with_the_parameter(self) -> None:
        def positional(a: int, /, b: int) -> int:
            return a + b

        def starred(*numbers: int) -> int:
            return sum(numbers)

        with pytest.raises(SetupError, match="tool 'positional': parameter 'a' cannot be given by"):
            tools_env(positional)
        with pytest.raises(
            SetupError, match=r"tool 'starred': parameter 'numbers'.* give it a list"
        ):
            tools_env(starred)

    def test_are_fine_where_the_environment_calls_them_itself(self) -> None:
        def starred(*numbers: int) -> int:
            return sum(numbers)

        class Own(ToolEnv):
            async def call_tool(
                self, tool_name: str, tool_args: dict[str, Any], tool_call_id: str, **kwargs: Any
            ) -> Message:
                total = self.tool_map[tool_name](*tool_args["numbers"])
                return ToolMessage(content=str(total), tool_call_id=tool_call_id)

        assert list(Own(tools=[starred], dataset=ROWS).tool_map) == ["starred"]

    @pytest.mark.parametrize("name", ["<lambda>", "two words", "", "x" * 65, "größe"])
    def test_have_names_that_servers_take(self, name: str) -> None:
        def tool(a: int) -> int:
            return a

        tool.__name__ = name
        with pytest.raises(SetupError, match="a tool's name is 1 to 64 letters"):
            tools_env(tool)


class TestWhatIsNotedOfTools:
    async def test_what_they_raised_is_counted(self) -> None:
        calls = [("fail", {"reason": "no"}), ("fail", {"reason": "no"}), ("add", {"a": 1, "b": 2})]
        state = await roll_out(tools_env(add, fail), [calling(*calls), "done"])

        assert state["eval_tool_runs"] == {
            "fail": {"calls": 2, "errors": {"ValueError": 2}},
            "add": {"calls": 1, "errors": {}},
        }

    async def test_mistakes_of_the_model_are_not(self) -> None:
        def keyed(key: str) -> int:
            return {"a": 1}[key]

        calls = [("add", {"a": 1}), ("add", {"x": 1}), ("nobody", {}), ("add", "{"), ("add", "[]")]
        state = await roll_out(tools_env(add, keyed), [calling(*calls), "done"])
        inside = await roll_out(tools_env(keyed), [calling(("keyed", {"key": "b"})), "done"])

        assert "eval_tool_runs" not in state
        assert inside["eval_tool_runs"] == {"keyed": {"calls": 1, "errors": {"KeyError": 1}}}

    async def test_one_that_ends_the_rollout_is_its_error_and_not_counted(self) -> None:
        environment = tools_env(fail, stop_errors=[ValueError])
        state = await roll_out(environment, [calling(("fail", {"reason": "no"}))])

        assert isinstance(state["error"], ToolCallError)
        assert "eval_tool_runs" not in state

    async def test_those_that_block_the_loop_are_named(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = 0.0

        def block() -> str:
            nonlocal now
            now += 0.5
            return "at last"

        async def block_later() -> str:
            await asyncio.sleep(0)
            return block()

        monkeypatch.setattr(slowness, "perf_counter", lambda: now)
        calls = calling(("block", {}), ("block_later", {}), ("add", {"a": 1, "b": 2}))
        state = await roll_out(tools_env(block, block_later, add), [calls, "done"])

        # Not env_response as well, which called them.
        assert state["slow_calls"] == [("tool 'block'", 0.5), ("tool 'block_later'", 0.5)]


async def test_environments_that_share_a_group_of_rubrics_count_each_for_itself() -> None:
    mine = Rubric([lambda: 1.0])
    group = RubricGroup([mine])
    for environment in (tools_env(add, rubric=group), tools_env(add, rubric=group)):
        state = await roll_out(environment, [calling(("add", {"a": 1, "b": 2})), "3"])
        await environment.rubric.score_rollout(state)

        assert state["reward"] == 1.0
        assert {name: state["metrics"][name] for name in ("num_turns", "total_tool_calls")} == {
            "num_turns": 2.0,
            "total_tool_calls": 1.0,
        }
        assert state["metrics"]["add_calls"] == 1.0
    assert group.rubrics == [mine]
