"""Fixtures of evals that are test functions: whose they are, how long they live, who runs them."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from typing import Any

import pytest
from _pytest import python as pytest_python

from pytest_evals.plugin.functions import running

from .function_project import FunctionProject

# Of pytest 9.2 and of earlier ones.
CallSpec: Any = getattr(pytest_python, "CallSpec", None) or getattr(
    pytest_python, "CallSpec2", None
)

# `note` appends to the file `log`; `together(n)` waits until n rollouts are in it.
NOTES = """
    _barriers = {}

    def note(text):
        with open("log", "a") as log:
            print(text, file=log)

    async def together(parties):
        barrier = _barriers.setdefault(parties, asyncio.Barrier(parties))
        async with asyncio.timeout(10):
            await barrier.wait()
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> FunctionProject:
    """A project whose conftest offers `note` and `together`."""
    monkeypatch.setenv("COLUMNS", "300")
    project = FunctionProject(pytester)
    project.write(NOTES, "notes.py")
    return project


def test_each_rollout_has_function_scoped_fixtures_of_its_own(project: FunctionProject) -> None:
    project.write(
        """
        from notes import note, together

        @pytest.fixture
        def folder(tmp_path):
            note(f"up {tmp_path.name}")
            (tmp_path / "mine").write_text(tmp_path.name)
            yield tmp_path
            assert (tmp_path / "mine").read_text() == tmp_path.name
            note(f"down {tmp_path.name}")

        @pytest.fixture
        def both(folder, tmp_path):
            assert folder == tmp_path
            return folder

        @evals(rollouts=3, gates=["reward >= 1"])
        @pytest.mark.parametrize("n", [1, 2])
        async def test_it(n, both, tmp_path, folder):
            assert both == tmp_path == folder
            await together(6)
            assert (folder / "mine").read_text() == folder.name
            note(f"ran {folder.name}")
        """
    )
    result = project.run()
    assert result.ret == 0, result.stdout.str()
    lines = project.log()
    assert [line.split()[0] for line in lines[:6]] == ["up"] * 6
    for name in {line.split()[1] for line in lines}:
        assert [line for line in lines if line.endswith(f" {name}")] == [
            f"{word} {name}" for word in ("up", "ran", "down")
        ]


def test_wide_fixtures_are_set_up_once_and_end_with_the_last_user(
    project: FunctionProject,
) -> None:
    project.write(
        """
        from notes import note

        def scoped(scope):
            @pytest.fixture(scope=scope)
            def value(request):
                note(f"up {scope} {request.node.nodeid}")
                yield
                note(f"down {scope} {request.node.nodeid}")
            return value

        a_session, a_module, a_class = map(scoped, ("session", "module", "class"))
        """,
        "conftest.py",
    )
    for name in ("a", "b"):
        project.write(
            f"""
            from notes import note, together

            def test_plain(a_session, a_module):
                note("plain {name}")

            @evals(rollouts=2, gates=["reward >= 1"])
            async def test_it(a_session, a_module, tmp_path):
                await together(2)
                note("eval {name}")

            class TestIt:
                @evals(rollouts=2, gates=["reward >= 1"])
                async def test_one(self, a_class):
                    note("one {name}")

                @evals(rollouts=2, gates=["reward >= 1"])
                async def test_two(self, a_class, a_module):
                    note("two {name}")
            """,
            f"test_{name}.py",
        )
    result = project.run()
    assert result.ret == 0, result.stdout.str()
    lines = project.log()
    ups = Counter(line.removeprefix("up ") for line in lines if line.startswith("up "))
    downs = Counter(line.removeprefix("down ") for line in lines if line.startswith("down "))
    assert ups == downs
    assert set(ups.values()) == {1}
    for name in ("a", "b"):
        inside = lines[
            lines.index(f"up module test_{name}.py") : lines.index(f"down module test_{name}.py")
        ]
        assert inside.count(f"plain {name}") == 1
        assert inside.count(f"eval {name}") == inside.count(f"two {name}") == 2
    assert lines.index("down module test_a.py") < lines.index("up module test_b.py")
    assert lines[-1].startswith("down session")


