"""Plugins in wide use beside evals, in one process and under xdist: no promise is broken."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .conftest import Project

# As pytest's `-p no:NAME` calls them.
PLUGINS = ("asyncio", "pytest_cov", "randomly", "rerunfailures", "timeout")

INI = """
    [pytest]
    asyncio_default_fixture_loop_scope = function
"""

# The model answers at once, unless a file `fails-q1` says how many more times it is down for q1.
# Every request is noted, whatever process makes it.
CONFTEST = """
    import asyncio, os, pathlib
    from pytest_evals.errors import ModelError
    from pytest_evals.messages import AssistantMessage, Response, Usage

    class Model:
        answered = False

        async def get_response(self, prompt, model, sampling_args, tools=None):
            question = prompt[-1]["content"]
            with open("asked", "a") as file:
                file.write(question + "\\n")
            left = pathlib.Path(f"fails-{question}")
            while left.exists() and not Model.answered:
                await asyncio.sleep(0.005)
            if left.exists() and (times := int(left.read_text())):
                left.write_text(str(times - 1))
                raise ModelError("the server is down")
            await asyncio.sleep(0)
            Model.answered = True
            message = AssistantMessage(content=question.upper())
            return Response(message, finish_reason="stop", usage=Usage(3, 2))

        async def close(self):
            pass

    def pytest_evals_make_client():
        return Model()

    def pytest_sessionfinish(session):
        for plugin in session.config.pluginmanager.get_plugins():
            if type(plugin).__name__ == "EvalTerminal":
                pathlib.Path("counted").write_text(str(plugin._progress.done))
"""

# What plain tests and rollouts of one session wait for: each proves that the other ran meanwhile.
MEETING = """
    import pathlib, time

    BEGUN, DONE = pathlib.Path("begun"), pathlib.Path("done")

    def rollouts_have_begun():
        until = time.monotonic() + 20
        while not BEGUN.exists():
            assert time.monotonic() < until, "no rollout began while plain tests ran"
            time.sleep(0.01)
        return True

    def note(text):
        with open("notes", "a") as file:
            file.write(text + "\\n")
"""

ENV = """
    import asyncio
    import meeting
    import pytest_evals as vf

    class Meets(vf.SingleTurnEnv):
        async def setup_state(self, state):
            meeting.BEGUN.touch()
            async with asyncio.timeout(20):
                while not meeting.DONE.exists():
                    await asyncio.sleep(0.01)
            return state

    def relative(completions) -> list[float]:
        return [float(place) for place, _ in enumerate(completions)]

    async def fine(prompt):
        return 1.0

    def load_environment(meets=False, groups=False, examples=6):
        kind = Meets if meets else vf.SingleTurnEnv
        rows = [{"question": f"q{n}"} for n in range(examples)]
        rubric = vf.Rubric(funcs=[fine, relative] if groups else [fine])
        return kind(dataset=rows, rubric=rubric)
"""

EVALS = """
    [[eval]]
    env_id = "env"
    name = "one"
    num_examples = 6
    rollouts_per_example = 2
    gates = ["reward >= 1", "latency.p95 <= 60"]
    env_args = { meets = MEETS }

    [[eval]]
    env_id = "env"
    name = "groups"
    num_examples = 6
    rollouts_per_example = 3
    gates = ["reward >= 1"]
    env_args = { groups = true }
