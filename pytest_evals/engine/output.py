"""RolloutOutput: what the code of one rollout prints and logs, until its item shows it."""

from __future__ import annotations

import io
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..visible import clipped

if TYPE_CHECKING:
    from .rollouts import RolloutJob

Stream: TypeAlias = Literal["stdout", "stderr", "log"]

# Of each end of a stream that is shown, and what is kept beyond that because a secret may lie
# across the cut: half of one would not be recognised and masked.
KEPT_CHARACTERS = 8_000
_MARGIN = 8_192
_ROOM = KEPT_CHARACTERS + _MARGIN

# One for all: it is held for as long as it takes to append to a list.
_lock = threading.Lock()


class _Ends:
    """Text that grows at its end and of which the two ends are kept."""

    __slots__ = ("_head", "_room", "_size", "_tail", "_tail_size")

    def __init__(self) -> None:
        self._head = io.StringIO()
        self._room = _ROOM
        self._tail: deque[str] = deque()
        self._tail_size = self._size = 0

    def append(self, text: str) -> None:
        self._size += len(text)
        if self._room:
            head = text[: self._room]
            self._head.write(head)
            self._room -= len(head)
            text = text[len(head) :]
        if not text:
            return
        text = text[-_ROOM:]
        self._tail.append(text)
        self._tail_size += len(text)
        while self._tail_size - len(self._tail[0]) >= _ROOM:
            self._tail_size -= len(self._tail.popleft())

    def masked(self, mask: Callable[[str], str]) -> str:
        """Return the text, or its two ends with a note of what is left out between them."""
        head, tail = self._head.getvalue(), "".join(self._tail)
        if self._size == len(head) + len(tail):
            return clipped(mask(head + tail), 2 * KEPT_CHARACTERS)
        # The inner end of each may be half of a secret.
        head, tail = mask(head)[:-_MARGIN], mask(tail)[_MARGIN:]
        head, tail = head[:KEPT_CHARACTERS], tail[max(0, len(tail) - KEPT_CHARACTERS) :]
        left_out = self._size - len(head) - len(tail)
        return f"{head}\n[... {left_out:,} characters left out ...]\n{tail}"


class RolloutOutput:
    """What the code of one rollout writes: kept until it is taken, in the run's log from then on.

    Any thread may write while another one takes.

    Attributes:
        job: the rollout.
    """

    __slots__ = ("_is_taken", "_texts", "job")

    def __init__(self, job: RolloutJob) -> None:
        self.job = job
        self._texts: dict[Stream, _Ends] | None = None
        self._is_taken = False

    def write(self, stream: Stream, text: str) -> bool:
        """Add text; return whether it is the first that is kept."""
        with _lock:
            if not self._is_taken:
                is_first = self._texts is None
                if self._texts is None:
                    self._texts = {}
                ends = self._texts.get(stream)
                if ends is None:
                    ends = self._texts[stream] = _Ends()
                ends.append(text)
                return is_first
        self._log(stream, text)
        return False

    def take(self, mask: Callable[[str], str]) -> Iterator[tuple[Stream, str]]:
        """Yield what each stream holds, masked; what is written from now on goes to the log."""
        with _lock:
            texts, self._texts, self._is_taken = self._texts, None, True
        for stream, ends in (texts or {}).items():
            yield stream, ends.masked(mask)

    def drop(self, mask: Callable[[str], str]) -> None:
        """Move what nobody took to the run's log."""
        for stream, text in self.take(mask):
            self._log(stream, text)

    def _log(self, stream: Stream, text: str) -> None:
        if text.strip():
            self.job.run.log.info("%s of %s: %s", stream, self.job.name, text.rstrip("\n"))


# That of the rollout whose code is running; None outside of rollouts.
CURRENT_OUTPUT: ContextVar[RolloutOutput | None] = ContextVar(
    "pytest_evals_current_output", default=None
)
