"""Workers that die: what was in flight is the cost, and nothing else."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_evals.demo.server import DemoServer

from ..conftest import Project
from .conftest import DEADLY, die, forget, lines_of, results

BENCH = '[[eval]]\nenv_id = "deadly"\nnum_examples = -1\nrollouts_per_example = 1\n'


@pytest.fixture
def deadly(project: Project) -> Project:
    project.environment("deadly", DEADLY)
    return project


def test_the_rollout_on_the_cpu_is_blamed(deadly: Project, slow_demo: DemoServer) -> None:
    deadly.evals(BENCH + "max_concurrent = 4", url=slow_demo.url)
    die(deadly, 7, times=1)
    result = deadly.run("bench.toml", "-n2", "--junitxml=evals.xml")
    assert result.ret == 1
    result.assert_outcomes(passed=19, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*worker 'gw?' crashed while running 'bench.toml::deadly::7-r0'",
            "FAILED bench.toml::deadly::gate-error_rate - error_rate 0.050 > 0 (*1 broken of 20*",
        ]
    )
    rows = {row["example_id"]: row for row in deadly.rows()}
    assert Counter(row["state"] for row in rows.values()) == {"scored": 19, "broken": 1}
    assert rows[7]["error"]["error"] == "WorkerDiedError"
    assert "7 + 7" in rows[7]["completion"][0]["content"]  # what was paid for is kept
    # Asked again: at most what else was in flight in the worker that died.
    assert slow_demo.requests < 20 + 4
    assert deadly.metadata()["verdict"] == "failed"


@pytest.mark.cold_workers
def test_a_killed_worker_costs_only_what_was_in_flight(
    deadly: Project, slow_demo: DemoServer
) -> None:
    bench = BENCH + 'env_args = { by = "kill" }\nmax_concurrent = 4\ngates = ["reward >= 0.1"]'
    deadly.evals(bench, url=slow_demo.url)
    assert deadly.run("bench.toml").ret == 0
    expected = results(deadly)
    forget(deadly)
    asked = slow_demo.requests
    die(deadly, 7, times=1)
    result = deadly.run("bench.toml", "-n2")
    # Killed from outside, by whoever looks after memory: nobody is to blame.
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=20 + 2)
    assert "replacing crashed worker" in result.stdout.str()
    assert results(deadly) == expected
    # Of four in flight, the one whose scoring was cut off had its answer.
    assert slow_demo.requests - asked <= 20 + 3


def test_a_worker_that_is_terminated_is_replaced(deadly: Project, slow_demo: DemoServer) -> None:
    bench = BENCH + 'env_args = { by = "term" }\nmax_concurrent = 4\ngates = ["reward >= 0.1"]'
    deadly.evals(bench, url=slow_demo.url)
    die(deadly, 7, times=1)
    result = deadly.run("bench.toml", "-n2")
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=20 + 2)
    assert "replacing crashed worker" in result.stdout.str()
    assert slow_demo.requests <= 20 + 3


def test_a_rollout_that_is_killed_twice_is_blamed(deadly: Project, url: str) -> None:
    deadly.evals(BENCH + 'env_args = { by = "kill", examples = 4 }', url=url)
    die(deadly, 2, times=9)
    result = deadly.run("bench.toml", "-n2")
    assert result.ret == 1
    result.assert_outcomes(passed=3, failed=2)
    assert Counter(row["state"] for row in deadly.rows()) == {"scored": 3, "broken": 1}


def test_groups_are_scored_as_wholes_all_the_same(deadly: Project, url: str) -> None:
    bench = (
        '[[eval]]\nenv_id = "deadly"\nnum_examples = -1\n'
        'env_args = { groups = true, by = "kill", examples = 6 }\n'
    )
    deadly.evals(bench, url=url)
    assert deadly.run("bench.toml").ret == 0
    expected = results(deadly)
    forget(deadly)
    die(deadly, 3, times=1)
    assert deadly.run("bench.toml", "-n2").ret == 0
    assert results(deadly) == expected


def test_what_waits_for_its_score_is_not_asked_again(
    deadly: Project, slow_demo: DemoServer
) -> None:
    bench = (
        '[[eval]]\nenv_id = "deadly"\nnum_examples = -1\nmax_concurrent = 3\n'
        'rollouts_per_example = 3\nenv_args = { groups = true, by = "kill", examples = 1 }\n'
    )
    deadly.evals(bench, url=slow_demo.url)
    die(deadly, 0, times=1)
    result = deadly.run("bench.toml", "-n2")
    assert result.ret == 0, result.stdout.str()
    assert "replacing crashed worker" in result.stdout.str()
    assert slow_demo.requests == 3  # all were generated when the first was being scored
    assert [row["reward"] for row in deadly.rows()] == [1.0, 2.0, 3.0]


# Ends a worker, once, when it has written the score of the first of a group.
ENDING_IN_A_GROUP = """
    import json, os, pathlib, signal
    from pytest_evals.store.run_folder import RunFolder

    append = RunFolder.append

    def append_and_die(folder, line):
        append(folder, line)
        mark = pathlib.Path("ended")
        if json.loads(line)["state"] == "scored" and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def pytest_configure(config):
        if hasattr(config, "workerinput"):
            RunFolder.append = append_and_die
