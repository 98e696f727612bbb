"""Reading rows: the last line of each rollout, whatever else stands in the files."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.store.reading import read_metadata, read_rows


def line(example_id: Any, rollout: Any = 0, **keys: Any) -> bytes:
    row = {"example_id": example_id, "rollout": rollout, "state": "scored", **keys}
    return json.dumps(row).encode() + b"\n"


def read(folder: Path) -> tuple[list[dict[str, Any]], list[str]]:
    problems: list[str] = []
    return list(read_rows(folder, problems.append)), problems


def test_a_folder_without_results_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path) == ([], [])
    (tmp_path / "results.jsonl").touch()
    assert read(tmp_path) == ([], [])


def test_a_folder_that_is_missing_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        list(read_rows(tmp_path / "nowhere"))


def test_the_last_line_of_a_rollout_wins_in_order_of_example_and_rollout(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(
        line(10, 0, reward=1)
        + line("b", 0, reward=2)
        + line(9, 1, reward=3)
        + line(10, 0, reward=4)
        + line(9, 0, reward=5)
    )
    rows, problems = read(tmp_path)
    assert problems == []
    keys = [(row["example_id"], row["rollout"], row["reward"]) for row in rows]
    assert keys == [(9, 0, 5), (9, 1, 3), (10, 0, 4), ("b", 0, 2)]


def test_the_files_of_workers_are_read_after_the_results(tmp_path: Path) -> None:
    (tmp_path / "results.gw1.jsonl").write_bytes(line(1, reward=2) + line(3, reward=3))
    (tmp_path / "results.gw0.jsonl").write_bytes(line(1, reward=1) + line(2, reward=1))
    (tmp_path / "results.jsonl").write_bytes(line(1, reward=0) + line(0, reward=0))
    (tmp_path / "results.jsonl.tmp").write_bytes(line(99))
    (tmp_path / "other.jsonl").write_bytes(line(99))
    rows, problems = read(tmp_path)
    assert problems == []
    assert [row["reward"] for row in rows] == [0, 2, 1, 3]


@pytest.mark.parametrize("torn", [line(2)[:-10], b'{"example_id"', b"\x80", b"{", b"  "])
def test_a_last_line_that_was_not_finished_is_left_out(tmp_path: Path, torn: bytes) -> None:
    (tmp_path / "results.jsonl").write_bytes(line(1) + torn)
    rows, problems = read(tmp_path)
    assert [row["example_id"] for row in rows] == [1]
    assert problems == []


def test_a_whole_last_row_counts_without_its_newline(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_bytes(line(1) + line(2)[:-1])
    assert [row["example_id"] for row in read(tmp_path)[0]] == [1, 2]


@pytest.mark.parametrize(
    ("garbage", "problem"),
    [
        (line(2)[:-10] + b"\n", "not JSON"),
        (b"\x00\xff\xfe\n", "not JSON"),
        (b"[" * 100_000 + b"\n", "not JSON"),
        (b'{"example_id": ' + b"1" * 5_000 + b"}\n", "not JSON"),
        (b'["a", "list"]\n', "not a JSON object"),
        (b"null\n", "not a JSON object"),
        (b'{"reward": 1.0}\n', "example_id"),
        (line(None), "example_id"),
        (line([1]), "example_id"),
        (line(True), "example_id"),
        (line(1.5), "example_id"),
        (line(2, "0"), "rollout"),
        (line(2, None), "rollout"),
    ],
)
def test_a_line_that_is_no_row_is_skipped_and_named(
    tmp_path: Path, garbage: bytes, problem: str
) -> None:
    (tmp_path / "results.jsonl").write_bytes(line(1) + b"\n" + garbage + line(3))
    rows, problems = read(tmp_path)
    assert [row["example_id"] for row in rows] == [1, 3]
    assert len(problems) == 1
    assert problems[0].startswith(f"{tmp_path / 'results.jsonl'}:3: skipped, ")
    assert problem in problems[0]
    assert len(problems[0]) < len(str(tmp_path)) + 200
    assert len(list(read_rows(tmp_path))) == 2  # nobody has to listen


def test_a_file_written_by_verifiers_is_read(tmp_path: Path) -> None:
    rows = [
        {"example_id": 0, "reward": 1.0, "error": None, "task": "t", "timing": {"total_ms": 5.0}},
        {"example_id": 1, "reward": 0.0, "error": {"error": "ModelError"}, "state": {"x": 1}},
        {"example_id": 0, "reward": 0.5, "error": None},
        {"example_id": 1, "reward": 0.0},
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "results.jsonl").write_text(text)
    read_back, problems = read(tmp_path)
    assert problems == []
    picked = [(row["example_id"], row["rollout"], row["state"], row["reward"]) for row in read_back]
    assert picked == [
        (0, 0, "scored", 1.0),
        (0, 1, "scored", 0.5),
        (1, 0, "unmeasured", None),
        (1, 1, "scored", 0.0),
    ]
    assert read_back[0]["timing"] == {"total_ms": 5.0}


def test_a_file_saved_by_an_editor_of_another_system_is_read(tmp_path: Path) -> None:
    text = b"\xef\xbb\xbf" + line(1)[:-1] + b"\r\n" + line(2)[:-1] + b"\r\n\r\n"
    (tmp_path / "results.jsonl").write_bytes(text)
    rows, problems = read(tmp_path)
    assert [row["example_id"] for row in rows] == [1, 2]
    assert problems == []


def test_large_runs_are_not_held_in_memory(tmp_path: Path) -> None:
    with (tmp_path / "results.jsonl").open("wb") as file:
        for number in range(200):
            file.write(line(number, completion="x" * 100_000))
    tracemalloc.start()
    try:
        count = sum(1 for _ in read_rows(tmp_path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 200
    assert peak < 2_000_000


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "\udcff"])
def test_metadata_that_is_no_object_is_an_error_that_names_the_file(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / "metadata.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"metadata\.json: not"):
        read_metadata(tmp_path)


def test_metadata_that_is_missing_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"metadata\.json"):
        read_metadata(tmp_path)


class TestOwnLines:
    """Lines that begin as this package's do: only the last of a rollout is parsed."""

    def test_one_that_is_torn_leaves_the_rollout_its_earlier_one(self, tmp_path: Path) -> None:
        (tmp_path / "results.jsonl").write_bytes(
            line(1, reward=1) + line(2, reward=1) + line(3, reward=1)
            + line(2, reward=2, completion="x")[:-4] + b"\n" + line(3, reward=2)
        )  # fmt: skip
        rows, problems = read(tmp_path)
        assert [row["reward"] for row in rows] == [1, 1, 2]
        assert len(problems) == 1
        assert ":4: skipped, not JSON" in problems[0]

    def test_one_that_is_torn_and_has_no_earlier_one_is_no_row(self, tmp_path: Path) -> None:
        (tmp_path / "results.jsonl").write_bytes(line(1)[:-4] + b"\n" + line(2) + line(3)[:-4])
        rows, problems = read(tmp_path)
        assert [row["example_id"] for row in rows] == [2]
        assert len(problems) == 1

    def test_one_that_a_later_one_replaces_may_be_torn(self, tmp_path: Path) -> None:
        (tmp_path / "results.jsonl").write_bytes(line(1, reward=1)[:-4] + b"\n" + line(1, reward=2))
        rows, problems = read(tmp_path)
        assert [row["reward"] for row in rows] == [2]
        assert problems == []

    @pytest.mark.parametrize(
        "value",
        ["\ud83d", "\u2028\x00\U0001f600", float("inf"), 10**400, [[]] * 3, {"a": {"b": None}}],
    )
    def test_any_value_is_read_as_it_was_written(self, tmp_path: Path, value: Any) -> None:
        (tmp_path / "results.jsonl").write_bytes(line(1, value=value))
        assert read(tmp_path)[0][0]["value"] == value

    def test_deep_nesting_is_read(self, tmp_path: Path) -> None:
        deep = b"[" * 300 + b"]" * 300
        (tmp_path / "results.jsonl").write_bytes(line(1)[:-2] + b', "deep": ' + deep + b"}\n")
        assert read(tmp_path)[0][0]["deep"]
