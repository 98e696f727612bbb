"""Output of rollouts: in the sections of their own items, whatever else runs."""

from __future__ import annotations

import contextlib
import io
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from _pytest import capture as pytest_capture

from pytest_evals.plugin import streams

from .conftest import Project

KEY = "sk-key-that-gets-printed"

# No server, so that many rollouts take little: the model answers at once, and says so.
CONFTEST = """
    import asyncio, json, pathlib
    from pytest_evals.messages import AssistantMessage, Response, Usage

    class Model:
        async def get_response(self, prompt, model, sampling_args, tools=None):
            await asyncio.sleep(0)
            print("client", prompt[-1]["content"])
            text = prompt[-1]["content"].upper()
            return Response(AssistantMessage(content=text), finish_reason="stop", usage=Usage(3, 2))

        async def close(self):
            pass

    def pytest_evals_make_client():
        return Model()

    class Notes:
        def pytest_runtest_logreport(self, report):
            if report.when == "teardown":
                with pathlib.Path("sections.jsonl").open("a") as file:
                    file.write(json.dumps([report.nodeid, report.sections]) + "\\n")

    def pytest_configure(config):
        # Not told by the environment: the session that runs this one may be a worker itself.
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(Notes())
"""

# Everything that can write does, from the rollout's task, from a child of it and from threads.
TALKATIVE = """
    import asyncio, logging, sys
    import pytest_evals as vf

    log = logging.getLogger("agent")

    def say(who, where):
        print(who, where)
        print(who, where, file=sys.stderr)
        log.warning("%s %s", who, where)

    async def child(who):
        await asyncio.sleep(0)
        say(who, "child")

    class Talkative(vf.SingleTurnEnv):
        async def setup_state(self, state):
            who = state["input"]["question"]
            say(who, "hook")
            await asyncio.sleep(0)
            await asyncio.gather(child(who), asyncio.to_thread(say, who, "thread"))
            await asyncio.get_running_loop().run_in_executor(None, say, who, "executor")
            return state

    async def reward(prompt):
        await asyncio.sleep(0)
        say(prompt[-1]["content"], "reward")
        return 1.0

    def load_environment(examples=8):
        rows = [{"question": f"q{n}"} for n in range(examples)]
        return Talkative(dataset=rows, rubric=vf.Rubric(funcs=[reward]))
"""
PLACES = ("hook", "child", "thread", "executor", "reward")

EVAL = """
    [[eval]]
    env_id = "env"
    num_examples = -1
    rollouts_per_example = 5
"""

CAPTURES = pytest.mark.parametrize("how", ["fd", "sys", "tee-sys"])


@pytest.fixture
def plugin_args() -> list[str]:
    """Whether xdist is there or not is all the same to these tests."""
    return []


@pytest.fixture
def talking(project: Project) -> Project:
    """A project whose model, environment and reward function print and log."""
    project.pytester.makeconftest(CONFTEST)
    project.environment("env", TALKATIVE)
    project.evals(EVAL, url="http://127.0.0.1:9/v1")
    return project


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """The streams and classes of this session are as they were."""
    kinds = [pytest_capture.EncodedFile, pytest_capture.CaptureIO, pytest_capture.TeeCaptureIO]
    before = [sys.stdout, sys.stderr, *[vars(kind).copy() for kind in kinds]]
    yield
    assert before == [sys.stdout, sys.stderr, *[vars(kind).copy() for kind in kinds]]


def sections(project: Project) -> dict[str, dict[str, str]]:
    """Return by item name what its last report held, by the title of the section."""
    found: dict[str, dict[str, str]] = {}
    with (project.path / "sections.jsonl").open() as file:
        for line in file:
            nodeid, parts = json.loads(line)
            texts: dict[str, str] = defaultdict(str)
            for title, text in parts:
                texts[title] += text
            found[nodeid.rpartition("::")[2]] = texts
    return found


def expected(example: int) -> list[str]:
    return sorted(f"q{example} {place}" for place in PLACES)


