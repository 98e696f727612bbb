"""MultiTurnEnv: the rollout loop, its hooks and its stop conditions."""

from __future__ import annotations

import time
import traceback
from typing import Any

import pytest

from pytest_evals.environments.environment import Environment
from pytest_evals.environments.multi_turn import MultiTurnEnv
from pytest_evals.environments.turn_monitor import num_turns
from pytest_evals.errors import InfraError, OverlongPromptError
from pytest_evals.lifecycle import cleanup, stop
from pytest_evals.messages import AssistantMessage, Message, Response, ToolMessage, Usage
from pytest_evals.rubrics import slowness
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.rubrics.rubric_group import RubricGroup
from pytest_evals.state import State, TrajectoryStep
from tests.environments.scripted_model import ScriptedModel

ROWS: list[dict[str, Any]] = [{"question": "begin", "answer": "end"}]


class Echo(MultiTurnEnv):
    """Says what the model said, with the number of the turn."""

    async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
        return [{"role": "user", "content": f"{len(state.trajectory)}: {messages[-1].content}"}]


class Answering(MultiTurnEnv):
    """Answers with what it was given."""

    def __init__(self, answer: Any, **kwargs: Any) -> None:
        super().__init__(dataset=ROWS, max_turns=2, **kwargs)
        self.answer = answer

    async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
        return self.answer


class Counting(ScriptedModel):
    """Counts two tokens a turn; raises or cuts where it is told to."""

    def __init__(self, raises: dict[int, BaseException] | None = None, cut_at: int = 0) -> None:
        super().__init__(lambda _: f"m{len(self.prompts)}")
        self.raises = raises or {}
        self.cut_at = cut_at

    async def get_response(self, *args: Any, **kwargs: Any) -> Response:
        response = await super().get_response(*args, **kwargs)
        turn = len(self.prompts)
        if turn in self.raises:
            raise self.raises[turn]
        response.usage = Usage(10 * turn, 2)
        response.finish_reason = "length" if turn == self.cut_at else "stop"
        return response


def model() -> Counting:
    return Counting()


async def roll_out(environment: Environment, client: Any = None) -> State:
    return await environment.rollout(environment.get_dataset()[0], client or model(), "m")


def contents(messages: Any) -> list[Any]:
    return [message["content"] for message in messages]


async def test_model_and_environment_take_turns() -> None:
    client = model()
    before = time.time()

    state = await roll_out(Echo(dataset=ROWS, max_turns=3, system_prompt="s"), client)

    assert contents(client.prompts[0]) == ["s", "begin"]
    assert contents(client.prompts[2]) == ["s", "begin", "m1", "1: m1", "m2", "2: m2"]
    assert contents(state["completion"]) == ["m1", "1: m1", "m2", "2: m2", "m3"]
    assert [message.role for message in state["completion"]][:2] == ["assistant", "user"]
    assert contents(state["prompt"]) == ["s", "begin"]
    assert (state["stop_condition"], state["is_completed"]) == ("max_turns_reached", True)
    assert (state["error"], state["is_truncated"], state["reward"]) == (None, False, None)
    assert state["usage"] == {"input_tokens": 60.0, "output_tokens": 6.0}
    timing = state.timing
    assert len(timing.model.spans) == 3
    assert len(timing.env.spans) == 2
    assert before <= timing.setup.start <= timing.setup.end <= timing.model.spans[0].start
    assert timing.model.spans[0].end <= timing.env.spans[0].start <= timing.model.spans[1].start
    assert timing.model.spans[2].end <= timing.generation.end <= time.time()


async def test_steps_hold_each_turn_and_share_their_messages() -> None:
    state = await roll_out(Echo(dataset=ROWS, max_turns=3))

    assert [len(step.prompt) for step in state.trajectory] == [1, 3, 5]
    assert [contents(step.completion) for step in state.trajectory] == [["m1"], ["m2"], ["m3"]]
    assert {step.trajectory_id for step in state.trajectory} == {state["trajectory_id"]}
    first, last = state.trajectory[0], state.trajectory[-1]
    assert first.prompt is not last.prompt
    assert first.prompt[0] is last.prompt[0]
    assert first.completion[0] is last.prompt[1]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("go on", [{"role": "user", "content": "go on"}]),
        ([Message(role="user", content="x")], [{"role": "user", "content": "x"}]),
        (({"role": "user", "content": "x"},), [{"role": "user", "content": "x"}]),
        ([], []),
        (
            [{"role": "tool", "tool_call_id": "1", "content": "x", "extra": 1}],
            [ToolMessage(tool_call_id="1", content="x", extra=1)],
        ),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}],
            [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "u"}}]}],
        ),
    ],
)
async def test_an_answer_may_have_any_form_of_messages(answer: Any, expected: Any) -> None:
    client = model()

    state = await roll_out(Answering(answer), client)

    assert state["completion"][1:-1] == expected
    assert client.prompts[1][2:] == expected
    assert all(isinstance(message, Message) for message in state["completion"])


