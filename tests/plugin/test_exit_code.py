"""The exit code tells the truth, whatever others do to the items; and all outputs agree."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

ONE_EVAL = '[[eval]]\nenv_id = "sums"\n'

TAMPERING = {
    "xfail": """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                if item.name.startswith("gate"):
                    item.add_marker(pytest.mark.xfail)
    """,
    "skip": """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                if item.name.startswith("gate"):
                    item.add_marker(pytest.mark.skip)
    """,
    "skip all in a hook": """
        import pytest

        def pytest_runtest_setup(item):
            pytest.skip("not today")
    """,
    "no gates": """
        import dataclasses

        def pytest_evals_modify_evals(evals):
            evals[:] = [dataclasses.replace(spec, gates=()) for spec in evals]
    """,
    "teardown": """
        def pytest_runtest_teardown(item):
            if item.name.startswith("gate"):
                raise RuntimeError("teardown of a gate")
    """,
}


@pytest.mark.parametrize(
    ("tampering", "gate", "is_red"),
    [
        ("xfail", "reward >= 1.5", True),
        ("skip", "reward >= 0", True),
        ("skip all in a hook", "reward >= 0", True),
        ("no gates", "reward >= 0", False),
        ("teardown", "reward >= 0", True),
    ],
)
def test_tampering_with_items(
    project: Project, url: str, tampering: str, gate: str, is_red: bool
) -> None:
    project.pytester.makeconftest(TAMPERING[tampering])
    project.evals(ONE_EVAL + f'gates = ["{gate}"]', url=url)
    result = project.run("bench.toml", "--junitxml=evals.xml")
    assert result.ret == (1 if is_red else 0)
    suite = next(ElementTree.parse(project.path / "evals.xml").iter("testsuite"))
    reds = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    assert (reds > 0) is is_red
    assert (project.metadata()["verdict"] == "passed") is not is_red
    # The default gate is there even where a hook took all of them away.
    assert "gate-error_rate" in {gate["name"] for gate in project.metadata()["gates"]} or is_red


@pytest.mark.workers
def test_a_partial_run_in_which_nothing_was_scored_is_red(
    project: Project, impatient: None
) -> None:
    with DemoServer(status=500) as server:
        project.evals(ONE_EVAL + 'gates = ["error_rate <= 0.5"]', url=server.url)
        result = project.run("bench.toml", "-k", "0-r0", "--evals-partial")
    assert result.ret == 1


@pytest.mark.workers
def test_rollouts_skipped_for_the_reason_of_a_red_one_are_told(project: Project) -> None:
    project.evals(ONE_EVAL, url="http://127.0.0.1:1/v1")
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(errors=1, skipped=11, failed=1)
    result.stdout.fnmatch_lines(
        [
            "1 rollout of sums failed or ended in an error; the other rollouts without a reward"
            " were skipped"
        ]
    )


def test_gates_without_any_rollout_are_red_even_if_partial(project: Project, url: str) -> None:
    project.evals(ONE_EVAL, url=url)
    assert project.run("bench.toml", "-k", "gate", "--evals-partial").ret == 1


def test_a_tolerated_dead_endpoint_is_an_error_with_the_servers_words(
    project: Project, url: str
) -> None:
    project.evals(ONE_EVAL + 'model = "demo-huge"\ngates = ["error_rate <= 0.9"]', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(errors=1, skipped=11, failed=1)
    result.stdout.fnmatch_lines(["ERROR * - unmeasured: *demo-huge*does not exist*"])


GROUP = """
    import pytest_evals as vf

    class Env(vf.SingleTurnEnv):
        async def setup_state(self, state):
            if state["example_id"] == 0 and state["sampling_args"]["seed"] == FIRST:
                raise vf.SandboxError("no sandbox for this one")
            return state

    def relative(completions):
        return [1.0 for _ in completions]

    def load_environment():
        rows = [{"question": f"What is {n} + 1?"} for n in range(3)]
        return Env(dataset=rows, rubric=vf.Rubric(funcs=[relative]))
