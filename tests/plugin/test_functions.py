"""Test functions as evals: what is collected, run, kept, judged and shown."""

from __future__ import annotations

import subprocess
import sys
from xml.etree import ElementTree

import pytest

from .function_project import FunctionProject


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> FunctionProject:
    """An empty project and a wide terminal."""
    monkeypatch.setenv("COLUMNS", "300")
    return FunctionProject(pytester)


CITIES = """
    @evals(rollouts=2, gates=["reward >= 0.8"])
    @pytest.mark.parametrize("city", ["Rome", "Oslo"])
    async def test_it(city):
        await asyncio.sleep(0)
        assert city == "Rome", "not it"
"""


@pytest.mark.parametrize("rollouts", ["", "workers"])
def test_lf_after_a_red_gate_runs_the_function_anew(
    project: FunctionProject, rollouts: str
) -> None:
    project.write(
        CITIES
        + """
    @evals(rollouts=2, gates=["reward >= 0.5"])
    async def test_fine(): ...

    def test_plain(): ...
    """
    )
    workers = ["-p", "xdist", "-n", "2"] if rollouts else []
    args = [*workers, "-p", "cacheprovider"] if workers else ["-p", "cacheprovider"]
    assert project.run(*args).ret == 1
    for _ in range(2):
        result = project.run(*args, "--lf")
        result.assert_outcomes(passed=4 + 1, failed=1)
        assert "NOT JUDGED" not in result.stdout.str()
    source = project.path / "test_it.py"
    source.write_text(source.read_text().replace('== "Rome"', '!= ""'))
    result = project.run(*args, "--lf")
    result.assert_outcomes(passed=6)
    assert result.ret == 0


def test_node_ids(project: FunctionProject) -> None:
    project.write(
        CITIES
        + """
    @evals
    async def test_alone(): ...

    class TestClass:
        @evals(rollouts=2)
        @pytest.mark.parametrize("a", [1])
        @pytest.mark.parametrize("b", [2])
        async def test_method(self, a, b): ...
    """
    )
    result = project.run("--collect-only", "-q")
    assert result.ret == 0
    assert [line for line in result.outlines if "::" in line] == [
        "test_it.py::test_it[Rome-r0]",
        "test_it.py::test_it[Rome-r1]",
        "test_it.py::test_it[Oslo-r0]",
        "test_it.py::test_it[Oslo-r1]",
        "test_it.py::test_it::gate-reward",
        "test_it.py::test_it::gate-error_rate",
        "test_it.py::test_alone[r0]",
        "test_it.py::test_alone::gate-error_rate",
        "test_it.py::TestClass::test_method[2-1-r0]",
        "test_it.py::TestClass::test_method[2-1-r1]",
        "test_it.py::TestClass::test_method::gate-error_rate",
    ]
    assert not (project.path / "outputs").exists()


def test_failed_assertion_is_a_reward_of_zero_and_the_gate_judges(project: FunctionProject) -> None:
    project.write(CITIES)
    result = project.run("-v")
    assert result.ret == 1
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "test_it.py::test_it?Rome-r0? SCORED 1 *",
            "test_it.py::test_it?Oslo-r1? SCORED 0 *",
            "reward 0.500 < 0.8 (*2 examples x 2 rollouts, 4 of 4 scored*)",
            "test_it?Oslo-r?? and 1 more:",
            "  test_it.py:10: not it",
            "  assert 'Oslo' == 'Rome'",
            "FAILED test_it.py::test_it::gate-reward - reward 0.500 < 0.8 *",
        ]
    )
    rows = project.rows()
    assert [(row["example_id"], row["rollout"], row["reward"]) for row in rows] == [
        ("Oslo", 0, 0.0),
        ("Oslo", 1, 0.0),
        ("Rome", 0, 1.0),
        ("Rome", 1, 1.0),
    ]
    assert {row["state"] for row in rows} == {"scored"}
    assert rows[0]["failure"].startswith("test_it.py:10: not it\nassert 'Oslo' == 'Rome'")
    assert rows[0]["stop_condition"] == "failed assertion"
    assert rows[0]["info"] == {"city": "Oslo"}
    assert rows[0]["error"] is None
    assert "failure" not in rows[2]
    metadata = project.metadata()
    assert metadata["env_id"] == "test_it.test_it"
    assert metadata["model"] == "python"
    assert metadata["avg_reward"] == 0.5
    assert metadata["verdict"] == "failed"


