"""Rollouts that were generated before are scored from their rows; the model is not asked again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_evals.engine.run import EvalRun
from pytest_evals.errors import ModelError
from pytest_evals.state import State

from .bench import Bench, FakeClient, Scripted, agreeable, jobs_of, rows_of, single_turn


def length(completion: Any) -> float:
    return len(completion[-1]["content"]) / 10


def generate(bench: Bench, run: EvalRun) -> dict[tuple[int, int], str]:
    """Return the lines that a session left that was killed before it scored anything."""
    run.environment.set_score_rollouts(False)
    assert {result.outcome for result in bench.measure(run).values()} == {"generated"}
    run.environment.set_score_rollouts(True)
    text = (run.folder.path / "results.jsonl").read_text()
    lines = text.splitlines(keepends=True)
    return {job.key: line for job, line in zip(jobs_of(run), lines, strict=True)}


def score_stored(bench: Bench, run: EvalRun, lines: dict[tuple[int, int], str]) -> list[Any]:
    jobs = [replace(job, stored=lines.get(job.key)) for job in jobs_of(run)]
    bench.start().submit(jobs)
    return sorted(bench.take_all(len(jobs)), key=lambda result: result.key)


def test_they_are_scored_without_a_request(bench: Bench) -> None:
    client = FakeClient(agreeable)
    run = bench.run(single_turn(3, length), bench.endpoint(lambda: client))
    lines = generate(bench, run)
    before = rows_of(run)
    assert len(client.asked) == 3
    results = score_stored(bench, run, lines)
    assert len(client.asked) == 3
    assert [result.reward for result in results] == [0.8, 0.8, 0.8]
    assert [result.output_tokens for result in results] == [3, 3, 3]
    for row, was in zip(rows_of(run), before, strict=True):
        assert (row["state"], row["reward"], row["metrics"]["length"]) == ("scored", 0.8, 0.8)
        assert row["metrics"]["num_turns"] == 1.0
        same = ("prompt", "completion", "attempts", "served_model", "token_usage", "trajectory_id")
        assert [row[key] for key in same] == [was[key] for key in same]
        assert row["timing"]["generation"] == was["timing"]["generation"]
        assert row["timing"]["total"] > 0
        assert "unscored" not in row


def test_groups_of_which_some_are_stored_are_scored_together(bench: Bench) -> None:
    def rank(completions: list[Any]) -> list[float]:
        assert len(completions) == 3
        return [0.1 * place for place, _ in enumerate(completions)]

    client = FakeClient(agreeable)
    run = bench.run(single_turn(1, rank), bench.endpoint(lambda: client), rollouts_per_example=3)
    lines = generate(bench, run)
    del lines[0, 1]
    results = score_stored(bench, run, lines)
    assert len(client.asked) == 3 + 1
    assert [result.reward for result in results] == pytest.approx([0.0, 0.1, 0.2])


def test_the_model_is_asked_again_where_scoring_needs_what_is_not_stored(bench: Bench) -> None:
    def play(state: State) -> State:
        state["game"] = object()
        return state

    async def won(state: State) -> float:
        return float(state["game"] is not None)

    client = FakeClient(agreeable)
    environment = Scripted(play, count=2)
    environment.rubric.add_reward_func(won)
    run = bench.run(environment, bench.endpoint(lambda: client), rollouts_per_example=2)
    lines = generate(bench, run)
    del lines[1, 1]
    results = score_stored(bench, run, lines)
    assert [result.outcome for result in results] == ["scored"] * 4
    assert len(client.asked) == 4 + 4
    assert {row["state"] for row in rows_of(run)} == {"scored"}


def test_so_is_the_whole_of_a_group(bench: Bench) -> None:
    def play(state: State) -> State:
        state["game"] = object()
        return state

    def won(states: list[State]) -> list[float]:
        return [float(state["game"] is not None) for state in states]

    client = FakeClient(agreeable)
    environment = Scripted(play, count=1)
    environment.rubric.add_reward_func(won)
    run = bench.run(environment, bench.endpoint(lambda: client), rollouts_per_example=2)
    lines = generate(bench, run)
    del lines[0, 1]
    results = score_stored(bench, run, lines)
    assert [result.outcome for result in results] == ["scored"] * 2
    assert len(client.asked) == 2 + 1 + 2


def test_mistakes_that_count_as_zero_do_not_cover_it(bench: Bench) -> None:
    def play(state: State) -> State:
        state["game"] = object()
        return state

    def won(state: State) -> float:
        return float(state["game"] is not None)

    client = FakeClient(agreeable)
    environment = Scripted(play, count=1)
    environment.rubric.add_reward_func(won)
    environment.rubric.reward_errors = "zero"
    run = bench.run(environment, bench.endpoint(lambda: client))
    (result,) = score_stored(bench, run, generate(bench, run))
    assert (result.outcome, result.reward) == ("scored", 2.0)
    assert len(client.asked) == 2


def test_lines_that_are_no_rows_are_asked_for(bench: Bench) -> None:
    client = FakeClient(agreeable)
    run = bench.run(single_turn(2, length), bench.endpoint(lambda: client))
    results = score_stored(bench, run, {(0, 0): "torn", (1, 0): "{}\n"})
    assert [result.outcome for result in results] == ["scored"] * 2
    assert len(client.asked) == 2


def test_what_was_generated_stays_on_disk_when_its_endpoint_is_given_up(bench: Bench) -> None:
    client = FakeClient(agreeable)
    endpoint = bench.endpoint(lambda: client)
    run = bench.run(single_turn(3, length), endpoint)
    lines = generate(bench, run)
    engine = bench.start(limit=1)
    engine.give_up(endpoint, ModelError("gone"))
    engine.submit([replace(job, stored=lines[job.key]) for job in jobs_of(run)])
    assert {result.outcome for result in bench.take_all(3)} == {"unmeasured"}
    for row in rows_of(run):
        assert row["state"] == "generated"
        assert row["completion"]
