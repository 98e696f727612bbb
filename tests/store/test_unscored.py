"""Rows that only have to be scored give back the state, or say what they do not hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from pytest_evals.errors import InfraError, is_outage
from pytest_evals.messages import AssistantMessage, ToolCall, ToolMessage, Usage
from pytest_evals.state import Span, State, TrajectoryStep
from pytest_evals.store.rows import encode_head, failed_line, generated_line
from pytest_evals.store.unscored import (
    NotStoredError,
    StoredState,
    kept_of,
    state_of,
    stored_head,
)

MakeState = Callable[..., State]


@pytest.fixture
def make_unscored(make_state: MakeState) -> MakeState:
    def make(**columns: object) -> State:
        state = make_state(**columns)
        state["reward"] = state["metrics"] = None
        state.timing.scoring = Span()
        return state

    return make


def line_of(state: State) -> str:
    return generated_line(encode_head(state, rollout=0, prediction=None), state, kept_of(state))


def restored(state: State, line: str | None = None) -> StoredState | None:
    example = dict(state["input"])
    return state_of(
        line or line_of(state), example, client="client", model="asked", sampling_args={"n": 1}
    )


def stored(state: State) -> StoredState:
    found = restored(state)
    assert found is not None
    return found


def test_a_state_comes_back_as_it_was(make_unscored: MakeState) -> None:
    state = make_unscored(info={"category": ["a"]}, task="sums")
    del state["completion"][0]["reasoning_content"]  # nulls are not written
    again = stored(state)
    for key in ("prompt", "completion", "answer", "info", "example_id", "stop_condition",
                "is_completed", "is_truncated", "trajectory_id", "timing", "error", "reward",
                "metrics", "tool_defs", "final_env_response"):  # fmt: skip
        assert again[key] == state[key], key
    assert type(again["completion"][0]) is AssistantMessage
    assert again.usage == Usage(30, 12)
    assert (again["client"], again["sampling_args"]) == ("client", {"n": 1})
    assert again.keys() >= state.keys() - {"usage_tracker"}


def test_turns_come_back_with_their_tool_calls(make_unscored: MakeState) -> None:
    state = make_unscored()
    call = AssistantMessage(
        content="", tool_calls=[ToolCall(id="1", name="add", arguments='{"a": 1}')]
    )
    result = ToolMessage(content="2", tool_call_id="1")
    final = AssistantMessage(content="two")
    prompt = state["prompt"]
    state["completion"] = [call, result, final]
    state["trajectory"] = [
        TrajectoryStep(prompt=prompt, completion=[call]),
        TrajectoryStep(prompt=[*prompt, call, result], completion=[final], is_truncated=True),
    ]
    again = stored(state)
    assert again["completion"] == state["completion"]
    assert again["completion"][0].tool_calls[0].name == "add"
    assert [step["completion"] for step in again.trajectory] == [[call], [final]]
    assert again.trajectory[1]["prompt"] == [*prompt, call, result]
    assert [step["is_truncated"] for step in again.trajectory] == [False, True]


def test_the_head_is_what_was_written(make_unscored: MakeState) -> None:
    state = make_unscored(info={"nested": {"reward": None, "correct": None, "x": 1}})
    head = encode_head(state, rollout=3, prediction="391")
    assert stored_head(generated_line(head, state, kept_of(state))) == head
    judge = failed_line(
        head, state, outcome="generated", error=InfraError("down"), kept=kept_of(state)
    )
    assert stored_head(judge) == head
    assert restored(state, judge) is not None


def test_keys_of_the_environment_come_back_where_json_holds_them(make_unscored: MakeState) -> None:
    state = make_unscored()
    kept: dict[str, Any] = {"board": [["x", None], [1, 2.5]], "seen": {"a": True}, "none": None}
    lost: dict[str, Any] = {
        "pair": (1, 2), "set": {1}, "by_number": {1: "a"}, "nan": float("nan"),
        "object": object(), "big": AssistantMessage(content="x"),
    }  # fmt: skip
    state.update(kept)
    state.update(lost)
    again = stored(state)
    assert {key: again[key] for key in kept} == kept
    for key in lost:
        for read in (
            lambda key: again[key],
            lambda key: again.get(key, 0),
            lambda key: key in again,
            lambda key: again.pop(key, 0),
            lambda key: again.setdefault(key, 0),
        ):
            with pytest.raises(NotStoredError, match=key):
                read(key)
    assert is_outage(NotStoredError("x"))


def test_what_the_state_never_had_is_absent_as_ever(make_unscored: MakeState) -> None:
    again = stored(make_unscored())
    assert again.get("judge_response") is None
    assert "board" not in again
    with pytest.raises(KeyError):
        again["board"]
    again["judge_response"] = {}
    assert again["judge_response"] == {}


def test_what_replaced_a_lost_key_counts(make_unscored: MakeState) -> None:
    state = make_unscored()
    state["game"] = object()
    again = stored(state)
    again["game"] = "new"
    assert (again["game"], again.get("game"), "game" in again) == ("new", "new", True)


def test_steps_do_not_say_what_the_server_said(make_unscored: MakeState) -> None:
    step = stored(make_unscored()).trajectory[0]
    for key in ("response", "tokens"):
        with pytest.raises(NotStoredError, match=key):
            step[key]
        with pytest.raises(NotStoredError, match=key):
            step.get(key)
    assert step["reward"] is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state.trajectory[0].update(extras={"board": 1}),
        lambda state: state.trajectory[0].update(reward=1.0),
        lambda state: state.trajectory[0].update(completion=[AssistantMessage(content="other")]),
        lambda state: state.trajectory[0].update(prompt=[]),
    ],
    ids=["extras", "step reward", "another completion", "another prompt"],
)
def test_turns_that_are_no_part_of_the_conversation(
    make_unscored: MakeState, spoil: Callable[[State], None]
) -> None:
    state = make_unscored()
    spoil(state)
    assert kept_of(state)["steps"] is None
    assert restored(state) is None


def test_columns_that_hooks_changed_are_the_changed_ones(make_unscored: MakeState) -> None:
    state = make_unscored(info={"n": (1, 2)})
    line = line_of(state)
    again = state_of(line, {**state["input"]}, client=None, model="m", sampling_args={})
    assert again is not None
    assert again["info"] == {"n": (1, 2)}  # as the dataset has it
    example = {**state["input"], "answer": "before", "info": {"n": 3}}
    again = state_of(line, example, client=None, model="m", sampling_args={})
    assert again is not None
    assert (again["answer"], again["info"]) == ("391", {"n": [1, 2]})


@pytest.mark.parametrize(
    "change",
    [
        {"state": "scored"},
        {"state": "broken"},
        {"unscored": None},
        {"unscored": {}},
        {"unscored": {"steps": [["x"]]}},
        {"unscored": {"steps": 3}},
        {"timing": None},
        {"timing": {}},
        {"completion": 5, "unscored": {"steps": [[0, 1]]}},
        {"tool_defs": 5},
        {"token_usage": "many"},
    ],
)
def test_rows_that_hold_too_little(make_unscored: MakeState, change: dict[str, Any]) -> None:
    state = make_unscored()
    row = json.loads(line_of(state)) | change
    assert restored(state, json.dumps(row) + "\n") is None


@pytest.mark.parametrize("line", ["", "[]", "null", "{", '{"state": "generated"}', "[" * 10_000])
def test_what_is_no_row(make_unscored: MakeState, line: str) -> None:
    assert restored(make_unscored(), line or "\n") is None
    assert stored_head(line) is None


def test_what_was_lost_stays_lost(make_unscored: MakeState) -> None:
    state = make_unscored()
    state["sandbox"], state["turn"] = object(), 3
    again = stored(state)
    again["turn"] = 4
    head = encode_head(state, rollout=0, prediction=None)
    twice = restored(state, generated_line(head, again, kept_of(again)))
    assert twice is not None
    assert twice["turn"] == 4
    with pytest.raises(NotStoredError, match="sandbox"):
        twice["sandbox"]