def test_parameters_of_wide_fixtures_change_when_nobody_uses_the_old_value(
    project: FunctionProject,
) -> None:
    project.write(
        """
        from notes import note, together

        @pytest.fixture(scope="module", params=["x", "y"])
        def server(request):
            note(f"up {request.param}")
            yield request.param
            note(f"down {request.param}")

        @evals(rollouts=3, gates=["reward >= 1"])
        async def test_it(server):
            await together(3)
            note(server)

        @evals(rollouts=2, gates=["reward >= 1"])
        async def test_other(server):
            note(server)
        """
    )
    assert project.run().ret == 0
    assert project.log() == [
        *("up x", *["x"] * 5, "down x"),
        *("up y", *["y"] * 5, "down y"),
    ]


def test_everything_else_that_tests_have(project: FunctionProject) -> None:
    project.write(
        """
        from notes import together

        seen = set()

        @pytest.fixture
        def doubled(request):
            return request.param * 2

        @pytest.fixture(autouse=True)
        def automatic(request):
            request.node.automatic = True

        @pytest.fixture
        def used(request):
            request.node.used = True

        @pytest.fixture
        def named(request):
            return request.getfixturevalue("tmp_path")

        class TestIt:
            def setup_method(self, method):
                self.mine = object()

            @evals(rollouts=2, gates=["reward >= 1"])
            @pytest.mark.usefixtures("used")
            @pytest.mark.parametrize("doubled", [2, 3], indirect=True)
            @pytest.mark.parametrize("plain", [1])
            async def test_it(self, doubled, plain, request, named, tmp_path):
                assert doubled in (4, 6)
                assert plain == 1
                assert request.node.automatic and request.node.used
                assert named == tmp_path
                assert request.getfixturevalue("named") == tmp_path
                await together(4)
                seen.add(self.mine)
                seen.add(self)

        def test_after():
            assert len(seen) == 0
        """
    )
    project.write("", "conftest.py")
    result = project.run()
    assert result.ret == 0, result.stdout.str()


def test_fixture_that_is_only_asked_for_at_run_time_is_the_rollouts_own(
    project: FunctionProject,
) -> None:
    project.write(
        """
        from notes import note, together

        @pytest.fixture
        def own():
            value = object()
            yield value
            note("down")

        @pytest.fixture
        def asking(request):
            return request.getfixturevalue("own")

        values = set()

        @evals(rollouts=4)
        async def test_it(asking):
            await together(4)
            values.add(asking)
            return len(values)
        """
    )
    assert project.run().ret == 0
    assert max(row["reward"] for row in project.rows()) == 4
    assert project.log() == ["down"] * 4


def test_requests_inside_a_rollout(project: FunctionProject) -> None:
    project.write(
        """
        from notes import note, together

        @pytest.fixture
        def other():
            return 1

        @pytest.fixture
        def make(request):
            def make(name):
                request.addfinalizer(lambda: note(f"unmade {name}"))
                return name
            return make

        @evals(rollouts=2, gates=["reward >= 1"])
        async def test_it(make, request, evals_rollout):
            await together(2)
            make(evals_rollout)
            request.addfinalizer(lambda: note(f"end {evals_rollout}"))
            await together(2)

        @evals
        @pytest.mark.parametrize("how", ["request", "make"])
        async def test_late(how, request, make):
            request.getfixturevalue("other")
        """
    )
    result = project.run()
    result.assert_outcomes(passed=4, errors=2, failed=1)
    result.stdout.fnmatch_lines(
        ["broken: *request.getfixturevalue('other') inside an eval: fixtures are set up before*"]
    )
    assert sorted(project.log()) == ["end 0", "end 1", "unmade 0", "unmade 1"]