"""
ROLLOUTS, GATES = 6 * 2 + 6 * 3, 3 + 2


class Mixed(Project):
    """A project of two evals, in whose sessions only the plugins named in `using` are active."""

    using: tuple[str, ...] = ()

    def _arguments(self, args: tuple[str, ...]) -> list[str]:
        blocked = [
            part for name in PLUGINS if name not in self.using for part in ("-p", f"no:{name}")
        ]
        return [*blocked, *self.plugin_args, *map(str, args)]

    @property
    def is_distributed(self) -> bool:
        return bool(self.plugin_args)

    def tests(self, name: str, source: str) -> None:
        """Write a module of plain tests."""
        self.pytester.makepyfile(**{name: source})

    def prepare(self, *, meets: bool = False, more: str = "") -> None:
        """Write the evals; rollouts of the first wait for plain tests where they are to `meet`."""
        text = EVALS.replace("MEETS", str(meets).lower())
        self.evals(text.replace("gates =", f"{more}\n    gates ="), url="http://127.0.0.1:9/v1")

    def asked(self) -> Counter[str]:
        """Return how often the model was asked each question, over all evals."""
        return Counter((self.path / "asked").read_text().split())

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file."""
        return (self.path / name).read_text().splitlines()

    def run_apart(self, *args: str) -> tuple[int, str]:
        """Run pytest in a process of its own; return its exit code and what it printed."""
        process = self.start(*args)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def assert_whole(self, *, verdict: str = "passed") -> None:
        """Every rollout of both evals has one row, and what is on disk agrees with itself."""
        assert len(self.runs()) == 2
        for folder in self.runs():
            rows = self.rows(folder)
            keys = {(row["example_id"], row["rollout"]) for row in rows}
            count = 12 if folder.parent.name.startswith("one") else 18
            assert len(rows) == len(keys) == count
            assert {row["state"] for row in rows} == {"scored"}
            assert self.metadata(folder)["verdict"] == verdict


@pytest.fixture(params=[[], ["-n", "2"]], ids=["", "n2"])
def plugin_args(request: pytest.FixtureRequest) -> list[str]:
    """Arguments that every session must do with and without."""
    arguments: list[str] = request.param
    return arguments


@pytest.fixture
def mixed(
    pytester: pytest.Pytester, plugin_args: list[str], monkeypatch: pytest.MonkeyPatch
) -> Mixed:
    """A project of evals, with a model that counts."""
    monkeypatch.setenv("COLUMNS", "200")
    project = Mixed(pytester, plugin_args)
    pytester.makeini(INI)
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(meeting=MEETING)
    project.environment("env", ENV)
    return project


ASYNC_TESTS = """
    import asyncio
    import pytest, pytest_asyncio
    import meeting

    FIXTURE

    def test_sync(resource):
        meeting.note("NAME sync")
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()

    MARK
    async def test_async(resource):
        meeting.note("NAME async")
        assert meeting.rollouts_have_begun()
        assert asyncio.get_running_loop() is resource

    MARK
    async def test_last(resource, capsys):
        await asyncio.sleep(0)
        print("out")
        assert capsys.readouterr().out == "out\\n"
        assert asyncio.get_running_loop() is resource
        meeting.note("NAME last")
        meeting.DONE.touch()
"""
ASYNC_FIXTURE = """
    @FIXTURE(scope="module", loop_scope="module")
    async def resource():
        meeting.note("NAME up")
        yield asyncio.get_running_loop()
        meeting.note("NAME down")
"""


class TestAsyncio:
    @pytest.mark.parametrize("mode", ["auto", "strict"])
    def test_its_tests_run_during_the_first_flights(self, mixed: Mixed, mode: str) -> None:
        mixed.using = ("asyncio",)
        mixed.prepare(meets=True)
        fixture = ASYNC_FIXTURE.replace(
            "FIXTURE", "pytest.fixture" if mode == "auto" else "pytest_asyncio.fixture"
        )
        if mode == "auto":
            fixture = fixture.replace(', loop_scope="module"', "")
        source = ASYNC_TESTS.replace("MARK", '@pytest.mark.asyncio(loop_scope="module")')
        source = source.replace("    FIXTURE\n", fixture)
        for name in ("test_a", "test_b"):
            mixed.tests(name, source.replace("NAME", name))
        ini = ["-o", f"asyncio_mode={mode}", "-o", "asyncio_default_fixture_loop_scope=module"]
        result = mixed.run("bench.toml", "test_a.py", "test_b.py", *ini)
        assert result.ret == 0
        result.assert_outcomes(passed=ROLLOUTS + GATES + 6)
        mixed.assert_whole()
        notes = mixed.lines("notes")
        for name in ("test_a", "test_b"):
            own = [note.partition(" ")[2] for note in notes if note.startswith(name)]
            assert own.count("up") == own.count("down")
            assert Counter(own) >= Counter(["sync", "async", "last"])
            if not mixed.is_distributed:
                assert own == ["up", "sync", "async", "last", "down"]