"""


@pytest.mark.workers
def test_an_incomplete_group_is_unmeasured_in_every_output(project: Project, url: str) -> None:
    from pytest_evals.engine.rollouts import seed_of

    project.environment("grouped", GROUP.replace("FIRST", str(seed_of(7, 0, 0))))
    project.evals(
        '[[eval]]\nenv_id = "grouped"\nrollouts_per_example = 2\n'
        'gates = ["error_rate <= 0.4", "reward >= 0.5"]',
        url=url,
    )
    result = project.run("bench.toml", "--junitxml=evals.xml")
    assert result.ret == 0
    result.assert_outcomes(passed=4 + 2, skipped=2)
    assert project.metadata()["states"] == {
        "scored": 4, "unmeasured": 2, "broken": 0, "missing": 0
    }  # fmt: skip
    text = (project.path / "evals.xml").read_text()
    assert text.count('name="evals.state" value="unmeasured"') == 2
    result.stdout.fnmatch_lines(["first unmeasured rollout of grouped: 0-r*"])


def test_an_item_that_stands_twice_runs_once(project: Project) -> None:
    project.pytester.makeconftest(
        "def pytest_collection_modifyitems(items): items[:] = items + items"
    )
    with DemoServer() as server:
        project.evals(ONE_EVAL, url=server.url)
        result = project.run("bench.toml")
        assert server.requests == 12
    assert result.ret == 0
    result.assert_outcomes(passed=13)


@pytest.mark.workers
@pytest.mark.parametrize(
    "hook", ["run_complete", "rollout_complete", "metric", "modify_evals", "load_environment"]
)
def test_a_hook_that_raises(project: Project, url: str, hook: str) -> None:
    project.pytester.makeconftest(
        f"def pytest_evals_{hook}(): raise RuntimeError('hook at \\x1b[31mfault')"
    )
    project.evals(
        ONE_EVAL + 'gates = ["own >= 1"]\n' * (hook == "metric") + '[[eval]]\nenv_id = "sums"\n'
        'name = "again"\n',
        url=url,
    )
    result = project.run("bench.toml", "--junitxml=evals.xml", "--color=no")
    output = result.stdout.str()
    assert result.ret == 1
    assert "hook at \\x1b[31mfault" in output
    assert "\x1b" not in output
    assert "INTERNALERROR" not in output
    assert "pluggy/" not in output
    assert "conftest.py" in output
    suite = next(ElementTree.parse(project.path / "evals.xml").iter("testsuite"))
    assert int(suite.get("failures", 0)) + int(suite.get("errors", 0)) > 0
    for run in project.runs():
        assert project.metadata(run)["complete"] is True


@pytest.mark.parametrize("value", ["'high'", "[1]", "float('nan')"])
def test_a_hook_metric_that_is_no_number(project: Project, url: str, value: str) -> None:
    project.pytester.makeconftest(f"def pytest_evals_metric(): return {value}")
    project.evals(ONE_EVAL + 'gates = ["own >= 1"]', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(passed=13, failed=1)


@pytest.mark.workers
def test_results_that_cannot_be_completed(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        """
        import shutil

        def pytest_evals_rollout_complete(result):
            shutil.rmtree(result.run.folder.path, ignore_errors=True)
        """
    )
    project.evals(ONE_EVAL, url=url)
    result = project.run("bench.toml", "--junitxml=evals.xml")
    assert result.ret == 1
    assert "INTERNALERROR" not in result.stdout.str()
    assert (project.path / "evals.xml").exists()


@pytest.mark.parametrize("where", ["a plain test", "a rollout"])
def test_an_exit_that_says_it_is_green_does_not_hide_a_gate(
    project: Project, url: str, where: str
) -> None:
    leave = 'pytest.exit("enough", returncode=0)'
    project.pytester.makepyfile(
        test_plain=f"import pytest\n\ndef test_it():\n    {leave if 'plain' in where else 'pass'}\n"
    )
    project.pytester.makeconftest(
        f"""
        import pytest

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_call(item):
            if {"rollout" in where} and "::sums::" in item.nodeid:
                {leave}
        """
    )
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    result = project.run("bench.toml", "test_plain.py")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["NOT JUDGED: sums: error_rate <= 0*"])
    assert project.metadata()["verdict"] == "not judged"
    # Whoever accepts that gates are not judged has the exit code that was asked for.
    (project.path / "outputs").rename(project.path / "before")
    assert project.run("bench.toml", "test_plain.py", "--evals-partial").ret == 0