class TestManyInFlight:
    @CAPTURES
    def test_each_item_holds_what_its_rollout_wrote(self, talking: Project, how: str) -> None:
        talking.evals(EVAL + "env_args = { examples = 60 }", url="http://127.0.0.1:9/v1")
        result = talking.run("bench.toml", f"--capture={how}", "--evals-max-concurrent=256")
        assert result.ret == 0
        found = sections(talking)
        found.pop("gate-error_rate")
        assert len(found) == 300
        for name, texts in found.items():
            example = int(name.partition("-")[0])
            out = texts["Captured stdout setup"].splitlines()
            assert sorted(out) == sorted([*expected(example), f"client q{example}"])
            assert sorted(texts["Captured stderr setup"].splitlines()) == expected(example)
            logged = [
                re.fullmatch(r"WARNING  agent:env.py:\d+ (.*)", line)
                for line in texts["Captured log setup"].splitlines()
            ]
            assert sorted(match[1] for match in logged if match) == expected(example)
        assert not list(talking.path.glob("outputs/evals/*/*/run.log"))
        if how != "tee-sys":
            assert "q1 hook" not in result.stdout.str() + result.stderr.str()

    def test_in_workers_too(self, talking: Project) -> None:
        result = talking.run("bench.toml", "-n", "2", "-rA")
        assert result.ret == 0
        found = sections(talking)
        found.pop("gate-error_rate")
        assert len(found) == 40
        for name, texts in found.items():
            example = int(name.partition("-")[0])
            out = texts["Captured stdout setup"].splitlines()
            assert sorted(out) == sorted([*expected(example), f"client q{example}"])
            assert sorted(texts["Captured stderr setup"].splitlines()) == expected(example)
            assert len(texts["Captured log setup"].splitlines()) == len(PLACES)
        assert result.stdout.str().count("q1 executor") == 3 * 5

    def test_in_a_sequential_session_too_and_once(self, talking: Project) -> None:
        result = talking.run("bench.toml", "--evals-sequential")
        assert result.ret == 0
        for name, texts in sections(talking).items():
            if not name.startswith("gate"):
                example = int(name.partition("-")[0])
                assert len(texts["Captured stdout setup"].splitlines()) == len(PLACES) + 1
                assert len(texts["Captured log setup"].splitlines()) == len(PLACES)
                assert f"q{example} executor" in texts["Captured log setup"]

    @CAPTURES
    def test_bytes_and_lines_are_output_as_well(self, talking: Project, how: str) -> None:
        talking.environment(
            "env",
            """
            import sys
            import pytest_evals as vf

            def reward():
                sys.stdout.buffer.write("bytes \\N{SNOWMAN}\\n".encode())
                sys.stdout.writelines(["lines\\n"])
                print("printed", end="", flush=True)
                assert not sys.stdout.closed
                return 1.0

            def load_environment():
                return vf.SingleTurnEnv(dataset=[{"question": "q"}], rubric=vf.Rubric([reward]))
            """,
        )
        assert talking.run("bench.toml", f"--capture={how}").ret == 0
        for name, texts in sections(talking).items():
            if not name.startswith("gate"):
                text = texts["Captured stdout setup"]
                assert text == "client q\nbytes \N{SNOWMAN}\nlines\nprinted"


MEETING = """
    import threading

    over = threading.Event()
    noise = 0

    def hear_noise(amount=200):
        until = noise + amount
        while noise < until:
            pass
"""

NOISY = """
    import asyncio, logging, sys
    import meeting
    import pytest_evals as vf

    class Noisy(vf.SingleTurnEnv):
        async def setup_state(self, state):
            while not meeting.over.is_set():
                print("NOISE")
                print("NOISE", file=sys.stderr)
                logging.getLogger("agent").error("NOISE")
                meeting.noise += 1
                await asyncio.sleep(0)
            return state

    def load_environment():
        return Noisy(dataset=[{"question": "q"}], rubric=vf.Rubric(funcs=[lambda: 1.0]))
"""

