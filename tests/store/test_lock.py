"""One process writes into a run's folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_evals.store.lock import (
    FolderLock,
    LockedError,
    holder_in_words,
    this_process,
    wait_until_unlocked,
)
from pytest_evals.store.run_folder import RunFolder

HOLD = """
import sys
from pathlib import Path
from pytest_evals.store.run_folder import RunFolder
folder = RunFolder(Path(sys.argv[1]), str, writer="gw0")
folder.lock()
folder.append("{}\\n")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_lock_is_refused_until_the_first_is_released(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    with pytest.raises(LockedError):
        FolderLock(tmp_path)
    lock.release()
    lock.release()
    FolderLock(tmp_path).release()


def test_the_death_of_a_process_releases_what_it_held(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(LockedError):
            FolderLock(tmp_path)
        file = tmp_path / "results.gw0.jsonl"
        assert not wait_until_unlocked(file, 0)
        process.kill()
        process.wait()
    assert wait_until_unlocked(file, 5)
    FolderLock(tmp_path).release()


FORK = """
import os, sys
from pathlib import Path
from pytest_evals.store.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
if os.fork() == 0:
    lock.release()
    print("forked", flush=True)
    sys.stdin.read()
else:
    os.wait() if len(sys.argv) > 2 else os._exit(0)
"""


@pytest.mark.parametrize("stays", [False, True])
def test_a_forked_process_neither_holds_nor_releases_it(tmp_path: Path, stays: bool) -> None:
    command = [sys.executable, "-c", FORK, str(tmp_path), *(["stays"] if stays else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"forked\n"
        if stays:
            with pytest.raises(LockedError):
                FolderLock(tmp_path)
        else:
            process.wait()
            FolderLock(tmp_path).release()


def test_a_file_that_is_not_there_is_not_written(tmp_path: Path) -> None:
    assert wait_until_unlocked(tmp_path / "results.gw7.jsonl", 0)


def test_a_new_run_is_locked_until_it_is_closed(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, name="e", model="m", mask=str)
    with pytest.raises(LockedError):
        FolderLock(folder.path)
    folder.close()
    FolderLock(folder.path).release()


def test_who_holds_it() -> None:
    assert holder_in_words(this_process()) == f"process {os.getpid()}"
    assert holder_in_words({"pid": 1, "host": "elsewhere"}) == "process 1 on elsewhere"
    unknowns: list[object] = [None, [], {}, {"pid": "1"}, {"pid": True}]
    for unknown in unknowns:
        assert holder_in_words(unknown) == "another process"
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    host = socket.gethostname()
    assert holder_in_words({"pid": ended.pid, "host": host}) == "another process"
    assert holder_in_words({"pid": 2**70, "host": host}) == f"process {2**70}"