COVERED = """
    import asyncio
    import pytest_evals as vf

    def in_a_thread(text):
        upper = text.upper()
        return upper

    class Covered(vf.MultiTurnEnv):
        async def setup_state(self, state):
            state["said"] = await asyncio.to_thread(in_a_thread, "said")
            return state

        async def env_response(self, messages, state, **kwargs):
            loop = asyncio.get_running_loop()
            text = await loop.run_in_executor(None, in_a_thread, "go on")
            return [{"role": "user", "content": text}]

    async def reward(state):
        await asyncio.sleep(0)
        return float(state["said"] == "SAID")

    def never_called():
        return None

    def load_environment(meets=False, groups=False):
        rows = [{"question": f"q{n}"} for n in range(6)]
        return Covered(dataset=rows, max_turns=2, rubric=vf.Rubric(funcs=[reward]))
"""


def test_cov_measures_the_code_of_environments(mixed: Mixed) -> None:
    mixed.using = ("pytest_cov",)
    path = mixed.environment("env", COVERED)
    mixed.prepare()
    mixed.tests("test_plain", "def test_plain():\n    assert True")
    code, output = mixed.run_apart(
        "bench.toml", "test_plain.py", "--cov=environments", "--cov-report=json:cov.json"
    )
    assert code == 0, output
    mixed.assert_whole()
    measured = json.loads((mixed.path / "cov.json").read_text())["files"]["environments/env.py"]
    lines = path.read_text().splitlines()
    assert [lines[number - 1].strip() for number in measured["missing_lines"]] == ["return None"]


class TestTimeout:
    @pytest.mark.parametrize("method", ["signal", "thread"])
    def test_it_bounds_the_report_and_not_the_rollout(self, mixed: Mixed, method: str) -> None:
        mixed.using = ("timeout",)
        mixed.environment(
            "env",
            ENV.replace("def load", SLOW + "    def load").replace(
                "else vf.SingleTurnEnv", "else Slow"
            ),
        )
        mixed.prepare()
        mixed.tests("test_plain", "def test_plain():\n    assert True")
        args = ["bench.toml", "test_plain.py", "--timeout=1", f"--timeout-method={method}"]
        code, output = mixed.run_apart(*args)
        assert code == 0, output
        mixed.assert_whole()
        assert set(mixed.asked().values()) == {5}

    def test_a_plain_test_that_hangs_fails_alone(self, mixed: Mixed) -> None:
        mixed.using = ("timeout",)
        mixed.prepare()
        mixed.tests("test_plain", HANGS)
        args = ["bench.toml", "test_plain.py", "--timeout-method=signal"]
        code, output = mixed.run_apart(*args)
        assert code == 1, output
        assert f"1 failed, {ROLLOUTS + GATES + 1} passed" in output
        mixed.assert_whole()

    def test_a_plain_test_that_ends_its_process_loses_nothing_paid_for(self, mixed: Mixed) -> None:
        """The thread method calls `os._exit`: that is the end of the session, or of a worker."""
        mixed.using = ("timeout",)
        mixed.prepare()
        mixed.tests("test_plain", HANGS)
        args = ["bench.toml", "test_plain.py", "--timeout-method=thread"]
        code, output = mixed.run_apart(*args)
        assert code == 1, output
        assert set(mixed.asked().values()) == {5}
        if mixed.is_distributed:
            assert "1 failed" in output
            mixed.assert_whole()
        else:
            assert "Timeout" in output
            assert "passed" not in output
            for folder in mixed.runs():
                keys = {
                    (row["example_id"], row["rollout"])
                    for row in mixed.rows(folder)
                    if row["state"] == "scored"
                }
                assert len(keys) in (12, 18)

    @pytest.mark.parametrize("plugin_args", [[]], ids=[""])
    def test_in_a_sequential_session_it_bounds_the_rollout(self, mixed: Mixed) -> None:
        mixed.using = ("timeout",)
        mixed.environment("env", ENV.replace("sleep(0.01)", "Event().wait()"))
        mixed.prepare(meets=True)  # which nobody will
        args = ["bench.toml", "-k", "one and 0-r", "--evals-sequential", "--timeout=0.5"]
        code, output = mixed.run_apart(*args)
        assert code == 1, output
        assert "2 errors" in output
        assert "Timeout (>0.5s)" in output
        assert "INTERNALERROR" not in output


