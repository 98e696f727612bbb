"""DeadWorkers: the rows of workers that died, as far as they are needed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_evals.plugin.xdist.dead_workers import DeadWorkers
from pytest_evals.store.run_folder import RunFolder


class Run:
    """What is used of a run."""

    stored = None
    nodeid = "bench.toml::sums"
    noting_problems = contextlib.nullcontext

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder


@pytest.fixture
def run(tmp_path: Path) -> Any:
    return Run(RunFolder.create(tmp_path, name="sums", model="demo", mask=str))


def _write(run: Any, worker: str, *rows: tuple[int, str], end: str = "") -> list[str]:
    lines = [
        json.dumps({"example_id": number, "rollout": 0, "state": state}) + "\n"
        for number, state in rows
    ]
    path = run.folder.path / f"results.{worker}.jsonl"
    path.write_text("".join(lines) + end)
    return lines


def _dead_workers(run: Any) -> DeadWorkers:
    plans: Any = {run.nodeid: SimpleNamespace(scores_groups=False)}
    return DeadWorkers(plans, {index: (run, (index, 0)) for index in range(4)})


def test_only_what_has_not_reported_is_kept(run: Any) -> None:
    dead = _dead_workers(run)
    dead.reported(0)
    lines = _write(
        run, "gw0", (0, "generated"), (0, "scored"), (1, "generated"), (1, "scored"), end='{"torn'
    )
    dead.bury("gw0", [run])
    assert dead.replays([0, 1, 2]) == {1: lines[-1]}
    dead.reported(1)
    assert dead.replays([0, 1, 2]) == {}
    assert (run.folder.path / "results.jsonl").read_text() == "".join(lines)
    assert not (run.folder.path / "results.gw0.jsonl").exists()


def test_a_group_that_is_scored_in_part_has_all_its_answers(run: Any) -> None:
    plans: Any = {run.nodeid: SimpleNamespace(scores_groups=True)}
    dead = DeadWorkers(plans, {index: (run, (0, index)) for index in range(2)})
    rows = [
        {"example_id": 0, "rollout": rollout, "state": state}
        for rollout, state in ((0, "generated"), (1, "generated"), (0, "scored"))
    ]
    lines = [json.dumps(row) + "\n" for row in rows]
    (run.folder.path / "results.gw0.jsonl").write_text("".join(lines))
    dead.bury("gw0", [run])
    assert dead.replays([0, 1]) == {0: lines[0], 1: lines[1]}
