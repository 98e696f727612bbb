"""How a rollout ends: limits of time, cleanup handlers, cancellation, many rollouts at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pytest_evals.environments import environment as environment_module
from pytest_evals.environments.multi_turn import MultiTurnEnv
from pytest_evals.errors import InfraError, SandboxError
from pytest_evals.lifecycle import cleanup, stop, teardown
from pytest_evals.messages import AssistantMessage, Response
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State
from tests.environments.scripted_model import ScriptedModel

ROWS: list[dict[str, Any]] = [{"question": "begin"}]
SOON = 0.02  # seconds


class Talk(MultiTurnEnv):
    """Says "go on", and notes in `ended` what the cleanup finds."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"dataset": ROWS, "max_turns": 3, **kwargs})
        self.ended: list[Any] = []
        self.began = asyncio.Event()

    async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
        return "go on"

    async def hang(self) -> None:
        self.began.set()
        await asyncio.Event().wait()

    @cleanup
    async def note(self, state: State) -> None:
        self.ended.append((state["stop_condition"], len(state["completion"])))


async def roll_out(environment: MultiTurnEnv) -> State:
    return await environment.rollout(
        environment.get_dataset()[0], ScriptedModel(lambda _: "said"), "m"
    )


class HangsInSetup(Talk):
    async def setup_state(self, state: State) -> State | None:
        await self.hang()
        return state


class HangsAtTurnThree(Talk):
    async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
        if len(state.trajectory) == 2:
            await self.hang()
        return "go on"


@pytest.mark.parametrize(("kind", "said"), [(HangsInSetup, 0), (HangsAtTurnThree, 3)])
async def test_what_takes_too_long_is_scored_on_what_there_is(kind: Any, said: int) -> None:
    environment = kind(
        timeout_seconds=SOON, rubric=Rubric(funcs=[lambda completion: float(len(completion))])
    )

    state = await roll_out(environment)
    await environment.rubric.score_rollout(state)

    assert (state["timed_out"], state["is_completed"]) == (True, True)
    assert (state["stop_condition"], state["error"]) == ("timeout_reached", None)
    assert (state["is_truncated"], state["reward"]) == (False, float(said))
    assert environment.ended == [("timeout_reached", said)]
    assert state.timing.setup.end > 0
    assert state.timing.generation.end - state.timing.generation.start >= SOON


async def test_the_time_of_the_hook_that_hung_is_counted() -> None:
    state = await roll_out(HangsAtTurnThree(timeout_seconds=SOON))

    assert state.timing.env.duration > SOON / 2


async def test_a_timeout_of_the_environments_own_code_is_a_bug() -> None:
    class Impatient(Talk):
        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()

    for limit in (None, 60.0):
        environment = Impatient(timeout_seconds=limit)
        state = await roll_out(environment)
        assert environment.ended == [(None, 1)]
        assert (type(state["error"]), state["stop_condition"]) == (TimeoutError, "has_error")
        assert "timed_out" not in state


@pytest.mark.parametrize("error", [SandboxError("closed"), None])
async def test_code_that_swallows_the_end_of_its_time_does_not_go_on(
    error: SandboxError | None,
) -> None:
    class Stubborn(Talk):
        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            try:
                await self.hang()
            except asyncio.CancelledError:
                if error is not None:
                    raise error from None
            return "go on"

    state = await roll_out(Stubborn(timeout_seconds=SOON, max_turns=-1))

    assert (state["stop_condition"], state["error"]) == ("timeout_reached", None)
    assert len(state.trajectory) <= 2


async def test_a_condition_that_runs_out_of_time_is_no_error() -> None:
    class Asking(Talk):
        @stop
        async def enough(self, state: State) -> bool:
            try:
                await self.hang()
            except asyncio.CancelledError:
                raise SandboxError("closed") from None
            return False

    state = await roll_out(Asking(timeout_seconds=SOON))

    assert (state["stop_condition"], state["error"]) == ("timeout_reached", None)


