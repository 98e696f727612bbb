"""What is on disk when: an answer before it is scored, a row before its result is delivered."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.engine.rollouts import RolloutResult
from pytest_evals.engine.run import EvalRun
from pytest_evals.errors import InfraError, ModelError
from pytest_evals.state import State
from pytest_evals.store.rows import RESULTS_FILE

from .bench import Bench, FakeClient, Scripted, agreeable, jobs_of, rows_of, single_turn


def row_of(run: EvalRun, key: tuple[int, int]) -> dict[str, Any] | None:
    for row in rows_of(run):
        if (row["example_id"], row["rollout"]) == key:
            return row
    return None


def test_the_answer_is_on_disk_before_it_is_scored(bench: Bench) -> None:
    seen: list[dict[str, Any] | None] = []

    def reward(state: Any) -> float:
        seen.append(row_of(run, (state["example_id"], 0)))
        return 1.0

    run = bench.run(single_turn(2, reward), bench.endpoint(lambda: FakeClient(agreeable)))
    bench.measure(run, limit=1)

    assert [row and (row["state"], row["reward"]) for row in seen] == [("generated", None)] * 2
    assert [row and row["completion"][0]["content"] for row in seen] == ["fine: q0", "fine: q1"]


def test_the_scored_row_is_on_disk_before_it_is_delivered(bench: Bench) -> None:
    seen: dict[tuple[int, int], dict[str, Any] | None] = {}
    bench.on_delivery = lambda result: seen.update({result.key: row_of(result.run, result.key)})
    run = bench.run(
        single_turn(2),
        bench.endpoint(lambda: FakeClient(agreeable)),
        rollouts_per_example=2,
        pass_threshold=1.0,
    )
    bench.measure(run)

    assert set(seen) == {(0, 0), (0, 1), (1, 0), (1, 1)}
    for row in seen.values():
        assert row is not None
        assert (row["state"], row["reward"], row["correct"]) == ("scored", 1.0, True)
        assert row["prediction"].startswith("fine")


def test_failures_are_on_disk_before_they_are_delivered(bench: Bench) -> None:
    seen: list[tuple[str, str, str | None]] = []

    def note(result: RolloutResult) -> None:
        row = row_of(result.run, result.key)
        assert row is not None
        seen.append((row["state"], row["error"]["message"], row["error"].get("refers_to")))

    def reply(text: str) -> str:
        error = ModelError("no route to host")
        error.requests = 4
        raise error

    bench.on_delivery = note
    run = bench.run(single_turn(3), bench.endpoint(lambda: FakeClient(reply)), "gsm8k")
    bench.measure(run, limit=1)

    assert seen == [
        ("unmeasured", "no route to host", None),
        ("unmeasured", "no route to host", "gsm8k::0-r0"),  # never tried, a row all the same
        ("unmeasured", "no route to host", "gsm8k::0-r0"),
    ]


def test_a_failure_is_one_line(bench: Bench) -> None:
    def step(state: State) -> State:
        state["error"] = InfraError("no box")
        return state

    run = bench.run(Scripted(step, count=1), bench.endpoint(lambda: FakeClient(agreeable)))
    bench.measure(run)

    (line,) = (run.folder.path / RESULTS_FILE).read_text().splitlines()
    row = json.loads(line)
    assert (row["state"], row["completion"][0]["content"]) == ("unmeasured", "fine: q0")


def test_each_line_is_whole_and_the_last_one_counts(bench: Bench) -> None:
    run = bench.run(single_turn(3), bench.endpoint(lambda: FakeClient(agreeable)))
    bench.measure(run)

    text = (run.folder.path / RESULTS_FILE).read_text()
    states = [json.loads(line)["state"] for line in text.splitlines()]
    assert sorted(states) == ["generated"] * 3 + ["scored"] * 3
    assert [row["state"] for row in rows_of(run)] == ["scored"] * 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is always full")
def test_a_full_disk_breaks_its_own_run_and_no_other(bench: Bench) -> None:
    scored: list[str] = []

    def reward(prompt: Any) -> float:
        scored.append(prompt[-1]["content"])
        return 1.0

    endpoint = bench.endpoint(lambda: FakeClient(agreeable))
    full = bench.run(single_turn(2, reward, prefix="full"), endpoint, "full")
    (full.folder.path / RESULTS_FILE).symlink_to("/dev/full")
    roomy = bench.run(single_turn(2, reward, prefix="roomy"), endpoint, "roomy")
    bench.start(limit=1).submit([*jobs_of(full), *jobs_of(roomy)])
    results = bench.take_all(4)

    assert [result.outcome for result in results] == ["broken", "broken", "scored", "scored"]
    assert scored == ["roomy0", "roomy1"]  # no judge is paid for a row that cannot be kept
    for result in results[:2]:
        assert isinstance(result.error, OSError)
        assert result.error.errno == errno.ENOSPC
        assert result.error.filename == str(full.folder.path / RESULTS_FILE)
        assert (result.reward, result.metrics) == (None, {})


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full", "results.jsonl"), ValueError("closed")]
)
def test_a_score_that_cannot_be_kept_does_not_count(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    run = bench.run(single_turn(2), bench.endpoint(lambda: FakeClient(agreeable)))
    append = run.folder.append

    def fills_up(line: str) -> None:
        if '"state": "scored"' in line and '"example_id": 0' in line:
            raise error
        append(line)

    monkeypatch.setattr(run.folder, "append", fills_up)
    results = bench.measure(run, limit=1)

    assert results[0, 0].outcome == "broken"
    assert results[0, 0].error is error
    assert (results[0, 0].reward, results[0, 0].metrics) == (None, {})
    assert results[1, 0].outcome == "scored"
    assert [row["state"] for row in rows_of(run)] == ["generated", "scored"]
