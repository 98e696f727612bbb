"""RunFolder: where a run is written, and that no row is lost on the way."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.store import run_folder
from pytest_evals.store.reading import read_metadata, read_rows
from pytest_evals.store.run_folder import RunFolder, folder_name


def line(example_id: int | str, rollout: int = 0, **keys: Any) -> str:
    row = {"example_id": example_id, "rollout": rollout, "state": "scored", **keys}
    return json.dumps(row) + "\n"


def create(base: Path, name: str = "gsm8k", model: str = "m") -> RunFolder:
    return RunFolder.create(base, name=name, model=model, mask=lambda text: text)


def test_a_run_has_a_folder_of_its_own_and_nothing_in_it(tmp_path: Path) -> None:
    first = create(tmp_path / "outputs", name="org/gsm8k", model="openai/gpt-4.1-mini")
    second = create(tmp_path / "outputs", name="org/gsm8k", model="openai/gpt-4.1-mini")
    assert first.path.parent == tmp_path / "outputs/evals/org--gsm8k--openai--gpt-4.1-mini"
    assert re.fullmatch("[0-9a-f]{8}", first.run_id)
    assert first.path.name == first.run_id != second.run_id
    assert list(first.path.iterdir()) == []
    assert first.log_path == first.path / "run.log"


def test_an_existing_folder_is_never_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Id:
        def __init__(self, text: str) -> None:
            self.hex = text * 32

    ids = iter([Id("a"), Id("a"), Id("b")])
    monkeypatch.setattr(run_folder, "uuid4", lambda: next(ids))
    assert create(tmp_path).run_id == "aaaaaaaa"
    assert create(tmp_path).run_id == "bbbbbbbb"


def test_a_change_of_directory_does_not_move_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = create(Path("outputs"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    run.append(line(1))
    run.close()
    assert run.path.is_relative_to(tmp_path / "outputs")
    assert len(list(read_rows(run.path))) == 1


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("gsm8k--openai/gpt-4.1-mini", "gsm8k--openai--gpt-4.1-mini"),
        ("a--llama3:8b", "a--llama3_8b"),
        ("../../etc--m", "_--_--etc--m"),
        ("..--..", "_--_"),
        (".hidden--m", "_hidden--m"),
        ("a--C:\\models\\x", "a--C__models_x"),
        ("a--x\n\x00\x1b[31m\u202e", "a--x___[31m_"),
        ("a--\udcff", "a--_"),
        ("a--模型", "a--模型"),
        ('a--<b>|"c"?*', "a--_b___c___"),
    ],
)
def test_a_folder_name_is_one_harmless_segment(tmp_path: Path, text: str, name: str) -> None:
    assert folder_name(text) == name
    (tmp_path / name).mkdir()
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("letter", ["x", "模"])
def test_long_names_are_cut_and_stay_apart(tmp_path: Path, letter: str) -> None:
    names = {folder_name(letter * 5_000 + end) for end in "ab"}
    assert len(names) == 2
    for name in names:
        assert len(name.encode()) <= 200
        (tmp_path / name).mkdir()


@pytest.mark.parametrize("taken", ["outputs", "outputs/evals"])
def test_an_output_folder_that_cannot_be_made_is_named(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).parent.mkdir(exist_ok=True)
    (tmp_path / taken).write_text("a file")
    with pytest.raises(OSError, match=re.escape(str(tmp_path / "outputs/evals"))):
        create(tmp_path / "outputs")


def test_rows_are_in_the_file_when_append_returns(run: RunFolder) -> None:
    for number in range(3):
        run.append(line(number))
        text = (run.path / "results.jsonl").read_text()
        assert text == "".join(line(done) for done in range(number + 1))


def test_a_huge_row_is_whole(run: RunFolder) -> None:
    text = "é" * 5_000_000
    run.append(line(1, completion=text))
    run.append(line(2))
    assert [row.get("completion") for row in read_rows(run.path)] == [text, None]


def test_secrets_are_masked_in_rows_and_metadata(tmp_path: Path) -> None:
    def mask(text: str) -> str:
        return text.replace("sk-1", "***")

    run = RunFolder.create(tmp_path, name="e", model="m", mask=mask)
    run.append(line(1, completion="the key is sk-1"))
    run.write_metadata({"env_args": {"key": "sk-1"}})
    run.close()
    for path in run.path.iterdir():
        assert "sk-1" not in path.read_text()
        assert "***" in path.read_text()


def test_threads_and_processes_do_not_interleave(run: RunFolder) -> None:
    other = RunFolder(run.path, mask=lambda text: text)
    writers = [run, run, other]

    def write(number: int) -> None:
        for rollout in range(100):
            writers[number].append(line(number, rollout, completion=str(number) * 10_000))

    child = subprocess.Popen([sys.executable, "-c", CHILD, str(run.path), "100"])
    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert child.wait(30) == 0
    other.close()

    lines = (run.path / "results.jsonl").read_text().splitlines()
    assert len(lines) == 400
    for row in map(json.loads, lines):
        assert row["completion"] == str(row["example_id"]) * 10_000


CHILD = """
import json, sys
from pathlib import Path
from pytest_evals.store.run_folder import RunFolder
run = RunFolder(Path(sys.argv[1]), mask=lambda text: text)
for rollout in range(int(sys.argv[2])):
    row = {"example_id": 7, "rollout": rollout, "state": "scored", "completion": "7" * 10_000}
    run.append(json.dumps(row) + "\\n")
    print(rollout, flush=True)
