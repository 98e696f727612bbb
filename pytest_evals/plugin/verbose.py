"""Verbose: what an eval with `verbose` logs besides what goes wrong."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

import pytest

from ..engine.rollouts import RolloutResult
from ..errors import one_line

if TYPE_CHECKING:
    from .nodes import RolloutItem

_PACKAGE = logging.getLogger("pytest_evals")
_ROLLOUTS = logging.getLogger("pytest_evals.rollouts")


def log_in_detail(config: pytest.Config) -> None:
    """Let everything that the package logs reach pytest's handlers, until the session ends.

    Where it is shown is pytest's business: with the item that failed, live with `log_cli`, in the
    file of `log_file`.
    """
    if _PACKAGE.level == logging.DEBUG:
        return
    config.add_cleanup(partial(_PACKAGE.setLevel, _PACKAGE.level))
    _PACKAGE.setLevel(logging.DEBUG)


def note(item: RolloutItem, result: RolloutResult) -> None:
    """Log what became of a rollout: in its run's log, and as a record of its item."""
    parts = [f"{item.name}: {result.outcome}"]
    if result.reward is not None:
        parts.append(f"reward {result.reward:g}")
    parts += [f"{name} {value:g}" for name, value in result.metrics.items()]
    parts.append(f"{max(0.0, result.stop - result.start):.2f} s")
    if result.input_tokens is not None:
        parts.append(f"{result.input_tokens} tokens in, {result.output_tokens} out")
    if result.error is not None:
        parts.append(one_line(result.error))
    text = ", ".join(parts)
    for log in (item.run.log, _ROLLOUTS):
        log.debug("%s", text)
