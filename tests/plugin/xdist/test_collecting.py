"""What workers collect: errors, differences, and what a debugger needs."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer

from ..conftest import Project

ONE_EVAL = '[[eval]]\nenv_id = "sums"\n'


def test_an_eval_that_cannot_be_collected_fails_the_build(project: Project) -> None:
    with DemoServer() as server:
        project.evals(ONE_EVAL + '[[eval]]\nenv_id = "missing"\n', url=server.url)
        result = project.run("bench.toml", "-n2")
        assert server.requests == 0
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["ERROR bench.toml::missing - *'missing' was not found*"])
    assert not (project.path / "outputs").exists()


def test_evals_in_a_named_folder(project: Project, url: str) -> None:
    (project.path / "benches").mkdir()
    project.evals(ONE_EVAL, url=url, name="benches/one.evals.toml")
    project.pytester.makeini("[pytest]\nevals_files = *.evals.toml\n")
    result = project.run("benches", "-n2")
    assert result.ret == 0
    result.assert_outcomes(passed=12 + 1)


def test_workers_that_disagree_are_not_scheduled(project: Project) -> None:
    project.pytester.makeconftest(
        """
        import dataclasses, os

        def pytest_evals_modify_evals(config, evals):
            worker = os.environ.get("PYTEST_XDIST_WORKER")
            evals[:] = [dataclasses.replace(spec, env_args={"answer": worker}) for spec in evals]
        """
    )
    with DemoServer() as server:
        project.evals(ONE_EVAL, url=server.url)
        result = project.run("bench.toml", "-n2")
        assert server.requests == 0
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*different evals were collected by gw? and gw?: env_args of *"])


def test_one_at_a_time_needs_one_process(project: Project, url: str) -> None:
    project.evals(ONE_EVAL, url=url)
    result = project.run("bench.toml", "-n2", "--evals-sequential")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*--evals-sequential runs one rollout at a time*leave out -n*"])


@pytest.mark.parametrize("option", ["--setup-plan", "--collect-only"])
def test_dry_runs_spend_nothing(project: Project, option: str) -> None:
    with DemoServer() as server:
        project.evals(ONE_EVAL, url=server.url)
        assert project.run("bench.toml", "-n2", option).ret == 0
        assert server.requests == 0
    assert not (project.path / "outputs").exists()