async def test_tool_calls_in_the_form_of_openai_are_understood() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}

    state = await roll_out(Answering([{"role": "assistant", "tool_calls": [call]}]))

    assert state["completion"][1].tool_calls[0].name == "f"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "is NoneType"),
        (3, "is int"),
        ({"role": "user", "content": "x"}, "is dict"),
        (["x"], "is a list with a str in it"),
        ([{"content": "x"}], "is a list with a dict without a role in it"),
        (([{"role": "user", "content": "x"}], {}), "is a tuple with a list in it"),
    ],
)
async def test_an_answer_that_is_no_messages_is_a_bug(answer: Any, words: str) -> None:
    error = (await roll_out(Answering(answer)))["error"]

    assert type(error) is TypeError
    assert str(error).startswith(f"Answering: the result of env_response() {words}; ")


async def test_reasoning_and_unknown_fields_are_sent_back() -> None:
    said = AssistantMessage(content="x", reasoning_content="because", signature="s")
    client = ScriptedModel([said, "y"])

    state = await roll_out(Echo(dataset=ROWS, max_turns=2), client)

    assert client.prompts[1][1] == dict(said)
    assert state["completion"][0].reasoning_content == "because"


class Final(MultiTurnEnv):
    async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
        if len(state.trajectory) == 2:
            state["final_env_response"] = [{"role": "user", "content": "over"}]
            return None
        return "go on"


async def test_a_final_response_ends_the_rollout_and_is_in_the_completion() -> None:
    client = model()

    state = await roll_out(Final(dataset=ROWS), client)

    assert contents(state["completion"]) == ["m1", "go on", "m2", "over"]
    assert isinstance(state["completion"][-1], Message)
    assert (state["stop_condition"], len(client.prompts)) == ("has_final_env_response", 2)
    assert len(state.timing.env.spans) == 2


async def test_a_final_response_may_be_text() -> None:
    class Text(Final):
        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            state["final_env_response"] = "over"
            return []

    state = await roll_out(Text(dataset=ROWS))

    assert state["completion"][-1] == {"role": "user", "content": "over"}


async def test_an_overlong_prompt_at_turn_three_is_scored_on_what_there_is() -> None:
    state = await roll_out(
        Echo(dataset=ROWS, max_turns=9), Counting({3: OverlongPromptError("too long")})
    )

    assert (state["stop_condition"], state["error"]) == ("prompt_too_long", None)
    assert (state["prompt_too_long"], state["is_truncated"]) == (True, True)
    assert contents(state["completion"]) == ["m1", "1: m1", "m2"]
    assert len(state.timing.model.spans) == 3


async def test_a_truncated_turn_marks_the_rollout() -> None:
    state = await roll_out(Echo(dataset=ROWS, max_turns=3), Counting(cut_at=2))

    assert [step.is_truncated for step in state.trajectory] == [False, True, False]
    assert (state["is_truncated"], state["stop_condition"]) == (True, "max_turns_reached")


async def test_a_foreseen_error_keeps_what_was_said() -> None:
    error = InfraError("sandbox gone")

    state = await roll_out(Echo(dataset=ROWS, max_turns=9), Counting({3: error}))

    assert (state["error"], state["stop_condition"]) == (error, "has_error")
    assert contents(state["completion"]) == ["m1", "1: m1", "m2"]


async def test_the_number_of_tokens_may_be_limited() -> None:
    environment = Echo(dataset=ROWS)
    environment.set_kwargs(max_total_completion_tokens=5)

    state = await roll_out(environment)

    assert len(state.trajectory) == 3
    assert state["stop_condition"] == "max_total_completion_tokens_reached"