@pytest.mark.parametrize("args", [[], ["--evals-sequential"]])
def test_error_of_a_fixture_is_the_rollouts(project: FunctionProject, args: list[str]) -> None:
    project.write(
        """
        @pytest.fixture
        def fragile(evals_rollout):
            if evals_rollout == 1:
                raise OSError("no disk")
            yield
            if evals_rollout == 2:
                raise OSError("cannot let go")

        @evals(rollouts=4)
        async def test_it(fragile): ...
        """
    )
    result = project.run(*args)
    assert result.ret == 1
    result.assert_outcomes(passed=3, errors=2, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "*ERROR at setup of test_it?r1?*",
            ">*raise OSError(?no disk?)",
            "*ERROR at teardown of test_it?r2?*",
            ">*raise OSError(?cannot let go?)",
            "1 rollout of test_it.test_it failed or ended in an error",
            "1 item of test_it.test_it failed in its teardown",
        ]
    )
    result.stdout.no_fnmatch_line("*pytest_evals/plugin*")
    assert [row["state"] for row in project.rows()] == ["scored", "broken", "scored", "scored"]


ALIVE = """
    from notes import note, together

    @pytest.fixture(scope="module")
    def module():
        note("module up")
        yield
        note("module down")

    @pytest.fixture
    def mine(module, tmp_path):
        note("up")
        yield
        note("down")

    @pytest.fixture
    async def mine_too(mine):
        yield
        note("down too")
"""


def test_exitfirst_tears_down_what_is_in_flight_first(project: FunctionProject) -> None:
    project.write(
        ALIVE
        + """
    @evals(rollouts=20)
    async def test_it(mine_too, evals_rollout):
        await together(8)
        if evals_rollout == 2:
            raise ValueError
        await asyncio.sleep(60)
    """
    )
    result = project.run("-x", "--evals-max-concurrent=8")
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    lines = project.log()
    assert Counter(lines) == {
        "module up": 1, "up": 8, "down": 8, "down too": 8, "module down": 1,
    }  # fmt: skip
    assert lines[-1] == "module down"


def test_interrupt_tears_down_what_is_in_flight(project: FunctionProject) -> None:
    project.write(
        ALIVE
        + """
    import os, signal, threading

    @evals(rollouts=20)
    async def test_it(mine_too, evals_rollout):
        await together(8)
        if evals_rollout == 2:
            os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)
    """
    )
    with project.start("--evals-max-concurrent=8") as session:
        output, _ = session.communicate(timeout=60)
    assert session.returncode == 2, output
    lines = project.log()
    assert Counter(lines) == {
        "module up": 1, "up": 8, "down": 8, "down too": 8, "module down": 1,
    }  # fmt: skip
    assert lines[-1] == "module down"
    assert project.metadata()["complete"] is False
    assert "NOT JUDGED" in output


def test_interrupt_while_a_fixture_is_set_up(project: FunctionProject) -> None:
    project.write(
        ALIVE
        + """
    @pytest.fixture
    def slow(mine, evals_rollout):
        import os, signal, time
        if evals_rollout == 3:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    @evals(rollouts=20)
    async def test_it(slow):
        await asyncio.sleep(60)
    """
    )
    with project.start() as session:
        output, _ = session.communicate(timeout=60)
    assert session.returncode == 128 + signal.SIGTERM, output
    assert Counter(project.log()) == {"module up": 1, "up": 4, "down": 4, "module down": 1}


PATCHED = {
    "monkeypatch": "monkeypatch.setattr(os, 'linesep', 'x')",
    "capsys": "print('hello'); assert capsys.readouterr().out == 'hello\\n'",
    "capfd": "os.system('echo hello'); assert capfd.readouterr().out == 'hello\\n'",
    "caplog": "logging.getLogger('x').error('hello'); assert caplog.messages == ['hello']",
    "recwarn": "warnings.warn('hello'); assert len(recwarn) == 1",
}


