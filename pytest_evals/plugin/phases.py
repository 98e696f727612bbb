"""Phases: setup, call and teardown of a rollout's item without pytest's capture around them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .runs import Run

# Around every phase one of them redirects the output streams, the other puts two handlers on the
# root logger: together a third of what an item costs.
_CAPTURING = ("capturemanager", "logging-plugin")
_PHASES = ("pytest_runtest_setup", "pytest_runtest_call", "pytest_runtest_teardown")
# What else takes part in phases and prints and logs nothing there: parts of pytest, and plugins
# that many have installed.
_SILENT = {
    "runner", "skipping", "threadexception", "unraisableexception",
    "asyncio", "hypothesispytest", "randomly", "rerunfailures", "timeout",
}  # fmt: skip


class _UncapturedHooks:
    """The hooks of an item, without those that capture its phases.

    Args:
        hooks: those in force at the item's path.
    """

    def __init__(self, hooks: Any, config: pytest.Config) -> None:
        self._hooks = hooks
        manager = config.pluginmanager
        capturing = {manager.get_plugin(name) for name in _CAPTURING} - {None}
        for phase in _PHASES:
            elsewhere = _plugins(config.hook, phase) - _plugins(hooks, phase)
            setattr(self, phase, manager.subset_hook_caller(phase, capturing | elsewhere))

    def __getattr__(self, name: str) -> Any:
        caller = getattr(self._hooks, name)
        setattr(self, name, caller)  # next time it is found at once
        return caller


def leave_uncaptured(runs: Iterable[Run]) -> None:
    """Let the rollout items of `runs` go without capture, where nobody would notice.

    A rollout runs elsewhere, and what it writes and logs reaches its item in another way. So there
    is nothing to capture in the phases of the item itself, unless a hook of somebody else takes
    part in them. To be called once all items are collected.
    """
    for run in runs:
        if run.rollouts:
            item = run.rollouts[0]
            hooks = item.ihook
            if _are_silent(hooks, item.config):
                run.rollout_hooks = _UncapturedHooks(hooks, item.config)


def _are_silent(hooks: Any, config: pytest.Config) -> bool:
    names = {
        implementation.plugin_name
        for phase in _PHASES
        for implementation in getattr(hooks, phase).get_hookimpls()
    }
    return (
        names <= {*_CAPTURING, *_SILENT}
        and not hooks.pytest_evals_rollout_complete.get_hookimpls()
        and not _is_log_live(config)
    )


def _is_log_live(config: pytest.Config) -> bool:
    """Whether log lines are shown as they come, under the phase that they come from."""
    if not config.pluginmanager.hasplugin("logging-plugin"):
        return False
    return bool(config.getini("log_cli")) or config.getoption("log_cli_level") is not None


def _plugins(hooks: Any, name: str) -> set[Any]:
    return {implementation.plugin for implementation in getattr(hooks, name).get_hookimpls()}
