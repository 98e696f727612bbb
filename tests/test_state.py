from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from pytest_evals.messages import Message, Response, Usage
from pytest_evals.state import State, TrajectoryStep, new_state


def state(**columns: Any) -> State:
    example = {"prompt": [], "answer": "a", "info": {"n": 1}, "example_id": 7, **columns}
    return new_state(example, client=None, model="m", sampling_args={})


def step(**fields: Any) -> TrajectoryStep:
    response = Response(Message(role="assistant", content="x"), usage=Usage(5, 2))
    return TrajectoryStep(prompt=[], completion=[response.message], response=response, **fields)


def test_columns_of_the_example_are_read_and_written_through_its_input() -> None:
    rollout = state()

    rollout["answer"] = "b"
    rollout["info"]["n"] = 2

    assert (rollout["input"]["answer"], rollout["input"]["info"]) == ("b", {"n": 2})
    assert (rollout.get("answer"), rollout.get("example_id")) == ("b", 7)
    assert "answer" in rollout
    assert "answer" not in list(rollout)


def test_a_column_that_the_example_lacks_is_the_rollouts_own() -> None:
    rollout = new_state({"example_id": 1}, client=None, model="m", sampling_args={})

    assert "answer" not in rollout
    assert rollout.get("answer", "none") == "none"
    with pytest.raises(KeyError, match="answer"):
        _ = rollout["answer"]
    rollout["answer"] = "x"

    assert rollout["answer"] == rollout.get("answer") == "x"
    assert "answer" not in rollout["input"]


def test_other_keys_are_those_of_a_dict() -> None:
    rollout = state(board="x")

    rollout["board"] = "y"

    assert (rollout["board"], rollout["input"]["board"]) == ("y", "x")
    assert rollout.get("nothing") is None
    with pytest.raises(KeyError, match="nothing"):
        _ = rollout["nothing"]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_a_copy_is_a_state(copied: Any) -> None:
    rollout = state()

    assert isinstance(copied(rollout), State)
    assert copied(rollout)["answer"] == "a"


def test_usage_is_counted_anew_at_each_reading() -> None:
    rollout = state()
    assert (rollout["usage"], rollout.get("usage"), rollout.usage) == (None, None, None)

    rollout.trajectory.append(step())
    assert rollout["usage"] == {"input_tokens": 5.0, "output_tokens": 2.0}
    rollout.count(Usage(1, 1))
    rollout.count(Usage(10, 10))

    assert rollout.get("usage") == {"input_tokens": 11.0, "output_tokens": 11.0}


def test_usage_of_a_state_that_an_environment_made_itself() -> None:
    rollout = State(input={}, trajectory=[])

    rollout.count(Usage(3, 4))

    assert rollout["usage"] == {"input_tokens": 3.0, "output_tokens": 4.0}


def test_rewards_of_steps_add_up() -> None:
    rollout = state()
    assert rollout.total_step_reward() == 0.0
    with pytest.raises(ValueError, match="no step yet"):
        rollout.add_step_reward(1)

    rollout.trajectory.append(step())
    rollout.add_step_reward(1)
    rollout.trajectory.append(step(reward=0.25))
    rollout.add_step_reward(0.5)
    rollout.add_step_reward(None)

    assert [one["reward"] for one in rollout.trajectory] == [1.0, 0.75]
    assert rollout.total_step_reward() == 1.75


def test_all_ways_to_set_a_column_reach_the_input() -> None:
    rollout = state()

    assert rollout.setdefault("info", {}) == {"n": 1}
    rollout.update({"answer": "b"}, info={"n": 2})
    rollout |= {"example_id": 8, "own": 1}
    rollout.update([("own", 2)])

    assert {**rollout["input"]} == {"prompt": [], "answer": "b", "info": {"n": 2}, "example_id": 8}
    assert rollout["own"] == 2
    assert isinstance(rollout, State)
    assert not {"answer", "info", "example_id"} & set(rollout.keys())


def test_setdefault_sets_what_is_absent() -> None:
    rollout = new_state({"example_id": 1}, client=None, model="m", sampling_args={})

    assert rollout.setdefault("info", {"x": 1}) is rollout["info"]
    assert rollout.setdefault("tries", 0) == rollout["tries"] == 0
    assert rollout.setdefault("error", "unused") is None


def test_pop_and_del_take_a_column_out_of_the_input() -> None:
    rollout = state(board="x")

    assert rollout.pop("answer") == "a"
    del rollout["info"]
    assert rollout.pop("info", "none") == "none"
    assert rollout.pop("model") == "m"
    assert set(rollout["input"]) == {"prompt", "example_id", "board"}
    for absent in ("answer", "nothing"):
        with pytest.raises(KeyError, match=absent):
            rollout.pop(absent)
        with pytest.raises(KeyError, match=absent):
            del rollout[absent]
