"""Going on: the command that continues evals which a session began and did not end."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

import pytest

from .owned_run import OwnedRun

_OPTION = "--evals-resume"
# Would select a part of what is left.
_LAST_FAILED = ("--lf", "--last-failed")


def how_to_go_on(config: pytest.Config, runs: Iterable[OwnedRun]) -> str | None:
    """Return the command that continues what was left of runs; None where nothing can be.

    It is the one that began them, which may have settings that they depend on.
    """
    if not any(map(_can_go_on, runs)):
        return None
    args = [arg for arg in config.invocation_params.args if arg not in _LAST_FAILED]
    if not any(arg.partition("=")[0] == _OPTION for arg in args):
        args.append(_OPTION)
    return shlex.join(["pytest", *args])


def _can_go_on(run: OwnedRun) -> bool:
    was_stopped = not run.is_done or run.not_started > 0
    return was_stopped and not run.is_partial and run.facts.can_go_on and run.spec.save_results
