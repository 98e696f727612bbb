"""A judge that is down, as a session shows it."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

# `failing` says what the judge does: refuse every rollout, or every second one.
JUDGED = """
    import pytest_evals as vf

    def judged(prompt):
        number = int(prompt[-1]["content"].split()[2])
        if number % {every} == 0:
            raise vf.JudgeError("judge 'j' failed: 401 - no such key " + "x" * 500)
        return 1.0

    def load_environment():
        rows = [{{"question": f"What is {{n}} + 1?"}} for n in range(40)]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[judged]))
"""
ONE_BY_ONE = '[[eval]]\nenv_id = "judged"\nnum_examples = -1\nrollouts_per_example = 1\n'


def test_it_is_told_once_and_ends_the_eval(project: Project) -> None:
    project.environment("judged", JUDGED.format(every=1))
    with DemoServer() as server:
        project.evals("max_concurrent = 2\n" + ONE_BY_ONE, url=server.url)
        result = project.run("bench.toml", "-rs")
    assert result.ret == 1
    result.assert_outcomes(errors=1, skipped=39, failed=1)
    output = result.stdout.str()
    assert output.count("\nunmeasured: JudgeError: judge 'j' failed: 401") == 1
    assert output.count("judged: none of the first 8 rollouts could be scored (JudgeError: ") == 1
    result.stdout.fnmatch_lines(["SKIPPED*not measured for the same reason as *judged::*-r0"])
    states = [row["state"] for row in project.rows()]
    assert 8 <= states.count("generated") < 12


def test_of_equal_failures_one_is_told_in_full(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)  # where pytest cuts no line of its summary
    monkeypatch.delenv("BUILD_NUMBER", raising=False)
    project.environment("judged", JUDGED.format(every=2))
    with DemoServer() as server:
        project.evals("max_concurrent = 1\n" + ONE_BY_ONE, url=server.url)
        result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(errors=20, passed=20, failed=1)
    output = result.stdout.str()
    assert output.count("\nunmeasured: JudgeError: judge 'j' failed: 401") == 1
    assert output.count("\nunmeasured like 0-r0: JudgeError: judge 'j' failed: 401") == 19
    assert output.count("assistant:") == 1
    assert output.count("x" * 500) == 1