"""


def test_every_row_reported_before_a_kill_is_read_back(run: RunFolder) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(run.path), "1000000000"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    reported = [int(child.stdout.readline()) for _ in range(200)]
    child.send_signal(signal.SIGKILL)
    # Complete lines only: the kill may have cut the last one.
    reported += [int(text) for text in child.stdout if text.endswith("\n")]
    child.stdout.close()
    assert child.wait(30) == -signal.SIGKILL

    problems: list[str] = []
    rows = {row["rollout"]: row for row in read_rows(run.path, problems.append)}
    assert problems == []
    assert set(reported) <= set(rows)
    assert all(row["completion"] == "7" * 10_000 for row in rows.values())


def short_writes(
    monkeypatch: pytest.MonkeyPatch, *, fail_after: int | None = None
) -> Callable[[], None]:
    """Let `os.write` take 10 bytes a call and, after so many calls, fail; return what ends it."""
    write, calls = os.write, 0

    def short(descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if fail_after is not None and calls > fail_after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, bytes(data)[:10])

    monkeypatch.setattr(os, "write", short)
    return lambda: monkeypatch.setattr(os, "write", write)


def test_short_writes_are_continued(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    undo = short_writes(monkeypatch)
    run.append(line(1))
    undo()
    assert (run.path / "results.jsonl").read_text() == line(1)


def test_a_full_disk_names_the_file_and_spares_the_other_rows(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.append(line(1))
    undo = short_writes(monkeypatch, fail_after=2)
    with pytest.raises(OSError, match=r"No space left on device: '.*/results\.jsonl'"):
        run.append(line(2))
    undo()
    run.append(line(3))

    problems: list[str] = []
    assert [row["example_id"] for row in read_rows(run.path, problems.append)] == [1, 3]
    assert len(problems) == 1
    assert "results.jsonl:2: skipped, not JSON" in problems[0]


def test_a_file_that_cannot_be_opened_is_named(run: RunFolder) -> None:
    (run.path / "results.jsonl").mkdir()
    with pytest.raises(OSError, match=re.escape(str(run.path / "results.jsonl"))):
        run.append(line(1))


def test_a_closed_run_takes_no_rows(run: RunFolder) -> None:
    run.append(line(1))
    run.close()
    run.close()
    with pytest.raises(ValueError, match="the run is closed"):
        run.append(line(2))
    assert len(list(read_rows(run.path))) == 1


def test_metadata_is_replaced_as_a_whole(run: RunFolder) -> None:
    run.write_metadata({"model": "m", "date": Path("x")})
    run.write_metadata({"model": "other", "avg_reward": float("nan")})
    assert read_metadata(run.path) == {"model": "other", "avg_reward": None}
    assert [path.name for path in run.path.iterdir()] == ["metadata.json"]


def test_metadata_that_cannot_be_written_leaves_the_old(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.write_metadata({"model": "m"})

    def fail(self: Path, target: Path) -> Path:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match=r"metadata\.json"):
        run.write_metadata({"model": "other"})
    assert read_metadata(run.path) == {"model": "m"}
    assert [path.name for path in run.path.iterdir()] == ["metadata.json"]


def test_files_are_as_open_to_others_as_the_umask_allows(run: RunFolder) -> None:
    old = os.umask(0o022)
    try:
        run.append(line(1))
        run.write_metadata({})
    finally:
        os.umask(old)
    for path in run.path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
