"""RunFolder: where a run writes its rows, its metadata and its log."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from .compaction import compacted_rows
from .encoding import mask_json, to_json
from .lock import FolderLock, lock_file
from .log import run_log_handler
from .reading import METADATA_FILE, OnProblem
from .replacing import replacing
from .rows import RESULTS_FILE, Row

# Not in the name of a file: separators of paths and drives, what shells and other systems reserve.
_UNSAFE = re.compile(r'[:\\<>"|?*]|\.\.+|^\.')
# File systems stop at 255 bytes; the rest is left to those that encrypt names and to tools.
_LONGEST_NAME = 200


class RunFolder:
    """The folder of one run, open for writing.

    Attributes:
        path: the folder, absolute.
        run_id: its name, unique beside the other runs of the eval.

    Args:
        path: the folder, absolute; it exists.
        mask: replaces the secrets in a text; applied to all that is written.
        writer: which of several processes appends: each to a file of its own. None for the only
            one, and for the one that puts their files together.
    """

    def __init__(
        self, path: Path, mask: Callable[[str], str], *, writer: str | None = None
    ) -> None:
        self.path = path
        self.run_id = path.name
        self._mask = mask
        self._results = path / (RESULTS_FILE if writer is None else f"results.{writer}.jsonl")
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._is_torn = False
        self._is_closed = False
        self._is_worker = writer is not None
        self._folder_lock: FolderLock | None = None

    @classmethod
    def create(cls, base: Path, *, name: str, model: str, mask: Callable[[str], str]) -> RunFolder:
        """Make `{base}/evals/{name}--{model}/{run_id}/`, a folder that did not exist.

        Args:
            base: the output folder; a relative one is meant from the current directory of now.
            name: the eval's name.
            model: the model id; slashes become `--`, what a file name cannot hold `_`.
            mask: replaces the secrets in a text; applied to all that is written.

        Raises:
            OSError: the folder cannot be made; names it.
        """
        runs = base.absolute() / "evals" / folder_name(f"{name}--{model}")
        runs.mkdir(parents=True, exist_ok=True)
        while True:
            path = runs / uuid4().hex[:8]
            try:
                path.mkdir()
            except FileExistsError:
                continue
            folder = cls(path, mask)
            folder.lock()
            return folder

    def lock(self) -> None:
        """Keep other processes from continuing the run, until `close` or the death of this one.

        Raises:
            LockedError: somebody else does.
        """
        self._folder_lock = FolderLock(self.path)

    @property
    def log_path(self) -> Path:
        """The run's log."""
        return self.path / "run.log"

    def log_handler(self) -> logging.Handler:
        """Return a handler that writes the run's log."""
        return run_log_handler(self.log_path, self._mask)

    def append(self, line: str) -> None:
        """Add a row's line to results.jsonl; it is in the file when this returns.

        There is no fsync: what the kernel has taken survives the death of this process (kill -9,
        a crash of the interpreter), which is what is promised. A power cut may take the last
        seconds; waiting for the disk at every row would cost more than the rollout.

        Raises:
            OSError: the line could not be written (no space left); names the file.
            ValueError: the folder is closed.
        """
        data = mask_json(line, self._mask).encode()
        with self._lock:
            try:
                self._write(data)
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(self._results)) from error

    def _write(self, data: bytes) -> None:
        descriptor = self._open()
        if self._is_torn:
            data = b"\n" + data
        # Until the whole line is there: an exception in between (a full disk, Ctrl-C) may leave a
        # part of it, which must not swallow the next line.
        self._is_torn = True
        rest = memoryview(data)
        while rest:
            # One call as a rule, which O_APPEND keeps in one piece among several processes.
            rest = rest[os.write(descriptor, rest) :]
        self._is_torn = False

    def _open(self) -> int:
        if self._is_closed:
            raise ValueError(f"{self._results}: the run is closed, nothing can be added")
        if self._descriptor is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._results, flags, 0o666)
            if self._is_worker:  # it may outlive the process that holds the folder
                lock_file(self._descriptor)
        return self._descriptor

    def write_metadata(self, metadata: Mapping[str, Any]) -> None:
        """Write metadata.json, replacing it as a whole.

        Raises:
            OSError: it could not be written; names the file, which is left as it was.
        """
        text = mask_json(to_json(dict(metadata)) + "\n", self._mask)
        with replacing(self.path / METADATA_FILE) as file:
            file.write(text.encode())

    def compact(self, on_problem: OnProblem | None = None) -> None:
        """Leave one row per rollout in results.jsonl; rows can still be appended afterwards.

        Raises:
            OSError: it could not be written; names the file, which is left as it was.
        """
        for _ in self.compacted_rows(on_problem):
            pass

    def compacted_rows(self, on_problem: OnProblem | None = None) -> Iterator[Row]:
        """Do what `compact` does, and yield the rows meanwhile: all have to be taken.

        Raises:
            OSError: as `compact` does.
        """
        with self._lock:
            self._release()  # the descriptor is of the file that is replaced
            yield from compacted_rows(self.path, on_problem)
            self._is_torn = False

    def close(self) -> None:
        """Stop writing; to be called once no thread appends. Closing again does nothing."""
        with self._lock:
            self._is_closed = True
            self._release()
            if self._folder_lock is not None:
                self._folder_lock.release()
                self._folder_lock = None

    def _release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def folder_name(text: str) -> str:
    """Return `text` as the name of a folder: one segment, printable, neither hidden nor too long.

    Slashes become `--` as in the layout of verifiers. A name that had to be cut ends in a digest,
    so that two long ones stay apart.
    """
    flat = _UNSAFE.sub("_", text.replace("/", "--"))
    name = "".join(letter if letter.isprintable() else "_" for letter in flat)
    encoded = name.encode()
    if len(encoded) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]
    return encoded[: _LONGEST_NAME - 9].decode(errors="ignore") + "-" + digest
