"""Scoring: generated rollouts get their rewards, alone or as a group, and are cleaned up after."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Any

from ..errors import (
    BudgetSpentError,
    IncompleteGroupError,
    InfraError,
    RewardError,
    one_line,
    outcome_of,
)
from ..lifecycle import CLEANUP_SECONDS, Cleaning
from ..state import State
from . import retrying
from .attempts import ENDINGS, LIMIT_SECONDS, Attempt, error_in
from .parts import needs_whole_groups, rubric_of, show_to_rubric
from .phase_slots import PhaseSlots
from .retrying import may_pass
from .rollouts import in_short, rollout_name
from .time_limit import TimeLimit


async def score(
    attempts: list[Attempt], *, as_group: bool, slots: PhaseSlots, spent: str | None = None
) -> None:
    """Score one rollout, or together what there is of one group; then clean up after each.

    What waits before its next try lets others be scored. Once the session's budget is `spent`,
    groups may lack members that were never started.

    Each attempt gets its reward in its state, or an error. What stays `generated` on disk, to be
    scored another time: rollouts that nothing was learned about because a judge failed or their
    group lacks members, and those of an environment that does not score.
    """
    run = attempts[0].job.run
    try:
        if getattr(run.environment, "score_rollouts", True):
            for retry in range(run.max_retries + 1):
                if retry:
                    await retrying.wait(retry - 1)
                    _forget_failures(attempts)
                async with slots.turn("scoring"):
                    await _score_in_time(attempts, as_group)
                if not may_pass([each.error for each in attempts if each.could_not_be_scored]):
                    break
            if as_group:
                scored = sum(attempt.error is None for attempt in attempts)
                for attempt in attempts:
                    attempt.is_of_part = scored < run.rollouts_per_example
        else:
            for attempt in attempts:
                attempt.stays_generated = True
    except asyncio.CancelledError:
        await clean_up(attempts)
        raise
    if spent is not None:
        _explain_incomplete(attempts, spent)
    await clean_up(attempts)


def _forget_failures(attempts: list[Attempt]) -> None:
    for attempt in attempts:
        attempt.error, attempt.stop = None, 0.0
        attempt.stays_generated = attempt.could_not_be_scored = False
        if attempt.state is not None:
            attempt.state["error"] = None
            attempt.state.pop("reward_errors", None)


async def _score_in_time(attempts: list[Attempt], as_group: bool) -> None:
    limit = TimeLimit(LIMIT_SECONDS)
    try:
        with limit:
            await _score(attempts, as_group)
    except ENDINGS:
        raise
    except BaseException as error:  # SystemExit in a reward function must not end the loop
        if isinstance(error, TimeoutError) and limit.has_expired:
            error = InfraError(f"scoring did not end within {LIMIT_SECONDS:.0f} s")
        for attempt in attempts:
            attempt.error, attempt.stop = error, time.time()
    for attempt in attempts:
        if attempt.error is not None and outcome_of(attempt.error) == "unmeasured":
            attempt.stays_generated = True
            attempt.could_not_be_scored = not isinstance(attempt.error, IncompleteGroupError)


async def _score(attempts: Sequence[Attempt], as_group: bool) -> None:
    states = [attempt.state for attempt in attempts if attempt.state is not None]
    job = attempts[0].job
    rubric = rubric_of(job.run.environment, job.example)
    start = time.time()
    for state in states:
        show_to_rubric(job.run.environment, state)
    if not as_group:
        await rubric.score_rollout(states[0])
    elif len(states) == job.run.rollouts_per_example:
        await rubric.score_group(states)
    elif needs_whole_groups(rubric):
        raise _incomplete(attempts)
    else:
        await rubric.score_group(states, incomplete=True)
    stop = time.time()
    for attempt, state in zip(attempts, states, strict=True):
        attempt.stop = stop
        try:
            state.timing.scoring.start, state.timing.scoring.end = start, stop
            attempt.error = _error_of(state, rubric)
        except Exception as error:  # user code spoiled the state: that one's, not the group's
            attempt.error = error


def _error_of(state: State, rubric: Any) -> BaseException | None:
    error = error_in(state)
    # The Rubric sees to the reward; a subclass may score in its own way.
    if error is None and not _is_finite(state["reward"]):
        shown = f"left the reward {state['reward']!r}, not a finite number"
        return RewardError(type(rubric).__name__, shown)
    return error


def _incomplete(attempts: Sequence[Attempt]) -> IncompleteGroupError:
    """Return why nothing is scored of a group that lacks members.

    They failed, or were not selected; a reward that compares the members means nothing then.
    """
    job, generated = attempts[0].job, {attempt.job.rollout for attempt in attempts}
    complete = job.run.rollouts_per_example
    missing = [
        rollout_name(job.key[0], rollout) for rollout in range(complete) if rollout not in generated
    ]
    return IncompleteGroupError(
        f"its group is incomplete: {len(generated)} of {complete} rollouts were generated, without"
        f" {in_short(missing)}, and the rubric scores whole groups"
    )


def _explain_incomplete(attempts: Sequence[Attempt], reason: str) -> None:
    """Say why groups lack members once nothing more starts: that is nobody's failure."""
    for attempt in attempts:
        if isinstance(attempt.error, IncompleteGroupError):
            attempt.error = BudgetSpentError(f"{attempt.error}: {reason}")


def _is_finite(reward: Any) -> bool:
    try:
        return math.isfinite(reward)
    except (TypeError, ValueError, OverflowError):
        return False


async def clean_up(attempts: Sequence[Attempt]) -> None:
    """Let the rubric release what it holds of rollouts that will not be scored any more.

    Their rewards are known by now: what goes wrong here is only logged. That goes for a
    CancelledError too, unless somebody cancelled this task: a handler that ends a task of its own
    and awaits it raises one.
    """
    for attempt in attempts:
        if attempt.state is None or attempt.is_cleaned_up:
            continue
        attempt.is_cleaned_up = True
        if _has_cleanup(attempt):
            await _clean_up(attempt, attempt.state)


def _has_cleanup(attempt: Attempt) -> bool:
    try:
        rubric = rubric_of(attempt.job.run.environment, attempt.job.example)
        return bool(getattr(rubric, "cleans_up", True))
    except Exception:  # of the environment: cleaning up meets it again, where it is logged
        return True


async def _clean_up(attempt: Attempt, state: State) -> None:
    run = attempt.job.run
    task = asyncio.current_task()
    asked = 0 if task is None else task.cancelling()
    try:
        rubric = rubric_of(run.environment, attempt.job.example)
        cleanup = getattr(rubric, "cleanup", None)
        if cleanup is not None:
            with Cleaning(), TimeLimit(CLEANUP_SECONDS):
                await cleanup(state)
    except BaseException as error:
        if isinstance(error, GeneratorExit) or _is_asked_to_end(error, task, asked):
            raise
        run.log.warning(
            "%s: cleanup of the rubric failed: %s", attempt.job.name, one_line(error),
            exc_info=error,
        )  # fmt: skip


def _is_asked_to_end(error: BaseException, task: asyncio.Task[Any] | None, asked: int) -> bool:
    """Whether an error is a cancellation of the task itself, `asked` for that often before."""
    if not isinstance(error, asyncio.CancelledError):
        return False
    return task is None or task.cancelling() > asked