class Stopping(Echo):
    """Records which conditions are asked."""

    asked: list[str]

    @stop
    async def a_late_one(self, state: State) -> bool:
        self.asked.append("a_late_one")
        return False

    @stop(priority=-1)
    def last(self, state: State, env: Any) -> bool:
        assert env is self
        self.asked.append("last")
        return False

    @stop(priority=200)
    async def first(self, **everything: Any) -> int:
        assert set(everything) == {"state", "env", "task"}
        self.asked.append("first")
        return int(len(everything["state"].trajectory) == 2)


async def test_stop_conditions_are_asked_by_priority_then_by_name() -> None:
    environment = Stopping(dataset=ROWS)
    environment.asked = []

    state = await roll_out(environment)

    assert environment.asked == ["first", "a_late_one", "last"] * 2 + ["first"]
    assert (state["stop_condition"], len(state.trajectory)) == ("first", 2)


async def test_the_order_of_the_conditions_decides_the_name() -> None:
    """`has_final_env_response` comes before `max_turns_reached`, and `late` before both fire."""

    class Both(Final):
        @stop
        async def late(self, state: State) -> bool:
            return len(state.trajectory) == 2

    state = await roll_out(Both(dataset=ROWS, max_turns=2))
    other = await roll_out(Final(dataset=ROWS, max_turns=2))

    assert state["stop_condition"] == "late"
    assert other["stop_condition"] == "max_turns_reached"


async def test_a_condition_may_be_overridden_or_taken_away() -> None:
    class Overridden(Echo):
        @stop
        async def max_turns_reached(self, state: State) -> bool:
            return len(state.trajectory) == 4 and not await super().max_turns_reached(state)

    class Without(Echo):
        async def max_turns_reached(self, state: State) -> bool:
            return True

        @stop
        async def enough(self, state: State) -> bool:
            return len(state.trajectory) == 5

    longer = await roll_out(Overridden(dataset=ROWS, max_turns=9))
    without = await roll_out(Without(dataset=ROWS, max_turns=1))

    assert (len(longer.trajectory), longer["stop_condition"]) == (4, "max_turns_reached")
    assert (len(without.trajectory), without["stop_condition"]) == (5, "enough")


async def test_the_conditions_can_be_called_one_by_one() -> None:
    environment = Echo(dataset=ROWS, max_turns=1)
    state = await roll_out(environment)

    assert await environment.max_turns_reached(state)
    for other in ("has_error", "has_final_env_response", "prompt_too_long"):
        assert not await getattr(environment, other)(state)
    assert not await environment.max_total_completion_tokens_reached(state)


async def test_is_completed_may_be_overridden() -> None:
    class Own(Echo):
        async def is_completed(self, state: State, **kwargs: Any) -> bool:
            if len(state.trajectory) == 2:
                state.stop("mine")
                return True
            return await super().is_completed(state, **kwargs, other=1)

    state = await roll_out(Own(dataset=ROWS))

    assert (state["stop_condition"], len(state.trajectory)) == ("mine", 2)


async def test_a_condition_that_fails_ends_the_rollout_with_its_error() -> None:
    class Failing(Echo):
        @stop(priority=500)
        async def check(self, state: State) -> bool:
            raise InfraError("no answer")

    class Buggy(Echo):
        @stop
        def check(self, state: State) -> bool:
            raise ZeroDivisionError

    class TooLong(Echo):
        @stop
        async def check(self, state: State) -> bool:
            raise OverlongPromptError("counted")

    state = await roll_out(Failing(dataset=ROWS))
    long = await roll_out(TooLong(dataset=ROWS))

    assert isinstance(state["error"], InfraError)
    assert (state["stop_condition"], state["is_completed"]) == ("has_error", True)
    assert (long["stop_condition"], long["error"]) == ("prompt_too_long", None)
    buggy = await roll_out(Buggy(dataset=ROWS))
    assert (type(buggy["error"]), buggy["stop_condition"]) == (ZeroDivisionError, "has_error")


async def test_a_hook_that_raises_at_turn_seven_is_a_bug() -> None:
    class Buggy(Echo):
        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            if len(state.trajectory) == 6:
                raise KeyError("board")
            return await super().env_response(messages, state)

    client = model()

    state = await roll_out(Buggy(dataset=ROWS), client)

    assert len(client.prompts) == 6
    assert state["error"].args == ("board",)
    assert traceback.extract_tb(state["error"].__traceback__)[-1].filename == __file__
    assert (state["stop_condition"], state["is_completed"]) == ("has_error", True)
    assert contents(state["completion"])[::2] == [f"m{turn}" for turn in range(1, 7)]
    assert state.timing.generation.end > 0


