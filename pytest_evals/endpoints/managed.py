"""Managed servers: started for a session, waited for, ended with it."""

from __future__ import annotations

import contextlib
import http.client
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import SetupError
from . import guard
from .endpoint import Endpoint, ServeCommand
from .server_output import ServerOutput
from .urls import PORT

HOST = "127.0.0.1"

# Seconds: the guard's own limits, and some for its start.
_STOP_TIMEOUT = guard.GRACE + 2
_PROBE_TIMEOUT = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25

# A port is free again until its server binds it, and could be picked twice in between.
_picked_ports: set[int] = set()


class ManagedServer:
    """A server that was started; it need not answer yet.

    Attributes:
        serve: what it was started with.
        label: how messages name its endpoint.
        port: where it listens on 127.0.0.1.
    """

    def __init__(
        self,
        serve: ServeCommand,
        label: str,
        port: int,
        process: subprocess.Popen[bytes],
        output: ServerOutput,
    ) -> None:
        self.serve = serve
        self.label = label
        self.port = port
        self._process = process
        self._output = output
        self._started = time.monotonic()

    @property
    def returncode(self) -> int | None:
        """The exit code of the server, 128 and more for a signal; None while it runs."""
        return self._process.poll()

    @property
    def running_for(self) -> float:
        """Seconds since it was started."""
        return time.monotonic() - self._started

    def exited_within(self, seconds: float) -> bool:
        """Wait up to `seconds` for the server to exit by itself; say whether it did."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    def stop(self) -> None:
        """End the server and every process of its group; returns within about 7 s.

        It can be called again, and on a server that has exited.
        """
        # Either makes the guard end the group. The signal is for the case that a process forked
        # from this one holds the pipe open.
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.terminate()
        if not self.exited_within(_STOP_TIMEOUT):
            self._process.kill()
            self._process.wait()
        self._output.settle()

    def log_tail(self) -> str:
        """Return the last lines that the server wrote, as they are in the log."""
        if self.returncode is not None:
            self._output.settle()
        return self._output.tail()


def start_server(
    serve: ServeCommand,
    *,
    label: str,
    log: Path,
    mask: Callable[[str], str] = str,
    environ: Mapping[str, str] | None = None,
) -> ManagedServer:
    """Start a server on a free port of 127.0.0.1 and return at once.

    Its processes end when `stop` is called, and when this process ends in any way.

    Args:
        serve: the command. It runs in `serve.folder`, without a shell.
        label: how messages name the endpoint.
        log: the file that its output is appended to, masked, with control characters made visible;
            made with its folders when it is missing.
        mask: replaces the secrets in a text.
        environ: the server's environment variables; None for those of this process.

    Raises:
        SetupError: the folder is missing, or the log cannot be written.
    """
    if not serve.folder.is_dir():
        raise SetupError(f"{label}: the folder to serve from does not exist: {serve.folder}")
    port = _free_port()
    command = [
        word.replace("{python}", sys.executable).replace(PORT, str(port))
        for word in shlex.split(serve.command)
    ]
    try:
        output = ServerOutput(log, mask)
        with output.writable() as written:
            process = subprocess.Popen(  # noqa: S603 -- the registry's own command
                # Isolated, without site: nothing of the user's Python set-up runs in the guard.
                [sys.executable, "-I", "-S", guard.__file__, *command],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=written,
                stderr=written,
                cwd=serve.folder,
                env=environ,
                # Out of the terminal's reach: a Ctrl-C is pytest's to act on, and pytest ends the
                # server after what is in flight.
                start_new_session=True,
            )
    except OSError as error:
        raise SetupError(f"{label}: cannot start {serve.command!r}: {error}") from error
    return ManagedServer(serve, label, port, process, output)


def wait_until_ready(server: ManagedServer) -> None:
    """Wait until the server answers 200; any other end of the waiting stops it.

    The time allowed runs from its start, so that servers started together are ready together.

    Raises:
        SetupError: it exited, or did not answer within `startup_timeout`; with the last lines of
            its log.
    """
    try:
        _poll(server)
    except BaseException:
        # Ctrl-C too: nobody else knows of the server yet.
        server.stop()
        raise


def with_port(endpoint: Endpoint, port: int) -> Endpoint:
    """Return a managed endpoint as one that runs already, on `port`."""
    return replace(endpoint, url=endpoint.url.replace(PORT, str(port)), serve=None)


def _poll(server: ManagedServer) -> None:
    """Ask the server whether it is ready until it is, or raise."""
    allowed = server.serve.startup_timeout
    pause = _FIRST_PAUSE
    while True:
        left = allowed - server.running_for
        answer = _probe(server.port, server.serve.ready, max(_FIRST_PAUSE, left))
        # Looked at after the answer: another program may have taken the port and given it.
        if server.returncode is not None:
            raise _failure(server, f"it ended with {_exit_text(server.returncode)}")
        if answer == "HTTP 200":
            return
        left = allowed - server.running_for
        if left <= 0:
            where = f"http://{HOST}:{server.port}{server.serve.ready}"
            raise _failure(
                server, f"{where} did not answer 200 within {allowed:g} s; last answer: {answer}"
            )
        server.exited_within(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)


def _probe(port: int, path: str, seconds: float) -> str:
    """Ask once; return `HTTP 200` or what happened instead.

    A plain connection to the loopback address: no proxy is asked, no redirect followed.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=min(seconds, _PROBE_TIMEOUT))
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        response = connection.getresponse()
        response.close()
    except TimeoutError:
        return "none in time"
    except OSError as error:
        return error.strerror or type(error).__name__
    except http.client.HTTPException:
        return "something that is not HTTP"
    else:
        # Up, and wants a key that a probe does not have.
        return "HTTP 200" if response.status in (401, 403) else f"HTTP {response.status}"
    finally:
        connection.close()


def _failure(server: ManagedServer, what: str) -> SetupError:
    """Return the error for a server that is not ready."""
    tail = server.log_tail()
    output = "".join(f"\n    {line}" for line in tail.splitlines()) if tail else " (none)"
    return SetupError(
        f"{server.label}: the server did not start: {what}\n"
        f"  command: {server.serve.command} (port {server.port}, in {server.serve.folder})\n"
        f"  its last output:{output}"
    )


def _exit_text(code: int) -> str:
    """Name an exit code, and the signal when it was one."""
    if code == guard.CANNOT_RUN:
        return "exit code 127 (the command was not found or cannot be run)"
    number = code - guard.SIGNALLED if code > guard.SIGNALLED else -code
    with contextlib.suppress(ValueError):
        return f"exit code {code} ({signal.Signals(number).name})"
    return f"exit code {code}"


def _free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on and that was not returned before."""
    while True:
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            port: int = probe.getsockname()[1]
        if port not in _picked_ports:
            _picked_ports.add(port)
            return port
