"""What has gone wrong in plugins of this kind, and must not here."""

from __future__ import annotations

import json
import re
import sys
from xml.etree import ElementTree

import pexpect
import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project
from .function_project import FunctionProject
from .screen import Screen

# Selecting again


@pytest.mark.workers
def test_last_failed_finds_its_items_again(project: Project, url: str) -> None:
    # pytest 9.2 takes what stands in brackets for parameters, and would not find such items.
    project.evals(
        '[[eval]]\nenv_id = "sums"\nenv_args = { answer = "4" }\npass_reward = 1', url=url
    )
    result = project.run("bench.toml")
    assert result.ret == 1
    failed = {
        nodeid
        for nodeid in re.findall(r"^FAILED (\S+)", result.stdout.str(), re.MULTILINE)
        if "gate" not in nodeid
    }
    assert 0 < len(failed) < 12
    again = project.run("bench.toml", "--lf", "--collect-only", "-q")
    found = {line for line in again.outlines if "::" in line}
    assert {nodeid for nodeid in found if "gate" not in nodeid} == failed


def test_stepwise_finds_its_item_again(project: Project, url: str) -> None:
    project.evals(
        '[[eval]]\nenv_id = "sums"\nenv_args = { answer = "never" }\npass_reward = 1', url=url
    )
    assert project.run("bench.toml", "--sw").ret == 2
    (path,) = project.path.glob(".pytest_cache/v/cache/stepwise")
    nodeid = json.loads(path.read_text())["last_failed"]
    result = project.run("bench.toml", "--sw", "--collect-only", "-q")
    assert "not found" not in result.stdout.str()
    assert next(line for line in result.outlines if "::" in line) == nodeid


def test_last_failed_finds_functions_of_any_parameters(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    project = FunctionProject(pytester)
    project.write(
        """
        @evals(rollouts=2, pass_reward=1)
        @pytest.mark.parametrize("text", ["a::b", "c[d]e", "f]", "[g", "h-r0", "gate-reward"])
        async def test_it(text):
            return 0.0
        """
    )
    result = project.run()
    result.assert_outcomes(failed=12, passed=1)
    assert len(project.rows()) == 12
    again = project.run("--lf", "--collect-only", "-q")
    assert len([line for line in again.outlines if "::test_it[" in line]) == 12


FLAKY = """
    import pathlib
    import pytest_evals as vf
    from pytest_evals.errors import InfraError

    class Boxed(vf.SingleTurnEnv):
        async def setup_state(self, state):
            if "What is 1" in str(state["prompt"]) and pathlib.Path("down").exists():
                raise InfraError("no box is free")
            return state

    def correct(completion):
        return 1.0

    def load_environment():
        rows = [{"question": f"What is {n} + {n}?"} for n in range(4)]
        return Boxed(dataset=rows, rubric=vf.Rubric(funcs=[correct]))
"""


@pytest.mark.workers
def test_last_failed_judges_the_gate_on_all_rollouts(project: Project, url: str) -> None:
    project.environment("boxed", FLAKY)
    project.evals('[[eval]]\nenv_id = "boxed"\ngates = ["reward >= 1"]', url=url)
    down = project.path / "down"
    down.touch()
    result = project.run("bench.toml")
    assert result.ret == 1
    result.assert_outcomes(errors=3, passed=9, failed=2)
    result = project.run("bench.toml", "--lf")
    assert result.ret == 1
    result.assert_outcomes(errors=3, failed=2)
    down.unlink()
    result = project.run("bench.toml", "--lf")
    assert result.ret == 0, result.stdout.str()
    assert len(project.rows()) == 12  # in the run that was continued
    result.stdout.fnmatch_lines(["*reward 1.000 >= 1 (*4 examples x 3 rollouts, 12 of 12 scored*"])


# Reports


@pytest.mark.workers
def test_junit_says_nothing_of_its_families(project: Project, url: str) -> None:
    # `record_property` warns under xunit2, pytest's default, once for every test.
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    result = project.run("bench.toml", "--junitxml=evals.xml", "-W", "error")
    assert result.ret == 0, result.stdout.str()
    assert "warning" not in result.stdout.str()
    suite = next(ElementTree.parse(project.path / "evals.xml").iter("testsuite"))
    assert suite.get("tests") == "13" == str(len([*suite.iter("testcase")]))


def test_durations_are_those_of_rollouts(project: Project) -> None:
    with DemoServer(latency=0.3) as server:
        project.evals('[[eval]]\nenv_id = "sums"', url=server.url)
        result = project.run("bench.toml", "--durations=0", "-vv")
    assert_durations(result, rollouts=12, at_least=0.3)


def assert_durations(result: pytest.RunResult, rollouts: int, at_least: float) -> None:
    """Check that each rollout has a phase that lasted as long as it did."""
    shown = re.findall(
        r"^(\d+\.\d\d)s \w+ +bench\.toml::\w+::(\d+-r\d+)", result.stdout.str(), re.MULTILINE
    )
    longest: dict[str, float] = {}
    for seconds, name in shown:
        longest[name] = max(longest.get(name, 0.0), float(seconds))
    assert len(longest) == rollouts
    assert min(longest.values()) >= at_least


@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "workers"])
def test_rollouts_are_let_go_once_they_are_reported(
    pytester: pytest.Pytester, url: str, workers: list[str]
) -> None:
    project = Project(pytester, [])
    project.evals(
        '[[eval]]\nenv_id = "sums"\nenv_args = { examples = 30 }\nnum_examples = -1', url=url
    )
    project.pytester.makeconftest(
        """
        import gc
        from pathlib import Path

        def _count():
            gc.collect()
            kinds = ("State", "RolloutResult")
            return sum(type(each).__name__ in kinds for each in gc.get_objects())

        def pytest_sessionstart(session):
            session.before = _count()

        def pytest_sessionfinish(session):
            name = getattr(session.config, "workerinput", {"workerid": "main"})["workerid"]
            Path(f"kept-{name}").write_text(str(_count() - session.before))
        """
    )
    # In a process of its own: pytester keeps what hooks were called with.
    output, _ = project.start("bench.toml", *workers).communicate(timeout=60)
    assert "91 passed" in output
    kept = {path.name: int(path.read_text()) for path in project.path.glob("kept-*")}
    assert len(kept) == 1 + 2 * len(workers)
    assert max(kept.values()) <= 3, kept


