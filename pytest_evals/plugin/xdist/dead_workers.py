"""DeadWorkers: what workers that died had done, and which rollout is to blame for it."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ...engine.culprit import read_current
from ...engine.rollouts import RolloutKey
from ..owned_run import OwnedRun
from ..stored_results import is_generated
from .plan import EvalPlan
from .replay import absorb, broken_line


class WorkerDiedError(Exception):
    """A rollout's code ended the process that it ran in."""


class DeadWorkers:
    """The rows of workers that died.

    Args:
        plans: by node id of the eval.
        places: by index of the item: the run, and which rollout of it.
    """

    def __init__(
        self, plans: Mapping[str, EvalPlan], places: Mapping[int, tuple[OwnedRun, RolloutKey]]
    ) -> None:
        self._plans = plans
        self._places = places
        self._finished: dict[tuple[OwnedRun, RolloutKey], str] = {}
        self._unfinished: dict[tuple[OwnedRun, RolloutKey], str] = {}
        self._reported: set[tuple[OwnedRun, RolloutKey]] = set()
        self._spared: set[int] = set()

    def bury(self, worker: str, runs: Iterable[OwnedRun]) -> None:
        """Take over the rows of a worker that died."""
        for run in runs:
            with run.noting_problems():
                for key, state, line in absorb(run.folder, worker):
                    if (run, key) not in self._reported:
                        self._keep((run, key), state, line)

    def _keep(self, place: tuple[OwnedRun, RolloutKey], state: str, line: str) -> None:
        if state != "scored":
            self._unfinished[place] = line
            self._finished.pop(place, None)
            return
        self._finished[place] = line
        if not self._plans[place[0].nodeid].scores_groups:
            self._unfinished.pop(place, None)  # else its group may have to be scored again

    def reported(self, index: int) -> None:
        """Forget the row of a rollout that has reported: it is not run again."""
        place = self._places[index]
        self._reported.add(place)
        self._finished.pop(place, None)
        self._unfinished.pop(place, None)

    def blamed(self, current: Path, indices: Sequence[int], code: int | None) -> int | None:
        """Return which rollout made a worker die, if one did, and note it as broken.

        That is the one whose code was running. Where the process was killed from outside, by
        whoever looks after memory as a rule, or nobody knows, it is given a second chance.

        Args:
            current: where the worker kept which rollout was on its CPU; named after it.
            indices: of its rollouts that have not reported.
            code: the exit code of its process, negative for a signal; None if unknown.
        """
        index = read_current(current)
        if index is None or index not in indices or self._places[index] in self._finished:
            return None
        if code in (None, -signal.SIGKILL) and index not in self._spared:
            self._spared.add(index)
            return None
        run, key = self._places[index]
        worker = current.name.removeprefix("current-")
        ended = "" if code is None else f" (exit code {code})"
        error = WorkerDiedError(f"worker {worker} died while its code was running{ended}")
        with run.noting_problems():
            run.folder.append(broken_line(key, self._unfinished.get((run, key)), error))
        return index

    def replays(self, indices: Sequence[int]) -> dict[int, str]:
        """Return the rows of rollouts that a dead worker or an earlier session had generated.

        They are scored, or have only to be scored. A group that is scored together is finished as
        a whole or not at all.
        """
        known = {index: self._known(index) for index in indices}
        unfinished = {self._group(index) for index, line in known.items() if line is None}
        return {
            index: line
            for index in indices
            if (line := self._line(index, is_finished=self._group(index) not in unfinished))
        }

    def _line(self, index: int, *, is_finished: bool) -> str | None:
        if is_finished:
            return self._known(index)
        run, key = self._places[index]
        line = self._unfinished.get((run, key))
        if line is None and run.stored is not None:
            line = run.stored.generated(key)
        return line if line is not None and is_generated(line) else None

    def _known(self, index: int) -> str | None:
        run, key = self._places[index]
        line = self._finished.get((run, key))
        return run.stored.done(key) if line is None and run.stored is not None else line

    def is_earlier(self, index: int) -> bool:
        """Whether a rollout was done when the session began."""
        run, key = self._places[index]
        return run.stored is not None and run.stored.is_done(key)

    def _group(self, index: int) -> tuple[str, int | str, int]:
        run, (example_id, rollout) = self._places[index]
        is_alone = not self._plans[run.nodeid].scores_groups
        return run.nodeid, example_id, rollout if is_alone else -1
