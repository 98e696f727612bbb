"""The hooks that a conftest.py can use."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

ONE_EVAL = '[[eval]]\nenv_id = "sums"\n'


def test_modify_evals(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        """
        import dataclasses

        def pytest_evals_modify_evals(config, evals):
            evals[:] = [dataclasses.replace(spec, rollouts_per_example=2) for spec in evals]
        """
    )
    project.evals(ONE_EVAL, url=url)
    result = project.run("bench.toml")
    assert result.ret == 0
    result.assert_outcomes(passed=4 * 2 + 1)


def test_load_environment(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        """
        import pytest_evals as vf

        def pytest_evals_load_environment(config, spec):
            if spec.env_id == "made-here":
                return vf.SingleTurnEnv(
                    dataset=[{"question": "What is 1 + 1?"}],
                    rubric=vf.Rubric(funcs=[lambda completion: 0.25]),
                )
        """
    )
    project.evals(ONE_EVAL + '[[eval]]\nenv_id = "made-here"\n', url=url)
    result = project.run("bench.toml")
    assert result.ret == 0
    result.assert_outcomes(passed=13 + 3 + 1)
    rewards = {row["reward"] for run in project.runs() for row in project.rows(run)}
    assert 0.25 in rewards


def test_make_client(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.pytester.makeconftest(
        """
        from pytest_evals.messages import Message, Response

        class Parrot:
            async def get_response(self, prompt, model, sampling_args, tools=None):
                return Response(Message(role="assistant", content=prompt[-1]["content"]))

            async def close(self):
                print("parrot closed")

        def pytest_evals_make_client(config, endpoint, key):
            assert key == "sk-key-of-the-parrot"
            return Parrot()
        """
    )
    monkeypatch.setenv("PARROT_KEY", "sk-key-of-the-parrot")
    project.evals(ONE_EVAL + 'api_key_var = "PARROT_KEY"', url="https://parrot.example/v1")
    result = project.run("bench.toml", "-s")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*parrot closed*"])
    assert project.rows()[0]["completion"][0]["content"] == "What is 0 + 0?"


def test_rollout_complete_comes_after_the_row_and_before_the_report(
    project: Project, url: str
) -> None:
    project.pytester.makeconftest(
        """
        from pytest_evals.store.reading import read_rows

        seen = []

        def pytest_evals_rollout_complete(config, spec, result):
            rows = read_rows(result.run.folder.path)
            (row,) = [r for r in rows if (r["example_id"], r["rollout"]) == result.key]
            assert row["state"] == result.outcome == "scored"
            assert row["reward"] == result.reward
            seen.append((spec.name, result.key))

        def pytest_runtest_logreport(report):
            if report.when == "call" and "gate" not in report.nodeid:
                name, (example, rollout) = seen[-1]
                assert report.nodeid == f"bench.toml::{name}::{example}-r{rollout}"

        def pytest_sessionfinish():
            assert len(set(seen)) == 12
        """
    )
    project.evals(ONE_EVAL, url=url)
    result = project.run("bench.toml")
    assert result.ret == 0, result.stdout.str()


def test_metric(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        """
        import statistics

        def pytest_evals_metric(metric, rows):
            if metric == "mean_length":
                return statistics.fmean(len(row["prediction"]) for row in rows())
        """
    )
    project.evals(ONE_EVAL + 'gates = ["mean_length >= 5", "mean_length <= 1"]', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(passed=12 + 2, failed=1)
    result.stdout.fnmatch_lines(
        ["FAILED bench.toml::sums::gate-mean_length-2 - mean_length * > 1 (computed from 12 *"]
    )


@pytest.mark.workers
def test_run_complete(project: Project) -> None:
    project.pytester.makeconftest(
        """
        def pytest_evals_run_complete(config, spec, summary, folder):
            (config.rootpath / "told.txt").write_text(
                f"{spec.name} {summary.verdict} {(folder / 'metadata.json').exists()}"
            )
        """
    )
    with DemoServer() as server:
        project.evals(ONE_EVAL + 'gates = ["reward >= 1.5"]', url=server.url)
        assert project.run("bench.toml").ret == 1
    assert (project.path / "told.txt").read_text() == "sums failed True"