SLOW = """
    class Slow(vf.SingleTurnEnv):
        async def setup_state(self, state):
            await asyncio.sleep(1.3)
            return state

"""
# Hangs once every rollout is on disk.
HANGS = """
    import json, pathlib, time
    import pytest

    def scored():
        keys = set()
        for path in pathlib.Path("outputs").rglob("results*.jsonl"):
            for line in path.read_text().splitlines():
                row = json.loads(line)
                if row["state"] == "scored":
                    keys.add((path.parent.name, row["example_id"], row["rollout"]))
        return len(keys)

    def test_before():
        until = time.monotonic() + 20
        while scored() < 30 and time.monotonic() < until:
            time.sleep(0.02)
        assert scored() == 30

    @pytest.mark.timeout(0.5)
    def test_hangs():
        while True:
            time.sleep(0.05)
"""


class TestRerunfailures:
    @pytest.fixture(autouse=True)
    def uses_it(self, mixed: Mixed) -> None:
        mixed.using = ("rerunfailures",)

    def test_unmeasured_rollouts_are_asked_for_again(self, mixed: Mixed) -> None:
        mixed.prepare()
        (mixed.path / "fails-q1").write_text("2")
        result = mixed.run("bench.toml", "-k", "one", "--reruns=2", "-rR")
        assert result.ret == 0
        assert outcomes(result) == {"passed": 15, "rerun": 2}
        assert mixed.lines("counted") == ["12"]
        (folder,) = mixed.runs()
        assert {row["state"] for row in mixed.rows(folder)} == {"scored"}
        assert len(mixed.rows(folder)) == 12
        assert mixed.metadata(folder)["verdict"] == "passed"
        assert mixed.asked() == {"q1": 4, **{f"q{n}": 2 for n in (0, 2, 3, 4, 5)}}

    def test_as_often_as_it_says(self, mixed: Mixed) -> None:
        mixed.prepare()
        (mixed.path / "fails-q1").write_text("1000")
        result = mixed.run("bench.toml", "-k", "one", "--reruns=2")
        assert result.ret == 1
        # Both rollouts of q1 in vain, and the gates, which say the same each time.
        assert outcomes(result)["errors"] == 2
        assert mixed.asked() == {"q1": 6, **{f"q{n}": 2 for n in (0, 2, 3, 4, 5)}}
        (folder,) = mixed.runs()
        assert len(mixed.rows(folder)) == 12
        assert mixed.metadata(folder)["verdict"] in ("failed", "inconclusive")

    def test_scored_rollouts_are_never_asked_again(self, mixed: Mixed) -> None:
        mixed.environment("env", ENV.replace("return 1.0", "return 0.5"))
        mixed.prepare(more="pass_reward = 1")
        result = mixed.run("bench.toml", "-k", "one", "--reruns=3")
        assert result.ret == 1
        assert outcomes(result)["failed"] == 12 + 1
        assert set(mixed.asked().values()) == {2}
        (folder,) = mixed.runs()
        assert {row["reward"] for row in mixed.rows(folder)} == {0.5}
        assert mixed.metadata(folder)["verdict"] == "failed"

    def test_part_of_a_group_is_not_scored_as_if_it_were_whole(self, mixed: Mixed) -> None:
        mixed.prepare()
        (mixed.path / "fails-q1").write_text("1")
        result = mixed.run("bench.toml", "-k", "groups", "--reruns=1")
        assert result.ret == 1
        assert "group is incomplete" in result.stdout.str()
        assert set(mixed.asked().values()) == {3}  # alone, none of them could be scored
        rows = mixed.rows(mixed.runs()[-1])
        assert len(rows) == 18
        assert {row["example_id"] for row in rows if row["state"] != "scored"} == {1}

    def test_plain_tests_are_rerun_beside_rollouts(self, mixed: Mixed) -> None:
        mixed.prepare(meets=True)
        mixed.tests(
            "test_plain",
            """
            import pathlib
            import meeting
            import pytest

            @pytest.fixture(scope="module")
            def resource():
                meeting.note("up")
                yield
                meeting.note("down")

            def test_flaky(resource):
                assert meeting.rollouts_have_begun()
                meeting.note("tried")
                meeting.DONE.touch()
                assert len(pathlib.Path("notes").read_text().split()) > 3
            """,
        )
        result = mixed.run("bench.toml", "test_plain.py", "--reruns=3")
        assert result.ret == 0
        assert outcomes(result) == {"passed": ROLLOUTS + GATES + 1, "rerun": 2}
        mixed.assert_whole()
        assert mixed.lines("notes") == ["up", "tried", "tried", "tried", "down"]


