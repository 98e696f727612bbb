"""What is collected and when; what a selection does to gates."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

MARKED = """
    [[eval]]
    env_id = "sums"
    markers = ["smoke"]

    [[eval]]
    env_id = "other"
    markers = ["nightly"]
"""


def test_pytest_alone_collects_no_eval(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    project.evals('[[eval]]\nenv_id = "sums"', url=url, name="quick.evals.toml")
    for arguments in ([], ["."], [str(project.path)], ["environments/.."]):
        result = project.run(*arguments)
        assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED, arguments
    assert not (project.path / "outputs").exists()


def test_testpaths_are_not_a_wish_to_spend(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    project.pytester.makeini("[pytest]\ntestpaths = environments")
    assert project.run().ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_evals_option_collects_eval_files_in_named_folders(project: Project, url: str) -> None:
    (project.path / "benches").mkdir()
    project.evals('[[eval]]\nenv_id = "sums"', url=url, name="benches/one.toml")
    project.evals("[tool.other]\nkey = 1", name="benches/pyproject.toml")
    assert project.run("benches").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    alone = project.run("--evals")
    assert alone.ret == pytest.ExitCode.USAGE_ERROR
    alone.stderr.fnmatch_lines(["*`pytest --evals .` means this one"])
    result = project.run("benches", "--evals", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["benches/one.toml::sums::0-r0"])
    assert "pyproject" not in result.stdout.str()


@pytest.mark.workers
def test_evals_option_that_finds_no_eval_file_says_what_else_there_is(project: Project) -> None:
    (project.path / "environments" / "notes.toml").write_text("[tool]\n")
    result = project.run("environments", "--evals")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(
        ["evals: --evals found no eval file * in environments; *: pytest environments/sums.py"]
    )


def test_an_eval_that_is_deselected_was_found(project: Project, url: str) -> None:
    folder = project.path / "suite"
    folder.mkdir()
    project.evals('[[eval]]\nenv_id = "sums"', url=url, name="suite/bench.toml")
    result = project.run("suite", "--evals", "-m", "nothing")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "found no eval file" not in result.stdout.str()


def test_ini_patterns_collect_eval_files_in_named_folders(project: Project, url: str) -> None:
    (project.path / "benches").mkdir()
    project.evals('[[eval]]\nenv_id = "sums"', url=url, name="benches/one.evals.toml")
    project.evals('[[eval]]\nenv_id = "sums"', url=url, name="benches/two.toml")
    project.pytester.makeini("[pytest]\nevals_files = *.evals.toml")
    result = project.run("benches", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["benches/one.evals.toml::sums::0-r0"])
    assert "two.toml" not in result.stdout.str()


def test_marks_select_evals_and_load_no_other_environment(project: Project, url: str) -> None:
    project.environment("other", "raise AssertionError('loaded')\ndef load_environment(): ...")
    project.evals(MARKED, url=url)
    result = project.run("bench.toml", "-m", "smoke", "--strict-markers")
    assert result.ret == 0
    result.assert_outcomes(passed=13)
    assert project.run("bench.toml", "-m", "evals and not nightly").ret == 0
    assert project.run("bench.toml", "-m", "nightly").ret == 1


def test_evals_are_easily_excluded(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    project.pytester.makepyfile(test_plain="def test_one(): pass")
    result = project.run("bench.toml", "test_plain.py", "-m", "not evals")
    assert result.ret == 0
    result.assert_outcomes(passed=1)


@pytest.mark.workers
def test_a_node_id_selects_one_rollout_and_judges_nothing(project: Project) -> None:
    with DemoServer() as server:
        project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 0"]', url=server.url)
        result = project.run("bench.toml::sums::2-r1", "--junitxml=evals.xml")
        assert server.requests == 1
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "FAILED bench.toml::sums::gate-reward - NOT JUDGED: reward >= 0: 1 of 12 rollouts"
            " were selected (--evals-partial accepts that)",
            "sums *NOT JUDGED*",
            "NOT JUDGED: sums: reward >= 0, error_rate <= 0: 1 of 12 rollouts were selected *",
        ]
    )
    assert project.metadata()["verdict"] == "not judged"
    assert "NOT JUDGED" in (project.path / "evals.xml").read_text()


@pytest.mark.parametrize("selection", [["-k", "2-r1"], ["-k", "2-r1 or gate"]])
def test_a_partial_run_can_be_accepted(project: Project, url: str, selection: list[str]) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 2"]', url=url)
    assert project.run("bench.toml", *selection).ret == 1
    result = project.run("bench.toml", *selection, "--evals-partial")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["NOT JUDGED: sums: *"])


def test_gates_alone_are_not_judged(project: Project) -> None:
    with DemoServer() as server:
        project.evals('[[eval]]\nenv_id = "sums"', url=server.url)
        result = project.run("bench.toml", "-k", "gate")
        assert server.requests == 0
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAILED bench.toml::sums::gate-error_rate - NOT JUDGED: *"])


def test_deselected_gates_are_not_judged(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    result = project.run("bench.toml", "--deselect", "bench.toml::sums::gate-error_rate")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*NOT JUDGED*not every gate was selected*"])


def test_exitfirst_starts_nothing_more(project: Project) -> None:
    with DemoServer(latency=0.05) as server:
        project.evals(
            '[[eval]]\nenv_id = "sums"\nenv_args = { answer = "never", examples = 200 }\n'
            "num_examples = -1\npass_reward = 1",
            url=server.url,
        )
        result = project.run("bench.toml", "-x", "--evals-max-concurrent=4")
        assert server.requests < 40
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["NOT JUDGED: sums: error_rate <= 0: stopped after *"])
    assert project.metadata()["verdict"] == "failed"


def test_an_environments_folder_that_is_named(project: Project, url: str) -> None:
    folder = project.path / "environments" / "boxed"
    folder.mkdir()
    (project.path / "environments" / "sums.py").rename(folder / "boxed.py")
    (folder / "pyproject.toml").write_text("[tool.verifiers.eval]\nnum_examples = 2\n")
    (folder / "test_boxed.py").write_text("def test_own(): pass\n")
    result = project.run("environments/boxed", "--collect-only", "-q", "--evals-provider=local")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "environments/boxed::boxed::1-r2",
            "environments/boxed::boxed::gate-error_rate",
            "environments/boxed/test_boxed.py::test_own",
        ]
    )
    assert "::2-r0" not in result.stdout.str()
    # Inside a larger folder, or without being named, it is no eval.
    assert "boxed::1-r2" not in project.run("environments", "--collect-only", "-q").stdout.str()


def test_evals_of_one_name_in_two_files_are_told_apart(project: Project, url: str) -> None:
    for name in ("one.toml", "two.toml"):
        project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 2"]', url=url, name=name)
    result = project.run("one.toml", "two.toml")
    assert result.ret == 1
    for name in ("one.toml", "two.toml"):
        result.stdout.fnmatch_lines([f"_* {name}::sums::gate-reward _*"])
        result.stdout.fnmatch_lines([f"{name}::sums *FAILED"])


def test_two_evals_of_one_name_are_refused(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\n[[eval]]\nenv_id = "sums"', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*this eval is named 'sums' like the one in line 4*"])


@pytest.mark.workers
def test_continue_on_collection_errors_is_still_red(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\n[[eval]]\nenv_id = "nowhere"', url=url)
    assert project.run("bench.toml").ret == 1
    result = project.run("bench.toml", "--continue-on-collection-errors")
    assert result.ret == 1
    result.assert_outcomes(passed=13, errors=1)


UNUSED = """
import sys, threading
import pytest

