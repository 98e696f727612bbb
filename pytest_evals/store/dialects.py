"""Dialects: rows and metadata of verifiers, of any age, as this package writes them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .encoding import to_json
from .rows import STANDARD_KEYS, UNSCORED, Row

# What rows of 2025 have at top level besides metrics.
_FLAT_TIMES = ("generation_ms", "scoring_ms", "total_ms", "start_time")
_NO_METRIC = STANDARD_KEYS | {*_FLAT_TIMES, "id", "src_id", "advantage"}


def own_line(row: Row) -> str:
    """Return a row that another program wrote as a line of this package's.

    Its `rollout` and `state` are there already, as `reading` sets them. Keys that are not known
    here stay.
    """
    metrics = row.get("metrics")
    if not isinstance(metrics, Mapping):
        metrics = {key: row[key] for key in row if key not in _NO_METRIC and _is_number(row[key])}
    first = {"example_id": row["example_id"], "rollout": row["rollout"]}
    own = {
        "reward": row.get("reward"),
        "error": row.get("error"),
        "timing": _timing(row),
        "metrics": dict(metrics),
    }
    left_out = first.keys() | own.keys() | {*_FLAT_TIMES, "id", "state"}
    rest = {key: value for key, value in row.items() if key not in left_out}
    return to_json({**first, **rest, **own, "state": row["state"]}) + "\n"


def generated_again(row: Row) -> str | None:
    """Return the line of a scored row as it was before; None where it lacks what scoring needs."""
    if UNSCORED not in row:
        return None
    flattened = {name for name in row.get("metrics") or () if name not in STANDARD_KEYS}
    dropped = flattened | {"reward_errors"}
    kept = {key: value for key, value in row.items() if key not in dropped}
    unset: Row = {"reward": None, "correct": None, "metrics": {}, "state": "generated"}
    return to_json(kept | unset) + "\n"


def is_finite(value: object) -> bool:
    """Whether a reward is a number that can be averaged."""
    return _is_number(value) and math.isfinite(value)  # type: ignore[arg-type]


def saved_settings(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what metadata.json says of what was measured; only the keys that it has.

    This package keeps that in `fingerprint`; verifiers, whose older versions say `env` for
    `env_id`, in keys of their own.
    """
    fingerprint = metadata.get("fingerprint")
    if isinstance(fingerprint, Mapping):
        return dict(fingerprint)
    names = ("env_args", "model", "num_examples", "rollouts_per_example", "extra_env_kwargs")
    found = {name: metadata[name] for name in names if name in metadata}
    env_id = metadata.get("env_id", metadata.get("env"))
    if env_id is not None:
        found["env_id"] = env_id
    if metadata.get("base_url"):
        found["url"] = metadata["base_url"]
    sampling = metadata.get("sampling_args")
    if isinstance(sampling, Mapping):
        found["sampling_args"] = dict(sampling)
    if "shuffle" in metadata:
        found["shuffle_seed"] = (metadata.get("shuffle_seed") or 0) if metadata["shuffle"] else None
    versions = metadata.get("version_info")
    if isinstance(versions, Mapping) and versions.get("env_version"):
        found["env_version"] = versions["env_version"]
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _timing(row: Row) -> dict[str, Any]:
    """Return nested spans of seconds; those of old rows are flat, in milliseconds."""
    timing = row.get("timing")
    if isinstance(timing, Mapping) and isinstance(timing.get("generation"), Mapping):
        return dict(timing)
    flat: Mapping[str, Any] = timing if isinstance(timing, Mapping) else row
    start = _seconds(flat.get("start_time"))
    generated = start + _seconds(flat.get("generation_ms")) / 1000
    scored = generated + _seconds(flat.get("scoring_ms")) / 1000
    no_spans = {"spans": [], "duration": 0.0}
    return {
        "start_time": start,
        "setup": _span(start, start),
        "generation": _span(start, generated),
        "scoring": _span(generated, scored),
        "model": no_spans,
        "env": no_spans,
        "total": scored - start,
        "overhead": 0.0,
    }


def _span(start: float, end: float) -> dict[str, float]:
    return {"start": start, "end": end, "duration": end - start}


def _seconds(value: object) -> float:
    return float(value) if is_finite(value) else 0.0  # type: ignore[arg-type]