class TestRandomly:
    def test_gates_come_last_in_any_order(self, mixed: Mixed) -> None:
        mixed.using = ("randomly",)
        mixed.prepare()
        mixed.tests("test_plain", "def test_one():\n    pass\n\ndef test_two():\n    pass")
        orders = set()
        for seed in (1, 2):
            result = mixed.run("bench.toml", "test_plain.py", "-v", f"--randomly-seed={seed}")
            assert result.ret == 0
            result.assert_outcomes(passed=ROLLOUTS + GATES + 2)
            ids = re.findall(r"bench\.toml::\w+::[\w.-]+|test_plain.py::\w+", result.stdout.str())
            order = list(dict.fromkeys(ids))
            assert len(order) == ROLLOUTS + GATES + 2
            for name in ("one", "groups"):
                own = [nodeid for nodeid in order if f"::{name}::" in nodeid]
                kinds = ["gate" in nodeid for nodeid in own]
                assert kinds == sorted(kinds)
            orders.add(tuple(order))
        assert len(orders) == 2
        assert set(mixed.asked().values()) == {10}


def test_all_of_them_at_once(mixed: Mixed) -> None:
    mixed.using = PLUGINS
    mixed.prepare(meets=True)
    (mixed.path / "fails-q1").write_text("1")
    source = ASYNC_TESTS.replace("MARK", '@pytest.mark.asyncio(loop_scope="module")')
    fixture = ASYNC_FIXTURE.replace("FIXTURE", "pytest_asyncio.fixture")
    source = source.replace("    FIXTURE\n", fixture)
    mixed.tests("test_a", source.replace("NAME", "test_a"))
    code, output = mixed.run_apart(
        "bench.toml", "test_a.py", "--cov=environments", "--cov-report=json:cov.json",
        "--timeout=30", "--reruns=1", "-k", "one or test_a",
    )  # fmt: skip
    assert code == 0, output
    assert "18 passed" in output
    (folder,) = mixed.runs()
    rows: list[dict[str, Any]] = mixed.rows(folder)
    assert len(rows) == 12
    assert {row["state"] for row in rows} == {"scored"}
    assert Path(mixed.path / "cov.json").exists()


def outcomes(result: pytest.RunResult) -> dict[str, int]:
    found: dict[str, int] = result.parseoutcomes()
    return {kind: count for kind, count in found.items() if kind not in ("warnings", "deselected")}
