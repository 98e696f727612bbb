"""Attempt: one rollout while it runs; generating it, and what becomes of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..clients.client import Client
from ..errors import InfraError, causes_of, outcome_of
from ..state import State
from ..store import rows
from ..store.state_columns import state_columns
from ..store.unscored import NotStoredError, kept_of, state_of, stored_head
from .account import Account, stored_cost
from .output import RolloutOutput
from .parts import parser_of
from .retrying import described
from .rollouts import RolloutJob, RolloutOutcome, RolloutResult
from .time_limit import TimeLimit

# The net under generating and under scoring: code that neither ends nor asks a model would hold its
# slot for ever. Requests have their own, shorter limits.
LIMIT_SECONDS = 7200.0

# How a task is ended from outside. The engine knows whether it was the one that asked for it.
ENDINGS = (asyncio.CancelledError, GeneratorExit)

# What scoring and the rows read of a state.
_STATE_KEYS = frozenset({"input", "trajectory", "timing", "error", "reward", "metrics"})


@dataclass(slots=True)
class Attempt:
    """One rollout under way.

    Attributes:
        state: what the environment made of it; None while or when there is none.
        head: its encoded row without the score, once it is on disk.
        kept: what that row keeps for scoring, as it was before any.
        error: what went wrong with it.
        cause: the rollout whose failure explains this one's.
        stays_generated: it was not scored, and has only to be scored: so its row says.
        start, stop: epoch seconds of generating and scoring it.
        is_of_part: it was scored with a part of its group, and once that is whole again with all.
        could_not_be_scored: what scores it failed, through no fault of its own.
        warnings: what the user should know of it, besides what its state says.
        ends_endpoint: its failure is why the endpoint was given up.
        is_stored: its state is that of a stored row: the model was not asked.
        has_begun: its own code runs.
        is_left_out: its turn came when nothing more was to be asked.
        is_settled: what becomes of it is decided: it has a result, waits for the rest of its group,
            or is withheld until it is clear what its failure means.
        is_concluded: its result was made.
        is_cleaned_up: its rubric has released, or tried to, what it holds of the state.
        cost_usd: what it cost; None where a price or its tokens are not known.
        account: what it asks the model with, and what its tries used; None until it does.
        output: what its code prints and logs.
        retries: what went wrong in earlier tries, as its row tells it.
    """

    job: RolloutJob
    start: float = field(default_factory=time.time)
    stop: float = 0.0
    state: State | None = None
    head: str | None = None
    kept: rows.Row | None = None
    error: BaseException | None = None
    cause: str | None = None
    stays_generated: bool = False
    could_not_be_scored: bool = False
    is_of_part: bool = False
    warnings: Sequence[str] = ()
    is_stored: bool = False
    has_begun: bool = False
    is_left_out: bool = False
    is_settled: bool = False
    is_concluded: bool = False
    is_cleaned_up: bool = False
    ends_endpoint: bool = False
    cost_usd: float | None = None
    account: Account | None = None
    output: RolloutOutput = field(init=False)
    retries: list[dict[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.output = RolloutOutput(self.job)

    def started(self) -> None:
        """Note that its turn to generate has come."""
        self.start = time.time()

    def was_ended(self, ending: BaseException, text: str) -> None:
        """Note that user code ended it, with what it did so."""
        self.error = RuntimeError(text)
        self.error.__cause__ = ending

    def begin_again(self) -> None:
        """Forget a try of generating it that failed, but for what its row tells."""
        assert self.error is not None and self.account is not None
        self.account.begin_again(self.state, self.error)
        self.retries.append(described(self.error))
        self.error = self.state = self.head = None
        self.is_cleaned_up = False
        self.stop = 0.0

    @property
    def answered(self) -> bool:
        """Whether the model answered at least once, and now: a stored answer shows nothing."""
        if self.state is None or self.is_stored or not self.state.trajectory:
            return False
        return self.account is None or not self.account.is_replay

    @property
    def outcome(self) -> RolloutOutcome:
        """How it ended, once it has."""
        if self.error is not None:
            return outcome_of(self.error)
        return "generated" if self.stays_generated else "scored"

    @property
    def ran_out_of_time(self) -> bool:
        """Whether the environment's own limit ended it before any answer."""
        if self.state is None or self.is_stored or self.state.trajectory:
            return False
        return bool(self.state.get("timed_out"))