@pytest.mark.parametrize("fixture", PATCHED)
def test_fixtures_that_change_the_process_run_alone(project: FunctionProject, fixture: str) -> None:
    project.write(
        f"""
        import logging, os, warnings
        from notes import together

        @evals(rollouts=2, gates=["reward >= 1"])
        async def test_beside():
            assert os.linesep == "\\n"
            await together(2)

        running = 0

        @pytest.fixture
        def indirectly({fixture}):
            return {fixture}

        @evals(rollouts=3, gates=["reward >= 1"])
        async def test_it(indirectly, {fixture}):
            global running
            running += 1
            {PATCHED[fixture]}
            await asyncio.sleep(0.01)
            assert running == 1
            running -= 1
        """
    )
    result = project.run()
    assert result.ret == 0, result.stdout.str()


def test_patched_functions_run_alone(project: FunctionProject) -> None:
    project.write(
        """
        import os
        from unittest import mock

        @evals(rollouts=3, gates=["reward >= 1"])
        @mock.patch("os.linesep", "x")
        async def test_it():
            await asyncio.sleep(0.01)
            assert os.linesep == "x"

        @evals(rollouts=2, gates=["reward >= 1"])
        async def test_after():
            assert os.linesep == "\\n"
        """
    )
    assert project.run().ret == 0


def test_patching_fixture_that_nobody_could_foresee(project: FunctionProject) -> None:
    project.write(
        """
        @pytest.fixture
        def sly(request):
            return request.getfixturevalue("monkeypatch")

        @evals
        async def test_it(sly): ...
        """
    )
    result = project.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*'monkeypatch' changes the whole process and was asked for by*"])


ASYNC = """
    import contextvars
    from notes import note, together

    variable = contextvars.ContextVar("variable", default="unset")

    @pytest.fixture
    async def coroutine():
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    @pytest.fixture
    async def generator(tmp_path):
        loop = asyncio.get_running_loop()
        token = variable.set(tmp_path)
        async with asyncio.TaskGroup() as group, asyncio.timeout(30):
            over = asyncio.Event()
            group.create_task(over.wait())
            yield loop
            over.set()
        assert asyncio.get_running_loop() is loop
        assert variable.get() == tmp_path
        variable.reset(token)
        note("down")

    @pytest.fixture
    def plainly(generator, tmp_path):
        return generator

    @pytest.fixture(scope="module")
    async def wide():
        yield asyncio.get_running_loop()
        note("wide down")

    @evals(rollouts=4, gates=["reward >= 1"])
    async def test_it(coroutine, generator, plainly, wide, tmp_path):
        await together(4)
        assert asyncio.get_running_loop() is coroutine is generator is plainly is wide
        assert variable.get() == tmp_path

    @evals(gates=["reward >= 1"])
    async def test_without():
        assert variable.get() == "unset"
"""


@pytest.mark.parametrize(
    "plugins",
    [
        pytest.param([], id="none"),
        pytest.param(["-o", "asyncio_mode=strict"], id="asyncio-strict"),
        pytest.param(["-o", "asyncio_mode=auto"], id="asyncio-auto"),
        pytest.param(["-p", "anyio", "-p", "no:asyncio"], id="anyio"),
        pytest.param(["--evals-sequential"], id="sequential"),
    ],
)
def test_async_fixtures_live_on_the_loop_of_the_rollouts(
    project: FunctionProject, plugins: list[str]
) -> None:
    uses_asyncio = any("asyncio_mode" in each for each in plugins)
    if "-p" in plugins:
        pytest.importorskip("anyio")
    source = ASYNC
    if "--evals-sequential" in plugins:
        source = source.replace("await together(4)", "")
    if uses_asyncio:
        source += """
    @pytest.mark.asyncio
    async def test_plain(coroutine):
        assert coroutine is asyncio.get_running_loop()
    """
        if "asyncio_mode=strict" in plugins:
            source = source.replace(
                "    @pytest.fixture\n    async def coro",
                "    import pytest_asyncio\n    @pytest_asyncio.fixture\n    async def coro",
            )
        plugins = [*plugins, "-o", "asyncio_default_fixture_loop_scope=function"]
    project.write(source)
    result = project.run(*plugins, asyncio=uses_asyncio)
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=4 + 2 + 1 + 2 + uses_asyncio)
    assert project.log() == ["down"] * 4 + ["wide down"]


