"""FolderLock: who writes into a run's folder, so that no second process does."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_POLL_SECONDS = 0.05


class LockedError(Exception):
    """Another process writes into the folder."""


class FolderLock:
    """A lock on a folder itself, which the kernel lets go of when its holder dies.

    Processes that the holder forks do not hold it with it: one that outlived the holder would keep
    a run that nobody writes from being continued. It is a lock of advice: only this package looks
    at it, and not on file systems that know none.

    Raises:
        LockedError: another process, or this one, holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        if not _lock(self._descriptor):
            self._close()
            raise LockedError(str(folder))
        _held.add(self)

    def release(self) -> None:
        """Let go; again does nothing, nor does it in a process that was forked meanwhile."""
        if self._descriptor >= 0:
            _held.discard(self)
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            self._close()

    def leave_to_parent(self) -> None:
        """Hold it no more in a process that was just forked; its parent goes on holding it."""
        self._close()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1


_held: set[FolderLock] = set()


def _after_fork() -> None:
    for lock in _held:
        lock.leave_to_parent()
    _held.clear()


os.register_at_fork(after_in_child=_after_fork)


def lock_file(descriptor: int) -> None:
    """Show that this process appends to an open file, until it ends or closes it."""
    _lock(descriptor)


def wait_until_unlocked(path: Path, seconds: float) -> bool:
    """Wait until no process appends to a file any more; whether none does."""
    until = time.monotonic() + seconds
    while not _is_free(path):
        if time.monotonic() >= until:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def this_process() -> dict[str, Any]:
    """Return what metadata.json says of the process that writes into its folder."""
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}


def holder_in_words(writer: object) -> str:
    """Say who holds a lock.

    Args:
        writer: what `this_process` returned there, as far as it is known. It may be of an earlier
            holder, which did not live to take it back: then nothing is known of this one.
    """
    if not isinstance(writer, Mapping) or type(pid := writer.get("pid")) is not int:
        return "another process"
    host = writer.get("host")
    if host != socket.gethostname():
        return f"process {pid} on {host}"
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "another process"
    except (OSError, OverflowError):  # another user's; no number of a process
        pass
    return f"process {pid}"


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # the file system knows no locks
        pass
    return True


def _is_free(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        is_free = _lock(descriptor)
        if is_free:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        return is_free
    except OSError:
        return True
    finally:
        os.close(descriptor)
