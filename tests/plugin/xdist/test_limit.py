"""One limit for the whole session, however many workers there are."""

from __future__ import annotations

import pytest

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


# Notes when each generation and each scoring begins and ends, on the clock of all processes.
PHASES = """
    import asyncio, os, pathlib, signal, time
    import pytest_evals as vf

    class phase:
        def __init__(self, name):
            self.name = name
        async def __aenter__(self):
            self.start = time.monotonic()
        async def __aexit__(self, *_):
            with open(f"{self.name}.txt", "a") as file:
                file.write(f"{self.start} {time.monotonic()}\\n")

    class Noting(vf.SingleTurnEnv):
        async def get_model_response(self, *args, **kwargs):
            async with phase("generation"):
                return await super().get_model_response(*args, **kwargs)

    async def correct(completion, answer):
        async with phase("scoring"):
            await asyncio.sleep(0.01)
        if answer == "6" and pathlib.Path("deadly").exists():
            pathlib.Path("deadly").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return float(answer in completion[-1]["content"])

    def load_environment():
        rows = [{"question": f"What is {n} + {n}?", "answer": str(n + n)} for n in range(10)]
        return Noting(dataset=rows, rubric=vf.Rubric(funcs=[correct]))
"""
PHASED = """
    [[eval]]
    env_id = "phases"
    num_examples = -1
    rollouts_per_example = 1
    gates = ["reward >= 0.1"]
"""


def most_at_once(project: Project, phase: str) -> int:
    spans = [line.split() for line in (project.path / f"{phase}.txt").read_text().splitlines()]
    events = [(float(start), 1) for start, _ in spans] + [(float(end), -1) for _, end in spans]
    count = most = 0
    for _, step in sorted(events):
        count += step
        most = max(most, count)
    return most


@pytest.mark.parametrize(
    ("limited", "dies"),
    [(["scoring"], False), (["generation", "scoring"], False), (["generation", "scoring"], True)],
    ids=["one", "both", "both-and-a-worker-is-replaced"],
)
def test_the_limit_of_a_phase_below_the_number_of_workers_holds(
    project: Project, limited: list[str], dies: bool
) -> None:
    project.environment("phases", PHASES)
    if dies:
        (project.path / "deadly").touch()
    with DemoServer(latency=0.01) as server:
        project.evals(PHASED, url=server.url)
        options = [f"--evals-max-concurrent-{phase}=1" for phase in limited]
        with project.start("bench.toml", "-n2", *options) as session:
            try:
                shown, _ = session.communicate(timeout=60)
            finally:
                session.kill()

    assert session.returncode == 0, shown
    assert "11 passed" in shown or "12 passed" in shown
    assert ("replacing crashed worker" in shown) is dies
    assert [most_at_once(project, phase) for phase in limited] == [1] * len(limited)
