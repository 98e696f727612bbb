from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from pytest_evals.environments.stateful_tool_env import StatefulToolEnv
from pytest_evals.errors import SandboxError, SetupError
from pytest_evals.messages import Messages
from pytest_evals.state import State
from tests.environments.scripted_model import Script, ScriptedModel, calling

ROWS = [{"question": str(number), "answer": ""} for number in range(64)]


class Ledger:
    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.entries: list[int] = []


def book(amount: int, ledger: Ledger, note: str = "") -> str:
    """Book an amount.

    Args:
        amount: in cents
        ledger: whose
    """
    ledger.entries.append(amount)
    return f"{ledger.owner}: {ledger.entries}{note}"


async def balance(ledger: Ledger) -> int:
    """Sum it up."""
    await asyncio.sleep(0)
    return sum(ledger.entries)


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class LedgerEnv(StatefulToolEnv):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(tools=[add], dataset=ROWS, **kwargs)
        self.add_tool(book, args_to_skip=["ledger"])
        self.add_tool(balance, args_to_skip=["ledger"])
        self.asked: list[tuple[str, dict[str, Any]]] = []

    async def setup_state(self, state: State) -> State:
        state["ledger"] = Ledger(state["prompt"][-1]["content"])
        return state

    def update_tool_args(
        self,
        tool_name: str,
        tool_args: dict[str, Any],
        messages: Messages,
        state: State,
        **kwargs: Any,
    ) -> Any:
        self.asked.append((tool_name, dict(tool_args)))
        if tool_name in ("book", "balance"):
            tool_args["ledger"] = state["ledger"]
        return tool_args