def test_what_a_function_may_return(project: FunctionProject) -> None:
    project.write(
        """
        from decimal import Decimal

        @evals
        @pytest.mark.parametrize("value", [None, 0.25, 3, True, False, Decimal("0.5")], ids=str)
        async def test_it(value):
            return value
        """
    )
    assert project.run().ret == 0
    rewards = {row["example_id"]: row["reward"] for row in project.rows()}
    assert rewards == {"None": 1, "0.25": 0.25, "3": 3, "True": 1, "False": 0, "0.5": 0.5}


@pytest.mark.parametrize("value", ["'0.5'", "float('nan')", "{'reward': 1}", "10 ** 400"])
def test_anything_else_is_broken(project: FunctionProject, value: str) -> None:
    project.write(f"@evals\nasync def test_it():\n    return {value}\n")
    result = project.run()
    assert result.ret == 1
    result.assert_outcomes(errors=1, failed=1)
    result.stdout.fnmatch_lines(["broken: *an eval returns nothing, or its reward as a finite*"])
    (row,) = project.rows()
    assert (row["state"], row["reward"]) == ("broken", None)


def test_exception_is_broken_and_shows_the_code(project: FunctionProject) -> None:
    project.write(
        """
        def helper():
            return {}["missing"]

        @evals(rollouts=2)
        async def test_it():
            helper()
        """
    )
    result = project.run()
    assert result.ret == 1
    result.assert_outcomes(errors=2, failed=1)
    result.stdout.fnmatch_lines(
        ["broken: KeyError: 'missing'", '*test_it.py", line *in helper', "KeyError: 'missing'"]
    )
    result.stdout.fnmatch_lines(["broken like test_it?r??: KeyError: 'missing' at test_it.py:7"])
    result.stdout.no_fnmatch_line("*pytest_evals/plugin*")
    assert [row["state"] for row in project.rows()] == ["broken", "broken"]


@pytest.mark.parametrize("error", ["InfraError", "ModelError"])
def test_failure_of_others_is_unmeasured(project: FunctionProject, error: str) -> None:
    project.write(
        f"""
        from pytest_evals.errors import {error}

        @evals(rollouts=4, gates=["error_rate <= 0.25"])
        async def test_it(evals_rollout):
            if evals_rollout == 3:
                raise {error}("down")
        """
    )
    result = project.run("-rs")
    assert result.ret == 0
    result.assert_outcomes(passed=4, skipped=1)
    result.stdout.fnmatch_lines([f"SKIPPED*unmeasured: *{error}: down"])
    assert [row["state"] for row in project.rows()] == ["scored"] * 3 + ["unmeasured"]


def test_exception_of_an_sdk_is_unmeasured(project: FunctionProject) -> None:
    project.write(
        """
        import httpx2
        import openai

        @evals
        async def test_it():
            raise openai.APIConnectionError(request=httpx2.Request("POST", "http://127.0.0.1"))
        """
    )
    result = project.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["unmeasured: *ModelError: APIConnectionError: Connection error."])
    assert project.rows()[0]["state"] == "unmeasured"


def test_assertion_that_stumbled_over_a_failed_service_says_nothing(
    project: FunctionProject,
) -> None:
    project.write(
        """
        async def ask():
            raise ConnectionRefusedError("down")

        @evals
        async def test_it():
            try:
                await ask()
            except OSError:
                pytest.fail("no answer")
        """
    )
    assert project.run().ret == 1
    assert project.rows()[0]["state"] == "unmeasured"


