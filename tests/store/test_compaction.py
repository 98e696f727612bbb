"""Compaction: one row per rollout, and the journal untouched when it fails."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.store.compaction import compacted_rows
from pytest_evals.store.reading import read_rows
from pytest_evals.store.run_folder import RunFolder


def line(example_id: int, rollout: int = 0, **keys: Any) -> str:
    row = {"example_id": example_id, "rollout": rollout, "state": "scored", **keys}
    return json.dumps(row) + "\n"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_last_line_of_each_rollout_stays_byte_for_byte(run: RunFolder) -> None:
    odd = '{"example_id":2,   "rollout":0, "state":"scored", "x": 1.50}\n'
    for text in [line(3), line(1, 1), odd.replace("1.50", "0"), line(1, 0), odd]:
        run.append(text)
    run.compact()
    expected = line(1, 0) + line(1, 1) + odd + line(3)
    assert (run.path / "results.jsonl").read_text() == expected
    assert names(run.path) == ["results.jsonl"]

    run.compact()
    assert (run.path / "results.jsonl").read_text() == expected


def test_rows_can_be_appended_after_it(run: RunFolder) -> None:
    run.append(line(1, reward=0))
    run.compact()
    run.append(line(1, reward=1))
    run.append(line(2, reward=2))
    assert [row["reward"] for row in read_rows(run.path)] == [1, 2]
    run.close()
    run.compact()
    assert len((run.path / "results.jsonl").read_text().splitlines()) == 2


def test_a_folder_without_rows_stays_empty(run: RunFolder) -> None:
    run.compact()
    assert names(run.path) == []


def test_the_rows_of_workers_are_merged(tmp_path: Path) -> None:
    (tmp_path / "results.gw0.jsonl").write_text(line(2) + line(0) + line(5)[:-9])
    (tmp_path / "results.gw1.jsonl").write_text(line(1)[:-1])
    list(compacted_rows(tmp_path))
    assert (tmp_path / "results.jsonl").read_text() == line(0) + line(1) + line(2)
    assert names(tmp_path) == ["results.jsonl"]


def test_lines_that_are_no_rows_go_and_are_told(run: RunFolder) -> None:
    run.append(line(1))
    run.append("garbage\n")
    problems: list[str] = []
    run.compact(problems.append)
    assert len(problems) == 1
    assert (run.path / "results.jsonl").read_text() == line(1)


def test_rows_of_verifiers_keep_their_rollouts(tmp_path: Path) -> None:
    rows = [{"example_id": 1, "reward": 0.25}, {"example_id": 0, "reward": 0.5}]
    rows += [{"example_id": 1, "reward": 0.75}]
    (tmp_path / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    before = list(read_rows(tmp_path))
    list(compacted_rows(tmp_path))
    assert list(read_rows(tmp_path)) == before
    assert [row["reward"] for row in before] == [0.5, 0.25, 0.75]


@pytest.mark.parametrize("at_fault", ["replace", "open"])
def test_a_failure_leaves_the_journal_as_it_was(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, at_fault: str
) -> None:
    (run.path / "results.gw0.jsonl").write_text(line(9))
    for rollout in (0, 0, 1):
        run.append(line(1, rollout))
    before = (run.path / "results.jsonl").read_bytes()
    original = getattr(Path, at_fault)

    def fail(self: Path, *args: Any) -> Any:
        if self.name.endswith(".tmp"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return original(self, *args)

    monkeypatch.setattr(Path, at_fault, fail)
    with pytest.raises(OSError, match=r"No space left on device: '.*/results\.jsonl'"):
        run.compact()
    monkeypatch.undo()

    assert (run.path / "results.jsonl").read_bytes() == before
    assert names(run.path) == ["results.gw0.jsonl", "results.jsonl"]
    run.append(line(2))
    assert len(list(read_rows(run.path))) == 4


def test_what_a_killed_compaction_left_does_no_harm(run: RunFolder) -> None:
    run.append(line(1))
    (run.path / "results.jsonl.tmp").write_text(line(1)[:7])
    assert len(list(read_rows(run.path))) == 1
    run.compact()
    assert names(run.path) == ["results.jsonl"]
