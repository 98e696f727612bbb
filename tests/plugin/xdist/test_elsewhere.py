"""Workers in another folder or on another machine: every result reaches the controller."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_evals.demo.server import DemoServer

from ..conftest import Project
from .conftest import DEADLY, die, steady

EVALS = """
    max_concurrent = 4

    [[eval]]
    env_id = "sums"
    env_args = { examples = 6 }
    num_examples = -1
    rollouts_per_example = 2
    gates = ["reward >= 0.1", "pass@2 >= 0.1"]
"""


def _run(project: Project, elsewhere: Path, *args: str) -> pytest.RunResult:
    """Run the project's evals in two workers that work on a copy of it."""
    folder = project.path
    # Beside the eval file: `environments` is looked for where a worker runs.
    (folder / "environments" / "sums.py").rename(folder / "sums.py")
    return project.run(
        *("-W", "ignore:The --rsyncdir:DeprecationWarning"),
        *("--dist=load", "--tx", f"2*popen//chdir={elsewhere}", f"--rsyncdir={folder}"),
        "--rsyncignore=outputs",
        str(folder / "bench.toml"),
        *args,
    )


def test_results_are_kept_where_pytest_was_called(
    project: Project, url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    project.evals(EVALS, url=url)
    assert project.run("bench.toml").ret == 0
    (alone,) = project.runs()
    result = _run(project, elsewhere)

    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=12 + 3)
    (folder,) = {*project.runs()} - {alone}
    assert steady(project.rows(folder)) == steady(project.rows(alone))
    assert not list(elsewhere.glob("**/outputs"))


REMOTE = ("--dist=load", "--px", "id=there//popen//execmodel=thread", "--tx", "2*popen//via=there")


def test_workers_behind_a_proxy_send_their_rows(project: Project, url: str) -> None:
    project.evals(EVALS, url=url)
    assert project.run("bench.toml").ret == 0
    (alone,) = project.runs()
    result = project.run("bench.toml", *REMOTE)

    assert result.ret == 0, result.stdout.str()
    (folder,) = {*project.runs()} - {alone}
    assert steady(project.rows(folder)) == steady(project.rows(alone))
    assert steady(project.metadata(folder)) == steady(project.metadata(alone))


def test_what_remote_workers_log_is_in_the_runs_log(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2-hunter2")
    project.environment(
        "failing",
        """
        import pytest_evals as vf

        class Failing(vf.Rubric):
            async def cleanup(self, state):
                raise OSError("cannot release hunter2-hunter2")

        def load_environment():
            rows = [{"question": "1 + 1?", "answer": "2"}]
            return vf.SingleTurnEnv(dataset=rows, rubric=Failing())
        """,
    )
    project.evals('[[eval]]\nenv_id = "failing"\napi_key_var = "SECRET_KEY"', url=url)
    result = project.run("bench.toml", *REMOTE)

    assert result.ret == 0, result.stdout.str()
    (folder,) = project.runs()
    log = (folder / "run.log").read_text()
    assert "OSError: cannot release" in log
    assert "hunter2" not in log


def test_a_remote_worker_that_dies_costs_what_was_in_flight(project: Project) -> None:
    project.environment("deadly", DEADLY)
    die(project, example=3, times=1)
    with DemoServer(latency=0.05) as server:
        project.evals(
            """
            max_concurrent = 4

            [[eval]]
            env_id = "deadly"
            num_examples = -1
            rollouts_per_example = 1
            """,
            url=server.url,
        )
        result = project.run("bench.toml", *REMOTE)

    assert result.ret == 0, result.stdout.str()
    states = {row["example_id"]: row["state"] for row in project.rows()}
    assert states == dict.fromkeys(range(20), "scored")
    assert server.requests <= 20 + 4