async def test_hooks_may_be_sync() -> None:
    class Plain(MultiTurnEnv):
        def setup_state(self, state: State) -> Any:
            state["said"] = []

        def get_prompt_messages(self, state: State) -> Any:
            return super().get_prompt_messages(state)

        def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            return [{"role": "user", "content": f"after {len(state['said'])}"}]

        def add_trajectory_step(self, state: State, trajectory_step: TrajectoryStep) -> Any:
            state["said"].append(trajectory_step.completion[0].content)
            return super().add_trajectory_step(state, trajectory_step)

        def render_completion(self, state: State) -> Any:
            state["completion"] = [*state["said"], "over"]

        @stop
        def enough(self, state: State) -> bool:
            return len(state["said"]) == 2

        @cleanup
        def end(self, state: State) -> None:
            state["ended"] = True

    client = model()
    state = await roll_out(Plain(dataset=ROWS), client)

    assert (state["error"], state["stop_condition"]) == (None, "enough")
    assert contents(client.prompts[1]) == ["begin", "m1", "after 1"]
    assert (state["completion"], state["ended"]) == (["m1", "m2", "over"], True)


async def test_setup_may_replace_the_state_and_must_return_one() -> None:
    class Replacing(Echo):
        async def setup_state(self, state: State) -> Any:
            return State({**state, "mark": 1})

    class Wrong(Echo):
        async def setup_state(self, state: State) -> Any:
            return True

    state = await roll_out(Replacing(dataset=ROWS, max_turns=2))

    assert (state["mark"], len(state["completion"])) == (1, 3)
    error = (await roll_out(Wrong(dataset=ROWS)))["error"]
    assert str(error).startswith("Wrong: setup_state() returned bool")


async def test_a_conversation_need_not_be_linear() -> None:
    class Forgetful(Echo):
        async def get_prompt_messages(self, state: State) -> Any:
            return [*state["prompt"], {"role": "user", "content": str(len(state.trajectory))}]

        async def render_completion(self, state: State) -> None:
            state["completion"] = [step.completion[0] for step in state.trajectory]

    client = model()

    state = await roll_out(Forgetful(dataset=ROWS, max_turns=3), client)

    assert contents(client.prompts[2]) == ["begin", "2"]
    assert contents(state["completion"]) == ["m1", "m2", "m3"]
    assert all(isinstance(message, Message) for message in client.prompts[2])


async def test_a_step_may_get_its_own_reward() -> None:
    class Rewarding(Echo):
        async def add_trajectory_step(self, state: State, trajectory_step: TrajectoryStep) -> None:
            trajectory_step["reward"] = 0.5
            trajectory_step.extras["turn"] = len(state.trajectory)
            await super().add_trajectory_step(state, trajectory_step)

    state = await roll_out(Rewarding(dataset=ROWS, max_turns=2))

    assert [step["extras"] for step in state.trajectory] == [{"turn": 0}, {"turn": 1}]
    assert state.total_step_reward() == 1.0


async def test_an_environment_may_ask_the_model_besides_the_turns() -> None:
    class Asking(Echo):
        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            other = ScriptedModel(["help"])
            helped = await self.get_model_response(
                state, messages, client=other, model="other", sampling_args={"n": 2}
            )
            self.increment_state_usage(state, input_tokens=100, output_tokens=1)
            return [Message(role="user", content=helped.message.content)]

    environment = Asking(dataset=ROWS, max_turns=2)

    state = await roll_out(environment)

    assert contents(state["completion"]) == ["m1", "help", "m2"]
    assert environment.get_state_usage(state) == {"input_tokens": 130.0, "output_tokens": 5.0}
    assert len(state.timing.model.spans) == 2


async def test_num_turns_is_counted_once_whoever_shares_the_rubric() -> None:
    rubric = Rubric(funcs=[lambda answer: 1.0])
    environment = Echo(dataset=ROWS, rubric=rubric, max_turns=4)
    Echo(dataset=ROWS, rubric=rubric)

    state = await roll_out(environment)
    await environment.rubric.score_rollout(state)

    assert num_turns not in rubric.functions
    assert environment.rubric.functions.count(num_turns) == 1
    assert (state["reward"], state["metrics"]["num_turns"]) == (1.0, 4.0)


