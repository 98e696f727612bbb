"""ScriptRun: one execution of an environment outside pytest, on the loop of its caller."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import logging
import random
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import InfraError, InvalidModelResponseError, RejectedError, SetupError
from .given_client import GivenClient
from .sampling import merge_sampling_args

if TYPE_CHECKING:
    from ..engine.attempts import Attempt
    from ..engine.run import EvalRun
    from ..store.run_folder import RunFolder
    from .environment import Environment

FIRST_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 60.0
_RETRIED: Final = (InfraError, InvalidModelResponseError)

logger = logging.getLogger(__name__)


class ScriptRun:
    """Generates and scores groups; a rollout that fails has a row that says so.

    Args:
        environment: what rolls out and scores.
        given: the client.
        folder: where rows go.
        sampling_args: merged over those of the environment.
        rollouts_per_example: size of a complete group.
        max_concurrent: rollouts in flight; 0 or less for no limit.
        max_retries: how often a rollout is generated again after an `InfraError` or an
            `InvalidModelResponseError`.
        state_columns: keys of the states that rows hold as well.
    """

    def __init__(
        self,
        environment: Environment,
        given: GivenClient,
        folder: RunFolder,
        *,
        sampling_args: Mapping[str, Any] | None,
        rollouts_per_example: int,
        max_concurrent: int = -1,
        max_retries: int = 0,
        state_columns: Sequence[str] = (),
    ) -> None:
        from ..engine.run import EvalRun
        from ..store.rows import STANDARD_KEYS

        self._client = given.client
        self._max_retries = max_retries
        self._state_columns = list(state_columns)
        self._own_columns = [name for name in state_columns if name not in STANDARD_KEYS]
        self._columns: dict[tuple[int, int], dict[str, Any]] = {}
        self._slots = asyncio.Semaphore(max_concurrent) if max_concurrent > 0 else None
        self._rejected: RejectedError | None = None
        self._started = time.time()
        self.run: EvalRun = EvalRun(
            name=environment.env_id or type(environment).__name__,
            environment=environment,
            endpoint=given.endpoint,
            sampling_args=dict(sampling_args or {}),
            folder=folder,
            log=logger,
            rollouts_per_example=rollouts_per_example,
            pass_threshold=environment.pass_threshold,
        )

    async def roll_out_all(self, groups: Sequence[Sequence[Mapping[str, Any]]]) -> None:
        """Roll out and score every group, side by side."""
        async with asyncio.TaskGroup() as tasks:
            for inputs in groups:
                tasks.create_task(self.roll_out(inputs))

    async def roll_out(self, inputs: Sequence[Mapping[str, Any]]) -> None:
        """Roll out and score the rollouts of one example."""
        from ..engine.attempts import Attempt, conclude
        from ..engine.groups import is_scored_by_group
        from ..engine.rollouts import RolloutJob

        attempts = [
            Attempt(RolloutJob(self.run, dict(example), number))
            for number, example in enumerate(inputs)
        ]
        as_group = is_scored_by_group(attempts[0].job)
        async with asyncio.TaskGroup() as tasks:
            for attempt in attempts:
                work = self._roll_out_one(attempt, is_scored=not as_group)
                tasks.create_task(_noting_its_end([attempt], work))
        generated = [attempt for attempt in attempts if attempt.error is None]
        if as_group and generated:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_noting_its_end(generated, self._score_group(generated)))
        for attempt in attempts:
            conclude(attempt)
            self._keep_columns(attempt)

    async def _roll_out_one(self, attempt: Attempt, *, is_scored: bool) -> None:
        from ..engine.phase_slots import PhaseSlots
        from ..engine.scoring import clean_up, score

        async with self._slot():
            await self._generate(attempt)
            if attempt.error is not None:
                await clean_up([attempt])
            elif is_scored:
                await score([attempt], as_group=False, slots=PhaseSlots(None))

    async def _score_group(self, attempts: list[Attempt]) -> None:
        from ..engine.phase_slots import PhaseSlots
        from ..engine.scoring import score

        async with self._slot():
            await score(attempts, as_group=True, slots=PhaseSlots(None))

    async def _generate(self, attempt: Attempt) -> None:
        from ..engine.attempts import generate

        for retry in range(self._max_retries + 1):
            if self._rejected is not None:  # nothing else sent to the endpoint can succeed
                attempt.error = self._rejected
                return
            attempt.error = attempt.state = attempt.head = None
            await generate(attempt, self._client)
            if isinstance(attempt.error, RejectedError):
                self._rejected = attempt.error
            if not isinstance(attempt.error, _RETRIED) or retry == self._max_retries:
                return
            longest = min(_LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2**retry)
            await asyncio.sleep(longest * random.uniform(0.5, 1.0))

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._slots is None:
            yield
            return
        async with self._slots:
            yield

    def _keep_columns(self, attempt: Attempt) -> None:
        if self._own_columns and attempt.state is not None:
            get = attempt.state.get
            self._columns[attempt.job.key] = {name: get(name) for name in self._own_columns}

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows, by example and rollout, with the state columns."""
        from ..store.reading import read_rows

        missing = dict.fromkeys(self._own_columns)
        rows = list(read_rows(self.run.folder.path))
        return [
            row | self._columns.get((row["example_id"], row["rollout"]), missing) for row in rows
        ]

    def metadata(
        self, rows: Sequence[Mapping[str, Any]], shuffle_seed: int | None
    ) -> dict[str, Any]:
        """Return what metadata.json says of these rows, all there are.

        Args:
            rows: from `rows`.
            shuffle_seed: in which order the examples were taken; None for their own.
        """
        from ..endpoints.urls import public_url
        from ..reports.metadata import metadata
        from ..reports.summary import summarise
        from ..stats.measurements import Measurements, Plan

        run, environment = self.run, self.run.environment
        examples = len({row["example_id"] for row in rows})
        plan = Plan(examples, run.rollouts_per_example, run.pass_threshold)
        measurements = Measurements.from_rows(rows, planned=plan, is_over=True)
        content = metadata(
            summary=summarise(
                name=run.name,
                model=run.endpoint.model,
                measurements=measurements,
                gates=(),
                verdicts=(),
                seconds=time.time() - self._started,
            ),
            measurements=measurements,
            env_id=environment.env_id,
            env_args=environment.env_args,
            base_url=public_url(run.endpoint.url),
            sampling_args=merge_sampling_args(environment.sampling_args, run.sampling_args),
            version=importlib.metadata.version("pytest-rollouts"),
        )
        return content | {
            "state_columns": self._state_columns,
            "shuffle": shuffle_seed is not None,
            "shuffle_seed": shuffle_seed,
        }

    def save(self, rows: Sequence[Mapping[str, Any]], metadata: Mapping[str, Any]) -> None:
        """Leave one row per rollout and metadata.json in the folder.

        Raises:
            OSError: a file could not be written; names it.
        """
        from ..store.encoding import to_json

        if self._own_columns:  # known once a rollout is over: a line with them replaces the first
            for row in rows:
                self.run.folder.append(f"{to_json(dict(row))}\n")
        self.run.folder.compact()
        self.run.folder.write_metadata(metadata)


