"""RegatedRun: a run of an earlier session, of which the gates are judged once more."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..config.spec import EvalSpec
from ..errors import SetupError, one_line
from ..reports.summary import EvalSummary
from ..stats.measurements import Measurements
from ..store.dialects import is_finite, saved_settings
from ..store.lock import holder_in_words, wait_until_unlocked
from ..store.reading import read_rows, results_files
from ..store.run_folder import RunFolder
from ..store.stored_runs import StoredRun
from .facts import Facts
from .item_run import ItemRun

# Lines of a results file that are no rows: how many of them are told.
_MOST_PROBLEMS = 3


@dataclasses.dataclass(frozen=True, slots=True)
class StoredFacts(Facts):
    """What a run's metadata say where the environment is not loaded and the endpoint not sought.

    Attributes:
        saved: what it measured, as it says itself.
    """

    saved: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def fingerprint(self, spec: EvalSpec) -> dict[str, Any]:
        """Return what the run measured, whatever the file says by now."""
        return dict(self.saved)


class RegatedRun(ItemRun):
    """A stored run, judged with the gates of an eval. Nothing is written into its folder.

    Attributes:
        found: the run.
        begins: whether any of its gates is judged now.

    Args:
        spec: the eval; what was planned is the run's own.
        found: the run.
        mask: replaces the session's secrets in a text.

    Raises:
        SetupError: its rows cannot be judged.
    """

    begins = False

    def __init__(
        self,
        spec: EvalSpec,
        found: StoredRun,
        nodeid: str,
        mask: Callable[[str], str],
        *,
        accepts_partial: bool,
    ) -> None:
        self.found = found
        self._problems: list[str] = []
        _refuse_unfinished(found)
        examples = _count(found, "num_examples") or _examples_in(found)
        rollouts = _count(found, "rollouts_per_example")
        if rollouts < 1 or examples < 1:
            missing = "rollouts_per_example" if rollouts < 1 else "num_examples"
            raise SetupError(f"{found.path}: its metadata.json does not say {missing}")
        facts = _facts(found, spec, examples)
        as_run = dataclasses.replace(
            spec, num_examples=examples, rollouts_per_example=rollouts, save_results=True
        )
        super().__init__(as_run, facts, nodeid, mask, accepts_partial=accepts_partial)
        self._folder = RunFolder(found.path, mask)
        self.started = 1.0  # the run's own, so that the difference is what the session took
        self.stopped = self.started + _number(found.metadata.get("time"))
        self.not_started = _count(found, "not_started")
        stopped_by = found.metadata.get("stopped_by")
        self.stopped_by = stopped_by if isinstance(stopped_by, str) and stopped_by else None

    @property
    def was_started(self) -> bool:
        """Whether any of its gates is to be judged."""
        return self.begins

    @property
    def is_partial(self) -> bool:
        """Whether a selection of its own session left some of its rollouts out."""
        return self.found.is_partial

    @property
    def why_not_judged(self) -> str:
        """Why its gates have no verdict."""
        hint = "" if self.accepts_partial else " (--evals-partial accepts that)"
        if self.is_partial:
            done = self.measurements().finished
            return f"the run is a part of its eval, {done} of {self.plan.rollouts} rollouts{hint}"
        if self.selected_gates < len(self.spec.gates):
            return f"not every gate was selected{hint}"
        return "its item did not run"

    @property
    def log(self) -> logging.Logger:
        """A log that nobody keeps."""
        log = logging.getLogger("pytest_evals.regated")
        log.disabled = True
        return log

    def rows(self) -> Iterator[Mapping[str, Any]]:
        """Yield the rows that are on disk, one per rollout."""
        return read_rows(self.found.path, on_problem=self._note)

    def _note(self, problem: str) -> None:
        if len(self._problems) < _MOST_PROBLEMS and problem not in self._problems:
            self._problems.append(problem)
            self.warn(f"{self.spec.name}: {problem}")

    def read(self) -> Measurements:
        """Read the rows for the first time.

        Raises:
            SetupError: there is none, or they cannot be read.
        """
        try:
            if not results_files(self.found.path):
                raise SetupError(f"{self.found.path} has no results.jsonl: nothing can be judged")
            measurements = self._measure(self.rows())
        except OSError as error:
            text = f"the rows of {self.found.path} cannot be read: {one_line(error)}"
            raise SetupError(text) from None
        if not measurements.states and not measurements.unplanned:
            first = f": {self._problems[0]}" if self._problems else ", which is empty"
            raise SetupError(f"there is no row in the results of {self.found.path}{first}")
        return measurements

    def red_texts(self) -> Iterator[str]:
        """Say which rollouts make an eval red beside its gates, as they did in their session."""
        measured, least = self.measurements(), self.spec.pass_reward
        if measured.broken:
            yield f"{_counted(measured.broken)} broken: the environment or a reward raised"
        if least is not None:
            low = sum(reward is not None and reward < least for reward in measured.reward)
            if low:
                yield f"{_counted(low)} below a reward of {least:g} (pass_reward)"
        if others := _count(self.found, "red_otherwise"):
            yield f"{_counted(others)} red in the session of the run, for what no row tells"

    def finish(self) -> None:
        """Leave what is on disk as it is."""

    def write_metadata(self) -> EvalSummary:
        """Leave metadata.json as it is, and return the figures."""
        return self.summary()

    def close(self) -> None:
        """Nothing is open."""


def _counted(count: int) -> str:
    return "1 rollout is" if count == 1 else f"{count} rollouts are"


def _facts(found: StoredRun, spec: EvalSpec, examples: int) -> StoredFacts:
    metadata = found.metadata
    stored = metadata.get("pass_threshold")
    threshold = spec.pass_threshold
    if threshold is None:
        threshold = float(stored) if is_finite(stored) else 0.5  # type: ignore[arg-type]
    sampling = metadata.get("sampling_args")
    return StoredFacts(
        model=found.model,
        base_url=str(metadata.get("base_url") or ""),
        label=found.model,
        serve=None,
        sampling_args=sampling if isinstance(sampling, Mapping) else {},
        num_examples=examples,
        pass_threshold=threshold,
        # Whether a row that was only generated will never be scored.
        is_scored=bool(metadata.get("over", True)),
        saved=saved_settings(metadata),
    )


def _refuse_unfinished(found: StoredRun) -> None:
    if not wait_until_unlocked(found.path, 0):
        holder = holder_in_words(found.metadata.get("writer"))
        raise SetupError(f"{holder} is still writing into {found.path}: wait for it")


def _examples_in(found: StoredRun) -> int:
    """Return how many examples have rows: of metadata that do not say it (-1 is all)."""
    try:
        return len({row["example_id"] for row in read_rows(found.path)})
    except OSError as error:
        text = f"the rows of {found.path} cannot be read: {one_line(error)}"
        raise SetupError(text) from None


def _count(found: StoredRun, key: str) -> int:
    value = found.metadata.get(key)
    return value if type(value) is int and value > 0 else 0


def _number(value: object) -> float:
    return float(value) if is_finite(value) else 0.0  # type: ignore[arg-type]
