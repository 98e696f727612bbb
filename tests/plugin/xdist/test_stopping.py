"""Sessions with workers that end early: -x, --maxfail, Ctrl-C, SIGTERM."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from xml.etree import ElementTree

import pytest

from pytest_evals.demo.server import DemoServer

from ..conftest import Project
from ..test_interruptions import MANY, NOISE, reported

# What was generated is on disk before it is scored, so nothing that was asked is lost.
BENCH = MANY + "pass_reward = 0.5\n"


def test_x_stops_every_worker_at_once(project: Project) -> None:
    with DemoServer(latency=0.2) as server:
        bench = BENCH.replace("examples = 400", 'examples = 400, answer = "never"')
        project.evals(bench, url=server.url)
        result = project.run("bench.toml", "-n2", "-x", "--evals-max-concurrent=16")
        # One flight as a rule, and what took off before the word got round.
        assert server.requests <= 3 * 16
    assert result.ret == 2  # as xdist has it
    output = result.stdout.str()
    assert "stopping after 1 failures" in output
    assert "NOT JUDGED: sums: error_rate <= 0: stopped after" in output
    assert project.metadata()["verdict"] == "failed"
    assert project.metadata()["complete"] is False


@pytest.fixture
def session(project: Project) -> Iterator[subprocess.Popen[str]]:
    """A session with two workers, of which five rollouts have reported."""
    with DemoServer(latency=0.1) as server:
        project.evals(MANY, url=server.url)
        process = project.start("bench.toml", "-n2", "-v", "--junitxml=evals.xml")
        names = reported(process, 5)
        yield process
        assert process.returncode is not None
        requests = server.requests
        cases = ElementTree.parse(project.path / "evals.xml").iter("testcase")
        assert {*names} <= {case.get("name") for case in cases}
        assert server.requests == requests  # nobody is left who asks


def _check(project: Project, output: str) -> None:
    assert not [word for word in NOISE if word in output], output
    assert output.count("NOT JUDGED: sums: error_rate <= 0: stopped after") == 1
    assert project.metadata()["verdict"] == "not judged"
    assert project.metadata()["complete"] is False
    (folder,) = project.runs()
    assert {path.name for path in folder.iterdir()} <= {
        "results.jsonl", "metadata.json", "run.log",
    }  # fmt: skip
    assert len(project.rows()) >= 5


@pytest.mark.parametrize("whom", ["everybody", "controller"])
def test_ctrl_c(project: Project, session: subprocess.Popen[str], whom: str) -> None:
    begun = time.monotonic()
    if whom == "everybody":  # as the terminal does
        os.killpg(session.pid, signal.SIGINT)
    else:
        session.send_signal(signal.SIGINT)
    output, _ = session.communicate(timeout=30)
    assert session.returncode == 2, output
    assert time.monotonic() - begun < 15.0  # 2 s on a machine that does nothing else
    _check(project, output)


def test_sigterm(project: Project, session: subprocess.Popen[str]) -> None:
    session.terminate()
    output, _ = session.communicate(timeout=30)
    assert session.returncode == 128 + signal.SIGTERM, output
    _check(project, output)


def test_sigterm_to_every_process(project: Project, session: subprocess.Popen[str]) -> None:
    os.killpg(session.pid, signal.SIGTERM)
    output, _ = session.communicate(timeout=30)
    assert session.returncode == 128 + signal.SIGTERM, output
    _check(project, output)


@pytest.mark.parametrize("args", [("test_plain.py",), ("test_plain.py", "bench.toml")])
def test_sigterm_is_left_alone_without_evals(
    project: Project, url: str, args: tuple[str, ...]
) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    project.pytester.makepyfile(test_plain="def test_one(): ...")
    project.pytester.makeconftest(
        """
        import pathlib, signal

        def pytest_runtest_logreport(report):
            is_left = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
            pathlib.Path("left").write_text(str(is_left))
        """
    )
    assert project.run(*args, "-n1").ret == 0
    assert (project.path / "left").read_text() == str("bench.toml" not in args)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_workers_end_when_the_controller_is_killed(project: Project) -> None:
    with DemoServer(latency=0.1) as server:
        project.evals(MANY, url=server.url)
        process = project.start("bench.toml", "-n2", "-v")
        reported(process, 5)
        process.kill()
        process.communicate(timeout=30)  # returns once no process holds the output open
        assert server.requests < 1000