PLAIN = """
    import logging, sys
    import meeting
    import pytest

    def test_capsys(capsys):
        meeting.hear_noise()
        print("mine")
        print("my error", file=sys.stderr)
        meeting.hear_noise()
        assert capsys.readouterr() == ("mine\\n", "my error\\n")
        with capsys.disabled():
            meeting.hear_noise()
        meeting.hear_noise()
        assert capsys.readouterr() == ("", "")

    def test_capfd(capfd):
        meeting.hear_noise()
        print("mine")
        meeting.hear_noise()
        assert capfd.readouterr() == ("mine\\n", "")

    def test_capsysbinary(capsysbinary):
        meeting.hear_noise()
        sys.stdout.buffer.write(b"mine")
        meeting.hear_noise()
        assert capsysbinary.readouterr() == (b"mine", b"")

    def test_caplog(caplog):
        with caplog.at_level(logging.DEBUG):
            meeting.hear_noise()
            logging.getLogger("agent").debug("mine")
            meeting.hear_noise()
        assert caplog.messages == ["mine"]

    @pytest.fixture
    def loud():
        meeting.hear_noise()
        print("from setup")
        yield
        print("from teardown")
        meeting.hear_noise()

    def test_sections(loud):
        print("from call")
        logging.getLogger("agent").error("from call")
        meeting.hear_noise()

    def test_the_end():
        meeting.over.set()
"""


class TestBesidePlainTests:
    @pytest.mark.parametrize("how", ["fd", "sys", "tee-sys", "no"])
    def test_plain_tests_see_nothing_of_rollouts(self, talking: Project, how: str) -> None:
        talking.pytester.makepyfile(meeting=MEETING, test_plain=PLAIN)
        talking.environment("env", NOISY)
        result = talking.run("bench.toml", "test_plain.py", f"--capture={how}", "-v")
        result.assert_outcomes(passed=6 + 6)
        assert result.ret == 0
        found = sections(talking)
        kept = "from setup\n" if how != "no" else ""
        assert found["test_sections"]["Captured stdout setup"] == kept
        assert found["test_sections"]["Captured stdout teardown"] == kept.replace(
            "setup", "teardown"
        )
        assert found["test_sections"]["Captured log call"].endswith(" from call")
        for name, texts in found.items():
            heard = "NOISE" in "".join(texts.values())
            assert heard == name.startswith("0-r"), name
        if how in ("fd", "sys"):
            assert "NOISE" not in result.stdout.str()

    def test_their_streams_are_pytests_own(self, talking: Project) -> None:
        talking.pytester.makepyfile(
            """
            import io, sys
            from _pytest.capture import EncodedFile

            def test_plain():
                assert type(sys.stdout) is EncodedFile
                assert isinstance(sys.stdout, io.TextIOWrapper)
                assert sys.stdout.encoding == "utf-8"
                assert not sys.stdout.isatty()
                assert sys.stdout.buffer.fileno() == sys.stdout.fileno()
            """
        )
        name = "test_their_streams_are_pytests_own.py"
        result = talking.run("bench.toml", name, "--capture=fd")
        assert result.ret == 0


HOSTILE = f"""
    import logging, sys
    import pytest_evals as vf

    def reward():
        text = "\\x1b[31mred {KEY}"
        print(text)
        print(text, file=sys.stderr)
        try:
            raise ValueError(text)
        except ValueError:
            logging.getLogger("agent").exception("failed: %s", text)
        return 1.0

    def load_environment():
        return vf.SingleTurnEnv(dataset=[{{"question": "q"}}], rubric=vf.Rubric(funcs=[reward]))
"""


