"""DivertedStreams: sys.stdout and sys.stderr, where what rollouts write takes a way of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeAlias

import pytest

from ..engine.output import CURRENT_OUTPUT, RolloutOutput

Name: TypeAlias = Literal["stdout", "stderr"]
Keep: TypeAlias = Callable[[RolloutOutput, Name, str], None]

_NAMES: tuple[Name, ...] = ("stdout", "stderr")


class DivertedStreams:
    """What rollouts write to the standard streams goes to `keep`, everything else where it went.

    With `--capture=tee-sys` it is shown as it comes as well, and with `-s` only that. Secrets are
    masked there, and in everything that is written while pytest captures nothing; nothing else is
    changed.

    Made while pytest captures nothing, that is between two items.

    Args:
        config: says how pytest captures.
        keep: takes what a rollout wrote, in any thread.
        mask: replaces the secrets in a text.
    """

    def __init__(self, config: pytest.Config, keep: Keep, mask: Callable[[str], str]) -> None:
        method = config.getoption("capture", "no")
        self._keep = keep
        self._mask = mask
        self._is_kept = method != "no"
        self._is_shown = method in ("no", "tee-sys")
        self._below: dict[Name, Any] = {name: getattr(sys, name) for name in _NAMES}
        self._captures, kinds = _parts_of_capture(config)
        self._stderr_file = getattr(self._captures.get("stderr"), "tmpfile", None)
        for name, capture in self._captures.items():
            old = capture._old
            capture._old = _Diverted(old, name, self)
            if getattr(sys, name) is old:
                setattr(sys, name, capture._old)
        self._patched = [_Patched(kind, self) for kind in kinds]
        self.divert_current()

    def divert_current(self) -> None:
        """Divert the streams that are in place now, if they are not."""
        for name in _NAMES:
            stream = getattr(sys, name)
            if not isinstance(stream, _Diverted):
                setattr(sys, name, _Diverted(stream, name, self))

    def close(self) -> None:
        """Leave everything as it was."""
        for patched in self._patched:
            patched.undo()
        for capture in self._captures.values():
            old = getattr(capture, "_old", None)  # none any more where pytest stopped capturing
            if isinstance(old, _Diverted):
                capture._old = old.stream
        for name in _NAMES:
            stream = getattr(sys, name)
            if isinstance(stream, _Diverted):
                setattr(sys, name, stream.stream)

    def takes(self, name: Name, text: str) -> bool:
        """Take what a rollout writes; where none does, do nothing and return False."""
        output = CURRENT_OUTPUT.get()
        if output is None:
            return False
        if self._is_kept:
            self._keep(output, name, text)
        if self._is_shown:
            token = CURRENT_OUTPUT.set(None)  # or a stream below that is diverted takes it again
            try:
                self._below[name].write(self._mask(text))
            finally:
                CURRENT_OUTPUT.reset(token)
        return True

    def masked(self, text: str) -> str:
        """Return a text without secrets."""
        return self._mask(text)

    def name_of(self, stream: Any) -> Name:
        """Return which of the two a stream of pytest's is."""
        return "stderr" if stream is self._stderr_file or stream is sys.stderr else "stdout"


class _Diverted:
    """A standard stream while pytest captures nothing."""

    def __init__(self, stream: Any, name: Name, streams: DivertedStreams) -> None:
        self.stream = stream
        self._name = name
        self._streams = streams

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @property
    def buffer(self) -> Any:
        """What takes bytes."""
        below = self.stream.buffer
        return below if CURRENT_OUTPUT.get() is None else _Bytes(below, self._name, self._streams)

    def write(self, text: str) -> int:
        """Write `text` for whoever writes it."""
        if self._streams.takes(self._name, text):
            return len(text)
        # Nobody's: as a rule of a teardown or a client that is closed, which know keys too.
        self.stream.write(self._streams.masked(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each of the texts."""
        for line in lines:
            self.write(line)


class _Bytes:
    """The `buffer` of a standard stream, as rollouts see it."""

    def __init__(self, buffer: Any, name: Name, streams: DivertedStreams) -> None:
        self._buffer = buffer
        self._name = name
        self._streams = streams

    def __getattr__(self, name: str) -> Any:
        return getattr(self._buffer, name)

    def write(self, data: bytes) -> int:
        """Write the text that `data` is."""
        if self._streams.takes(self._name, bytes(data).decode(errors="backslashreplace")):
            return len(data)
        written: int = self._buffer.write(data)
        return written


class _Patched:
    """A class of pytest's streams, diverted: the global ones, and those of capsys and capfd.

    The class and not its instances, which pytest makes and puts into sys when it likes; a test
    that looks at its sys.stdout finds what it always finds.
    """

    def __init__(self, kind: Any, streams: DivertedStreams) -> None:
        self._kind = kind
        self._own = {name: vars(kind).get(name) for name in ("write", "buffer")}
        write, buffer = kind.write, kind.buffer

        def write_diverted(stream: Any, text: str) -> int:
            if CURRENT_OUTPUT.get() is not None and streams.takes(streams.name_of(stream), text):
                return len(text)
            written: int = write(stream, text)
            return written

        def diverted_buffer(stream: Any) -> Any:
            below = buffer.__get__(stream)
            if CURRENT_OUTPUT.get() is None:
                return below
            return _Bytes(below, streams.name_of(stream), streams)

        kind.write, kind.buffer = write_diverted, property(diverted_buffer)

    def undo(self) -> None:
        """Leave the class as it was."""
        for name, value in self._own.items():
            if value is None:
                delattr(self._kind, name)
            else:
                setattr(self._kind, name, value)


def _parts_of_capture(config: pytest.Config) -> tuple[dict[Name, Any], list[Any]]:
    """Return the capture of each stream, and the classes of the streams that pytest puts in.

    Private: there is no public way to the streams that capture puts into sys for each phase, and
    back after it. Checked on pytest 8.4.0 and 9.2.0. Without them what a rollout writes while
    a phase of an item runs is in that item's sections; between items, when most rollouts run, it
    is still diverted (`divert_current`).
    """
    manager = config.pluginmanager.getplugin("capturemanager")
    capturing = getattr(manager, "_global_capturing", None)
    captures: dict[Name, Any] = {}
    for side, name in zip(("out", "err"), _NAMES, strict=True):
        capture = getattr(capturing, side, None)
        capture = getattr(capture, "syscapture", capture)
        if hasattr(capture, "_old"):
            captures[name] = capture
    try:
        from _pytest import capture as module
    except ImportError:
        return captures, []
    names = ("EncodedFile", "CaptureIO", "TeeCaptureIO")
    return captures, [getattr(module, name) for name in names if hasattr(module, name)]
