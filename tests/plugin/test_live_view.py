"""The live view: what it says, where it is drawn, and that it leaves the terminal as it was."""

from __future__ import annotations

import io
import os
import random
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pexpect
import pytest
from _pytest._io import TerminalWriter

from pytest_evals.demo.server import DemoServer
from pytest_evals.gates.grammar import parse_gates
from pytest_evals.gates.verdicts import judge
from pytest_evals.plugin import live_view
from pytest_evals.plugin.canvas import AlternateScreen, BelowOutput
from pytest_evals.plugin.panel import Panel
from pytest_evals.plugin.standing import EvalStanding
from pytest_evals.reports.columns import width_of
from pytest_evals.stats.measurements import Measurements, Plan

from .conftest import Project
from .screen import Screen

ESCAPES = re.compile(r"\x1b\[[\d;]*m")


def run_of(name: str = "sums", *, planned: int = 10, model: str = "demo", **more: Any) -> Any:
    given: dict[str, Any] = {
        "heading": name,
        "nodeid": f"bench.toml::{name}",
        "selected": planned,
        "selected_gates": 1,
        "red_rollouts": set(),
        "verdicts": {},
        "spec": SimpleNamespace(
            gates=parse_gates(["reward >= 0.5"]), disable_tui=False, origins={}
        ),
        "facts": SimpleNamespace(model=model),
        "was_started": False,
    }
    return SimpleNamespace(**{**given, **more})


def report(reward: float | None = 1.0, **more: Any) -> Any:
    given: dict[str, Any] = {
        "nodeid": "bench.toml::sums::3-r0",
        "when": "call" if reward is not None else "setup",
        "evals_state": "scored" if reward is not None else "unmeasured",
        "evals_reward": reward,
        "user_properties": [
            ("evals.state", "scored"), ("evals.metric.correct", 0.5),
            ("evals.input_tokens", 10), ("evals.output_tokens", 2),
        ],
        "duration": 1.25,
        "longrepr": None if reward is not None else "unmeasured: HTTP 500\nmore",
        "outcome": "passed" if reward is not None else "failed",
    }  # fmt: skip
    return SimpleNamespace(**{**given, **more})


def standing(name: str = "sums", rewards: tuple[float | None, ...] = (), **more: Any) -> Any:
    made = EvalStanding(run_of(name, **more))
    for reward in rewards:
        made.count(report(reward))
    return made


# What it says


def test_a_standing_counts_what_is_reported() -> None:
    counted = standing(rewards=(1.0, 0.5, None))
    assert (counted.done, counted.scored, counted.errors) == (3, 2, 1)
    assert counted.mean_reward == 0.75
    assert counted.metrics == {"correct": 0.5}
    assert (counted.input_tokens, counted.output_tokens) == (20, 4)
    assert counted.log_tail(2) == ["3-r0  reward 0.5  1.2 s", "3-r0  unmeasured: HTTP 500"]
    assert counted.log_tail(0) == []


def test_its_state_ends_as_the_verdict() -> None:
    counted = standing(planned=1)
    assert counted.state == "waiting"
    counted.count(report())
    assert counted.state == "judging"
    (gate,) = counted.run.spec.gates[:1]
    counted.run.spec.gates = (gate,)
    for reward, word in ((1.0, "passed"), (0.0, "FAILED")):
        rows = [{"example_id": 0, "rollout": 0, "state": "scored", "reward": reward}]
        measured = Measurements.from_rows(rows, planned=Plan(1, 1))
        counted.run.verdicts = {gate.name: judge(gate, measured)}
        assert counted.state == word
    counted.run.red_rollouts = {"3-r0"}
    assert counted.state == "FAILED"


def test_the_log_comes_before_the_rollouts(tmp_path: Path) -> None:
    path = tmp_path / "run.log"
    path.write_text(
        "x" * 20_000 + "\nlast but one\n"
        "2026-11-21 22:43:16,121 INFO pytest_evals.run.f29e2a74: last\n"
    )
    folder = SimpleNamespace(log_path=path)
    counted = standing(rewards=(1.0,), was_started=True, folder=folder)
    assert counted.log_tail(3) == ["last but one", "22:43:16 last", "3-r0  reward 1  1.2 s"]
    assert counted.log_tail(1) == ["22:43:16 last"]


