"""The environments of example_envs, rolled out by the demo model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.environments.environment import Environment
from pytest_evals.environments.loading import load_environment
from pytest_evals.environments.location import find_environment

FOLDER = Path(__file__).resolve().parents[2] / "example_envs"
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def server() -> Iterator[DemoServer]:
    with DemoServer() as server:
        yield server


@pytest.fixture(autouse=True)
def judge(server: DemoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HAIKU_JUDGE_MODEL", "demo-large")
    monkeypatch.setenv("HAIKU_JUDGE_URL", server.url)


def load(name: str, **env_args: Any) -> Environment:
    location = find_environment(name, env_dir=FOLDER, config_dir=None)
    return load_environment(name, location, **env_args)


async def roll_out(
    environment: Environment,
    server: DemoServer,
    *,
    examples: int = 24,
    rollouts: int = 1,
    model: str = "demo-small",
    seed: int = 1,
) -> Rows:
    """Return the rows of an evaluation, all of them scored."""
    client = {"api_base_url": server.url, "api_key_var": "EMPTY"}
    results = await environment.evaluate(
        client, model, {"seed": seed}, num_examples=examples, rollouts_per_example=rollouts
    )
    await environment.teardown()
    rows: Rows = results["outputs"]
    assert [row["error"] for row in rows] == [None] * len(rows)
    return rows


def average(rows: Rows, name: str = "reward") -> float:
    return mean(float(row[name]) for row in rows)


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("wordle", 0.6, 0.97),
        ("calculator", 0.4, 0.9),
        ("ledger", 0.5, 0.95),
        ("haiku_judge", 0.3, 0.95),
        ("best_of", 0.4, 0.95),
        ("math_python", 0.5, 0.97),
    ],
)
async def test_each_is_played_well_enough_to_be_interesting(
    server: DemoServer, name: str, low: float, high: float
) -> None:
    rows = await roll_out(load(name), server)
    again = await roll_out(load(name), server, examples=8)

    assert low <= average(rows) <= high
    assert len({row["reward"] for row in rows}) > 1
    assert [row["reward"] for row in rows[:8]] == [row["reward"] for row in again]
    assert [row["completion"] for row in rows[:8]] == [row["completion"] for row in again]


@pytest.mark.parametrize("name", ["wordle", "calculator", "ledger", "math_python"])
async def test_the_larger_model_plays_better(server: DemoServer, name: str) -> None:
    small = await roll_out(load(name), server, examples=40)
    large = await roll_out(load(name), server, examples=40, model="demo-large")
    assert average(small) < average(large)


async def test_wordle_ends_with_the_word_or_the_sixth_guess(server: DemoServer) -> None:
    rows = await roll_out(load("wordle"), server, examples=40)

    assert {row["stop_condition"] for row in rows} == {"word_found", "max_turns_reached"}
    for row in rows:
        assert (row["stop_condition"] == "word_found") == (row["solved"] == 1.0)
        guesses = [m for m in row["completion"] if m["role"] == "assistant"]
        hints = [m["content"] for m in row["completion"] if m["role"] == "user"]
        assert len(guesses) == row["num_turns"] == len(hints) + 1 <= 6
        assert all(hint.endswith("left.") for hint in hints)


async def test_calculator_calls_tools_and_uses_their_results(server: DemoServer) -> None:
    rows = await roll_out(load("calculator"), server, examples=48)
    calls = [
        [json.loads(call) if isinstance(call, str) else call for call in m["tool_calls"]]
        for row in rows
        for m in row["completion"]
        if m.get("tool_calls")
    ]
    results = [m["content"] for row in rows for m in row["completion"] if m["role"] == "tool"]

    assert any(len(together) == 2 for together in calls), "no calls in one message"
    assert any(result.endswith("_tool'") for result in results), "no unknown tool"
    assert any("argument" in result for result in results), "no wrong arguments"
    assert average(rows, "total_tool_calls") > 2
    solved = [row for row in rows if row["reward"]]
    assert mean(row["total_tool_calls"] > 1 for row in solved) > 0.9


async def test_ledgers_are_not_shared(server: DemoServer) -> None:
    environment = load("ledger")
    rows = await roll_out(environment, server, examples=8, rollouts=3)

    assert {"ledger"} & {
        name for tool in environment.tool_defs or () for name in tool.parameters["properties"]
    } == set()
    by_example = Counter((row["example_id"], row["reward"]) for row in rows)
    assert set(by_example.values()) == {3}


async def test_haiku_are_judged_by_the_model_that_was_named(server: DemoServer) -> None:
    before = len(server.bodies)
    rows = await roll_out(load("haiku_judge"), server, examples=8)
    asked = Counter(body["model"] for body in server.bodies[before:])
    judged = [
        body["messages"][0]["content"]
        for body in server.bodies[before:]
        if body["model"] == "demo-large"
    ]

    assert asked["demo-small"] == 8
    assert 0 < asked["demo-large"] <= 8
    assert all("Write a haiku about" in question for question in judged)
    assert 0.0 < average(rows) < 1.0


async def test_a_judge_that_is_away_leaves_haiku_unmeasured(
    server: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    import openai

    with DemoServer(status=503) as away:
        monkeypatch.setenv("HAIKU_JUDGE_URL", away.url)
        environment = load("haiku_judge")
        judge, _turns = environment.rubric.rubrics  # type: ignore[attr-defined]
        client = judge.judge_client
        assert isinstance(client, openai.AsyncOpenAI)
        client.max_retries = 0
        given = {"api_base_url": server.url, "api_key_var": "EMPTY"}
        results = await environment.evaluate(given, "demo-small", num_examples=6)
        await environment.teardown()

    judged = [row for row in results["outputs"] if "<haiku>" in str(row["completion"])]
    assert len(judged) >= 4
    assert {row["reward"] for row in judged} == {None}
    assert all("JudgeError" in str(row["error"]) for row in judged)


async def test_best_of_compares_the_rollouts_of_a_group(server: DemoServer) -> None:
    environment = load("best_of")
    rows = await roll_out(environment, server, examples=20)
    states = [
        {"completion": [{"role": "assistant", "content": f"<slogan>{text}</slogan>"}]}
        for text in ("tea for you", "tea", "tea", "coffee", "tea " * 9)
    ]
    completions = [state["completion"] for state in states]
    infos = [{"topic": "tea"}] * len(states)
    together = environment.rubric.functions[1](completions=completions, infos=infos)

    assert together == [0.0, 1.0, 1.0, 0.0, 0.0]
    # Alone, every correct slogan is the best of its group.
    assert [row["best_of_group"] for row in rows] == [row["correct"] for row in rows]


def test_the_tour_is_green(tmp_path: Path) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("HAIKU_", "PYTEST_"))}
    tour = str(FOLDER / "tour.evals.toml")
    command = [sys.executable, "-m", "pytest", tour, "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "not gated" not in done.stdout
    runs = [
        json.loads(path.read_text()) for path in tmp_path.glob("outputs/evals/*/*/metadata.json")
    ]
    assert len(runs) == 7
    assert all(0 < run["avg_reward"] < 1 for run in runs)


@pytest.mark.parametrize("allow_code", [False, True])
async def test_math_python_works_in_both_ways(server: DemoServer, allow_code: bool) -> None:
    rows = await roll_out(load("math_python", allow_code=allow_code), server, examples=12)
    results = [m["content"] for row in rows for m in row["completion"] if m["role"] == "tool"]

    assert 0.5 <= average(rows) <= 1.0
    assert any("not defined" in text or "no output" in text for text in results), "no bugs"