async def _noting_its_end(attempts: Sequence[Attempt], work: Awaitable[None]) -> None:
    """Do the work of a task; if it is cancelled, these rollouts are broken.

    Where somebody else cancelled it, the whole run ends and nobody looks at them.
    """
    try:
        await work
    except asyncio.CancelledError as error:
        for attempt in attempts:
            attempt.error = RuntimeError("the code of the environment cancelled the rollout")
            attempt.error.__cause__ = error
        raise


@contextlib.contextmanager
def open_folder(
    environment: Environment, given: GivenClient, *, is_kept: bool, path: Path | None
) -> Iterator[RunFolder]:
    """Yield the folder of a run, open for writing.

    Args:
        environment, given: whose run it is.
        is_kept: whether it outlives the run; otherwise it is a temporary one.
        path: where it is; a new one below `./outputs/evals` when None.

    Raises:
        SetupError: there is a run in it already.
        OSError: it cannot be made; names it.
    """
    from ..store.run_folder import RunFolder

    with contextlib.ExitStack() as stack:
        if not is_kept:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pytest-evals-")))
        if path is None:
            name = environment.env_id or type(environment).__name__
            folder = RunFolder.create(
                Path("outputs"), name=name, model=given.endpoint.model, mask=given.mask
            )
        else:
            _check_empty(path)
            path.mkdir(parents=True, exist_ok=True)
            folder = RunFolder(path.absolute(), given.mask)
        stack.callback(folder.close)
        yield folder


def _check_empty(path: Path) -> None:
    from ..store.rows import RESULTS_FILE

    if (path / RESULTS_FILE).exists():
        raise SetupError(f"results_path {path} holds a run already; give a new folder")


def in_memory_only(folder: RunFolder, is_kept: bool) -> dict[str, Any]:
    """Return the keys of metadata that are not written to disk."""
    where = str(folder.path) if is_kept else None
    return {"date": datetime.now().isoformat(timespec="seconds"), "path_to_save": where}
