"""metadata.json: the summary of a run in the layout of verifiers 0.3.1, with more keys."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..gates.verdict import Slice, Verdict
from ..stats.estimators import mean
from ..stats.measurements import Measurements
from ..stats.power import detectable_drop
from .summary import EvalSummary


def metadata(
    *,
    summary: EvalSummary,
    measurements: Measurements,
    env_id: str,
    env_args: Mapping[str, Any],
    base_url: str,
    sampling_args: Mapping[str, Any],
    version: str,
    extra_env_kwargs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the content of metadata.json, ready for `json.dumps`.

    The first keys are those of verifiers 0.3.1, in its order. `avg_reward` and `avg_metrics` are
    the figures of the summary: over scored rollouts, where verifiers averages errors in as 0; null
    when there is nothing to average. `avg_error` is the share of planned rollouts that are
    unmeasured or broken. The keys after `name` are this package's. A number that JSON cannot write
    (NaN, infinity) is null.

    Args:
        summary: of the eval.
        measurements: that the summary was made of.
        env_id, env_args: as in the configuration.
        base_url: where the requests went, without credentials.
        sampling_args: as sent.
        version: of this package.
        extra_env_kwargs: as in the configuration; None for none.
    """
    return {
        "env_id": env_id,
        "env_args": dict(env_args),
        "model": summary.model,
        "base_url": base_url,
        "num_examples": summary.num_examples,
        "rollouts_per_example": summary.rollouts_per_example,
        "shuffle": False,
        "shuffle_seed": None,
        "sampling_args": dict(sampling_args),
        "time": summary.seconds,
        "avg_reward": _finite(summary.mean_reward),
        "avg_metrics": {name: _finite(value) for name, value in summary.metrics.items()},
        "avg_error": _finite(measurements.error_rate),
        "pass_at_k": {str(k): _finite(value) for k, value in summary.pass_at_k.items()},
        "pass_all_k": {str(k): _finite(value) for k, value in summary.pass_hat_k.items()},
        "pass_threshold": measurements.plan.pass_threshold,
        "usage": _usage(measurements),
        "version_info": {"pytest_evals": version},
        "state_columns": [],
        "tools": measurements.tools or None,
        "name": summary.name,
        "extra_env_kwargs": dict(extra_env_kwargs or {}),
        "standard_error": _finite(summary.standard_error),
        "served_models": list(summary.served_models),
        "planned": summary.planned,
        "complete": measurements.complete,
        "states": {
            "scored": summary.scored,
            "unmeasured": summary.unmeasured,
            "broken": summary.broken,
            "missing": summary.missing,
        },
        "cost": None if summary.cost is None else dict(summary.cost),
        "paid": None if summary.paid is None else dict(summary.paid),
        "cached_answers": summary.cached_answers,
        "reward_errors": summary.reward_errors,
        "verdict": summary.verdict,
        "gated": summary.gated,
        "gates": [gate_figures(verdict) for verdict in summary.verdicts],
    }


def gate_figures(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as plain data."""
    gate = verdict.gate
    compared: dict[str, Any] = {}
    if gate.drop is not None:
        compared = {"baseline": list(gate.drop.baselines), "moved": verdict.moved}
    if gate.by:
        compared = {"by": gate.by, "slices": [_slice(each) for each in verdict.slices]}
    if gate.each is not None:
        compared = {"each": True, "quarantine": list(gate.each.quarantine)}
    return {
        "name": gate.name,
        "gate": gate.text,
        "metric": gate.metric,
        "comparison": gate.comparison,
        "limit": gate.limit,
        "rule": gate.rule,
        "confidence": gate.confidence,
        "tier": gate.tier,
        "default": gate.default,
        "outcome": verdict.outcome,
        "is_red": verdict.is_red,
        "value": _finite(verdict.value),
        "standard_error": _finite(verdict.standard_error),
        "low": _finite(verdict.low),
        "high": _finite(verdict.high),
        "lower": _finite(verdict.lower),
        "upper": _finite(verdict.upper),
        "detectable_drop": _finite(_detectable(verdict)),
        "n_examples": verdict.n_examples,
        "n_rollouts": verdict.n_rollouts,
        "coverage": verdict.coverage,
        "reason": verdict.reason,
        "line": verdict.line,
        "worth": verdict.worth,
        "worst": verdict.worst,
        **compared,
    }


def _slice(found: Slice) -> dict[str, Any]:
    return {
        name: _finite(value) if isinstance(value, float) else value
        for name, value in found._asdict().items()
    }


def _detectable(verdict: Verdict) -> float | None:
    """Return the smallest drop (or rise) that the gate finds four times out of five."""
    error = verdict.standard_error
    return detectable_drop(error, confidence=verdict.gate.confidence) if error else None


def _usage(measurements: Measurements) -> dict[str, float | None] | None:
    """Return the mean of each token count over the rows that have it; None when none has any."""
    usage = {
        name: _finite(mean(counted))
        for name, column in measurements.usage.items()
        if (counted := [value for value in column if value is not None])
    }
    return usage or None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
