"""One limit for the whole session, however many workers there are."""

from __future__ import annotations

from pytest_evals.demo.server import DemoServer

from ..conftest import Project

EVAL = """
    max_concurrent = {limit}

    [[eval]]
    env_id = "sums"
    env_args = {{ examples = {examples} }}
    num_examples = -1
    rollouts_per_example = {rollouts}
    gates = ["reward >= 0.1"]
"""


def test_no_server_sees_more_than_the_limit(project: Project) -> None:
    with DemoServer(latency=0.2) as server:
        project.evals(EVAL.format(limit=6, examples=24, rollouts=1), url=server.url)
        result = project.run("bench.toml", "-n4")

    assert result.ret == 0, result.stdout.str()
    assert server.peak == 6
    assert server.requests == 24


def test_a_limit_below_the_number_of_workers_holds(project: Project) -> None:
    with DemoServer(latency=0.02) as server:
        project.evals(EVAL.format(limit=1, examples=10, rollouts=1), url=server.url)
        result = project.run("bench.toml", "-n3")

    assert result.ret == 0, result.stdout.str()
    assert server.peak == 1
    assert server.requests == 10


def test_the_slots_of_an_idle_worker_go_to_a_busy_one(project: Project) -> None:
    with DemoServer(latency=0.5) as server:
        # One example is one group, and a group stays on one worker.
        project.evals(EVAL.format(limit=4, examples=1, rollouts=8), url=server.url)
        result = project.run("bench.toml", "-n2")

    assert result.ret == 0, result.stdout.str()
    assert server.peak == 4


def test_no_limit_is_none(project: Project) -> None:
    with DemoServer(latency=0.5) as server:
        project.evals(EVAL.format(limit=0, examples=80, rollouts=1), url=server.url)
        result = project.run("bench.toml", "-n2")

    assert result.ret == 0, result.stdout.str()
    assert server.peak > 32