def test_hook_that_fails_before_the_fixtures_leaves_the_function_alone(
    project: FunctionProject,
) -> None:
    project.write("def pytest_runtest_setup(item):\n    raise OSError('not now')\n", "conftest.py")
    project.write("@evals\nasync def test_it(tmp_path):\n    open('called', 'w').close()\n")
    result = project.run()
    assert result.ret == 1
    result.assert_outcomes(errors=2)
    assert not (project.path / "called").exists()
    assert project.rows()[0]["state"] == "broken"


def test_fail_is_like_an_assertion(project: FunctionProject) -> None:
    project.write("@evals\nasync def test_it():\n    pytest.fail('no good')\n")
    assert project.run().ret == 0
    (row,) = project.rows()
    assert (row["reward"], row["failure"]) == (0.0, "test_it.py:7: no good")


def test_assertions_of_a_task_group_count_together(project: FunctionProject) -> None:
    project.write(
        """
        async def check(number, error=AssertionError):
            await asyncio.sleep(0)
            if number:
                raise error(f"no {number}")

        @evals(rollouts=2)
        async def test_it(evals_rollout):
            async with asyncio.TaskGroup() as group:
                group.create_task(check(1))
                group.create_task(check(2, AssertionError if evals_rollout else ValueError))
        """
    )
    project.run()
    broken, scored = project.rows()
    assert (broken["state"], scored["reward"]) == ("broken", 0.0)
    assert scored["failure"] == "test_it.py:9: no 1\ntest_it.py:9: no 2"


def test_skip_leaves_a_rollout_unmeasured(project: FunctionProject) -> None:
    project.write(
        """
        @evals(rollouts=2, gates=["reward >= 1", "error_rate <= 0.5"])
        async def test_it(evals_rollout):
            if evals_rollout:
                pytest.skip("not today")
        """
    )
    result = project.run("-rsf")
    result.assert_outcomes(passed=2, skipped=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["SKIPPED*skipped: not today", "FAILED*- INCONCLUSIVE: reward*"])
    assert [row["state"] for row in project.rows()] == ["scored", "unmeasured"]


def test_function_with_a_skip_mark_is_no_eval_today(project: FunctionProject) -> None:
    project.write(
        """
        @pytest.mark.skipif(True, reason="no key")
        @evals(rollouts=2, gates=["reward >= 1"])
        async def test_it(): ...
        """
    )
    result = project.run("-rs")
    assert result.ret == 0
    result.assert_outcomes(skipped=4)
    result.stdout.fnmatch_lines(["SKIPPED*no key"])
    assert not (project.path / "outputs").exists()


def test_skipped_example_leaves_the_gates_unjudged(project: FunctionProject) -> None:
    project.write(
        """
        @evals(rollouts=2, gates=["reward >= 1"])
        @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.skip), 2])
        async def test_it(n): ...
        """
    )
    result = project.run()
    assert result.ret == 1
    result.assert_outcomes(passed=2, skipped=2, failed=2)
    result.stdout.fnmatch_lines(["NOT JUDGED: test_it.test_it: *2 of 4 rollouts*"])
    result = project.run("--evals-partial")
    assert result.ret == 0
    result.assert_outcomes(passed=2, skipped=4)


def test_skip_of_a_fixture_is_no_green(project: FunctionProject) -> None:
    project.write(
        """
        @pytest.fixture
        def key():
            pytest.skip("no key")

        @evals(rollouts=2)
        async def test_it(key): ...
        """
    )
    result = project.run()
    assert result.ret == 1
    result.assert_outcomes(skipped=2, failed=1)
    result.stdout.fnmatch_lines(["FAILED*gate-error_rate - NOT JUDGED*"])