def drawn(standings: list[Any], columns: int, rows: int, **more: Any) -> list[str]:
    given = {"selected": 0, "room": max(1, rows - 4), "fills": False, **more}
    panel = Panel(standings, has_colour=False, encoding=given.pop("encoding", "utf-8"))
    return panel.lines("evals: 1/10 done", columns=columns, rows=rows, **given)


@pytest.mark.parametrize("columns", [1, 5, 20, 40, 80, 400])
@pytest.mark.parametrize("rows", [1, 5, 8, 24, 100])
@pytest.mark.parametrize("count", [1, 2, 500])
@pytest.mark.parametrize("fills", [False, True])
def test_it_fits_every_terminal(columns: int, rows: int, count: int, fills: bool) -> None:
    standings = [
        standing(f"eval-{'long-' * 30}{n}", (0.5, None), model="模型" * 40) for n in range(count)
    ]
    room = rows if fills else max(1, rows - 4)
    for selected in {0, count // 2, count - 1}:
        lines = drawn(standings, columns, rows, selected=selected, room=room, fills=fills)
        assert 1 <= len(lines) <= room
        assert max(map(width_of, lines)) < max(columns, 2)
        overview = [line for line in lines if line.startswith(("> ", "  eval"))]
        assert len(overview) <= rows // 2
        if rows >= 24 and columns > 20 and count > 1:
            assert sum(line.startswith("> ") for line in overview) == 1


def test_the_overview_and_the_details_of_one() -> None:
    standings = [standing("first", (1.0, 0.0)), standing("second", (None,)), standing("third")]
    lines = drawn(standings, 80, 24, selected=1)
    assert lines[0] == "evals: 1/10 done"
    assert [re.sub(r"[━╺╸ ]+", " ", line).strip() for line in lines[1:4]] == [
        "first 2/10 0.500 0 errors running",
        "> second 1/10 - 1 error running",
        "third 0/10 - 0 errors waiting",
    ]
    assert lines[4].startswith("second  demo  (left, right: 2 of 3) ")
    assert lines[6] == "no rollout has been scored yet"
    assert lines[7] == "  3-r0  unmeasured: HTTP 500"


def test_one_eval_has_no_overview() -> None:
    lines = drawn([standing(rewards=(1.0,))], 80, 24)
    assert lines[1].startswith("sums  demo ")
    assert "1/10 0 errors, 10/2 tokens running" in lines[2]
    assert lines[3] == "reward 1.000, correct 0.500"


def test_it_has_no_colour_where_none_is_wanted_and_nothing_that_acts() -> None:
    hostile = report(None, longrepr="\x1b]0;x\x07 \x9b2J [bold]not markup[/] :smile:")
    standings = [standing(model="\x1b[31mred"), standing("second")]
    standings[0].count(hostile)
    text = "\n".join(drawn(standings, 80, 24))
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "[bold]not markup[/] :smile:" in text
    coloured = Panel(standings, has_colour=True, encoding="utf-8")
    lines = coloured.lines("s", 0, columns=80, rows=24, room=20, fills=False)
    assert "\x1b[" in "".join(lines)
    assert "\x1b" not in ESCAPES.sub("", "".join(lines))


def test_a_terminal_without_unicode_gets_none() -> None:
    lines = drawn([standing(rewards=(1.0,)), standing("b")], 80, 24, encoding="ascii")
    assert "\n".join(lines).isascii()


# Where it is drawn


def terminal(columns: int) -> Any:
    writer: Any = TerminalWriter(io.StringIO())
    writer.fullwidth = columns
    return writer


@pytest.mark.parametrize("seed", range(30))
def test_pytests_output_is_as_without_it(seed: int) -> None:
    random_ = random.Random(seed)
    columns, rows = random_.choice([(20, 8), (40, 12), (80, 24)])
    plain, shared = terminal(columns), terminal(columns)
    canvas = BelowOutput(shared)
    for step in range(150):
        text = random_.choice([".", ".", ".", "o", "\n", "word " * 3, "漢字", f"line {step}\n"])
        if text != "\n" and plain.width_of_current_line + 2 * len(text) > columns:
            text = "\n"
        for writer in (plain, shared):
            writer.write(text)
        if random_.random() < 0.5:
            canvas.show([f"view {n}" for n in range(random_.randint(1, rows - 4))])
        if random_.random() < 0.1:
            canvas.hide()
    canvas.close()
    screens = []
    for writer in (plain, shared):
        screen = Screen(columns, rows)
        screen.feed(writer._file.getvalue().replace("\n", "\r\n"))
        screens.append("\n".join(screen.lines()).rstrip())
    assert screens[0] == screens[1]
    assert "write" not in vars(shared) or shared.write == canvas._pytests


def test_what_is_drawn_stays_while_letters_are_written() -> None:
    writer = terminal(40)
    canvas = BelowOutput(writer)
    canvas.show(["view"])
    writer.write("." * 30)
    assert canvas.is_shown
    writer.write("." * 11)
    assert not canvas.is_shown


def test_the_alternate_screen_keeps_what_pytest_writes() -> None:
    writer = terminal(40)
    terminal_file = writer._file
    canvas = AlternateScreen(writer)
    writer.write("before\n")
    canvas.show(["view"])
    writer.write("during\n")
    canvas.show(["view 2"])
    assert "during" not in terminal_file.getvalue()
    canvas.close()
    canvas.close()
    writer.write("after\n")
    text = terminal_file.getvalue()
    assert text.startswith("before\n\x1b[?1049h")
    assert text.endswith("\x1b[?1049lduring\nafter\n")
    assert text.count("\x1b[?1049l") == 1


def test_a_terminal_that_cannot_show_a_letter() -> None:
    written = io.BytesIO()
    writer = terminal(40)
    writer._file = io.TextIOWrapper(written, encoding="ascii")
    BelowOutput(writer).show(["漢"])
    assert b"?" in written.getvalue()


# When there is one


@pytest.fixture
def at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


def config_of(isatty: bool = True, verbosity: int = 0, **options: Any) -> Any:
    given = {"capture": "fd", **options}
    writer = SimpleNamespace(_file=io.StringIO())
    return SimpleNamespace(
        pluginmanager=SimpleNamespace(
            getplugin=lambda name: SimpleNamespace(isatty=isatty, _tw=writer)
        ),
        get_verbosity=lambda: verbosity,
        getoption=lambda name, default=None: given.get(name, default),
        getini=lambda name: "",
        inipath=None,
        invocation_params=SimpleNamespace(dir=Path()),
    )


@pytest.mark.usefixtures("at_a_terminal")
@pytest.mark.parametrize(
    ("config", "why"),
    [
        (config_of(), None),
        (config_of(isatty=False), "the output is no terminal"),
        (config_of(verbosity=-1), "the session is quiet"),
        (config_of(capture="no"), "what is printed is not captured"),
        (config_of(capture="tee-sys"), "what is printed is not captured"),
        (config_of(evals_disable_tui=True), "it is disabled"),
        (config_of(evals_sequential=True), "rollouts run one at a time"),
        (config_of(usepdb=True), "rollouts run one at a time"),
    ],
)
def test_when_there_is_one(config: Any, why: str | None) -> None:
    assert live_view.why_not(config, [run_of()]) == why


@pytest.mark.usefixtures("at_a_terminal")
@pytest.mark.parametrize(
    ("name", "value"), [("TERM", "dumb"), ("CI", "true"), ("BUILD_NUMBER", "7")]
)
def test_there_is_none_where_it_would_not_be_seen(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert live_view.why_not(config_of(), [run_of()]) is not None


def test_a_file_of_the_session_can_disable_it() -> None:
    spec = SimpleNamespace(disable_tui=True, origins={"disable_tui": "bench.toml:3"})
    assert live_view.is_plain(config_of(), [run_of(), run_of(spec=spec)])
    assert not live_view.is_plain(config_of(), [run_of()])


def test_who_asks_for_a_screen_of_its_own_is_told_why_there_is_none(
    project: Project, url: str
) -> None:
    project.evals(THREE, url=url)
    result = project.run("bench.toml", "--evals-fullscreen")
    result.stdout.fnmatch_lines(
        ["evals: --evals-fullscreen: there is no live view, as the output is no terminal"]
    )


# On a real terminal


@pytest.fixture
def slow_url() -> Iterator[str]:
    with DemoServer(latency=0.3) as server:
        yield server.url


def spawn(project: Project, *args: str, last: str = "") -> pexpect.spawn[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:asyncio", "-p", "no:randomly", *args]
    return pexpect.spawn(
        "/bin/sh", ["-c", " ".join([*command, last])],
        cwd=str(project.path), dimensions=(30, 100), encoding="utf-8", timeout=60,
    )  # fmt: skip


THREE = "".join(
    f'[[eval]]\nenv_id = "sums"\nname = "{name}"\nenv_args = {{ examples = 12 }}\n'
    "num_examples = 12\nrollouts_per_example = 2\n"
    for name in ("first", "second", "third")
)
pty = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")  # says Python of forks


@pty
@pytest.mark.usefixtures("at_a_terminal")
@pytest.mark.parametrize("more", [[], ["--evals-fullscreen"], ["-n2"]], ids=["", "full", "workers"])
def test_arrow_keys_switch_and_the_terminal_is_left_as_it_was(
    pytester: pytest.Pytester, slow_url: str, more: list[str]
) -> None:
    project = Project(pytester, [])
    project.evals(THREE, url=slow_url)
    session = spawn(
        project, "bench.toml", "--evals-max-concurrent=4", *more, last="; echo code $?; stty -a"
    )
    session.expect(re.escape("(left, right: 1 of 3)"))
    session.send("\x1b[D")
    session.expect(re.escape("(left, right: 3 of 3)"))
    session.send("x\x1bOC")
    session.expect(re.escape("(left, right: 1 of 3)"))
    session.expect("code 0")
    table = session.before or ""
    session.expect(pexpect.EOF)
    session.close()
    assert ("\x1b[?1049l" in table) is ("--evals-fullscreen" in more)
    assert "75 passed" in table
    assert re.search(r"[ ;]icanon", session.before or "")
    assert re.search(r"[ ;]echo ", session.before or "")


@pty
@pytest.mark.usefixtures("at_a_terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_however_the_session_is_ended(
    pytester: pytest.Pytester, slow_url: str, number: signal.Signals
) -> None:
    project = Project(pytester, [])
    project.evals(THREE, url=slow_url)
    pytester.makeconftest(
        "import os, pathlib\ndef pytest_configure():\n"
        "    pathlib.Path('pid').write_text(str(os.getpid()))"
    )
    arguments = ["bench.toml", "--evals-max-concurrent=4", "--evals-fullscreen"]
    session = spawn(project, *arguments, last="; stty -a")
    session.expect(re.escape("(left, right: 1 of 3)"))
    os.kill(int((project.path / "pid").read_text()), number)
    session.expect(re.escape("\x1b[?1049l"))
    session.expect(["KeyboardInterrupt", "SIGTERM"])
    session.expect(pexpect.EOF)
    session.close()
    assert re.search(r"[ ;]icanon", session.before or "")
    assert re.search(r"[ ;]echo ", session.before or "")


@pty
@pytest.mark.usefixtures("at_a_terminal")
def test_plain_lines_move_no_cursor(pytester: pytest.Pytester, slow_url: str) -> None:
    project = Project(pytester, [])
    project.evals(THREE, url=slow_url)
    session = spawn(project, "bench.toml", "--evals-disable-tui", "--color=no")
    session.expect(pexpect.EOF)
    session.close()
    assert "\x1b" not in (session.before or "")
    assert session.exitstatus == 0


@pty
@pytest.mark.usefixtures("at_a_terminal")
def test_a_debugger_in_a_plain_test_has_the_terminal(
    pytester: pytest.Pytester, slow_url: str
) -> None:
    project = Project(pytester, [])
    project.evals(THREE, url=slow_url)
    pytester.makepyfile(test_plain="def test_stops():\n    answer = 42\n    breakpoint()\n")
    session = spawn(project, "test_plain.py", "bench.toml", "--evals-max-concurrent=4")
    session.expect(re.escape("(Pdb)"))
    session.sendline("p answer + 1")
    session.expect("43")
    session.expect(re.escape("(Pdb)"))
    session.sendline("c")
    session.expect(re.escape("of 3)"))
    session.expect("76 passed")
    session.expect(pexpect.EOF)
    session.close()
    assert session.exitstatus == 0
