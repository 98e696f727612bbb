from __future__ import annotations

import contextlib
import http.client
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_evals.endpoints import guard
from pytest_evals.endpoints.endpoint import Endpoint, ServeCommand
from pytest_evals.endpoints.managed import (
    ManagedServer,
    start_server,
    wait_until_ready,
    with_port,
)
from pytest_evals.errors import SetupError

SERVER = """
    import os, signal, subprocess, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(int(os.environ.get("STATUS", "200")))
            self.send_header("Location", "http://127.0.0.1:9/")
            self.end_headers()
        def log_message(self, *args):
            pass

    if "STUBBORN" in os.environ:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "CHILD" in os.environ:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        print("child", child.pid, flush=True)
    print("server", os.getpid(), os.getcwd(), flush=True)
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""

Start = Callable[..., ManagedServer]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "run.log"


@pytest.fixture
def start(tmp_path: Path, log: Path) -> Iterator[Start]:
    started: list[ManagedServer] = []
    (tmp_path / "server.py").write_text(textwrap.dedent(SERVER))

    def start_one(
        command: str = "{python} server.py {port}",
        ready: str = "/v1/models",
        startup_timeout: float = 20.0,
        mask: Callable[[str], str] = str,
        **environ: str,
    ) -> ManagedServer:
        serve = ServeCommand(command, tmp_path, ready, startup_timeout)
        server = start_server(
            serve, label="endpoint 'x'", log=log, mask=mask, environ={**os.environ, **environ}
        )
        started.append(server)
        return server

    yield start_one
    for server in started:
        server.stop()


def is_gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def wait_for(condition: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def logged(log: Path, word: str) -> int:
    """The number after a word in the log, once it stands there."""

    def found() -> list[str]:
        text = log.read_text() if log.exists() else ""
        return [line.split()[1] for line in text.splitlines() if line.startswith(f"{word} ")]

    wait_for(lambda: bool(found()))
    return int(found()[-1])


def refuses(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.connect()
        except ConnectionRefusedError:
            return True
    return False


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_starts_answers_and_stops(start: Start, log: Path, tmp_path: Path) -> None:
    before = open_descriptors()
    server = start()

    wait_until_ready(server)

    assert server.returncode is None
    assert not refuses(server.port)
    pid = logged(log, "server")
    assert log.read_text() == f"server {pid} {tmp_path}\n"
    server.stop()
    assert server.returncode == 0
    assert is_gone(pid)
    assert refuses(server.port)
    assert open_descriptors() == before


def test_stops_while_a_forked_process_holds_its_pipe(start: Start, log: Path) -> None:
    server = start()
    wait_until_ready(server)
    assert server._process.stdin is not None
    held = os.dup(server._process.stdin.fileno())

    server.stop()

    os.close(held)
    assert server.returncode == 0
    assert is_gone(logged(log, "server"))


def test_stopping_at_once_after_the_start(start: Start) -> None:
    server = start()

    server.stop()

    assert server.returncode is not None
    assert refuses(server.port)


def test_stopping_twice_and_after_its_end(start: Start) -> None:
    server = start("{python} -c 'import sys; sys.exit(0)' {port}")
    assert server.exited_within(15)

    server.stop()
    server.stop()

    assert server.returncode == 0


def test_several_servers_start_at_once(start: Start) -> None:
    servers = [start() for _ in range(3)]

    for server in servers:
        wait_until_ready(server)

    assert len({server.port for server in servers}) == 3


def test_children_of_the_server_end_too(start: Start, log: Path) -> None:
    server = start(CHILD="1")
    wait_until_ready(server)
    child = logged(log, "child")

    began = time.monotonic()
    server.stop()

    assert is_gone(child)
    # A child that has ended but that nobody reaped would be waited for until the grace is over.
    assert time.monotonic() - began < guard.GRACE - 1


def test_children_end_when_the_server_exits_by_itself(start: Start, log: Path) -> None:
    server = start(CHILD="1")
    wait_until_ready(server)
    child = logged(log, "child")

    os.kill(logged(log, "server"), signal.SIGKILL)

    assert server.exited_within(15)
    assert server.returncode == 128 + signal.SIGKILL
    assert is_gone(child)


def test_server_that_ignores_sigterm_is_killed(
    start: Start, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = Path(guard.__file__).read_text().replace("GRACE = 5.0", "GRACE = 0.3")
    assert "GRACE = 0.3" in impatient
    (tmp_path / "guard.py").write_text(impatient)
    monkeypatch.setattr(guard, "__file__", str(tmp_path / "guard.py"))
    server = start(STUBBORN="1")
    wait_until_ready(server)
    pid = logged(log, "server")

    began = time.monotonic()
    server.stop()

    assert is_gone(pid)
    assert 0.3 < time.monotonic() - began < guard.GRACE


def test_guard_ends_the_server_on_sigterm(start: Start, log: Path) -> None:
    server = start()
    wait_until_ready(server)
    pid = logged(log, "server")

    os.kill(server._process.pid, signal.SIGTERM)

    assert server.exited_within(15)
    assert is_gone(pid)


def test_terminal_does_not_reach_server_or_guard(start: Start, log: Path) -> None:
    server = start()
    wait_until_ready(server)

    sessions = {os.getsid(pid) for pid in (0, server._process.pid, logged(log, "server"))}

    assert len(sessions) == 3


def test_killed_parent_takes_the_server_with_it(tmp_path: Path, log: Path) -> None:
    (tmp_path / "server.py").write_text(textwrap.dedent(SERVER))
    parent_code = f"""
        import os, sys, time
        from pathlib import Path
        from pytest_evals.endpoints.endpoint import ServeCommand
        from pytest_evals.endpoints.managed import start_server, wait_until_ready

        serve = ServeCommand("{{python}} server.py {{port}}", Path({str(tmp_path)!r}))
        server = start_server(serve, label="x", log=Path({str(log)!r}))
        wait_until_ready(server)
        # A fork of the parent holds all that it has open, also the guard's pipe.
        other = os.fork()
        if other == 0:
            sys.stdin.read()
            os._exit(0)
        print(server.port, other, flush=True)
        time.sleep(600)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(parent_code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "CHILD": "1"},
    )
    assert parent.stdout is not None and parent.stdin is not None
    with parent.stdin, parent.stdout:
        port, other = map(int, parent.stdout.readline().split())
        server, child = logged(log, "server"), logged(log, "child")

        parent.kill()
        parent.wait()

        wait_for(lambda: refuses(port) and is_gone(server) and is_gone(child))
        assert not is_gone(other)


