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
        "--evals-report-json",
        metavar="PATH",
        dest="evals_report_json",
        help="Write one JSON document of the session: evals, figures, gates, exit status",
    )


def leave_out_workers(config: pytest.Config) -> None:
    """Let a session that only judges be one process, whatever `-n` says."""
    if config.getoption("evals_regate") and config.getoption("tx", None):
        config.option.dist, config.option.tx = "no", []
