"""ServerOutput: what a managed server writes, on its way into a log."""

from __future__ import annotations

import codecs
import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ..visible import visible

_CHUNK = 65_536
# Characters of a line that has no end yet: from then on it is written in parts, all but the last
# of it, in which a secret may be half there.
_LONGEST, _MARGIN = 65_536, 8_192
# Seconds that a process which left its group and still holds the pipe is waited for.
_PATIENCE = 2.0
_TAIL_LINES, _TAIL_BYTES, _TAIL_WIDTH = 10, 16_384, 300


class ServerOutput:
    """Takes what a server writes through a pipe, and appends it to a log line by line, clean.

    Through a thread, so that what must not be on disk never is: whatever ends this process, the log
    has what was written until then.

    Args:
        log: made with its folders when it is missing.
        mask: replaces the secrets in a text.

    Raises:
        OSError: the log cannot be written.
    """

    def __init__(self, log: Path, mask: Callable[[str], str]) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._path = log
        self._mask = mask
        self._log = log.open("ab", buffering=0)
        self._start = self._log.seek(0, os.SEEK_END)
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def writable(self) -> Iterator[int]:
        """Yield the descriptor that the server is to write to; begin to read when it is closed."""
        readable, written = os.pipe()
        try:
            yield written
        except BaseException:
            os.close(readable)
            self._log.close()
            raise
        finally:
            os.close(written)
        self._thread = threading.Thread(
            target=self._copy, args=(readable,), name="pytest-evals-server-log", daemon=True
        )
        self._thread.start()

    def settle(self) -> None:
        """Wait until all is in the log that a server wrote which has ended."""
        if self._thread is not None:
            self._thread.join(_PATIENCE)

    def tail(self) -> str:
        """Return the last lines in the log, cut where they are long."""
        try:
            with self._path.open("rb") as log:
                end = log.seek(0, os.SEEK_END)
                log.seek(max(self._start, end - _TAIL_BYTES))
                text = log.read().decode("utf-8", "replace")
        except OSError as error:
            return f"(the log cannot be read: {error.strerror})"
        lines = [line for line in text.split("\n") if line.strip()][-_TAIL_LINES:]
        return "\n".join(line[:_TAIL_WIDTH] for line in lines)

    def _copy(self, readable: int) -> None:
        """Write what comes until nobody can write any more."""
        decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
        rest = ""
        with open(readable, "rb", buffering=0) as pipe, self._log:
            while data := pipe.read(_CHUNK):
                rest = self._write(rest + decoder.decode(data))
            self._append(rest + decoder.decode(b"", final=True))

    def _write(self, text: str) -> str:
        """Write the whole lines of a text; return what is left."""
        lines, end, rest = text.rpartition("\n")
        self._append(lines + end)
        if len(rest) <= _LONGEST:
            return rest
        masked = self._mask(rest)
        self._append(masked[:-_MARGIN])
        return masked[-_MARGIN:]

    def _append(self, text: str) -> None:
        data = memoryview(visible(self._mask(text.replace("\r\n", "\n"))).encode())
        with contextlib.suppress(OSError):  # a full disk must not block the server
            while data:
                data = data[self._log.write(data) :]
