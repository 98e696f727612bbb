"""The hooks of this plugin: the whole of what a conftest.py or another plugin can extend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ..clients.client import Client
    from ..config.spec import EvalSpec
    from ..endpoints.endpoint import Endpoint
    from ..engine.rollouts import RolloutResult
    from ..environments.environment import Environment
    from ..reports.summary import EvalSummary


def pytest_evals_modify_evals(config: pytest.Config, evals: list[EvalSpec]) -> None:
    """Change the evals of a file in place, after they are read and before any is collected.

    Specs are frozen: replace them with `dataclasses.replace`, drop or add them.

    Example::

        def pytest_evals_modify_evals(config, evals):
            if "CI" not in os.environ:
                evals[:] = [dataclasses.replace(spec, num_examples=2) for spec in evals]
    """


@pytest.hookspec(firstresult=True)
def pytest_evals_load_environment(config: pytest.Config, spec: EvalSpec) -> Environment | None:
    """Return the environment of an eval, or None to let the next one, at last the plugin, load it.

    Called in the main thread, once for each eval that is collected.
    """


@pytest.hookspec(firstresult=True)
def pytest_evals_make_client(
    config: pytest.Config, endpoint: Endpoint, key: str | None
) -> Client | None:
    """Return what asks the models of `endpoint`, or None for the plugin's own client.

    Called on the event loop the client will be used on, once for each endpoint; `key` is the
    value of its key variable. Not called in a replay (`--evals-cache=read`).
    """


def pytest_evals_rollout_complete(
    config: pytest.Config, spec: EvalSpec, result: RolloutResult
) -> None:
    """Look at a rollout that ended, just before its item reports it. Its row is on disk.

    One that a session continues and an earlier one rolled out has `result.is_earlier`. Rollouts
    that a spent budget left out did not begin, and are not shown.

    Under xdist this is called where pytest was; there the result's `run` has no environment and
    its `error` no type of its own.
    """


@pytest.hookspec(firstresult=True)
def pytest_evals_metric(
    config: pytest.Config,
    spec: EvalSpec,
    metric: str,
    rows: Callable[[], Iterator[Mapping[str, Any]]],
) -> float | None:
    """Return the value of a gate's metric that the plugin does not know, or None.

    `rows` reads the eval's rows from disk, one at a time, as in results.jsonl. Asked only about
    names that are neither built in nor a metric of the eval's rubric.

    Example::

        def pytest_evals_metric(metric, rows):
            if metric == "mean_length":
                return statistics.fmean(len(row["prediction"] or "") for row in rows())
    """


def pytest_evals_run_complete(
    config: pytest.Config, spec: EvalSpec, summary: EvalSummary, folder: Path
) -> None:
    """Look at a finished run: its figures and verdict, and the folder with its files."""
