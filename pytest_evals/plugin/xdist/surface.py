"""What is used of xdist beyond its documented hooks, in one place.

Checked on pytest-xdist 3.6.1 and 3.8.0. Where a part is missing, the functions say so and evals run
without it: in order, on xdist's own terms.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest


def dsession_of(config: pytest.Config) -> Any:
    """Return the plugin that distributes the tests of this process; None when none does."""
    return config.pluginmanager.getplugin("dsession")


def interactor_of(config: pytest.Config) -> Any:
    """Return a worker's plugin that speaks to the controller; None if it is not as expected.

    Used of it: `channel`, which brings the commands ("runtests", "steal", "shutdown"), `sendevent`,
    and `item_index`, which it adds to each report.
    """
    for plugin in config.pluginmanager.get_plugins():
        if type(plugin).__name__ == "WorkerInteractor":
            is_known = hasattr(plugin, "channel") and hasattr(plugin, "sendevent")
            return plugin if is_known else None
    return None


def is_first_loop(config: pytest.Config, plugin: object) -> bool:
    """Whether the `pytest_runtestloop` of `plugin` is the one that pytest will call."""
    loops = [
        each
        for each in config.hook.pytest_runtestloop.get_hookimpls()
        if not (each.hookwrapper or each.wrapper)
    ]
    return bool(loops) and loops[-1].plugin is plugin  # the last one is called first


def collection_difference(
    ids: Sequence[str], others: Sequence[str], name: str, other_name: str
) -> str:
    """Return in words how two workers' node ids differ."""
    try:
        from xdist.report import report_collection_diff
    except ImportError:
        return f"Different tests were collected between {name} and {other_name}"
    return str(report_collection_diff(ids, others, name, other_name))


def on_main_thread(config: pytest.Config, call: Callable[[], None]) -> Callable[[], None]:
    """Return a function that any thread can call to have `call` called by the controller's loop.

    The loop calls `worker_NAME` of its plugin for each event NAME in its queue. Where there is no
    such queue the function does nothing, and what it was to bring is read at the next hook.
    """
    dsession = dsession_of(config)
    if not hasattr(dsession, "queue"):
        return lambda: None
    dsession.worker_evals = call
    return lambda: dsession.queue.put(("evals", {}))


def why_stopping(config: pytest.Config) -> str:
    """Return why the session is to stop (`-x`, `--maxfail`); empty when it is not."""
    return str(getattr(dsession_of(config), "shouldstop", False) or "")


def is_scheduled_by(config: pytest.Config, scheduler: object) -> bool:
    """Whether `scheduler` is the one in use."""
    return getattr(dsession_of(config), "sched", None) is scheduler


def limit_restarts(config: pytest.Config, count: int) -> None:
    """Let at most so many workers be replaced, where neither xdist nor the user has a limit.

    xdist has one with `-n` only.
    """
    dsession = dsession_of(config)
    if getattr(dsession, "_max_worker_restart", count) is None:
        dsession._max_worker_restart = count


def is_elsewhere(node: Any) -> bool:
    """Whether a worker is, for all that is known, on another machine."""
    spec = node.gateway.spec
    return not spec.popen or bool(spec.via)


def send_items(node: Any, indices: Sequence[int]) -> None:
    """Send items to a worker; one that has just died gives them back when that is heard of."""
    with contextlib.suppress(OSError):
        node.send_runtest_some(indices)


def end_workers(config: pytest.Config) -> None:
    """Wait until the processes of all workers have ended; after 15 seconds they are killed.

    xdist waits 10, which is what the cleanup handlers of a worker's rollouts may take alone; after
    15 execnet ends the process from within.
    """
    manager = getattr(dsession_of(config), "nodemanager", None)
    if manager is None:
        return
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(manager, "EXIT_TIMEOUT"):
            patch.setattr(manager, "EXIT_TIMEOUT", 15)
        manager.teardown_nodes()


def exit_code(node: Any) -> int | None:
    """Return the exit code of a worker's process, negative for a signal; None if unknown."""
    popen = getattr(getattr(node.gateway, "_io", None), "popen", None)
    if popen is None:
        return None
    with contextlib.suppress(Exception):
        popen.wait(1.0)  # its end is known, and its exit code a moment later
    code: int | None = popen.poll()
    return code
