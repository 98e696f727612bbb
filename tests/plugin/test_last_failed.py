"""`--lf` after a red session continues its runs; scored rollouts stay as they are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

BROKEN_ONCE = """
    import os
    import pytest_evals as vf

    def correct(completion, answer, state):
        if state["example_id"] == 1 and os.path.exists("broken"):
            raise KeyError("answer")
        if state["example_id"] == 2 and os.path.exists("down"):
            raise vf.InfraError("sandbox lost")
        return float(answer in completion[-1]["content"])

    def load_environment():
        rows = [{"question": f"What is {n} + {n}?", "answer": str(n + n)} for n in range(4)]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[correct]))
"""

# One rollout of example 1 is broken.
GROUPED = """
    import os
    import pytest_evals as vf

    seen = []

    def correct(completion, answer, state):
        if state["example_id"] == 1 and os.path.exists("broken") and not seen:
            seen.append(1)
            raise KeyError("answer")
        return float(answer in completion[-1]["content"])

    def longest(completions):
        lengths = [len(completion[-1]["content"]) for completion in completions]
        return [float(length == max(lengths)) for length in lengths]

    def load_environment():
        rows = [{"question": f"What is {n} + {n}?", "answer": str(n + n)} for n in range(4)]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[correct, longest]))
"""


@pytest.fixture
def server() -> Iterator[DemoServer]:
    with DemoServer() as server:
        yield server


@pytest.mark.workers
def test_a_red_gate_is_judged_again_on_the_same_rows(project: Project, server: DemoServer) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 1.5"]', url=server.url)
    assert project.run("bench.toml").ret == 1
    for accepted in ([], ["--evals-partial"]):
        result = project.run("bench.toml", "--lf", *accepted)
        assert result.ret == 1
        result.assert_outcomes(
            failed=1, passed=1, deselected=0 if "-n" in project.plugin_args else 12
        )
        result.stdout.fnmatch_lines(["FAILED bench.toml::sums::gate-reward - reward * < 1.5 *"])
    assert (server.requests, len(project.runs())) == (12, 1)
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 0.1"]', url=server.url)
    assert project.run("bench.toml", "--lf").ret == 0
    assert (server.requests, project.metadata()["verdict"]) == (12, "passed")


@pytest.mark.workers
def test_what_has_no_score_is_done_again_and_the_gate_judges_all(
    project: Project, server: DemoServer
) -> None:
    project.environment("flaky", BROKEN_ONCE)
    project.evals(
        '[[eval]]\nenv_id = "flaky"\ngates = ["reward >= 0.1", "error_rate <= 0.1"]',
        url=server.url,
    )
    flags = [project.path / "broken", project.path / "down"]
    for flag in flags:
        flag.touch()
    assert project.run("bench.toml").ret == 1
    for flag in flags:
        flag.unlink()
    # What is down was skipped as tolerated: pytest alone would not select it.
    result = project.run("bench.toml", "--lf")
    assert result.ret == 0
    result.assert_outcomes(passed=6 + 2)
    result.stdout.fnmatch_lines(["evals: flaky: continuing *: 6 of 12 rollouts are done, 3 more*"])
    assert server.requests == 12 + 3
    assert [row["state"] for row in project.rows()] == ["scored"] * 12
    assert project.metadata()["complete"] is True


@pytest.mark.workers
def test_a_group_is_scored_again_as_a_whole(project: Project, server: DemoServer) -> None:
    project.environment("grouped", GROUPED)
    project.evals(
        '[[eval]]\nenv_id = "grouped"\ngates = ["reward >= 0.1", "error_rate <= 0.1"]',
        url=server.url,
    )
    broken = project.path / "broken"
    broken.touch()
    assert project.run("bench.toml").ret == 1
    assert [row["state"] for row in project.rows()].count("scored") == 11
    for _ in range(2):  # nothing becomes worse where it breaks again
        result = project.run("bench.toml", "--lf")
        assert result.ret == 1
        assert [row["state"] for row in project.rows()].count("scored") == 11
    broken.unlink()
    result = project.run("bench.toml", "--lf")
    assert result.ret == 0
    result.assert_outcomes(passed=3 + 2)
    assert [row["state"] for row in project.rows()] == ["scored"] * 12
    assert project.metadata()["verdict"] == "passed"


@pytest.mark.workers
def test_a_session_that_was_stopped(project: Project, server: DemoServer) -> None:
    project.environment("flaky", BROKEN_ONCE)
    project.evals('[[eval]]\nenv_id = "flaky"\ngates = ["reward >= 0.1"]', url=server.url)
    flag = project.path / "broken"
    flag.touch()
    assert project.run("bench.toml", "-x").ret != 0
    flag.unlink()
    assert project.run("bench.toml", "--lf").ret == 0
    assert len(project.runs()) == 1
    assert [row["state"] for row in project.rows()] == ["scored"] * 12


def test_a_changed_eval_is_refused(project: Project, server: DemoServer) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 1.5"]', url=server.url)
    assert project.run("bench.toml").ret == 1
    project.evals('[[eval]]\nenv_id = "sums"\ntemperature = 1\ngates = ["reward >= 1.5"]',
                  url=server.url)  # fmt: skip
    result = project.run("bench.toml", "--lf")
    assert (result.ret, server.requests) == (1, 12)
    result.stdout.fnmatch_lines(["*is not continued: sampling_args.temperature is not set there*"])


def test_after_a_green_or_partial_session_there_is_nothing_to_continue(
    project: Project, server: DemoServer
) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=server.url)
    assert project.run("bench.toml").ret == 0
    assert project.run("bench.toml", "--lf").ret == 0
    assert (server.requests, len(project.runs())) == (24, 2)
    assert project.run("bench.toml", "-k", "0-r0 or gate").ret == 1
    result = project.run("bench.toml", "--lf")
    assert (result.ret, server.requests) == (1, 25)
    result.stdout.fnmatch_lines(["*NOT JUDGED*no rollout was selected; run the whole eval*"])


def test_scored_rollouts_below_pass_reward_are_not_asked_again(
    project: Project, server: DemoServer
) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\npass_reward = 2', url=server.url)
    assert project.run("bench.toml").ret == 1
    result = project.run("bench.toml", "--lf")
    assert (result.ret, server.requests) == (1, 12)
    result.assert_outcomes(failed=12, passed=1)


def test_without_the_cache(project: Project, server: DemoServer) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 1.5"]', url=server.url)
    assert project.run("bench.toml", "-p", "no:cacheprovider").ret == 1


def test_fewer_examples_are_refused_with_a_hint(project: Project, server: DemoServer) -> None:
    text = '[[eval]]\nenv_id = "sums"\nnum_examples = {}\ngates = ["reward >= 1.5"]'
    project.evals(text.format(4), url=server.url)
    assert project.run("bench.toml").ret == 1
    asked = server.requests
    project.evals(text.format(2), url=server.url)
    result = project.run("bench.toml", "--lf")
    assert (result.ret, server.requests) == (1, asked)
    result.stdout.fnmatch_lines(
        ["*: num_examples is 4 there and 2 here; without --lf a new run begins"]
    )
