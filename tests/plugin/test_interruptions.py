"""Sessions that end early: Ctrl-C, SIGTERM, kill -9. In processes of their own."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.store.reading import read_rows

from .conftest import Project

MANY = '[[eval]]\nenv_id = "sums"\nenv_args = { examples = 400 }\nnum_examples = -1\n'
NOISE = ("Task was destroyed", "never retrieved", "Traceback", "INTERNALERROR", "ResourceWarning")


def _wait(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        threading.Event().wait(0.01)


def reported(process: subprocess.Popen[str], count: int) -> list[str]:
    """Read output until `count` rollouts have been reported; return their names."""
    assert process.stdout is not None
    names: list[str] = []
    while len(names) < count:
        line = process.stdout.readline()
        assert line, "the session ended too early"
        if " SCORED " in line:
            (nodeid,) = [word for word in line.split() if "::" in word]
            names.append(nodeid.rpartition("::")[2])
    return names


@pytest.fixture
def own_project(project: Project) -> Project:
    """One variant is enough: these sessions take a process each."""
    if project.plugin_args:
        pytest.skip("the same as with xdist")
    return project


def test_ctrl_c(own_project: Project) -> None:
    with DemoServer(latency=0.05) as server:
        own_project.evals(MANY, url=server.url)
        process = own_project.start("bench.toml", "-v", "--junitxml=evals.xml")
        names = reported(process, 5)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 2, output
    line = next(line for line in output.splitlines() if line.startswith("go on: pytest "))
    assert line.endswith(" bench.toml -v --junitxml=evals.xml --evals-resume")
    assert time.monotonic() - begun < 10.0  # 2 s on a machine that does nothing else
    assert not [word for word in NOISE if word in output], output
    assert "NOT JUDGED: sums: error_rate <= 0: stopped after" in output
    cases = {
        case.get("name")
        for case in ElementTree.parse(own_project.path / "evals.xml").iter("testcase")
    }
    assert set(names) <= cases
    assert own_project.metadata()["verdict"] == "not judged"
    assert own_project.metadata()["complete"] is False


# Its cleanup handler ends when the file `go` is there.
BOXED = """
    import asyncio, pathlib
    import pytest_evals as vf

    class Boxed(vf.SingleTurnEnv):
        @vf.cleanup
        async def delete_sandbox(self, state):
            pathlib.Path("entered").touch()
            while not pathlib.Path("go").exists():
                await asyncio.sleep(0.01)
            pathlib.Path("deleted").touch()

    def load_environment():
        return Boxed(dataset=[{"question": "What is 1 + 1?"}], rubric=vf.Rubric())
