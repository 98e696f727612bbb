"""Evaluation from a script: what rows and metadata say, whatever happens to the rollouts."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.environments import script_run
from pytest_evals.environments.env_group import EnvGroup
from pytest_evals.environments.multi_turn import MultiTurnEnv
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.errors import (
    InfraError,
    InvalidModelResponseError,
    ModelError,
    RejectedError,
    SetupError,
)
from pytest_evals.lifecycle import cleanup
from pytest_evals.messages import AssistantMessage, Message, Response, Usage
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State
from pytest_evals.store.reading import read_metadata, read_rows


class Model:
    """Answers each question with itself; what `failures` holds for one is raised first."""

    def __init__(self, **failures: list[BaseException]) -> None:
        self.failures = failures
        self.asked: list[str] = []
        self.in_flight = self.peak = 0

    async def get_response(self, prompt: Any, *args: Any, **kwargs: Any) -> Response:
        question = prompt[-1]["content"]
        self.asked.append(question)
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        if self.failures.get(question):
            raise self.failures[question].pop(0)
        return Response(
            AssistantMessage(content=question), model="served", finish_reason="stop",
            usage=Usage(7, 3),
        )  # fmt: skip

    async def close(self) -> None:
        raise AssertionError("whoever made the client closes it")


def echoed(completion: list[Message], answer: str) -> float:
    return float(completion[-1]["content"] == answer)


def environment(count: int = 3, **kwargs: Any) -> SingleTurnEnv:
    rows = [{"question": f"q{n}", "answer": "q0", "info": {"n": n}} for n in range(count)]
    kwargs = {"rubric": Rubric([echoed]), "env_id": "echo", "env_args": {"count": count}} | kwargs
    return SingleTurnEnv(dataset=rows, **kwargs)


def states(results: dict[str, Any]) -> list[str]:
    return [row["state"] for row in results["outputs"]]


async def test_an_evaluation_returns_rows_and_metadata() -> None:
    results = await environment().evaluate(
        Model(), "m", {"max_tokens": 5}, num_examples=2, rollouts_per_example=2
    )

    assert set(results) == {"outputs", "metadata"}
    rows, metadata = results["outputs"], results["metadata"]
    assert [(row["example_id"], row["rollout"]) for row in rows] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    first = rows[0]
    assert list(first)[:5] == ["example_id", "rollout", "prompt", "completion", "answer"]
    assert first["prompt"] == [{"role": "user", "content": "q0"}]
    assert first["completion"] == [{"role": "assistant", "content": "q0"}]
    assert (first["reward"], first["error"], first["state"]) == (1.0, None, "scored")
    assert first["metrics"] == {"echoed": 1.0, "num_turns": 1.0}
    assert (first["echoed"], first["stop_condition"]) == (1.0, "max_turns_reached")
    assert first["timing"]["total"] >= first["timing"]["generation"]["duration"] > 0
    assert first["token_usage"]["input_tokens"] == 7
    assert json.loads(json.dumps(rows)) == rows
    assert (metadata["env_id"], metadata["env_args"], metadata["model"]) == (
        "echo", {"count": 3}, "m",
    )  # fmt: skip
    assert (metadata["num_examples"], metadata["rollouts_per_example"]) == (2, 2)
    assert (metadata["avg_reward"], metadata["avg_error"]) == (0.5, 0.0)
    assert metadata["avg_metrics"] == {"echoed": 0.5, "num_turns": 1.0}
    assert metadata["pass_at_k"] == {"1": 0.5, "2": 0.5}
    assert metadata["sampling_args"] == {"n": 1, "extra_body": {}, "max_tokens": 5}
    assert (metadata["shuffle"], metadata["shuffle_seed"]) == (False, None)
    assert metadata["path_to_save"] is None


async def test_examples_may_be_shuffled() -> None:
    chosen = [
        await environment(50).evaluate(
            Model(), "m", num_examples=5, shuffle=True, shuffle_seed=seed
        )
        for seed in (None, 0, 1)
    ]

    ids = [[row["example_id"] for row in results["outputs"]] for results in chosen]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] != [0, 1, 2, 3, 4]
    assert [results["metadata"]["shuffle_seed"] for results in chosen] == [0, 0, 1]


async def test_no_more_rollouts_are_in_flight_than_allowed() -> None:
    limited, unlimited = Model(), Model()

    await environment(20).evaluate(limited, "m", max_concurrent=4)
    await environment(20).evaluate(unlimited, "m")

    assert (limited.peak, unlimited.peak) == (4, 20)


async def test_the_limit_holds_for_the_members_of_groups() -> None:
    def spread(completions: list[Any]) -> list[float]:
        return [1.0] * len(completions)

    client = Model()

    results = await environment(4, rubric=Rubric([spread])).evaluate(
        client, "m", rollouts_per_example=4, max_concurrent=3
    )

    assert client.peak == 3
    assert states(results) == ["scored"] * 16


async def test_failures_are_rows() -> None:
    class Failing(SingleTurnEnv):
        async def setup_state(self, state: State) -> None:
            if state["example_id"] == 1:
                raise KeyError("board")

    rows = [{"question": f"q{n}"} for n in range(4)]
    client = Model(q2=[ModelError("down")])

    def judge(prompt: list[Message]) -> float:
        if prompt[0]["content"] == "q3":
            raise InfraError("no judge")
        return 1.0

    results = await Failing(dataset=rows, rubric=Rubric([judge])).evaluate(client, "m")

    assert states(results) == ["scored", "broken", "unmeasured", "generated"]
    assert [row["reward"] for row in results["outputs"]] == [1.0, None, None, None]
    errors = [(row["error"] or {}).get("error") for row in results["outputs"]]
    assert errors[:3] == [None, "KeyError", "ModelError"]
    assert results["outputs"][3]["completion"] == [{"role": "assistant", "content": "q3"}]
    metadata = results["metadata"]
    assert (metadata["avg_reward"], metadata["avg_error"]) == (1.0, 0.75)


async def test_once_the_endpoint_refuses_nothing_more_is_sent() -> None:
    client = Model(q0=[RejectedError("bad key")])

    results = await environment(9).evaluate(client, "m", max_concurrent=1)

    assert client.asked == ["q0"]
    assert states(results) == ["unmeasured"] * 9
    assert {row["error"]["message"] for row in results["outputs"]} == {"bad key"}


async def test_what_may_pass_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script_run, "FIRST_WAIT_SECONDS", 0.0)
    client = Model(
        q0=[InfraError("1"), InvalidModelResponseError("2")],
        q1=[ModelError("not this one")],
        q2=[InfraError("1"), InfraError("2"), InfraError("3")],
    )

    results = await environment().evaluate(client, "m", max_retries=2)

    assert states(results) == ["scored", "unmeasured", "unmeasured"]
    assert [client.asked.count(f"q{n}") for n in range(3)] == [3, 1, 3]
    assert results["outputs"][2]["error"]["message"] == "3"


async def test_code_that_cancels_its_rollout_is_a_bug() -> None:
    class Cancelling(SingleTurnEnv):
        async def setup_state(self, state: State) -> None:
            if state["example_id"] == 0:
                raise asyncio.CancelledError

    results = await Cancelling(dataset=[{"question": "q0"}, {"question": "q1"}]).evaluate(
        Model(), "m"
    )

    assert states(results) == ["broken", "scored"]
    assert results["outputs"][0]["error"]["error"] == "RuntimeError"


async def test_a_scoring_that_cancels_its_group_is_a_bug() -> None:
    def cancelling(completions: list[Any]) -> list[float]:
        raise asyncio.CancelledError

    results = await environment(1, rubric=Rubric([cancelling])).evaluate(
        Model(), "m", rollouts_per_example=2
    )

    assert states(results) == ["broken", "broken"]


async def test_a_cancelled_evaluation_cancels_its_rollouts() -> None:
    cleaned: list[int] = []
    began = asyncio.Event()

    class Hanging(SingleTurnEnv):
        async def setup_state(self, state: State) -> None:
            began.set()
            await asyncio.Event().wait()

        @cleanup
        async def note(self, state: State) -> None:
            cleaned.append(state["example_id"])

    hanging = Hanging(dataset=[{"question": "q"}, {"question": "r"}])
    task = asyncio.create_task(hanging.evaluate(Model(), "m"))
    await began.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(cleaned) == [0, 1]


async def test_a_group_is_scored_together() -> None:
    def place(completions: list[Any]) -> list[float]:
        return [float(number) for number in range(len(completions))]

    group = environment(rubric=Rubric([place]))
    row = group.get_dataset()[1]

    rows = await group.run_group([row] * 3, Model(), "m", {}, state_columns=["advantage"])

    assert [row["reward"] for row in rows] == [0.0, 1.0, 2.0]
    assert [row["advantage"] for row in rows] == [-1.0, 0.0, 1.0]


async def test_a_group_that_lacks_a_member_is_not_scored() -> None:
    def place(completions: list[Any]) -> list[float]:
        return [1.0] * len(completions)

    group = environment(1, rubric=Rubric([place]))
    row = group.get_dataset()[0]

    rows = await group.run_group([row] * 2, Model(q0=[ModelError("down")]), "m")

    assert sorted(row["state"] for row in rows) == ["generated", "unmeasured"]
    assert [row["reward"] for row in rows] == [None, None]


async def test_one_rollout_has_one_row() -> None:
    alone = environment()

    row = await alone.run_rollout(alone.get_dataset()[2], Model(), "m", state_columns=["task"])

    assert (row["example_id"], row["rollout"], row["reward"]) == (2, 0, 0.0)


async def test_state_columns_are_added_and_replace_nothing() -> None:
    class Noting(SingleTurnEnv):
        async def setup_state(self, state: State) -> None:
            state["board"] = {"x": 1}
            state["where"] = Path("somewhere")

    noting = Noting(dataset=[{"question": "q"}])
    results = await noting.evaluate(
        Model(), "m", state_columns=["board", "where", "absent", "trajectory", "error"]
    )

    (row,) = results["outputs"]
    assert (row["board"], row["where"], row["absent"]) == ({"x": 1}, Path("somewhere"), None)
    assert row["trajectory"][0].response.model == "served"
    assert row["error"] is None
    assert results["metadata"]["state_columns"][0] == "board"


async def test_without_scoring_rows_have_no_reward() -> None:
    unscored = environment(1)
    unscored.set_score_rollouts(False)

    results = await unscored.evaluate(Model(), "m")

    assert (states(results), results["outputs"][0]["reward"]) == (["generated"], None)


async def test_each_example_of_a_group_is_scored_as_its_member_says() -> None:
    def place(completions: list[Any]) -> list[float]:
        return [0.25] * len(completions)

    group = EnvGroup([environment(1), environment(1, rubric=Rubric([place]))])

    results = await group.evaluate(Model(), "m", rollouts_per_example=2)

    assert [row["reward"] for row in results["outputs"]] == [1.0, 1.0, 0.25, 0.25]
    assert results["outputs"][2]["info"] == {"n": 0, "env_id": "env_1"}
    assert set(results["outputs"][2]["metrics"]) == {"place", "num_turns"}


async def test_results_are_saved_where_they_shall_be(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"

    results = await environment().evaluate(
        Model(), "m", results_path=folder, state_columns=["trajectory"]
    )

    rows = list(read_rows(folder))
    assert [row["reward"] for row in rows] == [1.0, 0.0, 0.0]
    assert all(isinstance(row["trajectory"], list) for row in rows)
    assert len((folder / "results.jsonl").read_text().splitlines()) == 3
    saved = read_metadata(folder)
    assert saved == {
        name: value
        for name, value in results["metadata"].items()
        if name not in ("date", "path_to_save")
    }
    assert results["metadata"]["path_to_save"] == str(folder)
    with pytest.raises(SetupError, match="holds a run already"):
        await environment().evaluate(Model(), "m", results_path=folder)


async def test_results_are_saved_below_outputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    saved = await environment().evaluate(Model(), "owner/m", save_results=True)
    await environment().evaluate(Model(), "m")

    (folder,) = (tmp_path / "outputs" / "evals").glob("*/*")
    assert folder.parent.name == "echo--owner--m"
    assert saved["metadata"]["path_to_save"] == str(folder)


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([], "not empty"),
        ("q", "list of rows"),
        ([{"question": "q"}], r"inputs\[0\] has no example_id"),
        ([{"example_id": "x"}], r"inputs\[0\] has no example_id"),
    ],
)
async def test_inputs_must_be_examples(inputs: Any, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        await environment().generate(inputs, Model(), "m")


async def test_arguments_that_make_no_sense_are_refused() -> None:
    with pytest.raises(SetupError, match="rollouts_per_example is 0"):
        await environment().evaluate(Model(), "m", rollouts_per_example=0)
    with pytest.raises(SetupError, match="client is NoneType"):
        await environment().evaluate(None, "m")
    with pytest.raises(TypeError, match="max_concurent"):
        await environment().evaluate(Model(), "m", max_concurent=3)


class SupportsToList:
    def to_list(self) -> Any:
        return environment().get_dataset().to_list()


def test_in_a_script_it_is_waited_for() -> None:
    script = environment()
    script.set_concurrency(2)

    evaluated = script.evaluate_sync(Model(), "m", num_examples=1)
    generated = script.generate_sync(SupportsToList(), client=Model(), model="m")

    assert evaluated["metadata"]["avg_reward"] == 1.0
    assert len(generated["outputs"]) == 3


def test_in_a_script_nothing_is_being_handled_while_it_runs() -> None:
    handled: list[Any] = []

    def look(completion: Any) -> float:
        handled.append(sys.exc_info()[0])
        return 1.0

    environment(rubric=Rubric([look])).evaluate_sync(Model(), "m", num_examples=1)

    assert handled == [None]


async def test_in_a_notebook_it_is_waited_for() -> None:
    """A loop runs already there, as it does here."""
    notebook = environment()
    notebook.set_concurrency(2)

    assert notebook.evaluate_sync(Model(), "m")["metadata"]["num_examples"] == 3
    with pytest.raises(SetupError, match="not empty"):
        notebook.generate_sync([], Model(), "m")


class Adding(MultiTurnEnv):
    async def env_response(self, messages: Any, state: State, **kwargs: Any) -> Any:
        return "What is 1 + 1?"


@pytest.mark.parametrize("form", ["config", "openai"])
async def test_the_client_may_be_given_as_an_address(form: str) -> None:
    adding = Adding(dataset=[{"question": "What is 17 + 25?"}], max_turns=2)
    with DemoServer() as server:
        if form == "config":
            results = await adding.evaluate({"api_base_url": server.url}, "demo-small")
        else:
            openai = pytest.importorskip("openai")
            async with openai.AsyncOpenAI(api_key="none", base_url=server.url) as sdk:
                results = await adding.evaluate(sdk, "demo-small")
        assert server.requests == 2

    (row,) = results["outputs"]
    assert (row["state"], row["num_turns"], len(row["completion"])) == ("scored", 2.0, 3)
    assert results["metadata"]["base_url"] == server.url
