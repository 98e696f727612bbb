"""The status line: what it says, and where it is drawn."""

from __future__ import annotations

import io
from typing import Any

import pytest

from pytest_evals.engine.oldest import Oldest
from pytest_evals.plugin import progress as module
from pytest_evals.plugin.progress import Progress


class Writer:
    """A terminal writer of 60 columns."""

    fullwidth = 60
    width_of_current_line = 0

    def __init__(self) -> None:
        self._file = io.StringIO()


class Reporter:
    """A terminal reporter."""

    def __init__(self, isatty: bool) -> None:
        self.isatty = isatty
        self.lines: list[str] = []

    def ensure_newline(self) -> None:
        self.lines.append("")

    def write_line(self, line: str) -> None:
        self.lines.append(line)


class Config:
    """As much of pytest's config as the line needs."""

    def __init__(self, *, isatty: bool, verbose: int = 0, capture: str = "fd") -> None:
        self._verbose = verbose
        self._capture = capture
        self.pluginmanager = self
        self.reporter = Reporter(isatty)
        self.writer = Writer()

    def get_verbosity(self) -> int:
        return self._verbose

    def getoption(self, name: str, default: str) -> str:
        return self._capture

    def getplugin(self, name: str) -> Reporter:
        return self.reporter

    def get_terminal_writer(self) -> Writer:
        return self.writer


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def progress_of(config: Config) -> Progress:
    given: Any = config
    return Progress(given)


def test_text(clock: Clock) -> None:
    progress = progress_of(Config(isatty=True))
    progress.begin(10)
    assert progress.text(4) == "0/10 done, 4 in flight, 0 errors, 0 s elapsed"
    progress.count(1.0, is_error=False)
    progress.count(0.5, is_error=False)
    progress.count(None, is_error=True)
    clock.now += 60
    assert progress.text(4) == (
        "3/10 done, 4 in flight, mean reward 0.750, 1 error, 1 min 00 s elapsed, 2 min 20 s left"
    )


def test_refused_requests_are_told(clock: Clock) -> None:
    config = Config(isatty=False)
    progress = progress_of(config)
    progress.begin(10)
    clock.now += 15
    progress.draw(4, refusing="refused 32 times (429), waiting 1 s")
    assert config.reporter.lines[-1] == (
        "evals: 0/10 done, 4 in flight, refused 32 times (429), waiting 1 s, 0 errors, 15 s elapsed"
    )


def test_a_plain_line_begins_on_a_line_of_its_own(clock: Clock) -> None:
    config = Config(isatty=False)
    config.writer.width_of_current_line = 7  # letters of xdist, of which the reporter knows nothing
    progress = progress_of(config)
    progress.begin(10)
    clock.now += 15
    progress.draw(4)
    assert config.reporter.lines == [
        "",
        "",
        "evals: 0/10 done, 4 in flight, 0 errors, 15 s elapsed",
    ]


def test_live_line_is_drawn_below_and_erased(clock: Clock) -> None:
    config = Config(isatty=True)
    progress = progress_of(config)
    progress.begin(10)
    clock.now += 1
    progress.draw(4)
    drawn = config.writer._file.getvalue()
    assert "evals: 0/10 done, 4 in flight, 0 errors, 1 s elapsed" in drawn
    assert drawn.endswith("\x1b8")
    progress.erase()
    progress.erase()
    assert config.writer._file.getvalue().removeprefix(drawn) == "\x1b7\x1b[B\r\x1b[2K\x1b8"
    assert config.reporter.lines == []


def test_live_line_fits_the_terminal(clock: Clock) -> None:
    config = Config(isatty=True)
    progress = progress_of(config)
    progress.begin(1_000_000)
    progress.count(1.0, is_error=False)
    clock.now += 1_000
    progress.draw(4)
    line = config.writer._file.getvalue().partition("\x1b[2K")[2].removesuffix("\x1b8")
    assert len(line) == 59


def test_plain_lines_are_rare(clock: Clock) -> None:
    config = Config(isatty=False)
    progress = progress_of(config)
    progress.begin(10)
    for _ in range(30):
        clock.now += 1
        progress.draw(4)
    start = "evals: 0/10 done, 4 in flight, 0 errors"
    assert config.reporter.lines == ["", f"{start}, 15 s elapsed", "", f"{start}, 30 s elapsed"]
    assert config.writer._file.getvalue() == ""


@pytest.mark.parametrize("isatty", [True, False])
def test_quiet_sessions_have_none(clock: Clock, isatty: bool) -> None:
    config = Config(isatty=isatty, verbose=-1)
    progress = progress_of(config)
    progress.begin(10)
    clock.now += 100
    progress.draw(4)
    assert (config.reporter.lines, config.writer._file.getvalue()) == ([], "")


def test_nothing_is_drawn_once_all_is_done(clock: Clock) -> None:
    config = Config(isatty=True)
    progress = progress_of(config)
    progress.begin(1)
    progress.count(1.0, is_error=False)
    clock.now += 1
    progress.draw(0)
    assert config.writer._file.getvalue() == ""


@pytest.mark.parametrize(("age", "is_named"), [(29.9, False), (75.2, True)])
def test_a_rollout_that_takes_long_is_named(clock: Clock, age: float, is_named: bool) -> None:
    progress = progress_of(Config(isatty=True))
    progress.begin(10)
    text = progress.text(4, Oldest("evals/bench.toml::sums::3-r0", "scoring", age))
    named = "0/10 done, 4 in flight, oldest sums::3-r0 scoring 1 min 15 s, 0 errors, 0 s elapsed"
    assert (text == named) is is_named


@pytest.mark.parametrize("capture", ["no", "tee-sys"])
def test_no_live_line_where_rollouts_print(clock: Clock, capture: str) -> None:
    """What they print would stand in the middle of it."""
    config = Config(isatty=True, capture=capture)
    progress = progress_of(config)
    progress.begin(10)
    clock.now += 16
    progress.draw(4)
    assert config.writer._file.getvalue() == ""
    assert len(config.reporter.lines) == 2
