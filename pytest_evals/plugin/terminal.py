"""What the user sees of the evals: the header, the status line, the table at the end."""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from typing import TYPE_CHECKING

import pytest

from ..engine.rollouts import SOUND
from ..reports.table import render
from ..visible import visible
from .false_reds import false_reds
from .first_examples import tell_first_examples
from .functions.environment import PYTHON
from .going_on import how_to_go_on
from .live_view import LiveView, is_plain, why_not
from .nodes import EvalItem
from .outcomes import is_deciding, relative
from .progress import Progress
from .refusals import RefusalLog
from .response_cache import told_misses

if TYPE_CHECKING:
    from .owned_run import OwnedRun
    from .owner import EvalOwner

# Asked for by nobody, so its absence surprises nobody.
_DEFAULT_NUM_EXAMPLES = 5

# Besides these there is the "rerun" of pytest-rerunfailures, which is not the last word.
_FINAL = ("passed", "failed", "skipped")

_MARKUP: dict[str, dict[str, bool]] = {
    "header": {"bold": True},
    "passed": {"green": True},
    "failed": {"red": True},
    "inconclusive": {"yellow": True},
    "not judged": {"yellow": True},
}


class EvalTerminal:
    """Prints the header, keeps the status line, prints the table."""

    def __init__(self, owner: EvalOwner) -> None:
        self._owner = owner
        self._progress = Progress(owner.config)
        self._refusals = RefusalLog()
        self._view: LiveView | None = None
        # Elsewhere plain tests run in workers, which have no terminal.
        self._has_tests_here = not owner.config.pluginmanager.hasplugin("dsession")
        self._has_told = False
        self._shows_durations = owner.config.getoption("durations", None) is not None

    def pytest_report_collectionfinish(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> list[str]:
        """Say what will run, where results go, and what the command line could not change."""
        runs = {item.run: None for item in items if isinstance(item, EvalItem)}
        return [*self.shown_config(), *self.header(runs)]

    def shown_config(self) -> list[str]:
        """Return what `--evals-show-config` asks for: every eval in TOML."""
        if not self._owner.config.getoption("evals_show_config"):
            return []
        from ..config.showing import eval_as_toml

        lines: list[str] = []
        for spec in self._owner.shown_specs:
            lines += ["", *eval_as_toml(spec)]
            lines += [
                f"# asks {run.facts.model} at {run.base_url}"
                for run in self._owner.owned
                if run.spec == spec and run.base_url
            ]
        return [self._owner.clean(line) for line in [*lines, ""]]

    def header(self, runs: Collection[OwnedRun]) -> list[str]:
        """Return the lines about what will run, of the runs that have an item to run."""
        config = self._owner.config
        if config.get_verbosity() < 0:
            return []
        if not runs:
            return self._owner.notices
        rollouts = sum(run.selected for run in runs)
        models = ", ".join(dict.fromkeys(map(_asked, runs)))
        folders = ", ".join(
            dict.fromkeys(
                relative(self._owner.outputs.base_of(run.spec) / "evals", config)
                if run.spec.save_results
                else "no folder that stays (save_results is false)"
                for run in runs
            )
        )
        return [
            f"evals: {_counted(len(runs), 'eval')}, {_counted(rollouts, 'rollout')} of {models},"
            f" {self._owner.flight}; results in {folders}",
            *self._short_datasets(runs),
            *false_reds(runs),
            *(
                f"evals: {run.spec.name}: score_rollouts is False: rollouts are kept, none is"
                " scored, and the eval cannot pass"
                for run in runs
                if not run.facts.is_scored
            ),
            *self._owner.notices,
        ]

    def _short_datasets(self, runs: Collection[OwnedRun]) -> list[str]:
        return [
            f"evals: {run.spec.name}: {run.spec.num_examples} examples were asked for, the dataset"
            f" has {run.facts.num_examples}"
            for run in runs
            if run.facts.num_examples < run.spec.num_examples != _DEFAULT_NUM_EXAMPLES
        ]

    def begin(self, rollouts: int) -> None:
        """Start the live view, or the status line where there is none."""
        self._progress.begin(rollouts)
        config = self._owner.config
        runs = [run for run in self._owner.owned if run.selected]
        if self._view is not None or not runs:
            return
        reason = why_not(config, runs)
        if reason is None:
            self._view = LiveView(config, runs)
        elif is_plain(config, runs):
            self._progress.stay_plain()
        if reason is not None and config.getoption("evals_fullscreen"):
            self.tell(f"--evals-fullscreen: there is no live view, as {reason}")

    def erase(self) -> None:
        """Make room for what somebody else writes to the terminal."""
        self._progress.erase()
        if self._view is not None:
            self._view.make_room()

    def end(self) -> None:
        """Leave no live view and no status line behind."""
        self._progress.erase()
        if self._view is not None:
            self._view.close()

    def tell(self, text: str, *, even_if_quiet: bool = False) -> None:
        """Print a line of what is going on; with `-q` only what must not be missed."""
        reporter = self._owner.config.pluginmanager.getplugin("terminalreporter")
        is_shown = even_if_quiet or self._owner.config.get_verbosity() >= 0
        if reporter is not None and is_shown:
            reporter.ensure_newline()
            if self._owner.config.get_terminal_writer().width_of_current_line:
                reporter.write_line("")  # the reporter does not know of a line of xdist's
            reporter.write_line(f"evals: {self._owner.clean(text)}")

    @property
    def refresh_seconds(self) -> float | None:
        """How often `tick` shows something new; None where no status line is shown."""
        seconds = self._progress.refresh_seconds
        return seconds if self._view is None else self._view.refresh_seconds

    def tick(self) -> None:
        """Bring what is shown up to date while nothing is reported."""
        in_flight = self._owner.in_flight
        if in_flight is None:
            return
        refusing = self._owner.refusing
        self._refusals.note(refusing, self._owner.owned)
        if self._view is None:
            self._progress.draw(in_flight, lambda: self._owner.oldest, refusing)
            return
        text = self._progress.text
        self._view.draw(lambda: f"evals: {text(in_flight, self._owner.oldest, refusing)}")

    def settle(self) -> None:
        """Put back what pytest's output has pushed away, as nothing may come for a while."""
        if self._view is not None:
            self._view.settle()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logstart(self, nodeid: str) -> Generator[None, None, None]:
        """Make room: with -v this begins a line, and a plain test may write to the terminal."""
        self._progress.erase()
        view = self._view if self._has_tests_here else None
        if view is not None and view.standing_of(nodeid) is None:
            view.make_room()
        yield

    @pytest.hookimpl(tryfirst=True)
    def pytest_enter_pdb(self) -> None:
        """Leave the terminal to the debugger."""
        if self._view is not None:
            self._view.pause()

    def pytest_leave_pdb(self) -> None:
        """Take it back."""
        if self._view is not None:
            self._view.resume()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Generator[None, None, None]:
        """Count rollouts, and keep the status line below what pytest writes."""
        decides = is_deciding(report)
        kind: str | None = getattr(report, "evals_kind", None)
        if decides:
            self._progress.erase()
            if report.outcome in _FINAL and kind == "rollout":
                self._count(report)
        yield
        if decides and (kind is not None or self._view is None or not self._has_tests_here):
            self.tick()
        else:
            self._let_go(report)

    def _count(self, report: pytest.TestReport) -> None:
        self._progress.count(
            None if report.when == "setup" else vars(report).get("evals_reward"),
            is_error=vars(report).get("evals_state") not in SOUND,
        )
        standing = None if self._view is None else self._view.standing_of(report.nodeid)
        if standing is not None:
            standing.count(report)

    def _let_go(self, report: pytest.TestReport) -> None:
        """Release a report that nobody reads: the terminal reporter keeps all of them.

        `--durations` counts them, and output of a teardown is shown with the failure before it.
        """
        is_read = report.failed or report.sections or self._shows_durations
        if is_read or not hasattr(report, "evals_kind"):
            return
        reporter = self._owner.config.pluginmanager.getplugin("terminalreporter")
        kept = [] if reporter is None else reporter.stats.get("", [])
        if kept and kept[-1] is report:
            kept.pop()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self) -> Generator[None, object, object]:
        """Leave no status line behind, however the loop ends."""
        try:
            return (yield)
        finally:
            self.end()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(
        self, terminalreporter: pytest.TerminalReporter
    ) -> Generator[None, None, None]:
        """Print the table last, below pytest's own summaries."""
        yield
        self._tell_runs(terminalreporter)

    @pytest.hookimpl(wrapper=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Print the table where pytest prints no summary: it does so for its own exit codes."""
        result = yield
        reporter = self._owner.config.pluginmanager.getplugin("terminalreporter")
        if reporter is not None and not self._has_told:
            self._tell_runs(reporter)
        return result

    def _tell_runs(self, reporter: pytest.TerminalReporter) -> None:
        self._has_told = True
        runs = [run for run in self._owner.owned if run.was_started]
        if not runs or reporter.config.option.no_summary:
            return
        self.tell_first(reporter, runs)
        reporter.write_sep("=", "evals")
        summaries = [run.summary() for run in runs]
        width = reporter.config.get_terminal_writer().fullwidth
        for line in render(summaries, width=width):
            reporter.write_line(line.text, **_MARKUP.get(line.verdict or line.kind, {}))
        for run in runs:
            self._tell_results(reporter, run)
        for text in self._owner.held_back:
            reporter.write_line(self._owner.clean(text), yellow=True)
        command = how_to_go_on(reporter.config, runs)
        if command is not None:
            reporter.write_line(self._owner.clean(f"go on: {command}"), bold=True)

    def tell_first(self, reporter: pytest.TerminalReporter, runs: Sequence[OwnedRun]) -> None:
        """Print what stands before the table."""
        tell_first_examples(reporter, runs)

    def _tell_results(self, reporter: pytest.TerminalReporter, run: OwnedRun) -> None:
        folder = relative(run.folder.path, reporter.config)
        kept = folder if run.spec.save_results else "not kept, save_results is false"
        reporter.write_line(f"results of {run.nodeid}: {kept}")
        if run.first_unmeasured is not None and run.tolerates_errors:
            # Its item was only skipped: without this line, nothing would say why.
            first = run.first_unmeasured.partition("\n")[0]
            reporter.write_line(f"first unmeasured rollout of {run.spec.name}: {first}")
        if run.stopped_by is not None:
            left = f"{_counted(run.not_started, 'rollout')} of {run.spec.name} not started"
            reporter.write_line(
                f"budget: {run.stopped_by}:"
                f" {left if run.not_started else f'all rollouts of {run.spec.name} had started'}"
                f"{self._owner.used}",
                yellow=True,
                bold=True,
            )
        for line in (*run.red_lines, *told_misses(run, reporter.config)):
            reporter.write_line(line, red=True)
        for line in run.slow_calls.lines(run.spec.name):
            reporter.write_line(visible(line), yellow=True)
        for line in run.warnings:
            reporter.write_line(line, yellow=True)
        if run.saved_baseline is not None:
            text, was_saved = run.saved_baseline
            reporter.write_line(self._owner.clean(text), yellow=not was_saved, bold=not was_saved)
        unjudged = [gate.text for gate in run.spec.gates if gate.name not in run.verdicts]
        if unjudged:
            reporter.write_line(
                f"NOT JUDGED: {run.spec.name}: {', '.join(unjudged)}: {run.why_not_judged}",
                yellow=True,
                bold=True,
            )


def _asked(run: OwnedRun) -> str:
    """Return what a run rolls out: a model, or test functions of which none was named."""
    return "test functions" if run.facts.model == PYTHON else run.facts.model


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