def test_server_that_exits_at_once(start: Start) -> None:
    command = "{python} -c 'import sys; print(\"no GPU \\x1b[31mfound\"); sys.exit(3)' {port}"
    server = start(command, SOME_API_KEY="sk-very-secret-value")

    with pytest.raises(SetupError) as caught:
        wait_until_ready(server)

    message = str(caught.value)
    assert message.startswith("endpoint 'x': the server did not start: it ended with exit code 3\n")
    assert f"command: {command} (port {server.port}, in " in message
    assert "no GPU \\x1b[31mfound" in message
    assert "\x1b" not in message
    assert "sk-very-secret-value" not in message
    assert server.returncode == 3


def test_server_that_never_listens(start: Start) -> None:
    server = start("{python} -c 'import time; time.sleep(600)' {port}", startup_timeout=0.5)

    with pytest.raises(SetupError, match=r"within 0\.5 s; last answer: Connection refused") as it:
        wait_until_ready(server)

    assert "its last output: (none)" in str(it.value)
    assert server.returncode is not None


@pytest.mark.parametrize("status", [503, 404, 302, 204])
def test_only_200_is_ready(start: Start, status: int) -> None:
    server = start(STATUS=str(status), startup_timeout=0.5)

    with pytest.raises(SetupError, match=f"/v1/models did not .* last answer: HTTP {status}"):
        wait_until_ready(server)


@pytest.mark.parametrize("status", [401, 403])
def test_a_server_that_wants_a_key_is_up(start: Start, status: int) -> None:
    wait_until_ready(start(STATUS=str(status)))


def test_server_that_speaks_something_else(start: Start, tmp_path: Path) -> None:
    (tmp_path / "noise.py").write_text(
        "import socket, sys\n"
        "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "while True:\n"
        "    connection, _ = listener.accept()\n"
        "    connection.recv(4096)\n"
        "    connection.sendall(b'\\xff\\0' * 100_000)\n"
        "    connection.close()\n"
    )
    server = start("{python} noise.py {port}", startup_timeout=0.6)

    with pytest.raises(SetupError, match=r"not HTTP|Connection reset"):
        wait_until_ready(server)


def test_server_that_accepts_and_never_answers(start: Start, tmp_path: Path) -> None:
    (tmp_path / "silent.py").write_text(
        "import socket, sys, time\n"
        "listener = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
        "time.sleep(600)\n"
    )
    server = start("{python} silent.py {port}", startup_timeout=0.6)

    with pytest.raises(SetupError, match="last answer: none in time"):
        wait_until_ready(server)

    assert server.running_for < 10


def test_command_that_does_not_exist(start: Start) -> None:
    server = start("no-such-command-here --port {port}")

    with pytest.raises(SetupError) as caught:
        wait_until_ready(server)

    assert "exit code 127" in str(caught.value)
    assert "cannot start 'no-such-command-here': No such file or directory" in str(caught.value)


def test_missing_folder(tmp_path: Path, log: Path) -> None:
    serve = ServeCommand("{python} server.py {port}", tmp_path / "nowhere")

    with pytest.raises(SetupError, match=r"endpoint 'x': the folder .*nowhere"):
        start_server(serve, label="endpoint 'x'", log=log)

    assert not log.exists()


def test_log_that_cannot_be_written(tmp_path: Path) -> None:
    serve = ServeCommand("{python} server.py {port}", tmp_path)

    with pytest.raises(SetupError, match="endpoint 'x': cannot start"):
        start_server(serve, label="endpoint 'x'", log=tmp_path)


