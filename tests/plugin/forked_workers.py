"""Workers of xdist that are forked from a process which has imported everything already.

A worker that starts as `python -c` spends more than a second on imports, many times what most
tests have it do. `--cold-workers` and the mark `cold_workers` start them that way all the same.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import execnet.gateway_io
from execnet.gateway_base import Popen2IO

_SCRIPT = Path(__file__).with_name("fork_server.py")
_cold_io = execnet.gateway_io.create_io


def _of_python(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what Python reads when it starts: a process that is forked starts no more."""
    return {name: value for name, value in environ.items() if name.startswith("PYTHON")}


class _Worker:
    """The process of a worker, as far as execnet, pytest_evals and tests ask for one."""

    def __init__(self, told: BinaryIO) -> None:
        self._told = told
        self.pid = int(told.readline())
        self.returncode: int | None = None
        self._ended = os.pidfd_open(self.pid)  # readable once it has, told or not yet

    def poll(self) -> int | None:
        return self.wait(0)

    def wait(self, timeout: float | None = None) -> int | None:
        if self.returncode is None and self._has_ended(timeout):
            with self._told:
                self.returncode = int(self._told.readline())
            os.close(self._ended)
        return self.returncode

    def _has_ended(self, timeout: float | None) -> bool:
        ended = select.poll()  # `select` takes no number above 1023
        ended.register(self._ended, select.POLLIN)
        return bool(ended.poll(None if timeout is None else timeout * 1000))

    def kill(self) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._ended, signal.SIGKILL)


class _WorkerIO(Popen2IO):
    def __init__(self, popen: _Worker, outfile: Any, infile: Any, execmodel: Any) -> None:
        super().__init__(outfile, infile, execmodel)
        self.popen = popen
        self.wait = popen.wait
        self.kill = popen.kill


class ForkServer:
    """The process that forks workers; starts with the first that is asked for."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._environ = dict(os.environ)

    def create_io(self, spec: Any, execmodel: Any) -> Any:
        """Fork a worker where `execnet.gateway_io.create_io` would start one like this process."""
        if (
            sys.platform != "linux"
            or not spec.popen
            or spec.python
            or spec.dont_write_bytecode
            or _of_python(os.environ) != _of_python(self._environ)
        ):
            return _cold_io(spec, execmodel)
        if self._socket is None:
            self._start()
        return self._fork(execmodel)

    def close(self) -> None:
        """End the process, which needs no other word than a closed socket."""
        if self._socket is not None and self._process is not None:
            self._socket.close()
            self._process.wait(timeout=30)

    def _start(self) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_SCRIPT), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=self._environ,
                pass_fds=[theirs.fileno()],
            )

    def _fork(self, execmodel: Any) -> _WorkerIO:
        assert self._socket is not None
        stdin, to_stdin = os.pipe()
        from_stdout, stdout = os.pipe()
        told, tell = os.pipe()
        asked = json.dumps({"environ": dict(os.environ), "cwd": str(Path.cwd())}).encode()
        socket.send_fds(self._socket, [asked], [stdin, stdout, 2, tell])
        for file in (stdin, stdout, tell):
            os.close(file)
        worker = _Worker(os.fdopen(told, "rb"))
        return _WorkerIO(worker, os.fdopen(to_stdin, "wb"), os.fdopen(from_stdout, "rb"), execmodel)


@contextmanager
def fork_server() -> Iterator[ForkServer]:
    """Keep a server of forks, and end it."""
    server = ForkServer()
    try:
        yield server
    finally:
        server.close()
