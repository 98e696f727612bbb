"""How many rollouts generate and are scored at once, and when scoring begins."""

from __future__ import annotations

import json

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project


@pytest.fixture
def plugin_args() -> list[str]:
    """Sessions that are to have workers say so themselves."""
    return []


# Writes down what happens in which order, and what at the same time.
NOTING = """
    import asyncio, json, os
    from pathlib import Path
    import pytest_evals as vf

    NOW = {"generating": 0, "scoring": 0}
    PEAK = {"generating": 0, "scoring": 0}
    ORDER = []
    OUT = Path(os.environ["NOTES"])

    class phase:
        def __init__(self, name):
            self.name = name
        async def __aenter__(self):
            NOW[self.name] += 1
            PEAK[self.name] = max(PEAK[self.name], NOW[self.name])
        async def __aexit__(self, *_):
            NOW[self.name] -= 1
            ORDER.append(self.name)
            OUT.write_text(json.dumps({"peak": PEAK, "order": ORDER}))

    class Noting(vf.SingleTurnEnv):
        async def get_model_response(self, *args, **kwargs):
            async with phase("generating"):
                await asyncio.sleep(0.02)
                return await super().get_model_response(*args, **kwargs)

    async def noted(completion):
        async with phase("scoring"):
            await asyncio.sleep(0.02)
        return 1.0

    async def compared(completions):
        async with phase("scoring"):
            await asyncio.sleep(0.02)
        return [1.0] * len(completions)

    def load_environment(grouped=False, examples=12):
        rows = [{"question": f"What is {n} + 1?", "answer": ""} for n in range(examples)]
        return Noting(dataset=rows, rubric=vf.Rubric(funcs=[compared if grouped else noted]))
"""
EVAL = """
    max_concurrent = 8

    [[eval]]
    env_id = "noting"
    num_examples = -1
    rollouts_per_example = 2
    {more}
    gates = ["reward >= 0.1"]
"""


@pytest.fixture
def notes(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("NOTES", str(project.path / "notes.json"))
    project.environment("noting", NOTING)
    return project


def told(project: Project) -> dict[str, object]:
    found: dict[str, object] = json.loads((project.path / "notes.json").read_text())
    return found


@pytest.mark.parametrize(
    ("args", "peak"),
    [
        ([], {"generating": 8, "scoring": None}),
        (["--evals-max-concurrent-generation=3"], {"generating": 3, "scoring": None}),
        (["--evals-max-concurrent-scoring=2"], {"generating": 8, "scoring": 2}),
        (["--evals-max-concurrent-generation=0"], {"generating": 8, "scoring": None}),
        (["-oevals_max_concurrent_scoring=1"], {"generating": 8, "scoring": 1}),
    ],
)
def test_no_more_than_the_limits_of_each_phase(
    notes: Project, args: list[str], peak: dict[str, int | None]
) -> None:
    with DemoServer() as server:
        notes.evals(EVAL.format(more=""), url=server.url)
        result = notes.run("bench.toml", *args)

    assert result.ret == 0, result.stdout.str()
    seen = told(notes)["peak"]
    assert isinstance(seen, dict)
    for phase, most in peak.items():
        assert most is None or seen[phase] == most, seen


def test_the_limit_of_a_phase_holds_over_workers(notes: Project) -> None:
    with DemoServer(latency=0.05) as server:
        notes.evals(EVAL.format(more=""), url=server.url)
        result = notes.run("bench.toml", "-n2", "--evals-max-concurrent-generation=3")

    assert result.ret == 0, result.stdout.str()
    assert server.peak <= 3
    assert len(notes.rows()) == 24


@pytest.mark.parametrize("grouped", ["false", "true"])
def test_scoring_waits_for_all_generation_of_the_eval(notes: Project, grouped: str) -> None:
    with DemoServer() as server:
        notes.evals(EVAL.format(more=f"env_args = {{ grouped = {grouped} }}"), url=server.url)
        result = notes.run("bench.toml", "--evals-no-interleave-scoring")

    assert result.ret == 0, result.stdout.str()
    order = told(notes)["order"]
    assert isinstance(order, list)
    assert order[:24] == ["generating"] * 24
    assert set(order[24:]) == {"scoring"}
    assert [row["reward"] for row in notes.rows()] == [1.0] * 24


def test_it_waits_for_no_rollout_that_failed(notes: Project) -> None:
    with DemoServer(status=400) as server:
        notes.evals(EVAL.format(more=""), url=server.url)
        result = notes.run("bench.toml", "-oevals_no_interleave_scoring=true")

    assert result.ret == 1
    assert len(notes.rows()) == 24


def test_some_fail_and_the_others_are_scored_in_the_end(notes: Project) -> None:
    with DemoServer(fault_rate=0.3, fault_kinds=("400",)) as server:
        notes.evals(
            EVAL.format(more="").replace("reward >= 0.1", "error_rate <= 0.9"), url=server.url
        )
        notes.run("bench.toml", "--evals-no-interleave-scoring")

    states = [row["state"] for row in notes.rows()]
    order = told(notes)["order"]
    assert isinstance(order, list)
    assert set(states) == {"scored", "unmeasured"}
    assert order.index("scoring") == 24
    assert states.count("scored") == order.count("scoring")


def test_workers_refuse_it(notes: Project) -> None:
    notes.evals(EVAL.format(more=""), url="http://127.0.0.1:9/v1")
    result = notes.run("bench.toml", "-n2", "--evals-no-interleave-scoring")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*--evals-no-interleave-scoring waits*leave out -n*"])


def test_independent_scoring_refuses_rewards_that_compare(notes: Project) -> None:
    more = "independent_scoring = true\nenv_args = { grouped = true }"
    notes.evals(EVAL.format(more=more), url="http://127.0.0.1:9/v1")
    result = notes.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*bench.toml:*independent_scoring scores each rollout by itself*"])


def test_independent_scoring_of_rewards_that_do_not(notes: Project) -> None:
    with DemoServer() as server:
        notes.evals(EVAL.format(more=""), url=server.url)
        assert notes.run("bench.toml", "--evals-independent-scoring").ret == 0


THREADS = """
    import os
    from pathlib import Path
    import pytest_evals as vf

    class Sized(vf.SingleTurnEnv):
        def set_concurrency(self, concurrency):
            super().set_concurrency(concurrency)
            Path(os.environ["NOTES"]).write_text(str(concurrency))

    def load_environment():
        rows = [{"question": f"What is {n} + 1?", "answer": ""} for n in range(5)]
        return Sized(dataset=rows, rubric=vf.Rubric(funcs=[lambda completion: 1.0]))
"""


@pytest.mark.parametrize(
    ("args", "more", "threads"),
    [
        ((), "", "8"),
        ((), "extra_env_kwargs = { concurrency = 100 }", "100"),
        (("--evals-set=max_concurrent=0",), "", "10"),
        (("--evals-set=max_concurrent=100000",), "", "4096"),
        (("-n2",), "", "4"),
    ],
)
def test_environments_are_told_how_many_threads_they_need(
    notes: Project, args: tuple[str, ...], more: str, threads: str
) -> None:
    notes.environment("noting", THREADS)
    with DemoServer() as server:
        notes.evals(EVAL.format(more=more), url=server.url)
        result = notes.run("bench.toml", *args)

    assert result.ret == 0, result.stdout.str()
    assert (notes.path / "notes.json").read_text() == threads
