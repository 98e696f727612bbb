"""Results on reports: a worker's rollout as the hooks at the controller see it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from ...endpoints.endpoint import Endpoint
from ...engine.rollouts import RolloutResult
from ...engine.run import EvalRun
from ...errors import InfraError
from ...store.encoding import mask_json, to_json
from ..owned_run import OwnedRun

_FIELDS = (
    "key", "outcome", "start", "stop", "reward", "metrics", "cause", "ends_endpoint",
    "input_tokens", "output_tokens", "cost_usd", "reward_errors", "slow_calls", "prompt",
    "completion", "is_earlier",
)  # fmt: skip


def encode_result(result: RolloutResult, mask: Callable[[str], str]) -> str:
    """Return a result as text, without secrets."""
    values: dict[str, Any] = {name: getattr(result, name) for name in _FIELDS}
    error = result.error
    values["error"] = None if error is None else f"{type(error).__name__}: {error}"
    return mask_json(to_json(values), mask)


def decode_result(text: str, run: EvalRun) -> RolloutResult:
    """Return the result that `encode_result` made a text of; its error has lost its type."""
    values = json.loads(text)
    values["key"] = tuple(values["key"])
    if values["error"] is not None:
        kind = InfraError if values["outcome"] == "unmeasured" else RuntimeError
        values["error"] = kind(values["error"])
    return RolloutResult(run=run, **values)


def eval_run_of(run: OwnedRun) -> EvalRun:
    """Return what stands for a run in the results at the controller: it has no environment."""
    facts = run.facts
    return EvalRun(
        name=run.nodeid,
        environment=cast("Any", None),
        endpoint=Endpoint(facts.model, facts.base_url, None, facts.label, serve=facts.serve),
        sampling_args=facts.sampling_args,
        folder=run.folder,
        log=run.log,
        rollouts_per_example=run.spec.rollouts_per_example,
        pass_threshold=facts.pass_threshold,
        max_concurrent=run.spec.max_concurrent,
        rollout_seed=run.spec.rollout_seed,
    )
