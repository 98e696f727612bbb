"""EvalStanding: where one eval of the session stands, counted from the reports of its items."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pytest

from ..engine.rollouts import SOUND
from ..gates.verdicts import overall

if TYPE_CHECKING:
    from .owned_run import OwnedRun

StateWord: TypeAlias = Literal[
    "waiting", "running", "judging", "passed", "FAILED", "inconclusive", "not judged"
]

_METRIC = "evals.metric."
# Of a line of the log: which day it is, and which run, is known.
_HEAD = re.compile(r"^[\d-]{10} ([\d:]{8}),\d+ \w+ pytest_evals\.run\.\w+: ")
_RECENT = 50
_LOG_BYTES = 16_384
_LOG_SECONDS = 1.0


class EvalStanding:
    """What the live view shows of an eval.

    Attributes:
        run: the eval.
        done, errors, scored: rollouts that have reported, and those with an error and a reward.
        recent: the last rollouts, a line each.
    """

    def __init__(self, run: OwnedRun) -> None:
        self.run = run
        self.done = self.errors = self.scored = 0
        self.input_tokens = self.output_tokens = 0
        self.recent: deque[str] = deque(maxlen=_RECENT)
        self._rewards = 0.0
        self._metrics: dict[str, list[float]] = {}
        self._log: list[str] = []
        self._log_read = 0.0

    @property
    def planned(self) -> int:
        """Rollouts that were selected."""
        return self.run.selected

    @property
    def mean_reward(self) -> float | None:
        """Over the rollouts that have a reward; None while there is none."""
        return self._rewards / self.scored if self.scored else None

    @property
    def metrics(self) -> dict[str, float]:
        """The mean of each metric so far."""
        return {name: total / count for name, (total, count) in self._metrics.items()}

    @property
    def state(self) -> StateWord:
        """What is going on with it, in a word."""
        run = self.run
        if self.done < self.planned:
            return "running" if self.done else "waiting"
        if run.red_rollouts:
            return "FAILED"
        if len(run.verdicts) < len(run.spec.gates):
            return "judging" if run.selected_gates else "not judged"
        verdict = overall(run.spec.gates, tuple(run.verdicts.values()))
        return "FAILED" if verdict == "failed" else verdict

    def count(self, report: pytest.TestReport) -> None:
        """Count a rollout that reported what it comes to."""
        noted = vars(report)
        state = noted.get("evals_state")
        reward: float | None = None if report.when == "setup" else noted.get("evals_reward")
        self.done += 1
        self.errors += state not in SOUND
        if reward is not None:
            self.scored += 1
            self._rewards += reward
            self._count_properties(report.user_properties)
        self.recent.append(_line(report, state, reward))

    def _count_properties(self, properties: Iterable[tuple[str, object]]) -> None:
        for name, value in properties:
            if not isinstance(value, int | float):
                continue
            if name.startswith(_METRIC):
                sums = self._metrics.setdefault(name[len(_METRIC) :], [0.0, 0])
                sums[0] += value
                sums[1] += 1
            elif name == "evals.input_tokens":
                self.input_tokens += int(value)
            elif name == "evals.output_tokens":
                self.output_tokens += int(value)

    def log_tail(self, lines: int) -> list[str]:
        """Return the last lines of its log, filled up with the rollouts that ended last."""
        now = time.monotonic()
        if now - self._log_read >= _LOG_SECONDS:
            self._log_read = now
            self._log = self._read_log()
        logged = self._log[-lines:] if lines else []
        room = lines - len(logged)
        return [*logged, *list(self.recent)[len(self.recent) - room :]] if room > 0 else logged

    def _read_log(self) -> list[str]:
        if not self.run.was_started:
            return []
        try:
            with self.run.folder.log_path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _LOG_BYTES))
                data = file.read()
        except OSError:
            return []
        lines = data.decode(errors="replace").splitlines()
        return [_HEAD.sub(r"\1 ", line) for line in lines[size > _LOG_BYTES :]]


def _line(report: Any, state: str | None, reward: float | None) -> str:
    name = report.nodeid.rpartition("::")[2]
    if reward is not None:
        return f"{name}  reward {reward:.3g}  {report.duration:.1f} s"
    longrepr = report.longrepr
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr or "")
    return f"{name}  {text.partition(chr(10))[0] or state or report.outcome}"
