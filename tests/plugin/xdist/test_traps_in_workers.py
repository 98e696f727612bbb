"""What has gone wrong in schedulers and workers of this kind, and must not here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from xml.etree import ElementTree

import pytest

from pytest_evals.demo.server import DemoServer

from ..conftest import Project
from ..test_interruptions import MANY, reported
from ..test_phases import TestReleasedReports as ReleasedReports
from ..test_traps import assert_durations
from .conftest import DEADLY, die

ONE_EVAL = '[[eval]]\nenv_id = "sums"\n'
DEADLY_EVAL = '[[eval]]\nenv_id = "deadly"\nnum_examples = -1\nrollouts_per_example = 1\n'


@pytest.fixture
def deadly(project: Project) -> Project:
    project.environment("deadly", DEADLY)
    return project


# Schedulers


@pytest.mark.parametrize("dist", ["worksteal", "loadfile", "each"])
def test_a_worker_that_comes_late_where_no_plain_test_is(
    deadly: Project, url: str, dist: str
) -> None:
    # xdist's schedulers take an empty collection for one that is missing.
    deadly.evals(DEADLY_EVAL + 'env_args = { by = "kill", examples = 8 }', url=url)
    die(deadly, 3, times=1)
    result = deadly.run("bench.toml", "-n2", f"--dist={dist}")
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=8 + 1)


# Hold their worker until a rollout has ended one: some are queued, some run, when that happens.
WAITING = """
    import pathlib, time
    import pytest

    @pytest.mark.parametrize("number", range(3))
    def test_one(number):
        until = time.monotonic() + 20
        while pathlib.Path("dies-3").read_text() != "0":
            assert time.monotonic() < until, "no worker died"
            time.sleep(0.01)