class Handlers(Talk):
    """Cleanup handlers that note their order; `failures` says which of them raise."""

    failures: dict[str, BaseException]

    def reach(self, name: str) -> None:
        self.ended.append(name)
        if name in self.failures:
            raise self.failures[name]

    @cleanup
    async def note(self, state: State) -> None:
        assert state["completion"] is not None
        self.reach("note")

    @cleanup(priority=200)
    def before(self, state: State, env: Any) -> None:
        assert env is self
        assert state["completion"] is None
        self.reach("before")

    @cleanup(priority=-1)
    async def after(self) -> None:
        self.reach("after")


def handlers(**failures: BaseException) -> Handlers:
    environment = Handlers()
    environment.failures = failures
    return environment


async def test_cleanup_goes_by_priority_around_the_completion() -> None:
    environment = handlers()

    await roll_out(environment)

    assert environment.ended == ["before", "note", "after"]


async def test_a_cleanup_that_raises_is_a_bug_and_stops_no_other() -> None:
    error = ValueError("v")
    environment = handlers(before=error, after=KeyError("k"))

    state = await roll_out(environment)

    assert state["error"] is error
    assert environment.ended == ["before", "note", "after"]
    assert error.__notes__ == ["after that, after() raised KeyError: 'k'"]
    assert (state["stop_condition"], len(state["completion"])) == ("max_turns_reached", 5)


async def test_a_cleanup_that_exits_is_passed_on() -> None:
    environment = handlers(before=SystemExit(3), after=KeyError("k"))

    with pytest.raises(SystemExit):
        await roll_out(environment)

    assert environment.ended == ["before", "note", "after"]


async def test_a_completion_that_cannot_be_rendered_is_what_was_said() -> None:
    class Odd(Talk):
        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            state["final_env_response"] = 42

        @cleanup
        async def note(self, state: State) -> None:
            self.ended.append(state["completion"])

    environment = Odd()
    state = await roll_out(environment)

    assert str(state["error"]).startswith("Odd: state['final_env_response'] is int")
    assert [message["content"] for message in state["completion"]] == ["said"]
    assert environment.ended == [None]


async def test_what_is_more_than_a_bug_is_passed_on() -> None:
    class Exiting(Talk):
        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            raise SystemExit(3)

    environment = Exiting()
    with pytest.raises(SystemExit):
        await roll_out(environment)

    assert environment.ended == [(None, 1)]