def test_async_mark_and_mode_do_not_take_evals_away(project: FunctionProject) -> None:
    project.write(
        """
        from notes import together

        pytestmark = pytest.mark.asyncio

        class TestIt:
            @evals(rollouts=3, gates=["reward >= 1"])
            async def test_it(self):
                await together(3)
        """
    )
    result = project.run(
        "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=function",
        asyncio=True,
    )  # fmt: skip
    assert result.ret == 0, result.stdout.str()


def test_lasting_async_fixture_cannot_be_shared_with_tests(project: FunctionProject) -> None:
    project.write(
        """
        @pytest.fixture(scope="session")
        async def client():
            yield 1

        @evals(rollouts=2)
        async def test_it(client): ...

        async def test_plain(client): ...

        @evals
        async def test_other(): ...
        """
    )
    result = project.run(
        "-o", "asyncio_mode=auto", "-o", "asyncio_default_fixture_loop_scope=session",
        asyncio=True,
    )  # fmt: skip
    assert result.ret == 1
    result.assert_outcomes(passed=1 + 2, errors=2, failed=1)
    result.stdout.fnmatch_lines(
        ["fixture 'client' is async, lasts for the session, and *::test_plain uses it too*"]
    )


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("raise OSError('no network')\n    yield", "*OSError: no network"),
        ("yield\n    raise OSError('no network')", "*OSError: no network"),
        ("yield\n    yield", "*an async fixture has more than one yield"),
        ("if 0: yield", "*an async fixture did not yield a value"),
        ("return\n    yield", "*an async fixture did not yield a value"),
    ],
)
def test_errors_of_async_fixtures(project: FunctionProject, body: str, problem: str) -> None:
    project.write(
        f"@pytest.fixture\nasync def it():\n    {body}\n\n@evals\nasync def test_it(it): ...\n"
    )
    result = project.run()
    assert result.ret == 1
    assert result.parseoutcomes()["errors"] == 1
    result.stdout.fnmatch_lines([f"E {problem}"])


def test_context_of_fixtures_reaches_the_rollout_and_no_other(project: FunctionProject) -> None:
    project.write(
        """
        import contextvars
        from notes import note, together

        variable = contextvars.ContextVar("variable", default=None)

        @pytest.fixture
        def mine(evals_rollout):
            token = variable.set(evals_rollout)
            yield
            variable.reset(token)
            note("reset")

        @pytest.fixture(scope="module")
        def wide():
            token = variable.set("wide")
            yield
            variable.reset(token)
            note("wide reset")

        @evals(rollouts=3, gates=["reward >= 1"])
        async def test_it(mine, evals_rollout):
            await together(3)
            assert variable.get() == evals_rollout

        @evals(gates=["reward >= 1"])
        def test_thread(mine, evals_rollout):
            assert variable.get() == evals_rollout

        @evals(gates=["reward >= 1"])
        async def test_wide(wide):
            assert variable.get() == "wide"
        """
    )
    result = project.run()
    assert result.ret == 0, result.stdout.str()
    assert Counter(project.log()) == {"reset": 4, "wide reset": 1}


def test_output_of_fixtures_and_rollouts_is_their_items(project: FunctionProject) -> None:
    project.write(
        """
        from notes import together

        @pytest.fixture
        def talking(evals_rollout):
            print(f"up {evals_rollout}")
            yield
            print(f"down {evals_rollout}")

        @evals(rollouts=3)
        async def test_it(talking, evals_rollout):
            await together(3)
            print(f"ran {evals_rollout}")
            await together(3)
        """
    )
    result = project.run("-rP")
    assert result.ret == 0
    for rollout in range(3):
        result.stdout.fnmatch_lines(
            [f"*test_it?r{rollout}?*", f"up {rollout}", f"ran {rollout}", f"down {rollout}"]
        )
    assert "up 0\nup" not in result.stdout.str()
    assert "ran 0\nran" not in result.stdout.str()