def test_rollouts_are_in_flight_together(project: FunctionProject) -> None:
    project.write(
        """
        together = asyncio.Barrier(6)

        @evals(rollouts=3, gates=["reward >= 1"])
        @pytest.mark.parametrize("n", [1, 2])
        async def test_it(n, tmp_path):
            async with asyncio.timeout(10):
                await together.wait()
        """
    )
    assert project.run().ret == 0


def test_functions_of_several_modules_are_in_flight_together(project: FunctionProject) -> None:
    project.write("together = asyncio.Barrier(4)", "shared.py")
    for name in ("a", "b"):
        project.write(
            """
            from shared import together

            def test_plain(): ...

            @evals(rollouts=2, gates=["reward >= 1"])
            async def test_it(tmp_path):
                async with asyncio.timeout(10):
                    await together.wait()
            """,
            f"test_{name}.py",
        )
    result = project.run("-p", "no:cacheprovider")
    assert result.ret == 0
    result.assert_outcomes(passed=2 + 4 + 4)


@pytest.mark.parametrize(
    ("mark", "args", "peak"),
    [
        ("rollouts=6", ["--evals-max-concurrent=2"], 2),
        ("rollouts=6, max_concurrent=3", [], 3),
        ("rollouts=6, alone=True", [], 1),
        ("rollouts=6", ["--evals-sequential"], 1),
        ("rollouts=6", [], 6),
    ],
)
def test_limits(project: FunctionProject, mark: str, args: list[str], peak: int) -> None:
    project.write(
        f"""
        together = asyncio.Barrier({peak})
        now = 0

        @evals({mark})
        async def test_it():
            global now
            now += 1
            async with asyncio.timeout(10):
                await together.wait()
            seen = now
            await asyncio.sleep(0.02)  # for one too many to begin
            now -= 1
            return max(seen, now + 1)
        """
    )
    assert project.run(*args).ret == 0
    assert {row["reward"] for row in project.rows()} == {peak}


def test_function_that_is_no_coroutine_runs_in_a_thread(project: FunctionProject) -> None:
    project.write(
        """
        import threading
        together = threading.Barrier(40)

        @evals(rollouts=40, gates=["reward >= 1"])
        def test_it(tmp_path):
            together.wait(10)
            assert threading.current_thread() is not threading.main_thread()
        """
    )
    assert project.run("--evals-max-concurrent=0").ret == 0


def test_rollouts_of_the_options(project: FunctionProject) -> None:
    project.write("@evals\nasync def test_it(): ...\n@evals(rollouts=1)\nasync def test_b(): ...\n")
    project.run("--evals-rollouts-per-example=3").assert_outcomes(passed=3 + 1 + 1 + 1)
    project.pytester.makeini("[pytest]\nevals_rollouts_per_example = 2\n")
    project.run().assert_outcomes(passed=2 + 1 + 1 + 1)


def test_marks_of_class_and_module_are_merged(project: FunctionProject) -> None:
    project.write(
        """
        pytestmark = evals(rollouts=2, model="gpt-x")

        @evals(gates=["reward >= 0.5"])
        class TestIt:
            async def test_a(self): ...

            @evals(rollouts=3)
            async def test_b(self): ...
        """
    )
    result = project.run("-v")
    result.assert_outcomes(passed=2 + 3 + 4)
    assert project.metadata("test_it.TestIt.test_b")["model"] == "gpt-x"
    assert project.metadata("test_it.TestIt.test_b")["rollouts_per_example"] == 3
    assert len(project.metadata("test_it.TestIt.test_a")["gates"]) == 2


def test_without_a_gate_on_the_reward_it_is_not_gated(project: FunctionProject) -> None:
    project.write("@evals\nasync def test_it():\n    assert 0\n")
    result = project.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["test_it.test_it *passed, not gated"])


def test_gates_of_the_command_line(project: FunctionProject) -> None:
    project.write("@evals\nasync def test_it():\n    return 0.5\n")
    assert project.run("--evals-gate=reward >= 0.6").ret == 1
    assert project.run("--evals-gate=reward >= 0.4").ret == 0