@pytest.fixture
def hostile(talking: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose reward function writes the key and escape codes."""
    monkeypatch.setenv("PRINTED_KEY", KEY)
    talking.environment("env", HOSTILE)
    talking.evals(EVAL + 'api_key_var = "PRINTED_KEY"', url="http://127.0.0.1:9/v1")
    return talking


class TestWhatIsShown:
    @CAPTURES
    def test_sections_are_masked_and_visible(self, hostile: Project, how: str) -> None:
        result = hostile.run("bench.toml", "--color=no", f"--capture={how}", "-rA")
        assert result.ret == 0
        texts = [result.stdout.str(), result.stderr.str()]
        assert KEY not in "".join(texts)
        result.stdout.fnmatch_lines(["*Captured stdout setup*", "client q", r"\x1b?31mred [*][*]*"])
        if how != "tee-sys":
            assert "\x1b" not in "".join(texts)

    def test_on_a_coloured_terminal_log_sections_are_plain(self, hostile: Project) -> None:
        hostile.run("bench.toml", "--color=yes")
        texts = sections(hostile)["0-r0"]
        assert texts["Captured log setup"].startswith("ERROR    agent:env.py:")

    def test_s_shows_it_as_it_comes_but_for_keys(self, hostile: Project) -> None:
        result = hostile.run("bench.toml", "-s")
        assert result.ret == 0
        assert result.stdout.str().count("\x1b[31mred ***") == 5
        assert result.stderr.str().count("\x1b[31mred ***") == 5
        assert KEY not in result.stdout.str() + result.stderr.str()
        assert set(sections(hostile)["0-r0"]) == {"Captured log setup"}

    def test_tee_sys_shows_and_keeps_it(self, hostile: Project) -> None:
        result = hostile.run("bench.toml", "--capture=tee-sys")
        assert result.stdout.str().count("\x1b[31mred ***") == 5
        assert sections(hostile)["0-r0"]["Captured stdout setup"] == "client q\n\\x1b[31mred ***\n"

    def test_much_output_is_cut_and_says_so(self, talking: Project) -> None:
        talking.environment(
            "env",
            """
            import pytest_evals as vf

            def reward():
                for n in range(20_000):
                    print("line", n)
                return 1.0

            def load_environment():
                return vf.SingleTurnEnv(dataset=[{"question": "q"}], rubric=vf.Rubric([reward]))
            """,
        )
        assert talking.run("bench.toml").ret == 0
        text = sections(talking)["0-r0"]["Captured stdout setup"]
        assert len(text) < 20_000
        assert text.startswith("client q\nline 0\nline 1\n")
        assert text.endswith("line 19998\nline 19999\n")
        assert re.search(r"\[\.\.\. \d{3},\d{3} characters left out \.\.\.\]", text)

    def test_failures_show_it_and_junit_has_it(self, talking: Project) -> None:
        talking.environment("env", TALKATIVE.replace("return 1.0", "raise ValueError('a bug')"))
        result = talking.run(
            "bench.toml", "-k", "7-r1", "--junitxml=evals.xml", "-o", "junit_logging=all"
        )
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            ["*ERROR at setup of env::7-r1*", "*Captured stdout setup*", "q7 hook", "q7 reward"]
        )
        assert "q7 executor" in (talking.path / "evals.xml").read_text()


KEPT = """
    import pytest

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(session):
        reporter = session.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None:  # there is none in workers
            reports = [each for kind in ("passed", "") for each in reporter.stats.get(kind, [])]
            pathlib.Path("kept").write_text(str(sum(len(each.sections) for each in reports)))
"""


class TestWhoReadsThem:
    @pytest.mark.parametrize(
        ("args", "are_read"), [([], False), (["-rA"], True), (["-n", "2"], False)], ids=str
    )
    def test_sections_of_what_passed_are_kept_only_to_be_read(
        self, talking: Project, args: list[str], are_read: bool
    ) -> None:
        talking.pytester.makeconftest(CONFTEST + KEPT)
        result = talking.run("bench.toml", "-k", "7-r1", "--evals-partial", *args)
        assert result.ret == 0
        assert len(sections(talking)["7-r1"]) == 3
        assert ((talking.path / "kept").read_text() != "0") == are_read
        assert ("q7 child" in result.stdout.str()) == are_read

    def test_junit_has_those_of_what_passed(self, talking: Project) -> None:
        args = ["-k", "7-r1", "--evals-partial", "--junitxml=evals.xml"]
        assert talking.run("bench.toml", *args, "-o", "junit_logging=all").ret == 0
        text = (talking.path / "evals.xml").read_text()
        assert "q7 executor" in text
        assert "agent:env.py" in text


class TestLogging:
    def test_its_level_holds_between_items_too(self, talking: Project) -> None:
        talking.environment("env", TALKATIVE.replace("log.warning", "log.info"))
        assert talking.run("bench.toml").ret == 0
        assert not any("Captured log setup" in texts for texts in sections(talking).values())
        (talking.path / "sections.jsonl").unlink()
        args = ["--log-level=INFO", "--log-format=%(levelname)s|%(message)s"]
        assert talking.run("bench.toml", *args).ret == 0
        for name, texts in sections(talking).items():
            if not name.startswith("gate"):
                lines = sorted(texts["Captured log setup"].splitlines())
                example = int(name.partition("-")[0])
                assert lines == [f"INFO|{line}" for line in expected(example)]

    def test_log_file_has_every_record_masked(self, hostile: Project) -> None:
        assert hostile.run("bench.toml", "--log-file=all.log").ret == 0
        text = (hostile.path / "all.log").read_text()
        assert text.count("failed: \\x1b[31mred ***") == 5
        assert text.count("ValueError: \\x1b[31mred ***") == 5
        assert KEY not in text
        assert "\x1b" not in text

    @pytest.mark.parametrize("args", [[], ["--evals-sequential"], ["-s"]], ids=str)
    def test_log_cli_shows_them_live_and_masked(self, hostile: Project, args: list[str]) -> None:
        result = hostile.run("bench.toml", "-o", "log_cli=true", "--color=no", *args)
        assert result.ret == 0
        text = result.stdout.str()
        assert text.count("failed: \\x1b[31mred ***") == 5
        assert text.count("ValueError: \\x1b[31mred ***") == 5
        assert KEY not in text
        assert sections(hostile)["0-r0"]["Captured log setup"].count("failed: ") == 1

    def test_log_cli_beside_plain_tests_is_no_danger_to_their_capture(
        self, talking: Project
    ) -> None:
        talking.pytester.makepyfile(meeting=MEETING, test_plain=PLAIN)
        talking.environment("env", NOISY)
        result = talking.run("bench.toml", "test_plain.py", "-o", "log_cli=true")
        result.assert_outcomes(passed=6 + 6)
        result.stdout.fnmatch_lines(["*ERROR*agent:env.py:* NOISE"])
        result.stdout.fnmatch_lines(["test_plain.py::test_capfd *"])
        assert found_only_in_rollouts("NOISE", sections(talking))

    def test_without_the_logging_plugin_there_are_none(self, talking: Project) -> None:
        assert talking.run("bench.toml", "-p", "no:logging").ret == 0
        assert not any("Captured log setup" in texts for texts in sections(talking).values())

    def test_a_record_that_cannot_be_formatted_breaks_nothing(self, talking: Project) -> None:
        talking.environment("env", TALKATIVE.replace('"%s %s", who', '"%d", who'))
        # On its own: the handlers of this session would raise.
        process = talking.start("bench.toml")
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        assert "--- Logging error ---" in sections(talking)["3-r0"]["Captured stderr setup"]


def found_only_in_rollouts(text: str, found: dict[str, dict[str, str]]) -> bool:
    return all(
        (text in "".join(texts.values())) == bool(re.match(r"\d+-r\d+", name))
        for name, texts in found.items()
    )


class TestWhatNoItemShows:
    def test_output_after_the_report_is_in_the_runs_log(self, talking: Project) -> None:
        talking.environment(
            "env",
            """
            import asyncio
            import pytest_evals as vf

            first = asyncio.Event()
            tasks = []

            async def later():
                await first.wait()
                print("too late")
                first.clear()
                first.told.set()

            class Leaves(vf.SingleTurnEnv):
                async def setup_state(self, state):
                    if state["example_id"] == 0:
                        tasks.append(asyncio.create_task(later()))
                    elif state["example_id"] == 1:
                        first.told = asyncio.Event()
                        first.set()
                        await first.told.wait()
                    return state

            def load_environment():
                rows = [{"question": f"q{n}"} for n in range(2)]
                return Leaves(dataset=rows, rubric=vf.Rubric(funcs=[lambda: 1.0]))
            """,
        )
        text = (talking.path / "bench.toml").read_text()
        (talking.path / "bench.toml").write_text(text.replace("example = 5", "example = 1"))
        assert talking.run("bench.toml", "--evals-max-concurrent=1").ret == 0
        (folder,) = talking.runs()
        kept = "".join(sections(talking)["0-r0"].values())
        logged = folder / "run.log"
        # Whether its item has reported by then is a matter of microseconds.
        assert ("too late" in kept) != logged.exists()
        if logged.exists():
            assert "stdout of bench.toml::env::0-r0: too late" in logged.read_text()

    def test_output_of_stopped_rollouts_is_in_the_runs_log(self, hostile: Project) -> None:
        hostile.environment(
            "env",
            f"""
            import asyncio
            import pytest_evals as vf

            class Waits(vf.SingleTurnEnv):
                async def setup_state(self, state):
                    if state["example_id"] == 0:
                        raise ValueError("a bug")
                    print("waiting {KEY}")
                    try:
                        await asyncio.Event().wait()
                    finally:
                        print("gave up")

            def load_environment():
                rows = [{{"question": f"q{{n}}"}} for n in range(2)]
                return Waits(dataset=rows, rubric=vf.Rubric(funcs=[lambda: 1.0]))
            """,
        )
        result = hostile.run("bench.toml", "-x")
        assert result.ret == 1
        (folder,) = hostile.runs()
        log = (folder / "run.log").read_text()
        assert log.count("waiting ***\ngave up") == 5
        assert "stdout of bench.toml::env::1-r0: waiting ***" in log
        assert "gave up" not in result.stdout.str()


LOUD_LOAD = f"""
    import logging, sys
    import pytest_evals as vf

    print("imported {KEY}")
    log = logging.getLogger("loud")
    log.propagate = False
    log.handlers[:] = [logging.StreamHandler()]

    async def reward(prompt):
        log.warning("scored %s", prompt[-1]["content"])
        return 1.0

    def load_environment(fails=False):
        print("loading \\x1b[31m", file=sys.stderr)
        if fails:
            raise ValueError("a bug")
        rows = [{{"question": f"q{{n}}"}} for n in range(20)]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[reward]))
