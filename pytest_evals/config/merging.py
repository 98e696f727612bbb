"""Merging: which level's value an eval gets, pure functions of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .budget import BUDGET_KEYS
from .values import header_name

if TYPE_CHECKING:
    from .assignments import Assignment
    from .blocks import Block

Table = Mapping[str, Any]

BUILT_IN: Table = {
    "num_examples": 5,
    "rollouts_per_example": 3,
    "model": "openai/gpt-4.1-mini",
}

# At the top of a file these are limits of the whole session, no defaults of the evals.
_NOT_INHERITED = frozenset({"max_concurrent", *BUDGET_KEYS})

# Where a request goes, and with which key: one decision, of the level that names a server.
ADDRESS = ("api_base_url", "api_key_var", "api_client_type")

# What an eval sends with every request, and may also say in `sampling_args`.
SHORT_SAMPLING = ("max_tokens", "temperature")


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


def merge_block(block: Block, top_level: Block) -> dict[str, Any]:
    """Return a block's values with the top-level ones of its file as defaults.

    An `[[eval]]` does not inherit `env_id`; a point of an ablation does, and its swept arguments
    are put into the `env_args` that it has or inherits.
    """
    left_out = _NOT_INHERITED if block.point is not None else {*_NOT_INHERITED, "env_id"}
    inherited = {key: value for key, value in top_level.table.items() if key not in left_out}
    merged = over(block.table, inherited)
    if block.point is not None and block.point.args:
        merged["env_args"] = {**merged.get("env_args", {}), **block.point.args}
    return merged


def merge_levels(levels: Sequence[Table]) -> dict[str, Any]:
    """Return the values of an eval.

    Args:
        levels: the strongest first: the block merged with the top level of its file, the command
            line, the ini file, the defaults that come with the environment, those built in.
    """
    merged: dict[str, Any] = {}
    for table in reversed(levels):
        merged = _over_level(table, merged)
    return merged


def assign(values: Table, assignments: Sequence[Assignment]) -> dict[str, Any]:
    """Return the values of an eval with those of `--evals-set`, which beat every level."""
    assigned: dict[str, Any] = {}
    for assignment in assignments:
        key, *inner = assignment.path
        known = assigned.get(key, values.get(key) if inner else None)
        assigned[key] = _put(known, inner, assignment.value)
    kept = dict(values)
    if "sampling_args" in assigned:  # what it has of the file does not beat what is set in short
        inside = _inside("sampling_args", assignments)
        short = [key for key in SHORT_SAMPLING if key in assigned and key not in inside]
        table = assigned["sampling_args"]
        assigned["sampling_args"] = {k: v for k, v in table.items() if k not in short}
    for lines, table in (("header", "headers"), ("header_from_state", "headers_from_state")):
        if lines in kept:  # nor does a line of the file beat a header that is set
            inside = {name.lower() for name in _inside(table, assignments)}
            kept[lines] = [each for each in kept[lines] if header_name(each).lower() not in inside]
    return _over_level(assigned, kept)


def merge_sampling_args(values: Table) -> dict[str, Any]:
    """Return the sampling arguments, with `max_tokens` and `temperature` where they were given."""
    given = {key: values[key] for key in SHORT_SAMPLING if key in values}
    return {**given, **values.get("sampling_args", {})}


def _over_level(upper: Table, lower: Table) -> dict[str, Any]:
    """Return the values of two levels: as `over`, and nothing of `lower` undoes what `upper` says.

    A server that `upper` names, by `endpoint_id` or `provider`, is not sent what `lower` means for
    another: its model and key variable would go elsewhere. Nor is one that `upper` names by its URL
    sent the key of a provider that `lower` names. What `upper` says of sampling in short
    is not beaten by the `sampling_args` of `lower`.
    """
    kept = dict(lower)
    if "endpoint_id" in upper:
        kept.pop("provider", None)
    if "api_base_url" in upper and "provider" not in upper:
        kept.pop("provider", None)
    if "endpoint_id" in upper or "provider" in upper:
        for key in ADDRESS:
            kept.pop(key, None)
    short = [key for key in SHORT_SAMPLING if key in upper and "sampling_args" not in upper]
    if "sampling_args" in kept and short:
        table = kept["sampling_args"]
        kept["sampling_args"] = {k: v for k, v in table.items() if k not in short}
    return over(upper, kept)


def _inside(key: str, assignments: Sequence[Assignment]) -> set[str]:
    """Return the keys that are set in a table, one by one or with the whole of it."""
    found: set[str] = set()
    for assignment in assignments:
        if assignment.path[0] == key:
            found.update(assignment.path[1:2] or assignment.value)
    return found


def _put(table: Any, path: Sequence[str], value: Any) -> Any:
    """Return `table` with a value at a path of keys; what is no table there is replaced."""
    if not path:
        return value
    key, *inner = path
    known = table if isinstance(table, Mapping) else {}
    return {**known, key: _put(known.get(key), inner, value)}