# Ending


def test_async_fixtures_of_a_session_that_is_stopped_end_on_their_loop(
    pytester: pytest.Pytester,
) -> None:
    # pytest tears them down after the rollouts were cancelled: the loop has to outlive that.
    project = FunctionProject(pytester)
    project.write(
        """
        import pathlib

        @pytest.fixture(scope="session")
        async def box():
            loop = asyncio.get_running_loop()
            yield
            await asyncio.sleep(0)
            assert asyncio.get_running_loop() is loop
            pathlib.Path("closed").touch()

        @evals(rollouts=8, pass_reward=1)
        async def test_it(box, evals_rollout):
            if evals_rollout:
                await asyncio.sleep(60)
            return 0.0
        """
    )
    result = project.run("-x")
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    assert (project.path / "closed").exists()


# The terminal


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")  # says Python of forks
@pytest.mark.parametrize("workers", [[], ["-n2"]], ids=["alone", "workers"])
@pytest.mark.parametrize("is_ci", [False, True], ids=["view", "line"])
def test_what_is_drawn_costs_no_letter(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: list[str], is_ci: bool
) -> None:
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    if is_ci:
        monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("TERM", "xterm")
    project = Project(pytester, [])
    columns, rows = 60, 12  # a screen that scrolls, and letters that fill several lines
    monkeypatch.setenv("COLUMNS", str(columns))
    with DemoServer(latency=0.1) as server:
        project.evals(
            '[[eval]]\nenv_id = "sums"\nenv_args = { examples = 60 }\nnum_examples = -1',
            url=server.url,
        )
        session = pexpect.spawn(
            sys.executable,
            ["-m", "pytest", "-p", "no:asyncio", "-p", "no:randomly", "bench.toml",
             "--evals-max-concurrent=12", *workers],
            cwd=str(project.path), dimensions=(rows, columns), encoding="utf-8", timeout=60,
        )  # fmt: skip
        session.expect(pexpect.EOF)
        session.close()
    written = session.before or ""
    assert "in flight, mean reward" in written
    assert ("tokens running" in written) is not is_ci
    screen = Screen(columns, rows)
    screen.feed(written)
    lines = screen.lines()
    found = [re.fullmatch(r"(?:bench.toml )?([.oG0]+)(?: *\[ *\d+%\])?", line) for line in lines]
    assert sum(len(match[1]) for match in found if match) == 181, "\n".join(lines)
    assert not any("in flight, mean reward" in line for line in lines)
    assert session.exitstatus == 0
