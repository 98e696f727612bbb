"""What is left of a run that goes on: rows of every dialect and age, whole and broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.store.reading import read_rows
from pytest_evals.store.run_folder import RunFolder
from pytest_evals.store.stored_rows import StoredRows, Wanted, take_over

LATE = {"error": None, "timing": {"generation": {"start": 1.0, "end": 2.0, "duration": 1.0}}}


def own(example: int, rollout: int, state: str = "scored", **more: Any) -> dict[str, Any]:
    reward = 0.5 if state == "scored" else None
    return {
        "example_id": example, "rollout": rollout, "completion": [], "reward": reward,
        "correct": None, "error": None, "metrics": {}, "state": state, **more,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def write(folder: Path, *rows: dict[str, Any] | str, name: str = "results.jsonl") -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows]
    (folder / name).write_text("".join(lines))


def rows_in(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]


@pytest.fixture(autouse=True)
def opened() -> Iterator[list[StoredRows]]:
    _opened.clear()
    yield _opened
    for rows in _opened:
        rows.close()


_opened: list[StoredRows] = []


def taken(folder: Path, rollouts: int = 2, **wanted: Any) -> StoredRows:
    rows = take_over(folder, Wanted(rollouts, **wanted))
    _opened.append(rows)
    return rows


def test_scored_rows_are_done_and_generated_ones_have_only_to_be_scored(folder: Path) -> None:
    states = ["scored", "generated", "unmeasured", "broken"]
    write(folder, *(own(number, 0, state) for number, state in enumerate(states)))
    rows = taken(folder)
    assert [rows.is_done((number, 0)) for number in range(4)] == [True, False, False, False]
    assert json.loads(rows.done((0, 0)) or "")["reward"] == 0.5
    assert rows.done((2, 0)) is None
    assert json.loads(rows.generated((1, 0)) or "")["state"] == "generated"
    assert rows.generated((0, 0)) is None
    assert (rows.num_done, rows.num_generated, list(rows.notices)) == (1, 1, [])
    assert not list(folder.glob("*.bak"))


def test_errors_are_done_by_the_rule_of_verifiers(folder: Path) -> None:
    write(folder, own(0, 0, "unmeasured"), own(1, 0, "broken"))
    assert taken(folder, keeps_errors=True).num_done == 2


def test_rows_of_workers_are_merged_and_their_files_go(folder: Path) -> None:
    write(folder, own(0, 0, "generated"), own(1, 0))
    write(folder, own(0, 0), own(2, 1), name="results.gw0.jsonl")
    rows = taken(folder)
    assert rows.num_done == 3
    assert [path.name for path in folder.iterdir()] == ["results.jsonl"]
    assert len(rows_in(folder)) == 3


def test_what_is_appended_later_does_not_disturb(folder: Path) -> None:
    write(folder, own(0, 0), own(1, 0))
    rows = taken(folder)
    run = RunFolder(folder, lambda text: text)
    run.append(json.dumps(own(2, 0)) + "\n")
    run.compact()
    run.close()
    assert json.loads(rows.done((1, 0)) or "")["example_id"] == 1
    assert len(rows_in(folder)) == 3
    rows.close()
    rows.close()


def test_an_empty_run(folder: Path) -> None:
    assert taken(folder).num_done == 0
    write(folder)
    assert taken(folder).num_done == 0


def test_a_torn_last_line_is_dropped_in_silence(folder: Path) -> None:
    write(folder, own(0, 0), json.dumps(own(1, 0))[:-9])
    rows = taken(folder)
    assert (rows.num_done, list(rows.notices)) == (1, [])


def test_malformed_lines_are_told_and_kept_beside(folder: Path) -> None:
    before: list[dict[str, Any] | str] = [
        own(0, 0),
        "{torn\n",
        "[]\n",
        '{"reward": 1}\n',
        "\n",
        own(1, 0),
    ]
    write(folder, *before)
    text = (folder / "results.jsonl").read_text()
    rows = taken(folder)
    assert rows.num_done == 2
    assert [":2: skipped" in line for line in rows.notices] == [True, False, False]
    assert (folder / "results.jsonl.bak").read_text() == text
    write(folder, *before)
    assert taken(folder).num_done == 2
    assert (folder / "results.jsonl.bak2").exists()


def test_duplicates_the_last_counts_and_rows_beyond_the_plan_go(folder: Path) -> None:
    write(folder, own(0, 0), own(0, 0, reward=1.0), own(0, 2), own(0, -1), own(9, 0))
    rows = taken(folder, planned={(0, 0), (0, 1)})
    assert rows.num_done == 1
    assert json.loads(rows.done((0, 0)) or "")["reward"] == 1.0
    assert rows.notices == ["3 rows are not of this eval, or of groups that must be redone"]
    assert (folder / "results.jsonl.bak").exists()


def test_a_scored_row_without_a_reward_is_redone(folder: Path) -> None:
    write(folder, own(0, 0, reward=None), own(0, 1, reward="high"), own(1, 0, reward=True))
    rows = taken(folder)
    assert rows.num_done == 0
    assert len(rows.notices) == 3


class TestRowsOfVerifiers:
    """Files of the versions that the format went through."""

    def test_late(self, folder: Path) -> None:
        write(
            folder,
            {"example_id": 3, "reward": 1.0, "metrics": {"exact": 1.0}, "exact": 1.0, **LATE},
            {"example_id": 3, "reward": 0.0, **LATE, "error": {"error": "ModelError"}},
            {"example_id": 3, "reward": 0.25, **LATE},
            {"example_id": 3, "reward": 0.75, **LATE},
        )
        rows = taken(folder, 3)
        assert [rows.is_done((3, number)) for number in range(4)] == [True, False, True, False]
        written = rows_in(folder)
        assert [row["rollout"] for row in written] == [0, 1, 2]
        assert [row["state"] for row in written] == ["scored", "unmeasured", "scored"]
        assert written[0]["metrics"] == {"exact": 1.0}

    def test_a_redone_rollout_replaces_its_row_and_no_other(self, folder: Path) -> None:
        failed = {"example_id": 3, "reward": 0.0, **LATE, "error": {"error": "ModelError"}}
        write(folder, failed, {"example_id": 3, "reward": 0.25, **LATE})
        taken(folder)
        run = RunFolder(folder, lambda text: text)
        run.append(json.dumps(own(3, 0, reward=1.0)) + "\n")
        run.compact()
        run.close()
        assert [(row["rollout"], row["reward"]) for row in read_rows(folder)] == [
            (0, 1.0),
            (1, 0.25),
        ]

    def test_seed_with_flat_times(self, folder: Path) -> None:
        timing = {"generation_ms": 1500.0, "scoring_ms": 500.0, "total_ms": 2e3, "start_time": 10.0}
        row = {"example_id": 0, "task": "x", "reward": 1.0, "error": None, "timing": timing}
        write(folder, row)
        taken(folder)
        (written,) = rows_in(folder)
        assert written["timing"]["generation"] == {"start": 10.0, "end": 11.5, "duration": 1.5}
        assert written["timing"]["scoring"]["end"] == written["timing"]["total"] + 10.0 == 12.0
        assert written["task"] == "x"

    def test_of_2025_with_metrics_and_times_at_top_level(self, folder: Path) -> None:
        row = {
            "id": 4, "prompt": [], "completion": [], "reward": 0.5, "generation_ms": 100.0,
            "scoring_ms": 0.0, "total_ms": 100.0, "exact": 1, "judged": False, "answer": "5",
        }  # fmt: skip
        write(folder, row)
        assert taken(folder).is_done((4, 0))
        (written,) = rows_in(folder)
        assert (written["example_id"], written["metrics"]) == (4, {"exact": 1})
        assert written["timing"]["generation"]["duration"] == pytest.approx(0.1)
        assert written["answer"] == "5"


class TestGroups:
    """Rollouts whose rewards depend on each other are scored as a whole group."""

    KEPT: dict[str, Any] = {"unscored": {"steps": []}}  # noqa: RUF012 - never written to

    def test_a_whole_group_is_done(self, folder: Path) -> None:
        write(folder, own(0, 0), own(0, 1))
        assert taken(folder, scores_groups=True).num_done == 2

    def test_a_member_that_kept_its_state_is_scored_with_those_that_are_redone(
        self, folder: Path
    ) -> None:
        metrics: dict[str, Any] = {"metrics": {"m": 1.0}, "m": 1.0, "reward_errors": ["m: x"]}
        write(folder, own(0, 0, **metrics, **self.KEPT), own(0, 1, "unmeasured"), own(1, 0))
        rows = taken(folder, scores_groups=True)
        again = json.loads(rows.generated((0, 0)) or "")
        assert (again["state"], again["reward"], again["metrics"]) == ("generated", None, {})
        assert not {"m", "reward_errors"} & again.keys()
        assert ', "reward": null, "correct": null, ' in (rows.generated((0, 0)) or "")
        # Its row says too little to score it, so it is asked for again.
        assert (rows.is_done((1, 0)), rows.generated((1, 0))) == (False, None)
        assert len(rows.notices) == 1

    def test_the_line_from_before_scoring_serves_as_well(self, folder: Path) -> None:
        write(folder, own(0, 0, "generated", **self.KEPT), own(0, 0), own(0, 1, "generated"))
        rows = taken(folder, scores_groups=True)
        assert (rows.num_done, rows.num_generated) == (0, 2)

    def test_without_group_rewards_a_scored_member_stays(self, folder: Path) -> None:
        write(folder, own(0, 0), own(0, 1, "unmeasured"))
        assert taken(folder).is_done((0, 0))

    def test_errors_that_count_as_done_do_not_break_a_group_up(self, folder: Path) -> None:
        write(folder, own(0, 0), own(0, 1, "unmeasured"))
        assert taken(folder, scores_groups=True, keeps_errors=True).num_done == 2