class AsyncLedgerEnv(LedgerEnv):
    async def update_tool_args(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        return super().update_tool_args(*args, **kwargs)


async def roll_out(
    environment: StatefulToolEnv, script: Script | ScriptedModel, row: int = 0
) -> State:
    client = script if isinstance(script, ScriptedModel) else ScriptedModel(script)
    return await environment.rollout(environment.get_dataset()[row], client, "a-model")


def answers(state: State) -> list[Any]:
    return [message["content"] for message in state["completion"] if message["role"] == "tool"]


def tool_named(environment: StatefulToolEnv, name: str) -> Any:
    return next(tool for tool in environment.tool_defs or () if tool.name == name)


class TestHiddenArguments:
    def test_are_not_in_the_schema(self) -> None:
        environment = LedgerEnv()

        schema = tool_named(environment, "book").parameters

        assert list(schema["properties"]) == ["amount", "note"]
        assert schema["required"] == ["amount", "note"]
        assert "$defs" not in schema
        assert tool_named(environment, "balance").parameters["properties"] == {}
        assert environment.skipped_args == {"book": ["ledger"], "balance": ["ledger"]}

    @pytest.mark.parametrize("kind", [LedgerEnv, AsyncLedgerEnv])
    async def test_are_filled_in(self, kind: Callable[[], LedgerEnv]) -> None:
        environment = kind()
        script: Script = [
            calling(("book", {"amount": 3}), ("book", {"amount": 4, "note": "!"})),
            calling(("balance", {}), ("add", {"a": 1, "b": 2})),
            "done",
        ]

        state = await roll_out(environment, script, row=7)

        assert answers(state) == ["7: [3]", "7: [3, 4]!", "7", "3"]
        assert environment.asked[0] == ("book", {"amount": 3})
        assert state["stop_condition"] == "no_tools_called"

    async def test_the_model_cannot_fill_them_in(self) -> None:
        environment = LedgerEnv()

        state = await roll_out(
            environment, [calling(("book", {"amount": 1, "ledger": "another's"})), "done"]
        )

        assert answers(state) == ["0: [1]"]
        assert environment.asked == [("book", {"amount": 1})]
        # What it wrote stays in the transcript.
        assert "another's" in state["completion"][0].tool_calls[0].arguments

    async def test_are_not_in_the_transcript(self) -> None:
        state = await roll_out(LedgerEnv(), [calling(("book", {"amount": 1})), "done"])

        assert state["completion"][0].tool_calls[0].arguments == '{"amount": 1}'

    def test_one_that_the_tool_does_not_have_is_logged(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        environment = LedgerEnv()
        environment.remove_tool(add)

        with caplog.at_level(logging.WARNING):
            environment.add_tool(add, args_to_skip=["b", "ledgr"])

        assert caplog.messages == ["tool 'add' has no argument 'ledgr' to skip; it has a, b"]
        assert list(tool_named(environment, "add").parameters["properties"]) == ["a"]

    def test_one_name_may_be_given_as_text(self, caplog: pytest.LogCaptureFixture) -> None:
        environment = LedgerEnv()
        environment.remove_tool(book)

        environment.add_tool(book, args_to_skip="ledger")

        assert environment.skipped_args["book"] == ["ledger"]
        assert caplog.messages == []

    def test_of_a_type_without_a_schema_have_to_be_hidden(self) -> None:
        environment = LedgerEnv()
        environment.remove_tool(book)

        with pytest.raises(SetupError, match=r"tool 'book': .*'ledger'.*args_to_skip"):
            environment.add_tool(book)
        assert "book" not in environment.tool_map

    def test_a_removed_tool_leaves_nothing_behind(self) -> None:
        environment = LedgerEnv()

        environment.remove_tool(book)
        environment.remove_tool(add)

        assert list(environment.tool_map) == ["balance"]
        assert environment.skipped_args == {"balance": ["ledger"]}
        assert [tool.name for tool in environment.tool_defs or ()] == ["balance"]
        assert "book_calls" not in environment.rubric.metric_names


class TestMistakes:
    async def test_bad_arguments_are_told_without_asking_for_hidden_ones(self) -> None:
        environment = LedgerEnv()

        state = await roll_out(
            environment, [calling(("book", "{"), ("book", "[1]"), ("book", {"sum": 1})), "done"]
        )

        broken, no_object, wrong_name = answers(state)
        assert broken.startswith("Expecting property name")
        assert no_object == "Expected tool arguments to be a dict, got list: [1]"
        assert wrong_name == "book() got an unexpected keyword argument 'sum'"
        assert environment.asked == [("book", {"sum": 1})]

    async def test_a_tool_that_does_not_exist_is_told_without_asking(self) -> None:
        environment = LedgerEnv()

        state = await roll_out(environment, [calling(("steal", {"ledger": 1})), "done"])

        assert answers(state) == ["'steal'"]
        assert environment.asked == []

    async def test_one_that_the_model_was_told_of_is_asked_for(self) -> None:
        environment = LedgerEnv()
        state = State(tool_defs=[{"name": "remote", "description": "", "parameters": {}}])

        await environment.env_response([calling(("remote", {"x": 1}))], state)

        assert environment.asked == [("remote", {"x": 1})]

    async def test_an_update_that_raises_is_a_bug(self) -> None:
        class Wrong(LedgerEnv):
            def update_tool_args(self, *args: Any, **kwargs: Any) -> Any:
                raise KeyError("ledger")

        state = await roll_out(Wrong(stop_errors=[KeyError]), [calling(("balance", {}))])

        assert (type(state["error"]), state["error"].args) == (KeyError, ("ledger",))
        assert len(state["completion"]) == 1

    async def test_an_update_without_its_sandbox_leaves_the_rollout_unmeasured(self) -> None:
        class Down(LedgerEnv):
            def update_tool_args(self, *args: Any, **kwargs: Any) -> Any:
                raise SandboxError("gone")

        state = await roll_out(Down(), [calling(("balance", {}))])

        assert isinstance(state["error"], SandboxError)

    async def test_an_update_that_returns_nothing_is_a_bug(self) -> None:
        class Forgetful(LedgerEnv):
            def update_tool_args(self, *args: Any, **kwargs: Any) -> Any:
                super().update_tool_args(*args, **kwargs)

        error = (await roll_out(Forgetful(), [calling(("balance", {}))]))["error"]

        assert str(error).startswith(
            "Forgetful: update_tool_args() returned NoneType for tool 'balance'"
        )

    def test_it_has_to_be_written(self) -> None:
        kind: Any = StatefulToolEnv
        with pytest.raises(TypeError, match="update_tool_args"):
            kind(dataset=ROWS)


async def test_the_states_of_concurrent_rollouts_never_mix() -> None:
    """All of them stand between asking for their ledger and booking at the same time."""
    count, rounds = 64, 3
    barrier = asyncio.Barrier(count)

    class Together(LedgerEnv):
        async def update_tool_args(self, *args: Any, **kwargs: Any) -> Any:
            updated = super().update_tool_args(*args, **kwargs)
            await barrier.wait()
            return updated

    environment = Together()
    models = [
        ScriptedModel(
            [calling(("book", {"amount": 1000 * number + turn})) for turn in range(rounds)]
            + ["done"]
        )
        for number in range(count)
    ]

    states = await asyncio.gather(
        *(roll_out(environment, model, row) for row, model in enumerate(models))
    )

    for number, (state, model) in enumerate(zip(states, models, strict=True)):
        booked = [1000 * number + turn for turn in range(rounds)]
        assert state["ledger"].entries == booked
        assert answers(state) == [f"{number}: {booked[: turn + 1]}" for turn in range(rounds)]
        assert model.prompts[-1] == [*state["prompt"], *state["completion"][:-1]]
