"""Judges: which models an environment's rubrics ask for their verdicts, and how."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..store.fingerprint import digests

# A mock has members without end.
_DEEPEST = 12


def judges_of(environment: Any) -> list[dict[str, Any]]:
    """Return the judge of each rubric that has one: model, digest of the prompt, sampling.

    By the attributes of `JudgeRubric`, which those of verifiers have too; a judge that a reward
    function asks on its own is not known.
    """
    found: list[dict[str, Any]] = []
    for rubric in _rubrics(environment, set()):
        model = _attribute(rubric, "judge_model")
        if not isinstance(model, str):
            continue
        sampling = _attribute(rubric, "judge_sampling_args")
        judge = {
            "model": model,
            "prompt": digests([{"prompt": _attribute(rubric, "judge_prompt")}]),
            "sampling_args": _plain(sampling),
        }
        if judge not in found:
            found.append(judge)
    return found


def _rubrics(owner: Any, seen: set[int], depth: int = 0) -> Iterator[Any]:
    """Yield what is below an environment or a rubric, each object once."""
    if owner is None or id(owner) in seen or depth > _DEEPEST:
        return
    seen.add(id(owner))
    yield owner
    for name in ("envs", "rubrics"):
        members = _attribute(owner, name)
        for member in members if isinstance(members, list | tuple) else ():
            yield from _rubrics(member, seen, depth + 1)
    for name in ("rubric", "original"):
        yield from _rubrics(_attribute(owner, name), seen, depth + 1)


def _plain(sampling: Any) -> Any:
    """Return sampling arguments as JSON has them, the same in every process."""
    try:
        return json.loads(json.dumps(sampling or {}, default=lambda each: type(each).__name__))
    except (TypeError, ValueError, RecursionError):
        return type(sampling).__name__


def _attribute(owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name, None)
    except Exception:  # of somebody's property
        return None
