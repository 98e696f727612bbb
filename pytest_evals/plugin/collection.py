"""Collection: one error for what cannot be collected, and a hint where nothing was."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import pytest

from ..environments.location import location_of_path
from .session import EvalSession


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Keep quiet of a module that is an environment and was reported as one.

    pytest takes every `.py` file that is named for a test module too, and would tell once more, in
    other words, that it does not import.
    """
    report = yield
    session = EvalSession.of(collector.config)
    if (
        report.failed
        and isinstance(collector, pytest.Module)
        and collector.path in session.unusable
        and session.environments.is_named(collector.path)
    ):
        # Without `call`, where pytest keeps the exception, --pdb asks nothing about it either.
        vars(report).pop("call", None)
        report.outcome, report.longrepr, report.result = "passed", None, []
    return report


def say_what_is_missing(
    config: pytest.Config, exit_code: int, terminal: pytest.TerminalReporter
) -> None:
    """Say what to do when `--evals` found no eval file."""
    if config.pluginmanager.hasplugin("dsession"):  # the workers collect
        is_selective = config.getoption("keyword") or config.getoption("markexpr")
        found = exit_code != pytest.ExitCode.NO_TESTS_COLLECTED or bool(is_selective)
    else:
        found = EvalSession.is_made(config)
    if found:
        return
    names = " ".join(config.args)
    text = f"evals: --evals found no eval file (TOML with [[eval]] blocks) in {names}"
    example = next(_environments_in(config), None)
    if example is not None:
        text += f"; an environment is evaluated when it is named itself: pytest {example}"
    terminal.write_line(text)


def _environments_in(config: pytest.Config) -> Iterator[str]:
    folder = config.invocation_params.dir
    for argument in config.args:
        path = folder / argument
        for child in sorted(path.iterdir()) if path.is_dir() else ():
            if location_of_path(child) is not None:
                yield os.path.relpath(child, folder)
