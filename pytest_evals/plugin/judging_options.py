"""The options of sessions that only judge, and of what is told to CI."""

from __future__ import annotations

import pytest


def add_judging_options(group: pytest.OptionGroup) -> None:
    """Declare them."""
    group.addoption(
        "--evals-regate",
        action="append",
        default=[],
        metavar="RUN",
        dest="evals_regate",
        help="Judge the gates on the rows of a run that is stored, by its folder or one that holds"
        " runs, and run nothing; repeatable",
    )
    group.addoption(
        "--evals-gate-selftest",
        action="store_true",
        dest="evals_gate_selftest",
        help="Print how often each gate would be red, were the truth at, below and above its limit,"
        " and run nothing",
    )
    group.addoption(
        "--evals-report-json",
        metavar="PATH",
        dest="evals_report_json",
        help="Write one JSON document of the session: evals, figures, gates, exit status",
    )


def runs_nothing(config: pytest.Config) -> bool:
    """Whether the session only judges: stored runs, or its gates themselves.

    Raises:
        pytest.UsageError: it is asked to do both.
    """
    stored = bool(config.getoption("evals_regate"))
    if stored and config.getoption("evals_gate_selftest"):
        raise pytest.UsageError(
            "--evals-gate-selftest looks at no results: leave out --evals-regate"
        )
    if stored and config.getoption("evals_save_baseline"):
        raise pytest.UsageError(
            "--evals-save-baseline saves what a session measures: leave out --evals-regate"
        )
    return stored or bool(config.getoption("evals_gate_selftest"))


def leave_out_workers(config: pytest.Config) -> None:
    """Let a session that only judges be one process, whatever `-n` says."""
    if runs_nothing(config) and config.getoption("tx", None):
        config.option.dist, config.option.tx = "no", []