class Spy:
    def pytest_sessionfinish(self):
        # From errors on: what decides whether a named file holds an environment.
        allowed = ("pytest_evals", "pytest_evals.plugin", "pytest_evals.plugin.hookspecs",
                   "pytest_evals.plugin.options", "pytest_evals.plugin.garbage",
                   "pytest_evals.plugin.settings", "pytest_evals.plugin.option_values",
                   "pytest_evals.plugin.rewriting", "pytest_evals.plugin.judging_options",
                   "pytest_evals.errors", "pytest_evals.parsers", "pytest_evals.environments",
                   "pytest_evals.environments.location",
                   "pytest_evals.environments.source")
        heavy = {"openai", "pydantic", "aiohttp", "httpx2", "datasets", "tomli", "asyncio"}
        ours = [name for name in sys.modules if name.startswith("pytest_evals")]
        print("EXTRA", sorted(set(ours) - set(allowed)), sorted(heavy & set(sys.modules)))
        print("THREADS", threading.active_count())

pytest.main(["-q", "-s", "-p", "no:asyncio", "-p", "no:anyio", "-p", "no:cacheprovider",
             "-p", "no:xdist", "-p", "no:randomly", "test_plain.py"], plugins=[Spy()])
"""


def test_free_when_unused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_plain="def test_one(): pass")
    pytester.path.joinpath("bench.toml").write_text('[[eval]]\nenv_id = "sums"\n')
    before = sorted(pytester.path.iterdir())
    done = subprocess.run(
        [sys.executable, "-B", "-c", UNUSED], capture_output=True, text=True, cwd=pytester.path
    )
    assert "EXTRA [] []" in done.stdout, done.stdout + done.stderr
    assert "THREADS 1" in done.stdout
    assert sorted(pytester.path.iterdir()) == before


def test_eval_files_that_nobody_asked_for_are_told_where_nothing_ran(
    project: Project, url: str
) -> None:
    if "-n" in project.plugin_args:
        pytest.skip("workers collect")
    for name in ("a.evals.toml", "sub/b.evals.toml"):
        (project.path / "sub").mkdir(exist_ok=True)
        project.evals('[[eval]]\nenv_id = "sums"\n', url=url, name=name)
    told = "evals: 2 eval files were not collected; --evals collects them: pytest . --evals"
    for arguments in (["."], ["."], ["-q"]):
        result = project.run(*arguments)
        assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
        assert told in result.outlines
    (project.path / "test_plain.py").write_text("def test_it(): pass")
    assert "not collected" not in project.run(".").stdout.str()