"""


@pytest.mark.parametrize("is_hurried", [False, True])
def test_cleanup_handlers_end_before_the_session(own_project: Project, is_hurried: bool) -> None:
    own_project.environment("boxed", BOXED)
    with DemoServer() as server:
        own_project.evals('[[eval]]\nenv_id = "boxed"\nrollouts_per_example = 1', url=server.url)
        process = own_project.start("bench.toml")
        _wait((own_project.path / "entered").exists)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        told = ""
        while "waiting up to 10 s for the cleanup of bench.toml::boxed::0-r0;" not in told:
            told = process.stdout.readline()
            assert told, "the session ended too early"
        if is_hurried:
            process.send_signal(signal.SIGINT)
        else:
            (own_project.path / "go").touch()
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 2, output
    assert (own_project.path / "deleted").exists() is not is_hurried
    line = "cleanup of bench.toml::boxed::0-r0 did not end before Ctrl-C: "
    assert (line in output) is is_hurried


def test_sigterm_ends_like_ctrl_c(own_project: Project) -> None:
    with DemoServer(latency=0.05) as server:
        own_project.evals(MANY, url=server.url)
        process = own_project.start("bench.toml", "-v", "--junitxml=evals.xml")
        reported(process, 5)
        process.terminate()
        output, _ = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert not [word for word in NOISE if word in output], output
    assert (own_project.path / "evals.xml").exists()
    assert output.count("NOT JUDGED: sums: error_rate <= 0: stopped after") == 1


def test_kill_9_loses_no_reported_row(own_project: Project) -> None:
    with DemoServer(latency=0.02) as server:
        own_project.evals(MANY, url=server.url)
        process = own_project.start("bench.toml", "-v")
        names = set(reported(process, 150))
        process.kill()
        output, _ = process.communicate(timeout=20)
    names |= {
        line.split()[0].rpartition("::")[2] for line in output.splitlines() if " SCORED " in line
    }
    (folder,) = own_project.runs()
    problems: list[str] = []
    kept = {
        f"{row['example_id']}-r{row['rollout']}"
        for row in read_rows(folder, on_problem=problems.append)
        if row["state"] == "scored"
    }
    assert names <= kept
    assert problems == []


def test_an_answer_is_kept_when_scoring_kills_the_process(own_project: Project) -> None:
    own_project.environment(
        "deadly",
        """
        import os, signal
        import pytest_evals as vf

        def reward(completion):
            os.kill(os.getpid(), signal.SIGKILL)

        def load_environment():
            return vf.SingleTurnEnv(
                dataset=[{"question": "What is 1 + 1?"}], rubric=vf.Rubric(funcs=[reward])
            )
        """,
    )
    with DemoServer() as server:
        own_project.evals('[[eval]]\nenv_id = "deadly"\nrollouts_per_example = 1', url=server.url)
        process = own_project.start("bench.toml")
        process.communicate(timeout=20)
    assert process.returncode == -signal.SIGKILL
    (row,) = read_rows(own_project.runs()[0])
    assert row["state"] == "generated"
    assert "1 + 1 = " in row["completion"][0]["content"]


MANAGED = """
[[endpoint]]
endpoint_id = "own"
model = "demo-small"
serve = "{python} -m pytest_evals.demo --port {port} --latency 0.05"
"""


def _managed(project: Project) -> None:
    (project.path / "endpoints.toml").write_text(MANAGED)
    project.evals('endpoint_id = "own"\nendpoints_path = "endpoints.toml"\n' + MANY)


def _port_of(project: Project) -> int:
    log = (project.runs()[0] / "run.log").read_text()
    return int(log.partition("127.0.0.1:")[2].partition("/")[0])


def _is_served(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_managed_server_ends_with_the_session(
    own_project: Project, number: signal.Signals
) -> None:
    _managed(own_project)
    process = own_project.start("bench.toml", "-v")
    reported(process, 3)
    port = _port_of(own_project)
    assert _is_served(port)
    process.send_signal(number)
    process.communicate(timeout=20)
    _wait(lambda: not _is_served(port))


def test_a_managed_server_is_shared_and_ends(project: Project) -> None:
    (project.path / "endpoints.toml").write_text(MANAGED)
    project.evals(
        'endpoint_id = "own"\nendpoints_path = "endpoints.toml"\n'
        '[[eval]]\nenv_id = "sums"\n[[eval]]\nenv_id = "sums"\nname = "again"\n'
    )
    result = project.run("bench.toml")
    assert result.ret == 0
    assert result.stdout.str().count("starting endpoint") == 1
    urls = {project.metadata(run)["base_url"] for run in project.runs()}
    assert len(urls) == 1
    assert not _is_served(int(urls.pop().rpartition(":")[2].partition("/")[0]))


def test_a_straggler_delays_no_report(own_project: Project) -> None:
    with DemoServer(straggler=3600.0) as server:
        own_project.evals(MANY + "rollouts_per_example = 1\n", url=server.url)
        process = own_project.start("bench.toml", "-v")
        names = reported(process, 50)
        assert "0-r0" not in names
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 2


def test_the_log_of_a_run_is_not_in_the_way(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    assert project.run("bench.toml").ret == 0
    names = {path.name for path in project.runs()[0].iterdir()}
    assert names == {"results.jsonl", "metadata.json"}
