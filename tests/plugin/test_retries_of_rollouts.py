"""`max_retries`: whole rollouts are tried again where their infrastructure failed."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.engine import retrying

from .conftest import Project

SHAKY = """
    import pytest_evals as vf
    from pytest_evals.errors import {error}

    TRIES = {{}}

    class Shaky(vf.SingleTurnEnv):
        async def setup_state(self, state):
            example = state["example_id"]
            TRIES[example] = TRIES.get(example, 0) + 1
            if example == 1 and TRIES[example] <= {failures}:
                raise {error}(f"try {{TRIES[example]}} failed")

    async def judged(state):
        example = ("judged", state["example_id"])
        TRIES[example] = TRIES.get(example, 0) + 1
        if example[1] == 0 and TRIES[example] <= {judge_failures}:
            raise vf.JudgeError("judge is down")
        return 1.0

    def load_environment():
        rows = [{{"question": f"What is {{n}} + 1?", "answer": ""}} for n in range(3)]
        return Shaky(dataset=rows, rubric=vf.Rubric(funcs=[judged]))
"""
EVAL = """
    [[eval]]
    env_id = "shaky"
    num_examples = -1
    rollouts_per_example = 1
    {more}
    gates = ["reward >= 0.1"]
"""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "_FIRST_WAIT", 0.0)


def shaky(project: Project, error: str = "SandboxError", failures: int = 2, judge: int = 0) -> None:
    text = SHAKY.format(error=error, failures=failures, judge_failures=judge)
    project.environment("shaky", text)


@pytest.mark.parametrize("error", ["SandboxError", "InvalidModelResponseError"])
def test_a_rollout_whose_infrastructure_fails_is_tried_again(project: Project, error: str) -> None:
    shaky(project, error)
    with DemoServer() as server:
        project.evals(EVAL.format(more="max_retries = 2"), url=server.url)
        result = project.run("bench.toml")

    assert result.ret == 0, result.stdout.str()
    assert server.requests == 3, "only the member that failed was tried again"
    rows = {row["example_id"]: row for row in project.rows()}
    assert [each["message"] for each in rows[1]["retries"]] == [
        f"{error}: try 1 failed",
        f"{error}: try 2 failed",
    ]
    assert "retries" not in rows[0]
    assert rows[1]["reward"] == 1.0


def test_the_tries_are_bounded_and_the_last_error_is_kept(project: Project) -> None:
    shaky(project, failures=9)
    with DemoServer() as server:
        project.evals(EVAL.format(more=""), url=server.url)
        result = project.run("bench.toml", "--evals-max-retries=3")

    assert result.ret == 1
    row = next(row for row in project.rows() if row["example_id"] == 1)
    assert row["state"] == "unmeasured"
    assert row["error"]["message"] == "try 4 failed"
    assert len(row["retries"]) == 3


@pytest.mark.parametrize("error", ["ModelError", "ToolError"])
def test_no_other_error_is_tried_again(project: Project, error: str) -> None:
    shaky(project, error, failures=1)
    with DemoServer() as server:
        project.evals(EVAL.format(more="max_retries = 5"), url=server.url)
        result = project.run("bench.toml")

    assert result.ret == 1
    assert "retries" not in next(row for row in project.rows() if row["example_id"] == 1)


def test_by_default_nothing_is_tried_again(project: Project) -> None:
    shaky(project, failures=1)
    with DemoServer() as server:
        project.evals(EVAL.format(more=""), url=server.url)
        assert project.run("bench.toml").ret == 1


def test_a_judge_that_fails_is_asked_again_and_the_model_is_not(project: Project) -> None:
    shaky(project, failures=0, judge=2)
    with DemoServer() as server:
        project.evals(EVAL.format(more="max_retries = 2"), url=server.url)
        result = project.run("bench.toml")

    assert result.ret == 0, result.stdout.str()
    assert server.requests == 3
    assert [row["reward"] for row in project.rows()] == [1.0] * 3


def test_mistakes_in_rewards_count_once_however_often_they_are_scored(project: Project) -> None:
    shaky(project, failures=0, judge=2)
    path = project.path / "environments" / "shaky.py"
    path.write_text(
        path.read_text().replace(
            "funcs=[judged]", "funcs=[lambda completion: 1 / 0, judged], weights=[0, 1]"
        )
    )
    with DemoServer() as server:
        more = 'max_retries = 2\n    reward_errors = "zero"'
        project.evals(EVAL.format(more=more), url=server.url)
        result = project.run("bench.toml")
    assert result.ret == 0, result.stdout.str()
    assert [len(row["reward_errors"]) for row in project.rows()] == [1, 1, 1]


@pytest.mark.parametrize("value", ["-1", "true", '"3"', "1001"])
def test_a_number_that_is_none_is_refused(project: Project, value: str) -> None:
    shaky(project)
    project.evals(EVAL.format(more=f"max_retries = {value}"), url="http://127.0.0.1:9/v1")
    result = project.run("bench.toml")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*bench.toml:*max_retries must be*"])


# What the model says first is no use to it.
CHOOSY = """
    import pytest_evals as vf
    from pytest_evals.errors import InvalidModelResponseError

    SEEN = set()

    class Choosy(vf.SingleTurnEnv):
        async def add_model_response(self, state, prompt_messages, response):
            await super().add_model_response(state, prompt_messages, response)
            SEEN.add(response.id)
            if len(SEEN) == 1:
                raise InvalidModelResponseError("no use")

    def load_environment():
        rows = [{"question": "What is 1 + 1?", "answer": ""}]
        return Choosy(dataset=rows, rubric=vf.Rubric(funcs=[lambda state: 1.0]))
"""


def test_an_answer_of_no_use_is_not_replayed_from_the_cache(project: Project) -> None:
    project.environment("choosy", CHOOSY)
    with DemoServer() as server:
        text = EVAL.replace("shaky", "choosy").format(more="max_retries = 2")
        project.evals(text, url=server.url)
        first = project.run("bench.toml", "--evals-cache=read-write")
        asked = server.requests
        (row,) = project.rows()
    assert first.ret == 0, first.stdout.str()
    assert asked == 2
    assert len(row["retries"]) == 1
