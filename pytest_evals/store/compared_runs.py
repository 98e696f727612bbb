"""Compared runs: two runs as a comparison reads them, each from a folder, a file or a baseline."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from . import baselines
from .dialects import saved_settings
from .reading import last_lines, read_metadata, read_rows, results_files
from .rows import RESULTS_FILE

Id: TypeAlias = int | str

_LONGEST_VALUE = 60


@dataclass(slots=True)
class ComparedRun:
    """One of two runs that are compared.

    Attributes:
        label: what the user calls it.
        name, model: of the eval; "" where that is not said.
        threshold: a reward is right from here on; None where that is not said.
        rewards: of the rollouts of each example.
        slices: by column (`task`, `info.topic`), the value of each example.
        without_reward: rows that have none.
        settings: what was measured, as the head of a baseline says it; None where nothing does.
        contents: digests of what the dataset says of each example, and of its prompt.
        problems: lines that are no rows.
    """

    label: str
    name: str = ""
    model: str = ""
    threshold: float | None = None
    rewards: dict[Id, list[float]] = field(default_factory=dict)
    slices: dict[str, dict[Id, str]] = field(default_factory=dict)
    without_reward: int = 0
    settings: Mapping[str, Any] | None = None
    contents: dict[Id, tuple[str, str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_compared(path: Path, label: str) -> ComparedRun:
    """Read a run's folder, a file of its rows, or a baseline.

    Raises:
        OSError: it cannot be read.
        ValueError: it is none, or has no rollout; the message says what is wrong.
    """
    if path.is_file() and baselines.is_baseline(path):
        return _of_baseline(baselines.read_baseline(path), label)
    run = ComparedRun(label)
    if path.is_dir() or path.name == RESULTS_FILE:
        folder = path if path.is_dir() else path.parent
        if not results_files(folder):
            raise ValueError(f"no run: it has no {RESULTS_FILE}")
        _read_metadata(run, folder)
        _add_rows(run, read_rows(folder, run.problems.append))
    else:
        with path.open("rb") as file:
            _add_rows(run, (row for row, _ in last_lines([file], run.problems.append)))
    if not run.rewards and not run.without_reward:
        raise ValueError("it holds no row of a rollout")
    return run


def _of_baseline(baseline: baselines.Baseline, label: str) -> ComparedRun:
    head = baseline.head
    return ComparedRun(
        label,
        name=str(head.get("eval") or ""),
        model=str(head.get("model") or ""),
        rewards={name: list(each.rewards) for name, each in baseline.examples.items()},
        settings=head,
        contents={name: (each.dataset, each.prompt) for name, each in baseline.examples.items()},
    )


def _read_metadata(run: ComparedRun, folder: Path) -> None:
    try:
        metadata = read_metadata(folder)
    except (OSError, ValueError):  # the rows say enough
        return
    run.name = str(metadata.get("name") or metadata.get("env_id") or "")
    run.model = str(metadata.get("model") or "")
    threshold = metadata.get("pass_threshold")
    if isinstance(threshold, int | float):
        run.threshold = float(threshold)
    run.settings = baselines.settings_of(saved_settings(metadata))


def _add_rows(run: ComparedRun, rows: Iterable[Mapping[str, Any]]) -> None:
    for row in rows:
        reward, name = row.get("reward"), row["example_id"]
        is_number = isinstance(reward, int | float) and math.isfinite(reward)
        if row.get("state") != "scored" or not is_number:
            run.without_reward += 1
            continue
        if name not in run.rewards:
            run.contents[name] = baselines.content_of(row)
            for column, value in _columns(row):
                run.slices.setdefault(column, {})[name] = value
        run.rewards.setdefault(name, []).append(float(row["reward"]))


def _columns(row: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """Yield what an example can be sorted by: its task, and what its `info` says in a word."""
    info = row.get("info")
    if isinstance(info, str):
        try:
            info = json.loads(info)
        except (ValueError, RecursionError):
            info = None
    table = {"task": row.get("task")}
    if isinstance(info, Mapping):
        table |= {f"info.{key}": value for key, value in info.items()}
    for column, value in table.items():
        if isinstance(value, str | int | float | bool) and len(str(value)) <= _LONGEST_VALUE:
            yield column, str(value)
