"""The file of the response cache: what it keeps, and what it makes of files that are none."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.errors import SetupError
from pytest_evals.store import responses
from pytest_evals.store.responses import FILE, ResponseStore, UnreadableStoreError

ANSWER = {"message": {"role": "assistant", "content": "4"}, "model": "m"}


def opened(
    folder: Path, *, reads_only: bool = False, mask: Callable[[str], str] = str
) -> ResponseStore:
    return ResponseStore(folder, mask, reads_only=reads_only)


def filled(folder: Path) -> bytes:
    """Make a store that holds one answer; return the digest of its request."""
    store = opened(folder)
    request = store.digest({"messages": ["2 + 2?"]})
    store.keep(request, 0, ANSWER)
    store.close()
    return request


def refused(folder: Path, *, reads_only: bool = False) -> str:
    with pytest.raises(SetupError) as raised:
        opened(folder, reads_only=reads_only)
    assert str(folder / FILE) in str(raised.value)
    return str(raised.value)


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    request = filled(tmp_path / "new" / "folder")
    store = opened(tmp_path / "new" / "folder", reads_only=True)
    assert store.find(request, 0) == ANSWER
    assert store.find(request, 1) is None
    assert store.find(b"another", 0) is None
    store.close()


def test_the_first_answer_stays(tmp_path: Path) -> None:
    request = filled(tmp_path)
    store = opened(tmp_path)
    assert store.keep(request, 0, {"message": "another"}) == ANSWER
    assert store.keep(request, 1, {"message": "another"}) is None
    store.replace(request, 0, {"message": "replaced"})
    assert store.find(request, 0) == {"message": "replaced"}
    store.replace(request, 0, ANSWER)
    assert store.find(request, 0) == ANSWER
    store.close()


@pytest.mark.parametrize("text", ["{", "[]", "null", "[" * 100_000, b"\xff", 7])
def test_an_answer_that_cannot_be_read_is_none_and_is_replaced(tmp_path: Path, text: Any) -> None:
    request = filled(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("UPDATE answers SET answer = ?", (text,))
    connection.close()
    store = opened(tmp_path)
    assert store.find(request, 0) is None
    assert store.keep(request, 0, ANSWER) is None
    assert store.find(request, 0) == ANSWER
    store.close()


def test_a_request_is_the_same_whatever_the_order_of_its_keys(tmp_path: Path) -> None:
    store = opened(tmp_path)
    one = store.digest({"model": "m", "sampling": {"seed": 1, "temperature": 0.5}})
    assert one == store.digest({"sampling": {"temperature": 0.5, "seed": 1}, "model": "m"})
    assert one != store.digest({"sampling": {"temperature": 0.5, "seed": 2}, "model": "m"})
    store.close()


def test_secrets_are_in_no_file_and_a_replay_without_them_finds_the_answer(tmp_path: Path) -> None:
    def mask(text: str) -> str:
        return text.replace("sk-secret", "***")

    store = opened(tmp_path, mask=mask)
    request = store.digest({"messages": ["the key is sk-secret"]})
    store.keep(request, 0, {"message": {"content": "sk-secret it is"}})
    store.close()
    assert not [path for path in tmp_path.iterdir() if b"sk-secret" in path.read_bytes()]
    replay = opened(tmp_path, reads_only=True)
    assert replay.digest({"messages": ["the key is ***"]}) == request
    assert replay.find(request, 0) == {"message": {"content": "*** it is"}}
    replay.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("\x1b[31mnot a database, " * 300)
    for reads_only in (False, True):
        assert "delete it to begin anew" in refused(tmp_path, reads_only=reads_only)


def test_a_damaged_file(tmp_path: Path) -> None:
    filled(tmp_path)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 4096)
    assert "delete it to begin anew" in refused(tmp_path, reads_only=True)


def test_a_database_of_another_program(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("CREATE TABLE answers (request, occurrence, answer)")
    connection.close()
    before = (tmp_path / FILE).read_bytes()
    for reads_only in (False, True):
        assert "another program's database" in refused(tmp_path, reads_only=reads_only)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_newer_format(tmp_path: Path) -> None:
    filled(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    for reads_only in (False, True):
        assert "format 7, this version reads 1" in refused(tmp_path, reads_only=reads_only)


def test_nothing_to_read(tmp_path: Path) -> None:
    assert "--evals-cache=read-write fills one" in refused(tmp_path, reads_only=True)
    (tmp_path / FILE).touch()
    assert "is empty" in refused(tmp_path, reads_only=True)
    opened(tmp_path).close()


def test_no_folder_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot be written" in refused(tmp_path / "file")
    (tmp_path / "folder" / FILE).mkdir(parents=True)
    for reads_only in (False, True):
        assert "must be a file" in refused(tmp_path / "folder", reads_only=reads_only)


def test_a_file_that_another_process_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path)
    monkeypatch.setattr(responses, "_BUSY_SECONDS", 0.05)
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert "keeps the response cache locked" in refused(tmp_path)
    other.execute("ROLLBACK")
    other.close()
    opened(tmp_path).close()


def test_a_file_that_is_damaged_in_use(tmp_path: Path) -> None:
    request = filled(tmp_path)
    store = opened(tmp_path)
    store.close()
    with pytest.raises(UnreadableStoreError, match=FILE):
        store.find(request, 0)


def test_processes_and_threads_that_begin_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from pytest_evals.store.responses import ResponseStore\n"
        "store = ResponseStore(Path(sys.argv[1]), str, reads_only=False)\n"
        "for n in range(50): store.keep(store.digest({'n': n}), 0, {'by': sys.argv[2]})\n"
        "store.close()\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "abc"
    ]

    def work() -> None:
        mine = opened(tmp_path)
        for n in range(50):
            mine.keep(mine.digest({"n": n}), 0, {"by": "thread"})
        mine.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait() for process in processes] == [0, 0, 0]
    store = opened(tmp_path, reads_only=True)
    assert all(store.find(store.digest({"n": n}), 0) for n in range(50))
    store.close()


def test_who_opens_a_store_while_another_makes_it_finds_a_store(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(folder: Path, begin: threading.Barrier) -> None:
        begin.wait()
        try:
            opened(folder).close()
        except BaseException as error:
            failures.append(error)

    for number in range(20):
        begin = threading.Barrier(6)
        threads = [
            threading.Thread(target=work, args=(tmp_path / str(number), begin)) for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def test_a_process_that_is_killed_leaves_a_store_that_can_be_used(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from pytest_evals.store.responses import ResponseStore\n"
        "store = ResponseStore(Path(sys.argv[1]), str, reads_only=False)\n"
        "store.keep(store.digest({'n': 1}), 0, {'kept': True})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert process.returncode == -9
    store = opened(tmp_path, reads_only=True)
    assert store.find(store.digest({"n": 1}), 0) == {"kept": True}
    store.close()


def test_a_folder_that_cannot_be_written_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = filled(tmp_path)
    monkeypatch.setattr("os.access", lambda *_: False)
    store = opened(tmp_path, reads_only=True)
    assert store.find(request, 0) == ANSWER
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_what_json_cannot_hold_is_kept_as_text(tmp_path: Path) -> None:
    store = opened(tmp_path)
    request = store.digest({"sampling": {"x": object, "y": float("nan")}})
    store.keep(request, 0, {"message": {"content": {1, 2}}})
    assert json.dumps(store.find(request, 0)) == '{"message": {"content": [1, 2]}}'
    store.close()