async def test_a_bug_that_spoiled_the_state_is_passed_on() -> None:
    class Spoiling(Talk):
        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            del state["trajectory"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        await roll_out(Spoiling())

    assert caught.value.__notes__ == ["after that, cleanup() raised KeyError: 'trajectory'"]


async def test_a_cleanup_that_fails_as_foreseen_is_the_error_of_the_rollout() -> None:
    error = InfraError("cannot delete")

    state = await roll_out(handlers(note=error))

    assert (state["error"], state["stop_condition"]) == (error, "max_turns_reached")


async def test_a_cleanup_does_not_hide_what_came_before() -> None:
    first, second = InfraError("first"), InfraError("second")

    class Failing(Handlers):
        async def setup_state(self, state: State) -> State | None:
            raise self.failures["setup"]

    environment = Failing()
    environment.failures = {"setup": first, "note": second}
    state = await roll_out(environment)
    bug = ZeroDivisionError()
    environment.failures = {"setup": bug, "note": ValueError("v")}
    broken = await roll_out(environment)

    assert state["error"] is first
    assert broken["error"] is bug
    assert bug.__notes__ == ["after that, cleanup() raised ValueError: v"]


async def test_cleanup_sees_the_state_that_setup_returned() -> None:
    class Replacing(Talk):
        async def setup_state(self, state: State) -> State | None:
            return State({**state, "sandbox": "s1"})

        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            raise ZeroDivisionError

        @cleanup
        async def note(self, state: State) -> None:
            self.ended.append(state.get("sandbox"))

    environment = Replacing()
    state = await roll_out(environment)

    assert environment.ended == [state["sandbox"]] == ["s1"]
    assert type(state["error"]) is ZeroDivisionError


@pytest.mark.parametrize("kind", [HangsInSetup, HangsAtTurnThree])
async def test_cleanup_runs_when_the_rollout_is_cancelled(kind: Any) -> None:
    environment = kind(timeout_seconds=60.0)
    rollout = asyncio.create_task(roll_out(environment))
    await environment.began.wait()

    rollout.cancel()
    with pytest.raises(asyncio.CancelledError):
        await rollout

    assert [condition for condition, _ in environment.ended] == [None]


async def test_teardown_calls_everything_and_raises_the_first_failure() -> None:
    called: list[str] = []

    class OwnRubric(Rubric):
        @teardown
        async def close_judge(self) -> None:
            called.append("rubric")
            raise InfraError("r")

    class Owner(Talk):
        @teardown
        async def close(self) -> None:
            called.append("close")
            raise ValueError("v")

        @teardown(priority=1)
        def close_first(self) -> None:
            called.append("close_first")

    with pytest.raises(ExceptionGroup, match="teardown of OwnRubric") as caught:
        await Owner(rubric=OwnRubric()).teardown()

    assert called == ["rubric", "close_first", "close"]
    assert "after that, close() raised ValueError: v" in caught.value.__notes__


class Barrier:
    """A model that answers once `count` requests are in flight, so that all of them interleave."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.waiting: list[asyncio.Future[None]] = []
        self.peak = 0

    async def get_response(self, prompt: Any, *args: Any, **kwargs: Any) -> Response:
        marks = {message["content"].split("/")[0] for message in prompt}
        assert len(marks) == 1, f"a prompt of several rollouts: {marks}"
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        self.peak = max(self.peak, len(self.waiting))
        if len(self.waiting) == self.count:
            waiting, self.waiting = self.waiting, []
            for other in reversed(waiting):
                other.set_result(None)
        await turn
        (mark,) = marks
        return Response(AssistantMessage(content=f"{mark}/{len(prompt)}"))


class Tagging(Talk):
    async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
        await asyncio.sleep(0)
        state["turns"] = [*state.get("turns", []), len(state.trajectory)]
        return f"{state['prompt'][0]['content']}/{len(messages)}"


async def test_no_rollout_of_many_hears_another() -> None:
    rollouts, turns = 256, 20
    environment = Tagging(dataset=[{"question": str(n)} for n in range(rollouts)], max_turns=turns)
    client = Barrier(rollouts)

    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(environment.rollout(example, client, "m"))  # type: ignore[arg-type]
            for example in environment.get_dataset()
        ]

    assert client.peak == rollouts
    for number, task in enumerate(running):
        state = task.result()
        expected = [f"{number}/{length}" for length in range(1, 2 * turns)]
        assert [message["content"] for message in state["completion"]] == expected
        assert state["turns"] == list(range(1, turns))
    messages = [id(m) for task in running for m in task.result()["completion"]]
    assert len(set(messages)) == len(messages)


async def test_a_cleanup_that_hangs_leaves_the_rollout_unmeasured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(environment_module, "CLEANUP_SECONDS", SOON)

    class Hanging(Talk):
        @cleanup(priority=5)
        async def release(self, state: State) -> None:
            await self.hang()

    environment = Hanging()
    state = await roll_out(environment)

    assert isinstance(state["error"], InfraError)
    assert "release() did not end within" in str(state["error"])
    assert len(state["completion"]) == 5
    assert environment.ended == [("max_turns_reached", 5)]


async def test_a_cleanup_has_its_own_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_module, "CLEANUP_SECONDS", 60.0)
    state = await roll_out(handlers(note=TimeoutError("of its own")))

    assert type(state["error"]) is TimeoutError


async def test_handlers_may_ask_for_the_task() -> None:
    class Asking(Talk):
        @stop
        def is_sum(self, task: str) -> bool:
            self.ended.append(task)
            return False

        @cleanup
        async def note(self, state: State, task: str = "none") -> None:
            self.ended.append(task)

    environment = Asking(dataset=[{"question": "q", "task": "sums"}], max_turns=1)
    await roll_out(environment)

    assert environment.ended == ["sums", "sums", "sums"]