def test_metric_of_a_hook(project: FunctionProject) -> None:
    project.write(
        """
        def pytest_evals_metric(config, spec, metric, rows):
            return sum(row["reward"] for row in rows()) if metric == "total" else None
        """,
        "conftest.py",
    )
    project.write("@evals(rollouts=2, gates=['total >= 2'])\nasync def test_it(): ...\n")
    assert project.run().ret == 0


def test_pass_reward_fails_items(project: FunctionProject) -> None:
    project.write(
        "@evals(rollouts=2, pass_reward=1)\nasync def test_it(evals_rollout):\n"
        "    assert evals_rollout == 0\n"
    )
    result = project.run()
    assert result.ret == 1
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(
        ["reward 0 < 1 (pass_reward)", "*failed assertion*", "test_it.py:7: assert 1 == 0"]
    )


@pytest.mark.parametrize(
    ("selection", "outcomes"),
    [
        (["-k", "Oslo"], {"passed": 2, "failed": 2}),
        (["-k", "r1 or gate"], {"passed": 2, "failed": 2}),
        (["test_it.py::test_it[Rome-r1]"], {"passed": 1, "failed": 2}),
        (["test_it.py::test_it::gate-reward"], {"failed": 1}),
    ],
)
def test_selection_leaves_gates_unjudged(
    project: FunctionProject, selection: list[str], outcomes: dict[str, int]
) -> None:
    project.write(CITIES)
    result = project.run(*selection)
    assert result.ret == 1
    assert result.parseoutcomes() == {
        **outcomes,
        **{name: count for name, count in result.parseoutcomes().items() if name == "deselected"},
    }
    result.stdout.fnmatch_lines(["FAILED *NOT JUDGED: reward >= 0.8: *"])


def test_partial_is_accepted_when_asked_for(project: FunctionProject) -> None:
    project.write(CITIES)
    result = project.run("-k", "Oslo or gate", "--evals-partial")
    assert result.ret == 0
    result.assert_outcomes(passed=2, skipped=2, deselected=2)


def test_name_of_the_function_selects_gates_too(project: FunctionProject) -> None:
    project.write(CITIES + "\n    def test_other(): ...\n")
    result = project.run("test_it.py::test_it")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        ["evals: 1 eval, 4 rollouts of test functions, *", "*  n/a  *FAILED"]
    )
    assert "n/a/n/a" not in result.stdout.str()


def test_last_failed(project: FunctionProject) -> None:
    path = project.write(
        """
        @evals(rollouts=3)
        async def test_it(evals_rollout):
            if evals_rollout == 1:
                raise ValueError
        """
    )
    project.run().assert_outcomes(passed=2, errors=1, failed=1)
    path.write_text(path.read_text().replace("raise ValueError", "return 0.5"))
    result = project.run("--lf", "-v")
    result.stdout.fnmatch_lines(["test_it.py::test_it?r1? SCORED 0.5*"])
    result.assert_outcomes(passed=3 + 1)


def test_marks_select(project: FunctionProject) -> None:
    project.pytester.makeini("[pytest]\nmarkers = smoke\n    odd\n")
    project.write(
        """
        @pytest.mark.smoke
        @evals
        @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.odd), 2])
        async def test_it(n): ...

        @evals
        async def test_other(): ...

        def test_plain(): ...
        """
    )
    project.run("-m", "smoke", "--strict-markers").assert_outcomes(passed=3, deselected=3)
    project.run("-m", "odd").assert_outcomes(passed=1, failed=1, deselected=5)
    project.run("-m", "not evals").assert_outcomes(passed=1, deselected=5)


def test_exitfirst_stops_what_is_in_flight(project: FunctionProject) -> None:
    project.write(
        """
        together = asyncio.Barrier(10)

        @evals(rollouts=50)
        async def test_it(evals_rollout):
            await together.wait()
            if evals_rollout == 3:
                raise ValueError("stop here")
            try:
                await asyncio.sleep(60)
            finally:
                with open("log", "a") as log:
                    print("ended", file=log)
        """
    )
    result = project.run("-x", "--evals-max-concurrent=10")
    assert result.ret == 1
    assert result.parseoutcomes()["errors"] == 1
    assert project.log() == ["ended"] * 9
    assert project.metadata()["complete"] is False


