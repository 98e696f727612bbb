"""The hooks, a line or two each; imports the standard library and pytest only.

pytest imports this module in every run of every project where the plugin is installed. Everything
else is imported, and registered, when the first eval is collected.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from . import garbage, hookspecs, judging_options, options, rewriting

options.refuse_name_clash()


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks that others can implement."""
    pluginmanager.add_hookspecs(hookspecs)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the options and ini keys."""
    options.add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    """Let a file stand behind an option that may stand alone."""
    options.leave_file_behind_resume(args, early_config.known_args_namespace.file_or_dir)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Compare two runs instead of running anything, where that is asked for."""
    if config.getoption("evals_compare") is None:
        return None
    from . import comparing

    return comparing.compare(config)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark that every item of an eval carries."""
    rewriting.leave_out_own_modules(config)
    garbage.thaw_at_end(config)
    judging_options.leave_out_workers(config)
    if config.getoption("evals_report_json"):
        from . import ci_reports

        ci_reports.begin(config)
    if judging_options.runs_nothing(config):
        from . import judging

        config.pluginmanager.register(judging.NoTests())
    config.addinivalue_line(
        "markers",
        "evals(rollouts=1, gates=[], ...): rollouts and gates of an eval; a test function that is"
        " marked so is one.",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Refuse a session that does not say what to run; join one that distributes its items.

    Ini keys are read here, so that a wrong one is wrong usage and not a failed collection.
    """
    options.refuse_unnamed_folder(session.config)
    options.check_ini(session.config)
    options.refuse_file_as_run(session.config)
    options.collect_named_environments_alone(session.config)
    if session.config.pluginmanager.hasplugin("dsession"):
        # Before xdist's own sessionstart, which starts the workers.
        from .xdist.controller import Controller

        session.config.pluginmanager.register(Controller(session))


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect eval files and environments that were asked for."""
    if not options.is_eval_asked_for(file_path, parent.session):
        options.note_left_out(file_path, parent.config)
        return None
    from . import nodes

    return nodes.collect_file(file_path, parent)


@pytest.hookimpl(tryfirst=True)
def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect an environment's folder that was named on the command line."""
    if not options.is_environment_asked_for(path, parent.session):
        return None
    from . import nodes

    return nodes.collect_directory(path, parent)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, exitstatus: int, config: pytest.Config
) -> None:
    """Say what to do when no eval was found, or none was asked for and nothing else was there."""
    if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:
        options.tell_left_out(config, terminalreporter)
    if config.getoption("evals"):
        from . import collection

        collection.say_what_is_missing(config, exitstatus, terminalreporter)


@pytest.hookimpl(trylast=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make as many items of a function that is marked as an eval as it has rollouts."""
    if metafunc.definition.get_closest_marker("evals") is None:
        return
    from .functions import collecting

    collecting.multiply(metafunc)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Put evals in the place of functions that are marked so, before others see the functions.

    And collect the environments that are named by their id: they have no place in the folders.
    """
    report = yield
    if isinstance(collector, pytest.Session) and collector.config.getoption("evals_env_id"):
        from . import nodes

        report.result = [*(report.result or ()), *nodes.named_environments(collector)]
    if options.holds_marked_functions(collector, report.result):
        from .functions import collecting

        report.result = collecting.converted(collector, report.result)
    return report
