"""Rows: what a line of results.jsonl says of a rollout."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_evals.errors import InfraError, ModelError, RewardError
from pytest_evals.messages import (
    AssistantMessage,
    Message,
    Response,
    Tool,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from pytest_evals.state import State, TrajectoryStep
from pytest_evals.store.rows import (
    STANDARD_KEYS,
    encode_head,
    encode_unstarted_head,
    failed_line,
    generated_line,
    scored_line,
)

MakeState = Callable[..., State]


def read(line: str) -> dict[str, Any]:
    """Read one line as strict JSON: NaN and duplicate keys are refused."""

    def no_constant(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    def no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        assert len(keys) == len(set(keys)), keys
        return dict(pairs)

    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert line.isascii()
    row = json.loads(line, parse_constant=no_constant, object_pairs_hook=no_duplicates)
    assert isinstance(row, dict)
    return row


def test_a_scored_row_has_the_layout_of_verifiers_and_our_keys(make_state: MakeState) -> None:
    state = make_state(info={"category": "mul"})
    head = encode_head(state, rollout=2, prediction="391")

    row = read(scored_line(head, state, pass_threshold=0.5))

    assert row.pop("trajectory_id") == state["trajectory_id"]
    assert row == {
        "example_id": 17,
        "rollout": 2,
        "prompt": [{"role": "user", "content": "What is 17 * 23?"}],
        "completion": [{"role": "assistant", "content": "391"}],
        "answer": "391",
        "info": {"category": "mul"},
        "is_completed": True,
        "is_truncated": False,
        "stop_condition": "max_turns_reached",
        "tool_defs": [],
        "token_usage": {
            "input_tokens": 30,
            "output_tokens": 12,
            "final_output_tokens": 12,
            "final_input_tokens": 30,
        },
        "prediction": "391",
        "attempts": 2,
        "served_model": "served",
        "reward": 0.75,
        "correct": True,
        "error": None,
        "timing": {
            "start_time": 99.0,
            "setup": {"start": 100.0, "end": 100.5, "duration": 0.5},
            "generation": {"start": 100.0, "end": 102.0, "duration": 2.0},
            "scoring": {"start": 103.0, "end": 104.0, "duration": 1.0},
            "model": {
                "spans": [{"start": 100.5, "end": 102.0, "duration": 1.5}],
                "duration": 1.5,
            },
            "env": {"spans": [], "duration": 0.0},
            "total": 4.0,
            "overhead": 1.0,
        },
        "metrics": {"exact": 1.0, "num_turns": 1.0},
        "state": "scored",
        "exact": 1.0,
        "num_turns": 1.0,
    }
    assert list(row)[:5] == ["example_id", "rollout", "prompt", "completion", "answer"]


def _generated(state: State) -> str:
    return generated_line(encode_head(state, rollout=0, prediction=None), state, {})


def test_a_generated_row_has_no_reward(make_state: MakeState) -> None:
    row = read(_generated(make_state()))
    assert (row["state"], row["reward"], row["correct"]) == ("generated", None, None)
    assert (row["metrics"], row["error"]) == ({}, None)
    assert row["completion"] == [{"role": "assistant", "content": "391"}]


@pytest.mark.parametrize(("threshold", "correct"), [(0.75, True), (0.76, False)])
def test_correct_is_a_reward_at_or_above_the_threshold(
    make_state: MakeState, threshold: float, correct: bool
) -> None:
    state = make_state()
    head = encode_head(state, rollout=0, prediction=None)
    assert read(scored_line(head, state, pass_threshold=threshold))["correct"] is correct


def test_columns_without_a_value_are_left_out(make_state: MakeState) -> None:
    state = make_state(answer="", info={})
    state.trajectory[0].response.usage = None
    row = read(_generated(state))
    assert row.keys().isdisjoint({"answer", "info", "task", "token_usage"})


def test_a_task_is_kept_as_the_example_has_it(make_state: MakeState) -> None:
    row = read(_generated(make_state(task="")))
    assert row["task"] == ""


@pytest.mark.parametrize("name", sorted(STANDARD_KEYS))
def test_a_metric_never_replaces_a_standard_key(make_state: MakeState, name: str) -> None:
    state = make_state()
    head = encode_head(state, rollout=0, prediction=None)
    plain = read(scored_line(head, state, pass_threshold=0.5))
    state["metrics"] = {**state["metrics"], name: 0.25}

    row = read(scored_line(head, state, pass_threshold=0.5))

    assert row["metrics"][name] == 0.25
    assert {**row, "metrics": None} == {**plain, "metrics": None}


def test_the_calls_of_all_turns_are_summed(make_state: MakeState) -> None:
    state = make_state()
    reply = Message(role="assistant", content="again")
    for model, usage in [("other", Usage(50, 8)), ("served", None), ("", None)]:
        response = Response(reply, model=model, usage=usage)
        state.trajectory.append(TrajectoryStep(prompt=[], completion=[reply], response=response))

    row = read(_generated(state))

    assert row["attempts"] == 5
    assert row["served_model"] == "served,other"
    assert row["token_usage"] == {
        "input_tokens": 80,
        "output_tokens": 20,
        "final_output_tokens": 20,
        "final_input_tokens": 38,
    }


def test_tool_calls_are_json_strings_beside_a_content(make_state: MakeState) -> None:
    state = make_state()
    call = {"id": "c1", "name": "add", "arguments": '{"a": 1}'}
    state["completion"] = [
        Message(role="assistant", content=None, tool_calls=[call, json.dumps(call)]),
        Message(role="tool", tool_call_id="c1", content="2", name=None),
    ]

    row = read(_generated(state))

    assistant, tool = row["completion"]
    assert assistant["content"] == ""
    assert [json.loads(text) for text in assistant["tool_calls"]] == [call, call]
    assert tool == {"role": "tool", "tool_call_id": "c1", "content": "2"}
    assert state["completion"][0]["tool_calls"][0] is call


@pytest.mark.parametrize(
    ("call", "written"),
    [
        (
            {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}},
            {"id": "c", "name": "add", "arguments": '{"a": 1}'},
        ),
        (
            {"id": "c", "name": "add", "arguments": {"a": 1}},
            {"id": "c", "name": "add", "arguments": '{"a": 1}'},
        ),
        ({"id": "c", "arguments": {1j}}, None),
        (7, 7),
    ],
)
def test_tool_calls_of_any_form_are_written_in_one(
    make_state: MakeState, call: Any, written: Any
) -> None:
    state = make_state()
    state["completion"] = [{"role": "assistant", "content": None, "tool_calls": [call]}]
    row = read(_generated(state))
    (message,) = row["completion"]
    assert message["content"] == ""
    (text,) = message["tool_calls"]
    assert isinstance(text, str)
    if written is not None:
        assert json.loads(text) == written


def test_turns_with_tools_stand_in_the_completion_as_they_were(make_state: MakeState) -> None:
    tool = Tool(name="add", description="Adds.", parameters={"type": "object"})
    call = ToolCall(id="c1", name="add", arguments='{"a": 1}')
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    state = make_state()
    state["tool_defs"] = [tool]
    state["completion"] = [
        AssistantMessage(content=None, tool_calls=[call]),
        ToolMessage(tool_call_id="c1", content=[image]),
        AssistantMessage(content="2", reasoning_content="easy"),
        UserMessage(content="Right."),
    ]
    row = read(_generated(state))
    assert row["tool_defs"] == [
        {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}
    ]
    assert row["completion"] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": ['{"id": "c1", "name": "add", "arguments": "{\\"a\\": 1}"}'],
        },
        {"role": "tool", "tool_call_id": "c1", "content": [image]},
        {"role": "assistant", "content": "2", "reasoning_content": "easy"},
        {"role": "user", "content": "Right."},
    ]


def test_tokens_count_every_call_and_the_context_only_the_turns(make_state: MakeState) -> None:
    """An environment may ask a model besides the turns, to play the user."""
    state = make_state()
    second = Response(Message(role="assistant", content="b"), usage=Usage(50, 8))
    third = Response(Message(role="assistant", content="c"), usage=None)
    for response in (second, third):
        state.trajectory.append(
            TrajectoryStep(prompt=[], completion=[response.message], response=response)
        )
    for usage in (Usage(30, 12), Usage(50, 8), Usage(1000, 100)):
        state["usage_tracker"].add(usage)
    row = read(_generated(state))
    assert row["token_usage"] == {
        "input_tokens": 1080,
        "output_tokens": 120,
        "final_output_tokens": 20,
        "final_input_tokens": 38,
    }


def test_a_step_without_a_response_costs_nothing(make_state: MakeState) -> None:
    state = make_state()
    state.trajectory.append(TrajectoryStep(prompt=[], completion=[]))
    row = read(_generated(state))
    assert row["attempts"] == 2


def test_what_has_only_to_be_scored_says_why_it_was_not(make_state: MakeState) -> None:
    state = make_state()
    head = encode_head(state, rollout=0, prediction=None)
    line = failed_line(head, state, outcome="generated", error=InfraError("judge down"))
    row = read(line)
    assert (row["state"], row["reward"]) == ("generated", None)
    assert row["error"]["message"] == "judge down"


def test_mistakes_counted_as_zero_are_written_where_there_are_any(make_state: MakeState) -> None:
    state = make_state()
    head = encode_head(state, rollout=0, prediction=None)
    row = read(scored_line(head, state, pass_threshold=0.5))
    assert not {"reward_errors", "tool_runs"} & set(row)
    state["reward_errors"] = ["grade: KeyError: 'x'"]
    state["eval_tool_runs"] = runs = {"add": {"calls": 3, "errors": {"RuntimeError": 2}}}
    row = read(scored_line(head, state, pass_threshold=0.5))
    assert (row["reward_errors"], row["tool_runs"]) == (["grade: KeyError: 'x'"], runs)
    row = read(failed_line(head, state, outcome="broken", error=ValueError()))
    assert ("reward_errors" in row, row["tool_runs"]) == (False, runs)


def test_a_prompt_that_is_text_stays_text(make_state: MakeState) -> None:
    row = read(_generated(make_state(prompt="Once upon")))
    assert row["prompt"] == "Once upon"


def test_a_failed_row_tells_the_error_and_its_causes(make_state: MakeState) -> None:
    state = make_state()
    state.timing.scoring.start = state.timing.scoring.end = 0.0
    error = ModelError("gave up after 3 requests")
    error.__cause__ = TimeoutError("30 s")

    row = read(
        failed_line(
            encode_head(state, rollout=0, prediction=None), state, outcome="unmeasured", error=error
        )
    )

    chain = "ModelError('gave up after 3 requests') -> TimeoutError('30 s')"
    assert (row["state"], row["reward"], row["correct"]) == ("unmeasured", None, None)
    assert row["metrics"] == {}
    assert row["error"] == {
        "error": "ModelError",
        "message": "gave up after 3 requests",
        "error_chain_repr": chain,
        "error_chain_str": "ModelError -> TimeoutError",
    }
    assert (row["error_chain"], row["long_error_chain"]) == (chain, "ModelError -> TimeoutError")
    assert row["timing"]["generation"]["duration"] == 2.0
    assert (row["timing"]["total"], row["timing"]["overhead"]) == (0.0, 0.0)


def test_an_unstarted_rollout_refers_to_the_one_that_failed() -> None:
    example = {"example_id": "a/b", "prompt": [{"role": "user", "content": "hi"}], "answer": "yes"}
    row = read(
        failed_line(
            encode_unstarted_head(example, rollout=1),
            None,
            outcome="unmeasured",
            error=ModelError("401"),
            refers_to="17-r0",
        )
    )
    assert (row["example_id"], row["rollout"], row["answer"]) == ("a/b", 1, "yes")
    assert (row["completion"], row["attempts"], row["served_model"]) == (None, 0, None)
    assert row["error"]["refers_to"] == "17-r0"
    assert row["timing"]["generation"] == {"start": 0.0, "end": 0.0, "duration": 0.0}


def test_started_and_unstarted_rows_have_the_same_keys(make_state: MakeState) -> None:
    state = make_state()
    state.trajectory.clear()
    started = read(_generated(state))
    unstarted = read(generated_line(encode_unstarted_head(state["input"], rollout=0), state, {}))
    assert list(started) == list(unstarted)


def test_errors_that_cannot_be_shown_or_cause_each_other_are_written() -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

        __repr__ = __str__

    first, second = InfraError(""), SilentError()
    first.__cause__, second.__cause__ = second, first
    head = encode_unstarted_head({"example_id": 1}, rollout=0)

    row = read(failed_line(head, None, outcome="broken", error=first))
    assert row["error"]["error_chain_str"] == "InfraError -> SilentError"
    assert row["error"]["message"] == "InfraError"

    row = read(failed_line(head, None, outcome="broken", error=second))
    assert row["error"]["message"] == "<SilentError that cannot be shown>"


def test_a_reward_error_names_its_function() -> None:
    head = encode_unstarted_head({"example_id": 1}, rollout=0)
    error = RewardError("exact", "returned nan")
    row = read(failed_line(head, None, outcome="broken", error=error))
    assert row["state"] == "broken"
    assert row["error"]["message"] == "reward function 'exact' returned nan"


class _Array:
    """Like numpy's: it has no truth value."""

    def __bool__(self) -> bool:
        raise ValueError("ambiguous")

    def tolist(self) -> list[int]:
        return [3, 9, 1]


def test_values_of_other_libraries_are_written(make_state: MakeState) -> None:
    class Model:
        def model_dump(self, *, exclude_none: bool) -> dict[str, Any]:
            return {"role": "user", "excluded": exclude_none}

    state = make_state(answer=_Array(), prompt=[Model()])
    row = read(generated_line(encode_head(state, rollout=0, prediction=_Array()), state, {}))
    assert row["answer"] == row["prediction"] == [3, 9, 1]
    assert row["prompt"] == [{"role": "user", "excluded": True}]