"""


class TestLoading:
    def test_output_is_captured_and_handlers_made_then_write_to_sections(
        self, hostile: Project
    ) -> None:
        hostile.environment("env", LOUD_LOAD)
        result = hostile.run("bench.toml")
        assert result.ret == 0
        for text in ("imported", "loading", "scored"):
            assert text not in result.stdout.str() + result.stderr.str()
        for name, texts in sections(hostile).items():
            if not name.startswith("gate"):
                example = name.partition("-")[0]
                assert texts["Captured stderr setup"] == f"scored q{example}\n"
                assert texts["Captured log setup"].endswith(f" scored q{example}")

    def test_a_failure_shows_it_masked(self, hostile: Project) -> None:
        hostile.environment("env", LOUD_LOAD)
        hostile.evals(
            '[[eval]]\nenv_id = "env"\nenv_args = { fails = true }\napi_key_var = "PRINTED_KEY"',
            url="http://127.0.0.1:9/v1",
        )
        result = hostile.run("bench.toml", "--color=no")
        assert result.ret == 1
        result.stdout.fnmatch_lines(
            ["*Captured stdout*", "imported [*][*][*]", "*Captured stderr*", r"loading \x1b?31m"]
        )
        assert KEY not in result.stdout.str()


class TestWithoutThePrivatePartsOfPytest:
    def test_output_between_items_is_still_the_rollouts(
        self, talking: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "_parts_of_capture", lambda config: ({}, []))
        talking.environment("env", TALKATIVE.replace("examples=8", "examples=1"))
        result = talking.run("bench.toml", "--evals-max-concurrent=1")
        assert result.ret == 0
        assert "q0 hook" in sections(talking)["0-r0"]["Captured stdout setup"]
        assert "q0 hook" not in result.stdout.str()

    def test_streams_that_somebody_else_put_in_are_respected(self, talking: Project) -> None:
        held = io.StringIO()
        with contextlib.redirect_stdout(held):
            streams_of: Any = sys.stdout
            assert talking.run("bench.toml", "-k", "7-r1", "--evals-partial").ret == 0
            assert sys.stdout is streams_of
        assert "q7 hook" not in held.getvalue()
