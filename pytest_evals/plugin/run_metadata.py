"""Run metadata: what metadata.json says of a run, its figures and how it came about."""

from __future__ import annotations

import importlib.metadata
import re
from typing import TYPE_CHECKING, Any

from ..reports.metadata import metadata
from ..reports.summary import EvalSummary
from ..store.lock import this_process

if TYPE_CHECKING:
    from .owned_run import OwnedRun

# How the names of rollout items end.
_ROLLOUT = re.compile(r"-r\d+$")


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
        "unselected": _unselected(run),
        "over": run.is_done and run.facts.is_scored,
        "red_otherwise": _red_otherwise(run),
        "started": run.started,
        "session": run.session,
        "writer": None if run.is_complete else this_process(),
        "not_started": run.not_started,
        "stopped_by": run.stopped_by,
    }


def _unselected(run: OwnedRun) -> int:
    """Return how many rollouts a selection left out that are not done either."""
    return run.plan.rollouts - run.selected - run.kept if run.is_partial else 0


def _red_otherwise(run: OwnedRun) -> int:
    """Return how many rollout items are red for a reason that no row tells.

    Rows tell which rollouts are broken and which rewards are too low for `pass_reward`. Unmeasured
    ones are red by themselves where the eval does not tolerate them, and then so is their gate.
    """
    measured, least = run.measurements(), run.spec.pass_reward
    told = measured.broken + (0 if run.tolerates_errors else measured.unmeasured)
    if least is not None:
        told += sum(reward is not None and reward < least for reward in measured.reward)
    return max(sum(bool(_ROLLOUT.search(name)) for name in run.red_rollouts) - told, 0)