"""


def test_a_group_that_is_half_scored_on_disk_is_not_asked_again(
    deadly: Project, slow_demo: DemoServer
) -> None:
    deadly.pytester.makeconftest(ENDING_IN_A_GROUP)
    bench = (
        '[[eval]]\nenv_id = "deadly"\nnum_examples = -1\n'
        "rollouts_per_example = 3\nenv_args = { groups = true, examples = 1 }\n"
    )
    deadly.evals(bench, url=slow_demo.url)
    result = deadly.run("bench.toml", "-n2")
    assert result.ret == 0, result.stdout.str()
    assert (deadly.path / "ended").exists()
    assert slow_demo.requests == 3
    assert [row["reward"] for row in deadly.rows()] == [1.0, 2.0, 3.0]


def test_when_workers_run_out_the_eval_fails(deadly: Project, slow_demo: DemoServer) -> None:
    deadly.evals(BENCH + 'env_args = { by = "kill", examples = 60 }', url=slow_demo.url)
    for example in range(60):
        die(deadly, example, times=1)
    result = deadly.run(
        "bench.toml", "-n2", "--max-worker-restart=0", "--evals-partial", "--evals-max-concurrent=2"
    )
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "FAILED bench.toml::deadly::incomplete - incomplete: * of 60 rollouts never ran, *",
            "NOT JUDGED: deadly: error_rate <= 0: stopped after * of 60 rollouts had reported",
        ]
    )
    (folder,) = deadly.runs()
    assert deadly.metadata()["complete"] is False
    keys = Counter((row["example_id"], row["rollout"]) for row in lines_of(folder))
    assert set(keys.values()) <= {1}


def test_the_managed_server_outlives_a_worker(deadly: Project) -> None:
    (deadly.path / "endpoints.toml").write_text(
        '[[endpoint]]\nendpoint_id = "own"\nmodel = "demo-small"\n'
        'serve = "{python} -m pytest_evals.demo --port {port} --latency 0.02"\n'
    )
    deadly.evals('endpoint_id = "own"\nendpoints_path = "endpoints.toml"\n' + BENCH
                 + 'env_args = { by = "kill" }')  # fmt: skip
    die(deadly, 9, times=1)
    result = deadly.run("bench.toml", "-n2")
    assert result.ret == 0, result.stdout.str()
    assert result.stdout.str().count("starting endpoint") == 1
    assert "replacing crashed worker" in result.stdout.str()


def test_a_plain_test_that_crashes_is_blamed_as_by_xdist(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    project.pytester.makepyfile(
        test_plain="""
        import os

        def test_one():
            pass

        def test_two():
            os._exit(3)
        """
    )
    result = project.run("bench.toml", "test_plain.py", "-n2")
    assert result.ret == 1
    result.assert_outcomes(passed=12 + 1 + 1, failed=1)
    result.stdout.fnmatch_lines(["*crashed while running 'test_plain.py::test_two'"])
