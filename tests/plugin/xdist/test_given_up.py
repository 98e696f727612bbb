"""An endpoint or a judge that one worker gives up: the others go on with its rollouts."""

from __future__ import annotations

from collections import Counter

import pytest

from pytest_evals.demo.server import DemoServer

from ..conftest import Project
from ..function_project import FunctionProject
from .conftest import DEADLY

# Clients of the workers in FAILING never get an answer, after all retries; they count.
CLIENTS = """
    from pytest_evals.clients.factory import make_client
    from pytest_evals.errors import ModelError

    class Failing:
        async def get_response(self, *args, **kwargs):
            with open("asked", "a") as file:
                file.write("x")
            error = ModelError("503 at every attempt")
            error.requests = 8
            raise error

        async def close(self): ...

    def pytest_evals_make_client(config, endpoint, key):
        if config.workerinput["workerid"] in FAILING:
            return Failing()
        return make_client(endpoint, key)
"""

EVALS = """
    max_concurrent = 4

    [[eval]]
    env_id = "deadly"
    env_args = {{ examples = 20, groups = {groups} }}
    num_examples = -1
    rollouts_per_example = 3
    gates = ["error_rate <= 0.2"]
"""


@pytest.mark.parametrize("groups", ["false", "true"])
def test_another_worker_runs_what_one_has_not_started(project: Project, groups: str) -> None:
    project.environment("deadly", DEADLY)
    project.pytester.makeconftest(CLIENTS.replace("FAILING", "['gw1']"))
    with DemoServer(latency=0.02) as server:
        project.evals(EVALS.format(groups=groups), url=server.url)
        result = project.run("bench.toml", "-n2")
        assert server.requests >= 60 - 6
    assert result.ret == 0, result.stdout.str()
    states = Counter(row["state"] for row in project.rows())
    # Of a group that was begun the rest is refused: it could not be scored as a whole.
    assert 1 <= states["unmeasured"] <= (6 if groups == "true" else 4)
    assert states["unmeasured"] + states["scored"] == 60, states


def test_what_all_have_given_up_costs_a_round_of_each(project: Project, url: str) -> None:
    project.environment("deadly", DEADLY)
    project.pytester.makeconftest(CLIENTS.replace("FAILING", "['gw0', 'gw1']"))
    evals = EVALS.format(groups="false").replace("0.2", "0.99")
    project.evals(evals + "[[eval]]\n    env_id = 'sums'\n", url=url)
    result = project.run("bench.toml", "-n2")
    assert result.ret == 1
    counts = result.parseoutcomes()
    # One for each worker of the first eval, which tolerates the others, and of the second.
    assert 1 <= counts["errors"] <= 4
    assert counts["errors"] + counts["skipped"] == 60 + 12
    assert len((project.path / "asked").read_text()) <= 2 * 2 * 4
    assert all(
        row["state"] == "unmeasured" for folder in project.runs() for row in project.rows(folder)
    )


def test_a_judge_that_one_worker_cannot_reach(project: Project, url: str) -> None:
    project.environment(
        "judged",
        """
        import os
        import pytest_evals as vf

        def judged(completion):
            if os.environ["PYTEST_XDIST_WORKER"] == "gw1":
                raise vf.JudgeError("cannot connect")
            return 1.0

        def load_environment():
            rows = [{"question": f"What is {n} + 1?"} for n in range(80)]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[judged]))
        """,
    )
    project.evals(
        """
        max_concurrent = 2

        [[eval]]
        env_id = "judged"
        num_examples = -1
        rollouts_per_example = 1
        gates = ["error_rate <= 0.2"]
        """,
        url=url,
    )
    result = project.run("bench.toml", "-n2")
    assert result.ret == 0, result.stdout.str()
    states = Counter(row["state"] for row in project.rows())
    assert 8 <= states["generated"] <= 8 + 2
    assert states["scored"] == 80 - states["generated"]


def test_functions(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    project = FunctionProject(pytester)
    project.write(
        """
        from pytest_evals.errors import ModelError

        @evals(rollouts=1, gates=["error_rate <= 0.1"], max_concurrent=4)
        @pytest.mark.parametrize("n", range(60))
        async def test_it(n, worker_id, request):
            if worker_id == "gw1":
                error = ModelError("down")
                error.requests = 8
                raise error

        @evals(rollouts=20, gates=["error_rate <= 0.1"])
        def test_alone(worker_id, monkeypatch):
            if worker_id == "gw1":
                error = ModelError("down")
                error.requests = 8
                raise error
        """
    )
    result = project.run("-p", "xdist", "-n2")
    assert result.ret == 0, result.stdout.str()
    for name, count, failed in (("test_it", 60, 6), ("test_alone", 20, 2)):
        states = Counter(row["state"] for row in project.rows(f"test_it.{name}"))
        assert states["unmeasured"] <= failed
        assert states["unmeasured"] + states["scored"] == count