def test_unknown_pytest_runs_them_one_after_the_other(
    project: FunctionProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "why_not", lambda item: "Session._setupstate.stack")
    project.write(
        ALIVE
        + """
    running = 0

    @evals(rollouts=3, gates=["reward >= 1"])
    async def test_it(mine_too):
        global running
        running += 1
        await asyncio.sleep(0.01)
        assert running == 1
        running -= 1
    """
    )
    result = project.run()
    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(["*functions run one after the other: pytest * is not known*"])
    assert Counter(project.log()) == {
        "module up": 1, "up": 3, "down": 3, "down too": 3, "module down": 1,
    }  # fmt: skip


class Hidden:
    """An attribute that pytest finds in its own objects, and this package does not."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __set__(self, holder: object, value: object) -> None:
        vars(holder)[self._name] = value

    def __get__(self, holder: object, owner: object = None) -> object:
        asking = sys._getframe(1).f_globals["__name__"]
        if holder is None or self._name not in vars(holder) or asking.startswith("pytest_evals."):
            raise AttributeError(f"no {self._name}")
        return vars(holder)[self._name]


@pytest.mark.parametrize(
    ("holder", "name"),
    [
        (pytest.Session, "_setupstate"),
        (pytest.Session, "_fixturemanager"),
        (pytest.Function, "_request"),
        (CallSpec, "_arg2scope"),
    ],
)
def test_pytest_without_what_setting_up_ahead_needs(
    project: FunctionProject, monkeypatch: pytest.MonkeyPatch, holder: type, name: str
) -> None:
    monkeypatch.setattr(holder, name, Hidden(name), raising=False)
    project.write(
        ALIVE
        + """
    @evals(rollouts=2, gates=["reward >= 1"])
    @pytest.mark.parametrize("word", ["a", "b"])
    async def test_it(mine_too, word):
        assert word in "ab"

    def test_plain(tmp_path): ...
    """
    )
    result = project.run()
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=4 + 2 + 1)
    result.stdout.fnmatch_lines([f"*functions run one after the other: *(no {name})"])


@pytest.mark.parametrize(
    ("holder", "name"),
    [(pytest.Function, "callspec"), (pytest.Function, "_fixtureinfo"), (CallSpec, "params")],
)
def test_pytest_of_which_no_items_can_be_made(
    project: FunctionProject, monkeypatch: pytest.MonkeyPatch, holder: type, name: str
) -> None:
    monkeypatch.setattr(holder, name, Hidden(name), raising=False)
    project.write(
        """
        @evals(rollouts=2)
        async def test_it(): ...

        def test_plain(): ...
        """
    )
    result = project.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [f"*test_it.py:*: a test function cannot be an eval with pytest *(no {name})*"]
    )
    assert "Traceback" not in result.stdout.str()


def test_setup_can_be_shown_without_running(project: FunctionProject) -> None:
    project.write(ALIVE + "\n    @evals(rollouts=2)\n    async def test_it(mine_too): ...\n")
    result = project.run("--setup-only")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*SETUP    F mine_too*", "*TEARDOWN F mine_too*"])
    assert not (project.path / "outputs").exists()


def test_item_that_is_run_again_is_set_up_again(project: FunctionProject) -> None:
    pytest.importorskip("pytest_rerunfailures")
    project.write(
        ALIVE
        + """
    @evals(rollouts=4, gates=["reward >= 1"])
    async def test_it(mine_too, evals_rollout):
        note(f"rollout {evals_rollout}")
        await together(4)
        if evals_rollout == 1:
            _failed.append(1)
            if len(_failed) == 1:
                raise ValueError

    _failed = []

    async def together(n):
        pass
    """
    )
    result = project.run("-p", "rerunfailures", "--reruns=2", "-v")
    assert result.ret == 0, result.stdout.str()
    assert Counter(project.log()) == {
        "module up": 1, "up": 5, "down": 5, "down too": 5, "module down": 1,
        "rollout 0": 1, "rollout 1": 2, "rollout 2": 1, "rollout 3": 1,
    }  # fmt: skip
