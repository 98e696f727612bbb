"""`--evals-heartbeat-url`: what a monitor hears, and that it can do no harm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pytest_evals.plugin import heartbeat

from .conftest import Project

EVALS = """
    [[eval]]
    env_id = "sums"
    num_examples = 3
    rollouts_per_example = 2
    gates = ["reward >= {least}"]
"""


class Monitor:
    """An HTTP server that notes what it is asked for."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.authorizations: set[str | None] = set()
        self.status = 200
        self.released = threading.Event()
        self.released.set()
        monitor = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                monitor.paths.append(self.path)
                monitor.authorizations.add(self.headers["Authorization"])
                monitor.released.wait(30)
                self.send_response(monitor.status, "a\x1b[2Jreason")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def monitor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Monitor]:
    monkeypatch.setattr(heartbeat, "_PAUSE_SECONDS", 0.0)
    monitor = Monitor()
    thread = threading.Thread(target=monitor.server.serve_forever)
    thread.start()
    yield monitor
    monitor.released.set()
    monitor.server.shutdown()
    monitor.server.server_close()
    thread.join()


@pytest.mark.workers
@pytest.mark.parametrize(("least", "status"), [(0, "passed"), (2, "failed")])
def test_it_hears_of_rollouts_and_of_the_outcome(
    project: Project, url: str, monitor: Monitor, least: int, status: str
) -> None:
    project.evals(EVALS.format(least=least), url=url)
    project.run("bench.toml", f"--evals-heartbeat-url={monitor.url}/beat?a=1#x")
    *beats, last = monitor.paths
    assert 1 <= len(beats) <= 6
    assert set(beats) == {"/beat?a=1"}
    assert last == f"/beat?a=1&status={status}"


@pytest.mark.parametrize(
    ("path", "first", "last"),
    [
        ("/{status}", "/running", "/failed"),
        ("/id/{exit_code}", "/id/0", "/id/1"),
        ("/beat", "/beat", "/beat?status=failed"),
    ],
)
def test_where_the_outcome_stands(
    project: Project, url: str, monitor: Monitor, path: str, first: str, last: str
) -> None:
    project.evals(EVALS.format(least=2), url=url)
    project.pytester.makeini(f"[pytest]\nevals_heartbeat_url = {monitor.url}{path}\n")
    project.run("bench.toml")
    assert (monitor.paths[0], monitor.paths[-1]) == (first, last)


def test_requests_are_left_out_while_one_is_under_way(
    project: Project, url: str, monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "_TIMEOUT_SECONDS", 0.3)
    monitor.released.clear()
    project.evals(EVALS.format(least=0), url=url)
    begun = time.monotonic()
    result = project.run("bench.toml", f"--evals-heartbeat-url={monitor.url}/secret-0123456789")
    assert time.monotonic() - begun < 20
    assert result.ret == 0
    assert len(monitor.paths) <= 3
    result.stdout.fnmatch_lines(["evals: heartbeat to http://127.0.0.1: * requests failed; *"])


@pytest.mark.parametrize("make", [lambda url: f"{url}/", lambda url: "http://127.0.0.1:9/"])
def test_failures_are_one_line_without_the_url(
    project: Project, url: str, monitor: Monitor, make: Callable[[str], str]
) -> None:
    monitor.status = 500
    project.evals(EVALS.format(least=0), url=url)
    secret = "0f3c-secret-path-9d1e"
    result = project.run("bench.toml", f"--evals-heartbeat-url={make(monitor.url)}{secret}")
    assert result.ret == 0
    lines = [line for line in result.outlines if "heartbeat" in line]
    assert len(lines) == 1
    assert secret not in result.stdout.str() + result.stderr.str()
    assert "\x1b[2J" not in result.stdout.str()


@pytest.mark.workers
@pytest.mark.parametrize("status", [200, 500])
def test_a_user_and_password_go_into_a_header(
    project: Project, url: str, monitor: Monitor, status: int
) -> None:
    monitor.status = status
    project.evals(EVALS.format(least=0), url=url)
    place = monitor.url.removeprefix("http://")
    result = project.run(
        "bench.toml", f"--evals-heartbeat-url=http://me:s%40cret-password@{place}/beat/{{status}}"
    )
    assert result.ret == 0
    assert monitor.paths[-1] == "/beat/passed"
    assert monitor.authorizations == {"Basic bWU6c0BjcmV0LXBhc3N3b3Jk"}
    shown = result.stdout.str() + result.stderr.str()
    assert ("heartbeat to http://127.0.0.1:" in shown) is (status == 500)
    for secret in ("s%40cret-password", "s@cret-password", "bWU6c0BjcmV0LXBhc3N3b3Jk"):
        assert secret not in shown


def test_without_a_user_nothing_is_said_of_one(
    project: Project, url: str, monitor: Monitor
) -> None:
    project.evals(EVALS.format(least=0), url=url)
    project.run("bench.toml", f"--evals-heartbeat-url={monitor.url}/beat")
    assert monitor.authorizations == {None}


@pytest.mark.parametrize("arguments", [["--collect-only"], ["--setup-plan"]])
def test_nobody_hears_of_a_session_that_runs_nothing(
    project: Project, url: str, monitor: Monitor, arguments: list[str]
) -> None:
    project.evals(EVALS.format(least=0), url=url)
    project.run("bench.toml", f"--evals-heartbeat-url={monitor.url}", *arguments)
    assert monitor.paths == []


@pytest.mark.parametrize(
    "text",
    [
        "ftp://x/secret", "file:///etc/passwd", "secret", "http://a b", "http://me:secret@/x",
        "http://me:a/secret@host", "http://[secret", "http://host:secret/",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_and_not_shown(project: Project, url: str, text: str) -> None:
    project.evals(EVALS.format(least=0), url=url)
    result = project.run("bench.toml", "--evals-heartbeat-url", text)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*must be a URL that begins with http:// or https://*"])
    assert "secret" not in result.stderr.str()
