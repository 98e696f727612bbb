"""Run metadata: what metadata.json says of a run, its figures and how it came about."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

from ..reports.metadata import metadata
from ..reports.summary import EvalSummary
from ..store.lock import this_process

if TYPE_CHECKING:
    from .owned_run import OwnedRun


def metadata_of(run: OwnedRun, summary: EvalSummary, base_url: str) -> dict[str, Any]:
    """Return the content of metadata.json as things stand.

    Args:
        run: that was started.
        summary: its figures.
        base_url: where the requests go.
    """
    spec, order = run.spec, run.spec.order
    content = metadata(
        summary=summary,
        measurements=run.measurements(),
        env_id=spec.env_id,
        env_args=spec.env_args,
        extra_env_kwargs=spec.extra_env_kwargs,
        base_url=base_url,
        sampling_args=run.facts.sampling_args,
        version=importlib.metadata.version("pytest-rollouts"),
    )
    return content | {
        "shuffle": order is not None,
        "shuffle_seed": order,
        "state_columns": list(spec.state_columns),
        "fingerprint": run.facts.fingerprint(spec),
        "partial": run.is_partial and not run.began_whole,
        "session": run.session,
        "writer": None if run.is_complete else this_process(),
        "not_started": run.not_started,
        "stopped_by": run.stopped_by,
    }