async def test_num_turns_is_counted_once_in_a_group_of_rubrics() -> None:
    group = RubricGroup([Rubric(funcs=[lambda answer: 1.0]), Rubric()])
    Echo(dataset=ROWS, rubric=group)
    environment = Echo(dataset=ROWS, rubric=group, max_turns=4)

    state = await roll_out(environment)
    await environment.rubric.score_rollout(state)

    assert (state["reward"], state["metrics"]["num_turns"]) == (1.0, 4.0)


async def test_num_turns_leaves_the_rubric_of_the_user_alone() -> None:
    class Own(Rubric):
        async def score_rollout(self, state: State) -> None:
            state["reward"], state["metrics"], state["error"] = 0.25, {"own": 1.0}, None

    changed = Rubric(funcs=[lambda answer: 1.0])
    environments = [
        Echo(dataset=ROWS, rubric=rubric, max_turns=2) for rubric in (changed, Own(), None)
    ]
    changed.weights = [0.5]
    states = [await roll_out(environment) for environment in environments]
    for environment, state in zip(environments, states, strict=True):
        await environment.rubric.score_rollout(state)

    assert [state["reward"] for state in states] == [0.5, 0.25, 0.0]
    assert [state["metrics"]["num_turns"] for state in states] == [2.0, 2.0, 2.0]
    assert states[1]["metrics"] == {"own": 1.0, "num_turns": 2.0}


async def test_a_num_turns_of_the_users_own_is_the_metric() -> None:
    def counted(state: State) -> float:
        return 10.0

    counted.__name__ = "num_turns"
    environment = Echo(dataset=ROWS, rubric=Rubric(funcs=[counted]), max_turns=2)

    state = await roll_out(environment)
    await environment.rubric.score_rollout(state)

    assert state["metrics"] == {"num_turns": 10.0}


async def test_the_parts_of_a_prompt_are_the_rollouts_own() -> None:
    class Vandal(Echo):
        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            messages[0]["content"][0]["text"] += "?"
            messages[0].content[0].text += "!"
            return "go on"

    prompt = [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    environment = Vandal(dataset=[{"prompt": prompt}], max_turns=2)
    example = environment.get_dataset()[0]

    states = [await environment.rollout(example, model(), "m") for _ in range(2)]

    assert [state["prompt"][0]["content"][0]["text"] for state in states] == ["hi?!", "hi?!"]
    assert example["prompt"] == prompt
    assert prompt[0]["content"] == [{"type": "text", "text": "hi"}]


async def test_what_a_rollout_changes_stays_its_own() -> None:
    class Vandal(Echo):
        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            messages[0]["content"] += "!"
            messages[-1]["content"] += "?"
            state["info"]["seen"].append(len(state.trajectory))
            state["input"]["board"][0][0] = "x"
            state["prompt"].append(Message(role="user", content="more"))
            return "go on"

    rows = [{"question": "hi", "info": {"seen": []}, "board": [["-"]]}]
    environment = Vandal(dataset=rows, max_turns=3)
    example = environment.get_dataset()[0]

    first = await environment.rollout(example, model(), "m")
    second = await environment.rollout(example, model(), "m")

    assert first["info"]["seen"] == second["info"]["seen"] == [1, 2]
    assert second.trajectory[-1].prompt[0]["content"] == "hi!!"
    assert (example["info"], example["board"]) == ({"seen": []}, [["-"]])
    assert contents(example["prompt"]) == ["hi"]


async def test_hooks_that_block_the_loop_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def block(seconds: float) -> None:
        nonlocal now
        now += seconds

    class Blocking(Echo):
        async def setup_state(self, state: State) -> Any:
            block(0.2)

        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            block(0.3)
            return await super().env_response(messages, state)

    class OwnPrompts(MultiTurnEnv):
        def get_prompt_messages(self, state: State) -> Any:
            block(0.4)
            return [*state["prompt"]]

        async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
            raise AssertionError("it is not called")

    monkeypatch.setattr(slowness, "perf_counter", lambda: now)
    state = await roll_out(Blocking(dataset=ROWS, max_turns=2))
    own = await roll_out(OwnPrompts(dataset=ROWS, max_turns=1))
    fast = await roll_out(Echo(dataset=ROWS, max_turns=3))

    assert state["slow_calls"] == [
        ("setup_state of Blocking", pytest.approx(0.2)),
        ("env_response of Blocking", pytest.approx(0.3)),
    ]
    assert own["slow_calls"] == [("get_prompt_messages of OwnPrompts", pytest.approx(0.4))]
    assert "slow_calls" not in fast