def test_exit_ends_the_session(project: FunctionProject) -> None:
    project.write("@evals(rollouts=3)\nasync def test_it():\n    pytest.exit('enough', 7)\n")
    assert project.run().ret == 7


def test_junit(project: FunctionProject) -> None:
    project.write(
        """
        @evals(rollouts=2, gates=["reward >= 1"])
        async def test_it(evals_rollout, record_property):
            record_property("answer", "Rome")
            await asyncio.sleep(0.05)
            assert evals_rollout
        """
    )
    project.run("--junitxml=evals.xml", "-o", "junit_family=xunit1")
    cases = {
        case.get("name"): case
        for case in ElementTree.parse(project.path / "evals.xml").iter("testcase")
    }
    assert set(cases) == {"test_it[r0]", "test_it[r1]", "gate-reward", "gate-error_rate"}
    first = cases["test_it[r0]"]
    assert first.get("classname") == "test_it"
    assert float(first.get("time", "0")) >= 0.05
    properties = {p.get("name"): p.get("value") for p in first.iter("property")}
    assert properties == {"evals.state": "scored", "evals.reward": "0.0", "answer": "Rome"}
    assert cases["gate-reward"].get("classname") == "test_it.test_it"
    assert cases["gate-reward"].find("failure") is not None


def test_passed_rollouts_tell_their_assertion_when_asked(project: FunctionProject) -> None:
    project.write("@evals\nasync def test_it():\n    answer = 'x'\n    assert answer == 'y'\n")
    result = project.run("-rA")
    result.stdout.fnmatch_lines(["*failed assertion*", "test_it.py:8: *assert 'x' == 'y'", "*+ x*"])


def test_assertions_are_explained_by_hooks(project: FunctionProject) -> None:
    project.write(
        """
        def pytest_assertrepr_compare(op, left, right):
            return ["a word of the conftest"]
        """,
        "conftest.py",
    )
    project.write("@evals\nasync def test_it():\n    assert 1 == 2\n")
    project.run()
    assert "a word of the conftest" in project.rows()[0]["failure"]


def test_warnings_are_filtered_in_flight(project: FunctionProject) -> None:
    project.pytester.makeini("[pytest]\nfilterwarnings = error\n")
    project.write(
        """
        import warnings

        @evals
        async def test_it():
            warnings.warn("raised", DeprecationWarning)

        @evals(gates=["reward >= 1"])
        @pytest.mark.filterwarnings("ignore:fine")
        async def test_fine():
            warnings.warn("fine", DeprecationWarning)
        """
    )
    result = project.run()
    result.assert_outcomes(errors=1, failed=1, passed=3)
    result.stdout.fnmatch_lines(["broken: DeprecationWarning: raised"])


def test_text_of_a_model_is_shown_harmless(project: FunctionProject) -> None:
    project.write(
        "@evals(gates=['reward >= 1'])\nasync def test_it():\n"
        "    raise AssertionError('\\x1b[2J::error::boo')\n"
    )
    result = project.run("-rA")
    assert "\x1b[2J" not in result.stdout.str()
    assert r"\x1b[2J" in result.stdout.str()


