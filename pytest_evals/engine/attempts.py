"""Attempt: one rollout while it runs; generating it, scoring it, and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

from ..clients.client import Client
from ..errors import InfraError, RewardError, outcome_of
from ..state import State
from ..store import rows
from .rollouts import RolloutJob, RolloutResult

# The net under everything: an environment that neither ends nor asks the model would hold its slot
# for ever. Requests have their own, shorter limits.
ROLLOUT_LIMIT_SECONDS = 7200.0


@dataclass(slots=True)
class Attempt:
    """One rollout under way.

    Attributes:
        state: what the environment made of it; None while or when there is none.
        head: its encoded row without the score, once it is on disk.
        error: what went wrong with it.
        cause: the rollout whose failure explains this one's.
        stays_generated: it was not scored for want of its siblings; its row is kept as it is.
        start, stop: epoch seconds of generating and scoring it.
    """

    job: RolloutJob
    start: float = field(default_factory=time.time)
    stop: float = 0.0
    state: State | None = None
    head: str | None = None
    error: BaseException | None = None
    cause: str | None = None
    stays_generated: bool = False

    @property
    def answered(self) -> bool:
        """Whether the model answered at least once."""
        return self.state is not None and bool(self.state.trajectory)


async def generate(attempt: Attempt, client: Client) -> None:
    """Roll the model out; what it answered is on disk when this returns without an error."""
    run, job = attempt.job.run, attempt.job
    try:
        async with asyncio.timeout(ROLLOUT_LIMIT_SECONDS) as limit:
            state = await run.environment.rollout(
                job.example, client, run.endpoint.model, run.sampling_args_of(*job.key)
            )
        attempt.state = _checked(state)
        attempt.error = attempt.state["error"]
        _save_generated(attempt)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # SystemExit in an environment must not end the loop
        attempt.error = (
            InfraError(f"the rollout did not end within {ROLLOUT_LIMIT_SECONDS:.0f} s")
            if isinstance(error, TimeoutError) and limit.expired()
            else error
        )
    attempt.stop = time.time()


def _checked(state: Any) -> State:
    if isinstance(state, State):
        return state
    raise TypeError(f"rollout() of the environment returned {type(state).__name__}, not a State")


def _save_generated(attempt: Attempt) -> None:
    state, job = attempt.state, attempt.job
    assert state is not None
    attempt.head = rows.encode_head(state, rollout=job.rollout, prediction=_prediction(attempt))
    if attempt.error is None:
        job.run.folder.append(rows.generated_line(attempt.head))


def _prediction(attempt: Attempt) -> Any:
    """What the environment's parser makes of the completion; None where it fails."""
    assert attempt.state is not None
    completion = attempt.state.get("completion")
    if not completion:
        return None
    try:
        return attempt.job.run.environment.parser.parse_answer(completion)
    except Exception as error:  # a column for readers; the reward functions judge
        attempt.job.run.log.warning("%s: parser failed: %r", attempt.job.name, error)
        return None


async def score(attempts: list[Attempt]) -> None:
    """Score one rollout, or the rollouts of one group together.

    Each attempt gets its reward in its state, or an error.
    """
    states = [attempt.state for attempt in attempts if attempt.state is not None]
    rubric = attempts[0].job.run.environment.rubric
    started = time.time()
    try:
        if rubric.has_group_functions:
            await rubric.score_group(states)
        else:
            await rubric.score_rollout(states[0])
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # SystemExit in a reward function must not end the loop
        for attempt in attempts:
            attempt.error = error
    for attempt, state in zip(attempts, states, strict=True):
        state.timing.scoring.start, state.timing.scoring.end = started, time.time()
        attempt.stop = state.timing.scoring.end
        attempt.error = attempt.error or state["error"]
        if attempt.error is None and state["reward"] is None:
            attempt.error = RewardError(type(rubric).__name__, "left the reward unset")


def conclude(attempt: Attempt) -> RolloutResult:
    """Write the attempt's last row and return its result."""
    run, state = attempt.job.run, attempt.state
    attempt.stop = attempt.stop or time.time()
    try:
        if not attempt.stays_generated:
            run.folder.append(_last_line(attempt))
    except OSError as error:
        # Reported as the rollout's own failure: a result that is not on disk does not count.
        attempt.error, attempt.cause = error, None
    result = RolloutResult(
        run=run,
        key=attempt.job.key,
        outcome="scored" if attempt.error is None else outcome_of(attempt.error),
        start=attempt.start,
        stop=attempt.stop,
        error=attempt.error,
        cause=attempt.cause,
    )
    if state is None:
        return result
    result.prompt, result.completion = state.get("prompt"), state.get("completion")
    if state.usage is not None:
        result.input_tokens = state.usage.prompt_tokens
        result.output_tokens = state.usage.completion_tokens
    if attempt.error is None:
        result.reward, result.metrics = state["reward"], state["metrics"] or {}
    return result


def _last_line(attempt: Attempt) -> str:
    job, state = attempt.job, attempt.state
    if attempt.error is None:
        assert attempt.head is not None and state is not None
        return rows.scored_line(attempt.head, state, pass_threshold=job.run.pass_threshold)
    head = attempt.head or rows.encode_unstarted_head(job.example, rollout=job.rollout)
    return rows.failed_line(
        head,
        state,
        outcome=outcome_of(attempt.error),
        error=attempt.error,
        refers_to=attempt.cause,
    )
