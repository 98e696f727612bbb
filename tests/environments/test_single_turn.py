from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.environments.turn_monitor import num_turns
from pytest_evals.errors import InfraError, ModelError, OverlongPromptError
from pytest_evals.messages import Message, Response, Usage
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State


class Model:
    """A client that gives one answer, or raises."""

    def __init__(self, answer: str | BaseException = "4", **fields: Any) -> None:
        self.answer = answer
        self.fields = fields
        self.requests: list[tuple[Sequence[Message], str, Mapping[str, Any], Any]] = []

    async def get_response(
        self,
        prompt: Sequence[Message],
        model: str,
        sampling_args: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Response:
        self.requests.append((prompt, model, sampling_args, tools))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return Response(message=Message(role="assistant", content=self.answer), **self.fields)

    async def close(self) -> None:
        """Nothing to close."""


class Hanging(Model):
    async def get_response(self, *args: Any, **kwargs: Any) -> Response:
        await asyncio.Event().wait()
        raise AssertionError


ROWS = [{"question": "2+2", "answer": "4"}]


async def roll_out(environment: SingleTurnEnv, client: Model, **sampling_args: Any) -> State:
    example = environment.get_dataset()[0]
    return await environment.rollout(example, client, "a-model", sampling_args)


async def test_one_question_one_answer() -> None:
    environment = SingleTurnEnv(dataset=ROWS, system_prompt="s", sampling_args={"top_p": 0.5})
    client = Model(usage=Usage(5, 1), model="served")
    before = time.time()

    state = await roll_out(environment, client, seed=3)

    ((prompt, model, sampling_args, tools),) = client.requests
    assert [message["content"] for message in prompt] == ["s", "2+2"]
    assert (model, tools) == ("a-model", None)
    assert sampling_args == {"n": 1, "extra_body": {}, "top_p": 0.5, "seed": 3}
    assert state["completion"] == [{"role": "assistant", "content": "4"}]
    assert (state["is_completed"], state["is_truncated"]) == (True, False)
    assert (state["stop_condition"], state["error"]) == ("max_turns_reached", None)
    assert state["reward"] is None
    assert state.trajectory[0].response.model == "served"
    assert state.usage == Usage(5, 1)
    timing = state.timing
    assert before <= timing.generation.start == timing.setup.start <= timing.setup.end
    assert timing.setup.end <= timing.model.spans[0].start <= timing.model.spans[0].end
    assert timing.model.spans[0].end <= timing.generation.end <= time.time()


async def test_a_truncated_answer_is_marked() -> None:
    state = await roll_out(SingleTurnEnv(dataset=ROWS), Model(finish_reason="length"))

    assert state["is_truncated"] is True
    assert state["stop_condition"] == "max_turns_reached"
    assert state["error"] is None


async def test_an_overlong_prompt_ends_the_rollout_without_an_error() -> None:
    state = await roll_out(SingleTurnEnv(dataset=ROWS), Model(OverlongPromptError("too long")))

    assert (state["prompt_too_long"], state["is_truncated"]) == (True, True)
    assert (state["stop_condition"], state["error"]) == ("prompt_too_long", None)
    assert (state["completion"], state["is_completed"]) == ([], True)


async def test_a_foreseen_error_is_in_the_state() -> None:
    error = ModelError("down")

    state = await roll_out(SingleTurnEnv(dataset=ROWS), Model(error))

    assert state["error"] is error
    assert (state["stop_condition"], state["completion"]) == ("has_error", [])
    assert state["is_completed"] is True
    assert state.timing.generation.end > 0


@pytest.mark.parametrize("error", [ValueError("bug"), TimeoutError("of the client")])
async def test_any_other_exception_ends_it_too(error: Exception) -> None:
    for timeout in (None, 60.0):
        environment = SingleTurnEnv(dataset=ROWS, timeout_seconds=timeout)
        state = await roll_out(environment, Model(error))
        assert (state["error"], state["stop_condition"]) == (error, "has_error")


async def test_the_environments_own_timeout_is_no_error() -> None:
    environment = SingleTurnEnv(dataset=ROWS, timeout_seconds=0.01)

    state = await roll_out(environment, Hanging())
    await environment.rubric.score_rollout(state)

    assert (state["timed_out"], state["is_completed"]) == (True, True)
    assert (state["stop_condition"], state["error"]) == ("timeout_reached", None)
    assert (state["completion"], state["is_truncated"]) == ([], False)
    assert state["metrics"] == {"num_turns": 0.0}


async def test_cancellation_is_no_timeout() -> None:
    waiting = asyncio.ensure_future(
        roll_out(SingleTurnEnv(dataset=ROWS, timeout_seconds=60.0), Hanging())
    )
    await asyncio.sleep(0)
    waiting.cancel()

    with pytest.raises(asyncio.CancelledError):
        await waiting


class Prepared(SingleTurnEnv):
    async def setup_state(self, state: State) -> None:
        state["prompt"] = [*state["prompt"], Message(role="user", content="please")]
        state["tool_defs"] = [{"name": "add"}]


class Replaced(SingleTurnEnv):
    async def setup_state(self, state: State) -> State | None:
        return State({**state, "mark": 1})


class Failing(SingleTurnEnv):
    async def setup_state(self, state: State) -> State | None:
        raise InfraError("no sandbox")


class SlowToSetUp(SingleTurnEnv):
    async def setup_state(self, state: State) -> State | None:
        await asyncio.Event().wait()
        return state


async def test_setup_may_change_or_replace_the_state() -> None:
    client = Model()

    prepared = await roll_out(Prepared(dataset=ROWS), client)
    replaced = await roll_out(Replaced(dataset=ROWS), Model())

    assert [message["content"] for message in client.requests[0][0]] == ["2+2", "please"]
    assert client.requests[0][3] == [{"name": "add"}]
    assert prepared["completion"] == replaced["completion"]
    assert replaced["mark"] == 1


async def test_setup_may_fail_or_take_too_long() -> None:
    client = Model()

    failed = await roll_out(Failing(dataset=ROWS), client)
    late = await roll_out(SlowToSetUp(dataset=ROWS, timeout_seconds=0.01), client)

    assert isinstance(failed["error"], InfraError)
    assert failed["stop_condition"] == "has_error"
    assert (late["stop_condition"], late["error"]) == ("timeout_reached", None)
    assert failed.timing.setup.end > 0 < late.timing.setup.end
    assert client.requests == []


async def test_num_turns_is_a_metric_once() -> None:
    rubric = Rubric(funcs=[lambda answer: 1.0])
    environment = SingleTurnEnv(dataset=ROWS, rubric=rubric)
    SingleTurnEnv(dataset=ROWS, rubric=rubric)

    state = await roll_out(environment, Model())
    await environment.rubric.score_rollout(state)

    assert environment.rubric.functions.count(num_turns) == 1
    assert state["metrics"] == {"<lambda>": 1.0, "num_turns": 1.0}
    assert state["reward"] == 1.0


async def test_many_rollouts_at_once_keep_apart() -> None:
    environment = SingleTurnEnv(dataset=[{"question": str(n)} for n in range(200)])
    clients = [Model(answer=str(n)) for n in range(200)]

    states = await asyncio.gather(
        *(
            environment.rollout(example, client, "m")
            for example, client in zip(environment.get_dataset(), clients, strict=True)
        )
    )

    assert all(
        state["completion"][0]["content"] == state["prompt"][0]["content"] for state in states
    )
    assert len({state["trajectory_id"] for state in states}) == 200