def test_keys_of_providers_are_masked(
    project: FunctionProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-123")
    project.write(
        """
        import os

        @evals(gates=["reward >= 1"])
        async def test_it():
            assert os.environ["OPENAI_API_KEY"] == "x"
        """
    )
    result = project.run("-rA")
    assert "very-secret" not in result.stdout.str()
    assert "very-secret" not in (project.folder() / "results.jsonl").read_text()


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("@evals(rollout=2)\nasync def test_it(): ...", "no 'rollout' (did you mean 'rollouts'?)"),
        ("@evals(rollouts=0)\nasync def test_it(): ...", "rollouts=0 of an eval must be a whole"),
        ("@evals(5)\nasync def test_it(): ...", "keywords only: write evals(rollouts=5)"),
        ("@evals(gates=['rewards'])\nasync def test_it(): ...", "'rewards' has no comparison"),
        ("@evals(gates=3)\nasync def test_it(): ...", "is a list, not 3"),
        (
            "@evals(gates='reward >= 0.8')\nasync def test_it(): ...",
            "is a list: write ['reward >= 0.8']",
        ),
        ("@evals(gates=['pass@2 >= 1'])\nasync def test_it(): ...", "needs 2 rollouts per example"),
        ("@evals(gates=['turns <= 2'])\nasync def test_it(): ...", "has no 'turns'; it has reward"),
        ("@evals(gates=['reward2 >= 1'])\nasync def test_it(): ...", "has no 'reward2'"),
        ("@evals(model='')\nasync def test_it(): ...", "model='' of an eval must be a text"),
        ("@evals(alone=1)\nasync def test_it(): ...", "alone=1 of an eval must be True or False"),
        ("@evals(pass_reward='x')\nasync def test_it(): ...", "must be a finite number"),
        ("@evals\nasync def test_it():\n    yield", "an eval cannot yield"),
        ("@pytest.mark.xfail\n@evals\nasync def test_it(): ...", "cannot be marked xfail"),
        (
            "import unittest\nclass TestIt(unittest.TestCase):\n    @evals\n"
            "    async def test_it(self): ...",
            "a method of a unittest.TestCase cannot be an eval",
        ),
    ],
)
def test_what_cannot_be_an_eval(project: FunctionProject, source: str, problem: str) -> None:
    project.write(source + "\n\ndef test_plain(): ...\n")
    result = project.run()
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    assert problem in result.stdout.str()
    result.stdout.re_match_lines([r".*test_it\.py:\d+: .*"])


def test_beside_an_eval_file(project: FunctionProject) -> None:
    project.write(
        """
        import pytest_evals as vf

        def fine(completion):
            return 1.0

        class Env(vf.SingleTurnEnv):
            async def rollout(self, input, client, model, sampling_args=None):
                state = await self.init_state(input, client, model, sampling_args)
                state["completion"] = [{"role": "assistant", "content": "x"}]
                state.trajectory.append({"response": None})
                return state

        def load_environment():
            rows = [{"question": "?", "answer": "!"}] * 5
            return Env(dataset=rows, rubric=vf.Rubric(funcs=[fine]))
        """,
        "environments/still.py",
    )
    project.write(
        """
        api_base_url = "http://127.0.0.1:9/v1"
        model = "none"

        [[eval]]
        env_id = "still"
        gates = ["reward >= 1"]
        """,
        "bench.toml",
    )
    project.write(CITIES + "\n    def test_plain(): ...\n")
    result = project.run("bench.toml", "test_it.py")
    assert result.ret == 1
    result.assert_outcomes(passed=15 + 2 + 5 + 1, failed=1)
    result.stdout.fnmatch_lines(["still *5x3*passed", "test_it.test_it *FAILED"])


def test_session_without_evals_imports_none_of_it(project: FunctionProject) -> None:
    project.write(
        """
        import sys

        @pytest.mark.parametrize("n", range(3))
        def test_it(n):
            assert not [name for name in sys.modules if name.startswith("pytest_evals.plugin.f")]
            assert "pytest_evals.engine.engine" not in sys.modules
        """
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly"],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_function_that_asks_to_run_one_by_one_can_be_debugged(project: FunctionProject) -> None:
    project.write(
        """
        import threading

        @evals(rollouts=2, gates=["reward >= 1"])
        async def test_it(tmp_path):
            assert threading.current_thread() is threading.main_thread()
        """
    )
    assert project.run("--evals-sequential").ret == 0
