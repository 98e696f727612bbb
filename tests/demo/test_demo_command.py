from __future__ import annotations

import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

COMMAND = (sys.executable, "-m", "pytest_evals.demo")


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal_and_leaves_quietly(number: signal.Signals) -> None:
    with running("--port", "0", "--latency", "0.01") as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}/models", timeout=10) as reply:
            assert reply.status == 200
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")


def test_a_request_in_flight_does_not_hold_it_up() -> None:
    with running("--port", "0", "--fault-rate", "1", "--fault-kinds", "hang") as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2].partition("/")[0])
        body = b'{"model": "demo-small", "messages": [{"role": "user", "content": "hi"}]}'
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}"
            connection.sendall(f"{head}\r\nExpect: 100-continue\r\n\r\n".encode())
            # The server has begun to handle the request.
            assert connection.recv(100).startswith(b"HTTP/1.1 100")
            connection.sendall(body)
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=10)
        assert (process.returncode, err) == (0, "")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fault-rate", "2"), "fault rate"),
        (("--fault-rate", "0.5", "--fault-kinds", "explode"), "explode"),
        (("--status", "200"), "status"),
    ],
)
def test_wrong_options_are_a_usage_error(options: tuple[str, ...], words: str) -> None:
    ended = subprocess.run([*COMMAND, *options], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert words in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_one_message() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [*COMMAND, "--port", port], capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert f"port {port}" in ended.stderr
    assert "Traceback" not in ended.stderr