def test_words_of_the_command_reach_it_as_written(start: Start, log: Path) -> None:
    words = ["a b", "$HOME", "*", '{"x": 1}', ";", "--port={port}"]
    server = start(
        "{python} -c 'import sys; print(sys.argv[1:], sys.executable)' " + shlex.join(words)
    )

    assert server.exited_within(15)

    words[-1] = f"--port={server.port}"
    said, _, executable = log.read_text().rpartition(" ")
    assert said == repr(words)
    assert os.path.normpath(executable.strip()) == os.path.normpath(sys.executable)


def test_tail_is_short_and_of_this_server_alone(start: Start, log: Path) -> None:
    log.parent.mkdir()
    log.write_text("of an earlier server\n")
    server = start('{python} -c \'print("x" * 5000); print("y\\n\\n" * 20000)\' {port}')
    assert server.exited_within(15)

    tail = server.log_tail().splitlines()

    assert tail == ["y"] * 10
    assert log.read_text().startswith("of an earlier server\n")


def test_tail_leaves_out_what_stood_in_the_log(start: Start, log: Path) -> None:
    log.parent.mkdir()
    log.write_text("of an earlier server\n")
    server = start("{python} -c 'print(\"x\" * 5000)' {port}")
    assert server.exited_within(15)

    assert server.log_tail() == "x" * 300


def masked(text: str) -> str:
    return text.replace("secret-key", "***")


def test_what_it_writes_is_masked_before_it_is_on_disk(start: Start, log: Path) -> None:
    server = start(
        '{python} -c \'import sys; print("x" * 295 + "secret-key \\x1b[31m");'
        ' sys.stdout.buffer.write(b"\\xffdone\\r\\nsecret-"); sys.stdout.flush();'
        ' print("key", file=sys.stderr)\' {port}',
        mask=masked,
    )
    assert server.exited_within(15)

    assert server.log_tail() == "x" * 295 + "*** " + "\\" + "\n\\xffdone\n***"
    assert log.read_text() == "x" * 295 + "*** \\x1b[31m\n\\xffdone\n***\n"


def test_a_line_without_an_end_is_masked_and_never_grows_in_memory(start: Start, log: Path) -> None:
    server = start(
        '{python} -c \'import sys; sys.stdout.write("y" * 65530 + "secret-key");'
        ' sys.stdout.write("z" * 300000 + "secret-key")\' {port}',
        mask=masked,
    )
    assert server.exited_within(15)
    server.stop()

    assert log.read_text() == "y" * 65530 + "***" + "z" * 300000 + "***"


def test_what_it_wrote_is_in_the_log_when_this_process_is_killed(tmp_path: Path, log: Path) -> None:
    (tmp_path / "server.py").write_text(textwrap.dedent(SERVER))
    script = f"""
        import time
        from pathlib import Path
        from pytest_evals.endpoints.endpoint import ServeCommand
        from pytest_evals.endpoints.managed import start_server
        serve = ServeCommand("{{python}} server.py {{port}}", Path({str(tmp_path)!r}), "/", 20.0)
        start_server(serve, label="x", log=Path({str(log)!r}), mask=str.upper)
        time.sleep(600)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)])
    try:
        wait_for(lambda: log.exists() and log.read_text().endswith("\n"))
    finally:
        process.kill()
        process.wait()
    assert log.read_text().startswith("SERVER ")
    wait_for(lambda: is_gone(int(log.read_text().split()[1])))


def test_ctrl_c_while_waiting_stops_the_server(
    start: Start, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start(STATUS="503")
    pid = logged(log, "server")
    answer = http.client.HTTPConnection.getresponse

    def interrupted(self: http.client.HTTPConnection) -> http.client.HTTPResponse:
        answer(self).close()
        raise KeyboardInterrupt

    monkeypatch.setattr(http.client.HTTPConnection, "getresponse", interrupted)

    with pytest.raises(KeyboardInterrupt):
        wait_until_ready(server)

    assert server.returncode is not None
    assert is_gone(pid)


def test_proxies_of_the_environment_are_not_asked(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    server = start()

    wait_until_ready(server)

    assert server.returncode is None


def test_endpoint_of_a_running_server(tmp_path: Path) -> None:
    endpoint = Endpoint(
        model="m",
        url="http://127.0.0.1:{port}/v1",
        key_var=None,
        label="x",
        serve=ServeCommand("serve {port}", tmp_path),
    )

    running = with_port(endpoint, 8123)

    assert running.url == "http://127.0.0.1:8123/v1"
    assert running.serve is None
    assert running.model == "m"


def test_guard_imports_nothing_of_the_package(tmp_path: Path) -> None:
    code = (
        "import json, runpy, sys\n"
        f"runpy.run_path({guard.__file__!r})\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    shown = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    )

    modules = set(eval(shown.stdout))
    assert modules - set(sys.stdlib_module_names) <= {"__main__", "__mp_main__"}
