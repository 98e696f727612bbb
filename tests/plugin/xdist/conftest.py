"""Projects whose sessions run under xdist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.demo.server import DemoServer

from ..conftest import Project

# Different in every run, or in every process.
_VARYING = {"timing", "trajectory_id", "time", "base_url", "session", "started"}

# Rollouts of examples in `die` end their process, each as often as the file in the folder says.
DEADLY = """
    import asyncio, os, pathlib, signal
    import pytest_evals as vf

    def _dies(n):
        left = pathlib.Path(f"dies-{n}")
        if not left.exists() or not int(left.read_text()):
            return False
        left.write_text(str(int(left.read_text()) - 1))
        return True

    async def correct(completion, answer, info):
        if _dies(info["n"]):
            if info["by"] == "exit":
                os._exit(3)
            os.kill(os.getpid(), signal.SIGTERM if info["by"] == "term" else signal.SIGKILL)
            await asyncio.sleep(60)  # or another took its slot until the signal is handled
        return float(answer in completion[-1]["content"])

    def load_environment(examples=20, by="exit", groups=False):
        def relative(completions):
            return [float(place) for place, _ in enumerate(completions)]

        rows = [
            {"question": f"What is {n} + {n}?", "answer": str(n + n), "info": {"n": n, "by": by}}
            for n in range(examples)
        ]
        funcs = [correct, relative] if groups else [correct]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=funcs))
"""


@pytest.fixture
def plugin_args() -> list[str]:
    """Nothing: each test says how many workers it has."""
    return []


@pytest.fixture
def slow_demo() -> Iterator[DemoServer]:
    """A demo server that takes its time, and counts."""
    with DemoServer(latency=0.03) as server:
        yield server


def die(project: Project, example: int, times: int) -> None:
    """Have the next rollouts of an example end their process."""
    (project.path / f"dies-{example}").write_text(str(times))


def steady(value: Any) -> Any:
    """Return rows or metadata without what differs from run to run."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in _VARYING}
    if isinstance(value, list):
        return [steady(item) for item in value]
    return value


def results(project: Project) -> dict[str, tuple[list[Any], Any, list[str]]]:
    """Return what the runs left, by eval: rows, metadata, the names of the files."""
    return {
        folder.parent.name: (
            steady(project.rows(folder)),
            steady(project.metadata(folder)),
            sorted(path.name for path in folder.iterdir() if path.name != "run.log"),
        )
        for folder in project.runs()
    }


def forget(project: Project) -> None:
    """Remove the runs so far."""
    for path in sorted(project.path.glob("outputs/**/*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()


def lines_of(folder: Path) -> list[dict[str, Any]]:
    """Return every line of every file of rows in a run's folder."""
    return [
        json.loads(line)
        for path in folder.glob("results*.jsonl")
        for line in path.read_text().splitlines()
    ]
