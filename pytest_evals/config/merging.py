"""Merging: which level's value an eval gets, pure functions of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Table = Mapping[str, Any]

BUILT_IN: Table = {
    "num_examples": 5,
    "rollouts_per_example": 3,
    "model": "openai/gpt-4.1-mini",
}

# Top-level keys that are no defaults of the evals: an environment must be named by each block, and
# `max_concurrent` up there is the limit of the whole session.
_NOT_INHERITED = frozenset({"env_id", "max_concurrent"})


def over(upper: Table, lower: Table) -> dict[str, Any]:
    """Return the values of `upper`, and those of `lower` where it has none.

    A table of `upper` replaces that of `lower` as a whole. Of `model` and `endpoint_id` only the
    one that `upper` sets is kept.
    """
    kept = dict(lower)
    if ("model" in upper) != ("endpoint_id" in upper):
        kept.pop("model", None)
        kept.pop("endpoint_id", None)
    return {**kept, **upper}


def merge_block(block: Table, top_level: Table) -> dict[str, Any]:
    """Return a block with the top-level values of its file as defaults."""
    inherited = {key: value for key, value in top_level.items() if key not in _NOT_INHERITED}
    return over(block, inherited)


def merge_levels(file: Table, settings: Sequence[Table], environment: Table) -> dict[str, Any]:
    """Return the values of an eval.

    Args:
        file: the block, merged with the top level of its file.
        settings: the tables of the command line and the ini file, the strongest first.
        environment: the defaults that come with the environment.
    """
    merged = over(environment, BUILT_IN)
    for table in reversed(settings):
        merged = over(table, merged)
    if "endpoint_id" in file:
        # A row of the registry says where requests go; a provider given elsewhere would send the
        # row's model and key variable to another server.
        merged.pop("provider", None)
    return over(file, merged)


def merge_sampling_args(values: Table) -> dict[str, Any]:
    """Return the sampling arguments, with `max_tokens` and `temperature` where they were given."""
    given = {key: values[key] for key in ("max_tokens", "temperature") if key in values}
    return {**given, **values.get("sampling_args", {})}