async def generate(attempt: Attempt, client: Client) -> None:
    """Roll the model out; what it answered is on disk when this returns without an error."""
    run, job = attempt.job.run, attempt.job
    account = attempt.account = attempt.account or Account(client, run, job.key)
    if job.stored is not None and _take_stored(attempt, job.stored, account.client):
        return
    limit = TimeLimit(LIMIT_SECONDS)
    try:
        with limit:
            state = await run.environment.rollout(
                job.example, account.client, run.endpoint.model, run.sampling_args_of(*job.key)
            )
        attempt.state = _checked(state)
        account.settle(attempt.state)
        attempt.error = error_in(attempt.state)
        _save_generated(attempt, account)
    except ENDINGS:
        raise
    except BaseException as error:  # SystemExit in an environment must not end the loop
        attempt.error = (
            InfraError(f"the rollout did not end within {LIMIT_SECONDS:.0f} s")
            if isinstance(error, TimeoutError) and limit.has_expired
            else error
        )
    attempt.stop = time.time()


def _take_stored(attempt: Attempt, line: str, client: Client) -> bool:
    """Make the attempt's state of its stored row; False where the model must be asked again."""
    run, job = attempt.job.run, attempt.job
    head = stored_head(line)
    state = state_of(
        line,
        job.example,
        client=client,
        model=run.endpoint.model,
        sampling_args=run.sampling_args_of(*job.key),
    )
    if head is None or state is None:
        return False
    attempt.head, attempt.state, attempt.is_stored = head, state, True
    attempt.kept, attempt.cost_usd = kept_of(state), stored_cost(line)
    attempt.start, attempt.stop = state.timing.generation.start, time.time()
    return True


def jobs_anew(attempts: Sequence[Attempt]) -> list[RolloutJob]:
    """Return jobs in the place of stored rollouts whose rows hold too little to score them.

    Args:
        attempts: scored together. All of them are asked anew, or none: these have no result then.
    """
    if not any(attempt.is_stored and _lacks_stored(attempt.error) for attempt in attempts):
        return []
    for attempt in attempts:
        attempt.is_concluded = attempt.is_settled = True
    return [replace(attempt.job, stored=None) for attempt in attempts]


def _lacks_stored(error: BaseException | None) -> bool:
    return error is not None and any(isinstance(each, NotStoredError) for each in causes_of(error))


def _checked(state: Any) -> State:
    if not isinstance(state, State):
        raise TypeError(
            f"rollout() of the environment returned {type(state).__name__}, not a State"
        )
    if not state.keys() >= _STATE_KEYS:
        missing = ", ".join(sorted(_STATE_KEYS - state.keys()))
        raise TypeError(
            f"rollout() of the environment returned a State without {missing}; begin with"
            " self.init_state()"
        )
    return state


def error_in(state: State) -> BaseException | None:
    """Return the error of a rollout; user code may have left anything there."""
    error = state["error"]
    if error is None or isinstance(error, BaseException):
        return error
    return TypeError(f"state['error'] is {type(error).__name__} {error!r}, not an exception")


def _save_generated(attempt: Attempt, account: Account) -> None:
    state, job = attempt.state, attempt.job
    assert state is not None
    cost = account.cost(state)
    attempt.cost_usd = None if cost is None else cost.total_usd
    attempt.head = rows.encode_head(
        state,
        rollout=job.rollout,
        prediction=_prediction(attempt),
        retries=attempt.retries,
        paid=account.columns(state),
        earlier=account.earlier if account.earlier.total_tokens else None,
    )
    if attempt.error is None:
        attempt.kept = kept_of(state)
        columns = _columns(attempt)
        job.run.folder.append(rows.generated_line(attempt.head, state, attempt.kept, columns))


