"""ResponseStore: what models answered, on disk, by what they were asked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import SetupError
from .encoding import mask_json, to_json

FILE = "responses.sqlite3"
# How a file says that it is one of these, and in which form it holds them.
_APPLICATION = 0x65766C73
_FORMAT = 1
# How long is waited for another process that writes: one statement, as a rule.
_BUSY_SECONDS = 10.0
_AGAIN_SECONDS = 0.02
_TABLE = (
    "CREATE TABLE IF NOT EXISTS answers (request BLOB NOT NULL, occurrence INTEGER NOT NULL,"
    " answer TEXT NOT NULL, PRIMARY KEY (request, occurrence)) WITHOUT ROWID"
)
_FIND = "SELECT answer FROM answers WHERE request = ? AND occurrence = ?"
_ADD = "INSERT INTO answers VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_REPLACE = "INSERT OR REPLACE INTO answers VALUES (?, ?, ?)"

Answer = dict[str, Any]


class UnreadableStoreError(Exception):
    """The file became unreadable while it was in use; the message names it."""


class ResponseStore:
    """The answers in one file, which several processes may use at once.

    Args:
        folder: where the file is, or is to be.
        mask: replaces the secrets in a text; applied to all that is written, and to requests
            before they are compared: what a stored answer says holds no secret either.
        reads_only: whether nothing is to be added; the file must exist then.

    Attributes:
        path: the file.
        reads_only: as given.

    Raises:
        SetupError: the file cannot be used.
    """

    def __init__(self, folder: Path, mask: Callable[[str], str], *, reads_only: bool) -> None:
        self.path = folder / FILE
        self.reads_only = reads_only
        self._mask = mask
        # The loop's thread uses it; the main thread opens and closes it.
        self._lock = threading.Lock()
        self._connection = _opened(self.path, reads_only=reads_only)

    def digest(self, request: Mapping[str, Any]) -> bytes:
        """Return what identifies a request: the SHA-256 of its canonical JSON, masked."""
        plain = json.loads(mask_json(to_json(dict(request)), self._mask))
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).digest()

    def find(self, request: bytes, occurrence: int) -> Answer | None:
        """Return what was answered; None where nothing is known, or nothing that can be read.

        Args:
            request: its digest.
            occurrence: which of several equal requests, from 0.

        Raises:
            UnreadableStoreError: the file is damaged, or another process keeps it locked.
        """
        with self._lock, self._told():
            row = self._connection.execute(_FIND, (request, occurrence)).fetchone()
        return None if row is None else _read(row[0])

    def keep(self, request: bytes, occurrence: int, answer: Mapping[str, Any]) -> Answer | None:
        """Add an answer; return the one that is there already, if there is one.

        Arguments and errors are those of `find`. What is there and cannot be read is replaced.
        """
        text = mask_json(to_json(dict(answer)), self._mask)
        with self._lock, self._told():
            if self._connection.execute(_ADD, (request, occurrence, text)).rowcount:
                return None
        known = self.find(request, occurrence)
        if known is None:
            self.replace(request, occurrence, answer)
        return known

    def replace(self, request: bytes, occurrence: int, answer: Mapping[str, Any]) -> None:
        """Put an answer where another one may be; arguments and errors are those of `find`."""
        text = mask_json(to_json(dict(answer)), self._mask)
        with self._lock, self._told():
            self._connection.execute(_REPLACE, (request, occurrence, text))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise UnreadableStoreError(f"{self.path}: {error}") from error

    def close(self) -> None:
        """Close the file; closing again does nothing."""
        with self._lock:
            self._connection.close()


def _read(text: object) -> Answer | None:
    try:
        answer = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _opened(path: Path, *, reads_only: bool) -> sqlite3.Connection:
    """Return a connection to a file that was found to be a store of this format."""
    if path.exists() and not path.is_file():
        raise SetupError(f"{path}: the response cache must be a file")
    if reads_only and not path.exists():
        raise SetupError(
            f"{path}: there is no response cache to read. --evals-cache=read-write fills one;"
            " --evals-cache-dir names another folder"
        )
    try:
        if not reads_only:
            path.parent.mkdir(parents=True, exist_ok=True)
        connection = _connected(path, reads_only=reads_only)
    except OSError as error:
        raise SetupError(
            f"{path}: the response cache cannot be written: {error.strerror};"
            " --evals-cache-dir names another folder"
        ) from None
    except sqlite3.Error as error:
        raise SetupError(_described(path, error)) from None
    try:
        _check(connection, path, reads_only=reads_only)
    except sqlite3.Error as error:
        connection.close()
        raise SetupError(_described(path, error)) from None
    except BaseException:
        connection.close()
        raise
    return connection


def _connected(path: Path, *, reads_only: bool) -> sqlite3.Connection:
    mode = "ro" if reads_only else "rwc"
    if reads_only and not os.access(path.parent, os.W_OK):
        # Its other files (-wal, -shm) could not be made: read as a file that nobody changes.
        mode += "&immutable=1"
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )


def _check(connection: sqlite3.Connection, path: Path, *, reads_only: bool) -> None:
    # Somebody else's file may hold code: views and triggers get no function with an effect.
    connection.execute("PRAGMA trusted_schema = OFF")
    # Tables first: a process that makes this store now commits them together with the ids, so
    # whoever sees its table sees its ids after that.
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (form,) = connection.execute("PRAGMA user_version").fetchone()
    is_new = not tables and not application
    if not is_new and application != _APPLICATION:
        raise SetupError(f"{path}: is no response cache but another program's database")
    if form > _FORMAT:
        raise SetupError(
            f"{path}: the response cache has format {form}, this version reads {_FORMAT}: update"
            " pytest-rollouts, or name another folder with --evals-cache-dir"
        )
    if not reads_only:
        _patiently(lambda: _prepare(connection))
    elif is_new:
        raise SetupError(f"{path}: the response cache is empty; --evals-cache=read-write fills it")
    connection.execute(_FIND, (b"", 0)).fetchone()


def _prepare(connection: sqlite3.Connection) -> None:
    """Make the table where there is none, and find out whether anything can be written."""
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_TABLE)
    connection.execute(f"PRAGMA application_id = {_APPLICATION}")
    connection.execute(f"PRAGMA user_version = {_FORMAT}")
    connection.execute("COMMIT")


def _patiently(work: Callable[[], None]) -> None:
    """Do something again while another process has the file locked.

    SQLite waits by itself, but not where the journal changes: several workers that begin at once
    meet there.
    """
    until = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            return work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(_AGAIN_SECONDS)


def _described(path: Path, error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_BUSY:
        return f"{path}: another process keeps the response cache locked; end it, or wait for it"
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT) or "no such" in str(error):
        return f"{path}: is no response cache that can be read ({error}); delete it to begin anew"
    return (
        f"{path}: the response cache cannot be used: {error}; --evals-cache-dir names another"
        " folder"
    )
