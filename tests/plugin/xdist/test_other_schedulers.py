"""Sessions whose items another plugin's scheduler or loop hands out."""

from __future__ import annotations

from pytest_evals.demo.server import DemoServer

from ..conftest import SUMS, Project

BENCH = """
    [[eval]]
    env_id = "sums"
    gates = ["reward >= 0.1", "reward >= {limit}"]

    [[eval]]
    env_id = "sums"
    name = "again"
"""

# Wins over every other scheduler, as no plugin should have to.
SCHEDULER = """
    import pytest
    from xdist.scheduler import LoadScheduling

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_xdist_make_scheduler(config, log):
        yield
        return LoadScheduling(config, log)
"""

# Registered last, and so asked first.
LOOP = """
    import pytest

    class Loop:
        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(self, session):
            (worker,) = [p for p in session.config.pluginmanager.get_plugins()
                         if type(p).__name__ == "WorkerInteractor"]
            return worker.pytest_runtestloop(session)

    def pytest_collection_modifyitems(config):
        if hasattr(config, "workerinput"):
            config.pluginmanager.register(Loop())
"""


def test_another_scheduler_is_left_the_items(project: Project) -> None:
    project.pytester.makeconftest(SCHEDULER)
    with DemoServer() as server:
        project.evals(BENCH.format(limit=0.2), url=server.url)
        result = project.run("bench.toml", "-n2")
        assert server.requests == 24
    assert result.ret == 0, result.stdout.str()
    # The gates' items come when that scheduler likes; the verdict comes when all rows are there.
    result.assert_outcomes(passed=24, skipped=4)
    result.stdout.fnmatch_lines(["  passed  reward * >= 0.2 *"])
    assert all(project.metadata(run)["verdict"] == "passed" for run in project.runs())


def test_with_another_scheduler_a_red_gate_fails_the_build(project: Project, url: str) -> None:
    project.pytester.makeconftest(SCHEDULER)
    project.evals(BENCH.format(limit=1.5), url=url)
    result = project.run("bench.toml", "-n2")
    assert result.ret == 1
    result.assert_outcomes(passed=24, skipped=4, failed=1)
    result.stdout.fnmatch_lines(["FAILED bench.toml::sums::gate-reward-2 - reward * < 1.5 *"])


def test_with_another_scheduler_no_run_is_continued(project: Project) -> None:
    with DemoServer() as server:
        project.evals(BENCH.format(limit=0.2), url=server.url)
        assert project.run("bench.toml").ret == 0
        project.pytester.makeconftest(SCHEDULER)
        result = project.run("bench.toml", "-n2", "--evals-resume")
        assert server.requests == 24
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*another scheduler than that of this plugin*without -n*"])


def test_a_scheduler_of_the_projects_own_has_the_plain_tests(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        """
        import pytest
        from xdist.scheduler import LoadScopeScheduling

        def pytest_xdist_make_scheduler(config, log):
            return LoadScopeScheduling(config, log)
        """
    )
    project.evals(BENCH.format(limit=0.2), url=url)
    project.pytester.makepyfile(test_plain="def test_one(): pass\ndef test_two(): pass\n")
    result = project.run("bench.toml", "test_plain.py", "-n2")
    assert result.ret == 0
    result.assert_outcomes(passed=24 + 4 + 2)


def test_another_loop_in_the_worker_runs_the_items_it_is_sent(project: Project) -> None:
    project.pytester.makeconftest(LOOP)
    with DemoServer() as server:
        project.evals(BENCH.format(limit=0.2), url=server.url)
        result = project.run("bench.toml", "-n2")
        assert server.requests == 24
    assert result.ret == 0, result.stdout.str()


def test_a_metric_that_raises_is_told_with_its_error(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        SCHEDULER
        + """
    def pytest_evals_metric(metric):
        raise OSError(f"nothing is known of {metric}")
    """
    )
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["novel >= 0.5"]', url=url)
    result = project.run("bench.toml", "-n2")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["FAILED bench.toml::sums::gate-novel - *OSError: nothing is known of novel*"]
    )


def test_an_item_that_is_run_again_counts_once(project: Project, url: str) -> None:
    project.pytester.makeconftest(SCHEDULER)
    source = SUMS.replace(
        "    def correct(completion, answer):",
        """    import pathlib

    def correct(completion, answer):
        if answer == "2" and not pathlib.Path("raised").exists():
            pathlib.Path("raised").touch()
            raise ValueError("once")""",
    )
    project.environment("sums", source)
    bench = '[[eval]]\nenv_id = "sums"\nrollouts_per_example = 1\ngates = ["reward >= 0.1"]'
    project.evals(bench, url=url)
    result = project.run("bench.toml", "-n2", "--reruns=1")
    assert result.ret == 0, result.stdout.str()
    assert (project.path / "raised").exists()
    assert result.parseoutcomes()["rerun"] == 1
