"""LastFailed: what `--lf` selects of an eval that was red, and the run that it continues."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ..engine.rollouts import rollout_name
from .owned_run import OwnedRun

# In pytest's cache: the folder of the last run of each red eval, by node id.
_CACHE_KEY = "evals/runs"


class LastFailed:
    """Remembers red runs in pytest's cache, beside the items that failed.

    pytest itself remembers items that failed. Those that never ran, or were skipped as unmeasured,
    belong to what has to be done again, and so do all gates: they are judged anew.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._folders: dict[str, str] | None = None

    def folder_of(self, run: OwnedRun) -> Path | None:
        """Return the run that a session with `--lf` continues; None in any other session."""
        if not self._config.getoption("lf", False):
            return None
        path = self._known().get(run.nodeid)
        return None if path is None or not Path(path).is_dir() else Path(path)

    def _known(self) -> dict[str, str]:
        if self._folders is None:
            cache = getattr(self._config, "cache", None)
            known = {} if cache is None else cache.get(_CACHE_KEY, {})
            self._folders = known if isinstance(known, dict) else {}
        return self._folders

    def note(self, runs: Iterable[OwnedRun]) -> None:
        """Note the runs that are red, and what is left to do of them.

        To be called before pytest writes its own cache. A part of a run is no run to continue.
        """
        cache = getattr(self._config, "cache", None)
        if cache is None or hasattr(self._config, "workerinput"):
            return
        known = dict(self._known())
        for run in runs:
            if not run.was_started or run.is_partial:
                continue
            if not run.facts.can_go_on:
                if not _is_green(run):
                    self._select_anew(run)
                continue
            if not run.spec.save_results:
                continue
            if _is_green(run):
                known.pop(run.nodeid, None)
                continue
            known[run.nodeid] = str(run.folder.path)
            with run.noting_problems():
                self._select(run)
        if known != self._known():
            cache.set(_CACHE_KEY, known)
            self._folders = known

    @property
    def _failed(self) -> dict[str, bool]:
        """What pytest remembers as failed."""
        plugin: Any = self._config.pluginmanager.getplugin("lfplugin")
        failed = getattr(plugin, "lastfailed", None)
        return failed if isinstance(failed, dict) else {}  # another pytest than is known here

    def _select_anew(self, run: OwnedRun) -> None:
        """Select all of a test function: its rollouts are not kept, and gates need them all."""
        for example, rollout in run.selected_keys():
            name = f"{example}-r{rollout}" if example else f"r{rollout}"
            self._failed[f"{run.nodeid}[{name}]"] = True
        self._failed.update({f"{run.nodeid}::{name}": True for name in run.gate_names})

    def _select(self, run: OwnedRun) -> None:
        scored = {
            (row["example_id"], row["rollout"]) for row in run.rows() if row["state"] == "scored"
        }
        selected = {*run.selected_keys()}
        left = selected - scored
        if run.scores_groups():  # what is scored of a group is scored again with the rest
            examples = {example for example, _ in left}
            left |= {key for key in selected | scored if key[0] in examples}
        names = [*(rollout_name(*key) for key in left), *run.gate_names]
        self._failed.update({f"{run.nodeid}::{name}": True for name in names})


def _is_green(run: OwnedRun) -> bool:
    judged = (run.verdicts.get(name) for name in run.gate_names)
    return not (run.red_items or run.stopped_by) and all(
        verdict is not None and verdict.outcome == "passed" for verdict in judged
    )
