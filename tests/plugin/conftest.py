"""A project of evals for pytester: environments, an eval file, the demo server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import execnet.gateway_io
import pytest

# Kept across the sessions in this process, each of which would import them anew.
import pytest_evals.clients.openai_chat_completions
import pytest_evals.plugin.nodes  # noqa: F401
from pytest_evals.clients import retries
from pytest_evals.demo.server import DemoServer

from .forked_workers import ForkServer, fork_server

# Sums that the demo model mostly gets right, and a reward that is the share of correct answers.
SUMS = """
    import pytest_evals as vf

    def correct(completion, answer):
        return float(bool(completion) and answer in completion[-1]["content"])

    def load_environment(examples=4, answer=None):
        rows = [
            {"question": f"What is {n} + {n}?", "answer": answer or str(n + n)}
            for n in range(examples)
        ]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[correct]))
"""


class Project:
    """A folder with environments and an eval file, and sessions of pytest in it."""

    def __init__(self, pytester: pytest.Pytester, plugin_args: list[str]) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.plugin_args = plugin_args
        pytester.makeini("[pytest]\n")
        self.environment("sums", SUMS)

    def environment(self, name: str, source: str) -> Path:
        """Write `environments/{name}.py`."""
        folder = self.path / "environments"
        folder.mkdir(exist_ok=True)
        path = folder / f"{name}.py"
        path.write_text(textwrap.dedent(source))
        return path

    def evals(self, text: str, *, url: str | None = None, name: str = "bench.toml") -> Path:
        """Write an eval file; `url` makes the demo model at it the default."""
        head = ""
        if url is not None:
            head = f'model = "demo-small"\napi_base_url = "{url}"\nrollout_seed = 7\n'
        path = self.path / name
        path.write_text(head + textwrap.dedent(text))
        return path

    def run(self, *args: str) -> pytest.RunResult:
        """Run pytest in this process."""
        arguments = self._arguments(args)
        if not any(each.startswith("--reruns") for each in arguments):
            # It leaves a thread and a socket behind, which end with the process.
            arguments = ["-p", "no:rerunfailures", *arguments]
        return self.pytester.runpytest_inprocess(*arguments)

    def start(self, *args: str, **kwargs: Any) -> subprocess.Popen[str]:
        """Start pytest in a process of its own, in a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *self._arguments(args)],
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            **kwargs,
        )

    def _arguments(self, args: tuple[str, ...]) -> list[str]:
        return ["-p", "no:asyncio", "-p", "no:randomly", *self.plugin_args, *map(str, args)]

    def runs(self) -> list[Path]:
        """Return the run folders, oldest first."""
        return sorted(self.path.glob("outputs/evals/*/*"), key=lambda path: path.stat().st_ctime)

    def rows(self, folder: Path | None = None) -> list[dict[str, Any]]:
        """Return the lines of a run's results.jsonl; of the only run when none is named."""
        (folder,) = [folder] if folder is not None else self.runs()
        return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]

    def metadata(self, folder: Path | None = None) -> dict[str, Any]:
        """Return a run's metadata.json."""
        (folder,) = [folder] if folder is not None else self.runs()
        content: dict[str, Any] = json.loads((folder / "metadata.json").read_text())
        return content


_VARIANTS = {"": [], "no-xdist": ["-p", "no:xdist"], "workers": ["-n", "2"]}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every session with and without xdist; those of tests marked `workers` in workers too.

    A session with workers costs a second or two of every core, so the mark is for promises that the
    controller and its workers keep in another way than one process does. Without xdist the others
    run with `-m slow` only.
    """
    if "plugin_args" not in metafunc.fixturenames or metafunc.module.__name__.count(".") > 2:
        return
    if hasattr(metafunc.module, "plugin_args"):  # the module has a fixture of that name
        return
    marked = metafunc.definition.get_closest_marker("workers") is not None
    names = list(_VARIANTS) if marked else ["", "no-xdist"]
    rare = [pytest.mark.slow] if not marked else []
    variants = [
        pytest.param(_VARIANTS[name], id=name, marks=rare if name == "no-xdist" else [])
        for name in names
    ]
    metafunc.parametrize("plugin_args", variants)


@pytest.fixture(scope="session")
def forks() -> Iterator[ForkServer]:
    """Where the workers of sessions in this process are forked."""
    with fork_server() as server:
        yield server


@pytest.fixture(autouse=True)
def forked_workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the workers of xdist, unless the test or the command line wants them started."""
    if request.config.getoption("--cold-workers") or request.node.get_closest_marker(
        "cold_workers"
    ):
        return
    forks: ForkServer = request.getfixturevalue("forks")
    monkeypatch.setattr(execnet.gateway_io, "create_io", forks.create_io)


@pytest.fixture
def project(
    pytester: pytest.Pytester, plugin_args: list[str], monkeypatch: pytest.MonkeyPatch
) -> Project:
    """An empty project with one environment, `sums`, and a wide terminal."""
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    return Project(pytester, plugin_args)


@pytest.fixture(scope="session")
def shared_demo() -> Iterator[DemoServer]:
    """A demo server without faults, for tests that count nothing on it."""
    with DemoServer() as server:
        yield server


@pytest.fixture
def url(shared_demo: DemoServer) -> str:
    """The base URL of a demo server without faults."""
    return shared_demo.url


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests be retried as often as they are, without the waits."""
    decide = retries.decide

    def at_once(*args: Any, **kwargs: Any) -> float | retries.GiveUp:
        decision = decide(*args, **kwargs)
        return 0.0 if isinstance(decision, float) else decision

    monkeypatch.setattr(retries, "decide", at_once)
