"""Stored runs: the folders of runs below a path, and which of them is of an eval."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .dialects import is_finite
from .reading import METADATA_FILE, read_metadata, results_files

# `outputs/evals/owner/env--model/run`, below the folder of an environment among others.
_DEEPEST = 10


class StoredRunError(Exception):
    """A path holds no run that can be read; the message names it and says what to do."""


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run on disk, known by its metadata.

    Attributes:
        path: its folder.
        metadata: the content of its metadata.json, of any dialect.
        is_named: the user gave this folder, not one that holds runs.
    """

    path: Path
    metadata: Mapping[str, Any]
    is_named: bool = False

    @property
    def name(self) -> str | None:
        """The name of its eval; None where nothing says it, as in runs of verifiers."""
        name = self.metadata.get("name")
        return name if isinstance(name, str) else None

    @property
    def env_id(self) -> str:
        """Its environment; older versions of verifiers say `env`."""
        return str(self.metadata.get("env_id", self.metadata.get("env", "")))

    @property
    def model(self) -> str:
        """The model that was asked."""
        return str(self.metadata.get("model", ""))

    @property
    def is_partial(self) -> bool:
        """Whether a selection left some of its rollouts out."""
        return bool(self.metadata.get("partial") or self.metadata.get("unselected"))

    @property
    def age(self) -> tuple[bool, float]:
        """What orders runs: partial ones first, then from old to new."""
        started = self.metadata.get("started")
        if not is_finite(started) or not started:
            started = (self.path / METADATA_FILE).stat().st_mtime
        return not self.is_partial, float(started)

    def __str__(self) -> str:
        named = "" if self.name is None else f"{self.name!r}, "
        return f"{self.path} ({named}environment {self.env_id!r}, model {self.model!r})"


def find_runs(path: Path) -> list[StoredRun]:
    """Return the run in a folder, or the runs in the folders below it.

    A file of a run's folder stands for the folder.

    Raises:
        StoredRunError: there is none, or the one there cannot be read.
    """
    if path.name in (METADATA_FILE, "results.jsonl") and path.is_file():
        path = path.parent
    if not path.is_dir():
        what = "is no folder" if path.exists() else "is not there"
        raise StoredRunError(f"{path} {what}: name the folder of a run, or one that holds runs")
    try:
        if (path / METADATA_FILE).exists() or results_files(path):
            return [StoredRun(path, _metadata(path), is_named=True)]
        found = [_found(folder) for folder in _run_folders(path)]
    except OSError as error:
        raise StoredRunError(f"{path} cannot be read: {error}") from None
    runs = [run for run in found if run is not None]
    if not runs:
        raise StoredRunError(f"{path} is no run and holds none: no {METADATA_FILE} is below it")
    return runs


def choose_run(
    runs: Sequence[StoredRun], *, name: str, env_id: str, model: str | None, others: Sequence[str]
) -> StoredRun:
    """Return the run of an eval: the newest that has its name and its environment.

    Of runs that were named themselves, and of those that have no name, one is taken as well whose
    name is of no other eval here: the same rows are judged for an eval that is called otherwise.

    Args:
        runs: what there is.
        name, env_id, model: of the eval; the model may be an alias, or None.
        others: names of the other evals of its file.

    Raises:
        StoredRunError: none is, or several that were named are.
    """
    of_env = [run for run in runs if _last(run.env_id) == _last(env_id)]
    matching = [run for run in of_env if run.name == name]
    if not matching:
        free = [run for run in of_env if run.name not in others]
        matching = [run for run in free if run.is_named or run.name is None]
        same_model = [run for run in matching if run.model == model]
        matching = same_model or matching
        if len({run.name for run in matching}) > 1:
            raise StoredRunError(f"several runs could be of it: {_listed(matching)}")
    named = [run for run in matching if run.is_named]
    if len(named) > 1:
        raise StoredRunError(f"several of the runs are of it; name one: {_listed(named)}")
    if not matching:
        raise StoredRunError(
            f"no run of it (environment {env_id!r}) is there; the runs are {_listed(runs)}"
        )
    return named[0] if named else max(matching, key=lambda run: run.age)


def _last(env_id: str) -> str:
    """Return an environment's name without its owner and version."""
    return env_id.rpartition("/")[2].partition("@")[0].replace("-", "_")


def _listed(runs: Sequence[StoredRun], most: int = 5) -> str:
    more = f" and {len(runs) - most} more" if len(runs) > most else ""
    return "; ".join(map(str, runs[:most])) + more


def _run_folders(path: Path) -> list[Path]:
    found = []
    for folder, names, files in os.walk(path):
        here = Path(folder)
        if METADATA_FILE in files:
            found.append(here)
            names.clear()
        elif len(here.relative_to(path).parts) >= _DEEPEST:
            names.clear()
        names[:] = sorted(name for name in names if not name.startswith("."))
    return found


def _found(folder: Path) -> StoredRun | None:
    """Return the run in a folder; other programs have files of that name as well."""
    try:
        metadata = read_metadata(folder)
    except (OSError, ValueError):
        return None
    is_run = "model" in metadata and ("env_id" in metadata or "env" in metadata)
    return StoredRun(folder, metadata) if is_run else None


def _metadata(path: Path) -> Mapping[str, Any]:
    try:
        return read_metadata(path)
    except FileNotFoundError:
        raise StoredRunError(
            f"{path} has rows and no {METADATA_FILE}, which says how many were planned"
        ) from None
    except ValueError as error:
        raise StoredRunError(str(error)) from None