"""


@pytest.mark.timeout(60)
@pytest.mark.parametrize("dist", ["load", "worksteal", "loadfile", "loadgroup"])
def test_a_worker_that_dies_beside_plain_tests(deadly: Project, url: str, dist: str) -> None:
    # One of three workers has no file of its own. Sessions have hung here, and blamed a plain test.
    deadly.evals(DEADLY_EVAL + "env_args = { examples = 12 }", url=url)
    deadly.pytester.makepyfile(test_a=WAITING, test_b=WAITING)
    die(deadly, 3, times=1)
    result = deadly.run("bench.toml", "test_a.py", "test_b.py", "-n3", f"--dist={dist}")
    assert result.ret == 1
    blamed = {*re.findall("crashed while running '(.*)'", result.stdout.str())}
    assert blamed == {"bench.toml::deadly::3-r0"}
    result.assert_outcomes(passed=17, failed=2)  # the rollout and the gate on the error rate


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=30)


def test_what_had_ended_and_not_reported_is_not_asked_again(project: Project) -> None:
    # Plain tests go first, so every rollout waits to report when one of them ends its worker.
    project.pytester.makepyfile(
        test_plain="""
        import os, pathlib, time
        import pytest

        def _scored(worker):
            files = pathlib.Path("outputs").glob(f"evals/*/*/results.{worker}.jsonl")
            lines = [line for file in files for line in file.read_text().splitlines()]
            return sum('"state":"scored"' in line.replace(": ", ":") for line in lines)

        @pytest.mark.parametrize("number", range(4))
        def test_one(number, worker_id):
            until = time.monotonic() + 20
            died = pathlib.Path("died")
            while not died.exists():
                if _scored("*") == 12 and _scored(worker_id):
                    died.touch()
                    os._exit(3)
                assert time.monotonic() < until
                time.sleep(0.01)
        """
    )
    with DemoServer() as server:
        project.evals(ONE_EVAL, url=server.url)
        result = project.run("bench.toml", "test_plain.py", "-n2")
        assert server.requests == 12
    assert result.ret == 1
    result.assert_outcomes(passed=12 + 1 + 3, failed=1)
    assert len(project.rows()) == 12


def test_a_straggler_starves_no_worker(project: Project) -> None:
    with DemoServer(straggler=3600.0) as server:
        project.evals(MANY + "rollouts_per_example = 1\n", url=server.url)
        process = project.start("bench.toml", "-n2", "-v", "--evals-max-concurrent=4")
        try:
            # Both workers go on, also the one that has the straggler.
            assert len({*reported(process, 200)}) == 200
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        finally:
            _end(process)
    assert process.returncode == 2


def test_a_plain_test_that_is_named_like_an_item_of_an_eval(project: Project, url: str) -> None:
    project.evals(ONE_EVAL, url=url)
    project.pytester.makepyfile(
        test_plain="""
        import pytest

        class Testsums:
            @pytest.mark.parametrize("name", ["0-r0", "gate-error_rate", "bench.toml::sums::0-r0"])
            def test_one(self, name):
                pass

        @pytest.fixture(params=["gate-error_rate"])
        def gate(request):
            return request.param

        def test_gate(gate):
            assert False
        """
    )
    result = project.run("bench.toml", "test_plain.py", "-n2")
    assert result.ret == 1
    result.assert_outcomes(passed=13 + 3, failed=1)
    assert project.metadata()["verdict"] == "passed"


def test_an_xdist_that_is_not_known_runs_the_items_in_order(project: Project) -> None:
    project.pytester.makeconftest(
        """
        import os
        from pytest_evals.plugin.xdist import surface

        if "PYTEST_XDIST_WORKER" in os.environ:
            surface.interactor_of = lambda config: None
        """
    )
    with DemoServer() as server:
        project.evals(ONE_EVAL + 'gates = ["reward >= 0.1"]', url=server.url)
        result = project.run("bench.toml", "-n2")
        assert server.requests == 12
    assert result.ret == 0, result.stdout.str()
    assert project.metadata()["verdict"] == "passed"


# Stopping


@pytest.mark.parametrize("whom", ["everybody", "controller", "x"])
def test_a_stopped_worker_is_not_replaced(project: Project, whom: str) -> None:
    # One that ends as if it were interrupted is, and the new one begins to spend.
    with DemoServer(latency=0.1) as server:
        project.evals(MANY, url=server.url)
        if whom == "x":
            bench = project.path / "bench.toml"
            bench.write_text(bench.read_text() + "pass_reward = 2\n")
            process = project.start("bench.toml", "-n2", "-x", "--evals-max-concurrent=8")
        else:
            process = project.start("bench.toml", "-n2", "-v", "--evals-max-concurrent=8")
        try:
            if whom != "x":
                reported(process, 5)
            before = server.requests
            if whom == "controller":
                process.send_signal(signal.SIGINT)
            elif whom == "everybody":
                os.killpg(process.pid, signal.SIGINT)
            output, _ = process.communicate(timeout=30)
        finally:
            _end(process)
        # What was in flight, and what took off before the word got round.
        assert server.requests - before < 6 * 8
    assert process.returncode == 2, output
    assert not re.search("replacing|node down|keyboard-interrupt|crashed", output), output


def test_showing_the_setup_asks_no_model(project: Project) -> None:
    with DemoServer() as server:
        project.evals(ONE_EVAL, url=server.url)
        project.pytester.makepyfile(test_plain="def test_one(tmp_path): pass")
        result = project.run("bench.toml", "test_plain.py", "-n2", "--setup-only")
        assert server.requests == 0
    assert result.ret == 0
    assert not (project.path / "outputs").exists()


# Reports


def test_durations_are_those_of_rollouts(project: Project) -> None:
    with DemoServer(latency=0.3) as server:
        project.evals(ONE_EVAL, url=server.url)
        result = project.run("bench.toml", "-n2", "--junitxml=evals.xml", "--durations=0", "-vv")
    cases = ElementTree.parse(project.path / "evals.xml").iter("testcase")
    times = {case.get("name", ""): float(case.get("time", "0")) for case in cases}
    assert all(time >= 0.3 for name, time in times.items() if "-r" in name), times
    assert_durations(result, rollouts=12, at_least=0.3)


def test_reports_that_say_nothing_are_let_go(project: Project, url: str) -> None:
    project.evals(ONE_EVAL, url=url)
    project.pytester.makeconftest(ReleasedReports.SUMMARY)
    result = project.run("bench.toml", "-n2")
    result.stdout.fnmatch_lines(["kept [[]('passed', 13)[]]"])


def test_values_that_only_look_like_builtins_reach_the_controller(
    project: Project, url: str
) -> None:
    # As NumPy's are. A report that holds one cannot be sent, which ends the session.
    project.environment(
        "odd",
        """
        import enum
        import pytest_evals as vf

        class Float(float): pass
        class Int(int): pass
        class Text(str): pass
        class Level(enum.IntEnum):
            HIGH = 1

        def reward(completion, answer): return Float(0.5)
        def level(completion): return Level.HIGH
        def flag(completion): return True

        def load_environment():
            rows = [{"question": Text("What is 1 + 1?"), "answer": Text("2"), "info": {"n": Int(1)},
                     "example_id": Int(n)} for n in range(3)]
            return vf.SingleTurnEnv(
                dataset=rows, rubric=vf.Rubric(funcs=[reward, level, flag], weights=[1, 0, 0])
            )
        """,
    )
    project.evals('[[eval]]\nenv_id = "odd"\ngates = ["reward >= 0.5", "level >= 1"]', url=url)
    result = project.run("bench.toml", "-n2", "--junitxml=evals.xml", "-rA")
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=9 + 3)


def test_without_a_cache(project: Project, url: str) -> None:
    project.evals(ONE_EVAL, url=url)
    result = project.run("bench.toml", "-n2", "-p", "no:cacheprovider")
    assert result.ret == 0
    result.assert_outcomes(passed=13)