def _prediction(attempt: Attempt) -> Any:
    """What the environment's parser makes of the completion; None where it fails."""
    assert attempt.state is not None
    completion = attempt.state.get("completion")
    if not completion:
        return None
    try:
        parser = parser_of(attempt.job.run.environment, attempt.job.example)
        return parser.parse_answer(completion)
    except Exception as error:  # a column for readers; the reward functions judge
        attempt.job.run.log.warning("%s: parser failed: %r", attempt.job.name, error)
        return None


def conclude(attempt: Attempt) -> RolloutResult:
    """Write the attempt's last row and return its result.

    It raises nothing, whatever user code left in the state: somebody waits for the result.
    """
    attempt.stop = attempt.stop or time.time()
    attempt.is_concluded = attempt.is_settled = True
    try:
        line, result = _last_line(attempt), _result(attempt)
    except Exception as error:
        attempt.error, attempt.cause, attempt.state = error, None, None
        attempt.stays_generated = False
        line, result = _last_line(attempt), _result(attempt)
    if line is None:
        return result
    try:
        attempt.job.run.folder.append(line)
    except (OSError, ValueError) as error:
        # Reported as the rollout's own failure: a result that is not on disk does not count.
        attempt.error, attempt.cause = error, None
        return _result(attempt)
    return result


def _result(attempt: Attempt) -> RolloutResult:
    state = attempt.state
    result = RolloutResult(
        run=attempt.job.run,
        key=attempt.job.key,
        outcome=attempt.outcome,
        start=attempt.start,
        stop=attempt.stop,
        error=attempt.error,
        cause=attempt.cause,
        ends_endpoint=attempt.ends_endpoint,
        warnings=attempt.warnings,
        output=attempt.output,
    )
    account = attempt.account
    if account is not None and account.problem is not None:
        result.warnings = (*result.warnings, account.problem)
    if state is None:
        return result
    result.prompt, result.completion = state.get("prompt"), state.get("completion")
    used = state.usage if account is None else account.used(state)
    if used is not None:
        result.input_tokens, result.output_tokens = used.prompt_tokens, used.completion_tokens
    result.cost_usd = attempt.cost_usd
    for what, seconds in state.get("slow_calls") or ():
        result.slow_calls[what] = max(seconds, result.slow_calls.get(what, 0.0))
    result.warnings = (*result.warnings, *(state.get("eval_warnings") or ()))
    if result.outcome == "scored":
        result.reward, result.metrics = state["reward"], state["metrics"] or {}
        result.reward_errors = len(state.get("reward_errors") or ())
    return result


def _last_line(attempt: Attempt) -> str | None:
    """Return the line to add to what is on disk already; None when that says it all."""
    job, state = attempt.job, attempt.state
    if job.stored is not None and not attempt.has_begun:
        return None  # what is on disk says more: it has only to be scored
    if attempt.error is None and attempt.stays_generated:
        return None
    columns = _columns(attempt)
    if attempt.error is None:
        assert attempt.head is not None and state is not None
        return rows.scored_line(
            attempt.head,
            state,
            pass_threshold=job.run.pass_threshold,
            kept=attempt.kept if attempt.is_of_part else None,
            columns=columns,
        )
    head = attempt.head or rows.encode_unstarted_head(
        job.example, rollout=job.rollout, retries=attempt.retries
    )
    return rows.failed_line(
        head,
        state,
        outcome="generated" if attempt.stays_generated else outcome_of(attempt.error),
        error=attempt.error,
        refers_to=attempt.cause,
        kept=attempt.kept if attempt.stays_generated and state is not None else None,
        columns=columns,
    )


def _columns(attempt: Attempt) -> rows.Row | None:
    """Return what the attempt's row has of its state and example, noting what becomes of it."""
    run, example = attempt.job.run, attempt.job.example
    if not run.state_columns and not run.example_columns:
        return None
    columns, problems = state_columns(attempt.state, run.state_columns)
    attempt.warnings = (*attempt.warnings, *problems)
    return columns | {name: example.get(name) for name in run.example_columns}
