"""Engine: keeps rollouts in flight on one event loop and delivers them as they finish."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from ..endpoints.endpoint import Endpoint
from ..errors import ModelError, SetupError
from .attempts import ENDINGS, Attempt, conclude, generate
from .clients import EndpointClients, MakeClient
from .groups import GroupBoard
from .health import EndpointHealth
from .loop import LoopHost, LoopThread
from .output import CURRENT_OUTPUT
from .rollouts import RolloutJob, RolloutResult
from .run import EvalRun
from .scoring import clean_up, score
from .slots import Demand, Limits, Slots
from .teardown import tear_down

# How long is waited for rollouts that ignore their cancellation, for a loop that one of them
# blocks, and for all that ends on the loop in the end.
_CANCEL_SECONDS = 1.0
_BLOCKED_SECONDS = 0.5
_CLOSE_SECONDS = 2.0
# How long environments may take to release what they hold.
_TEARDOWN_SECONDS = 10.0
# How long changes of the demand are gathered before they are told.
_TELL_SECONDS = 0.02


class Engine:
    """Runs rollouts ahead of whoever reports them.

    Jobs start in the order they were submitted, at most `limit` at a time over all evals, and are
    delivered in the order they end. The public methods are for the thread that made the engine;
    everything else, `deliver` included, happens where the loop runs.

    Args:
        limit: rollouts in flight; 0 or less for no limit.
        make_client: makes the client of an endpoint; called once for each Endpoint object.
        deliver: takes every result, once; it must be quick and thread-safe.
        host: runs the loop; a thread of its own when None.
        on_demand: takes what there is to do whenever more or fewer slots could be used than
            before; like `deliver`. Nobody is told while all slots are in use and rollouts wait.
    """

    def __init__(
        self,
        *,
        limit: int,
        make_client: MakeClient,
        deliver: Callable[[RolloutResult], None],
        host: LoopHost | None = None,
        on_demand: Callable[[Demand], None] | None = None,
    ) -> None:
        self._clients = EndpointClients(make_client)
        self._deliver = deliver
        self._on_demand = on_demand
        self._is_telling = False
        self._slots = Slots(Limits(limit if limit > 0 else None))
        self._waiting: dict[EvalRun, deque[RolloutJob]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # By identity, as the clients are kept.
        self._health: dict[int, EndpointHealth] = {}
        self._groups = GroupBoard()
        self._stopping = False
        self._is_blocked = False
        # What rollouts start from: one must not see the context variables of another.
        self._context = contextvars.copy_context()
        self._host = LoopThread("pytest-evals") if host is None else host

    @property
    def in_flight(self) -> int:
        """Rollouts under way."""
        return self._slots.taken

    def connect(self, endpoint: Endpoint) -> None:
        """Make the endpoint's client now; an endpoint whose client cannot be made is given up."""
        try:
            self._host.run(self._clients.connect(endpoint))
        except SetupError as error:
            self.give_up(endpoint, ModelError(str(error)))
        except Exception as error:  # of whoever supplied the client
            self.give_up(endpoint, error)

    def submit(self, jobs: Iterable[RolloutJob]) -> None:
        """Queue rollouts; those of one group must come in one call. Does nothing once cancelled."""
        if not self._stopping:
            self._host.call_soon(self._enqueue, list(jobs))

    def resize(self, limits: Limits) -> None:
        """Go by other limits from now on; rollouts that are in flight beyond them go on.

        `on_demand` hears of what there is to do under them, also where nothing has changed.
        """
        self._host.call_soon(self._resize, limits)

    def give_up(self, endpoint: Endpoint, error: BaseException) -> None:
        """Deliver every waiting rollout of `endpoint` as failed because of `error`."""
        self._host.call_soon(self._give_up, endpoint, error)

    def held(self, seconds: float) -> contextlib.AbstractContextManager[None]:
        """Keep the loop still while the block runs, for `seconds` at most: `LoopThread.held`."""
        return self._host.held(seconds)

    def use_threads(self, count: int) -> None:
        """Let `asyncio.to_thread` and the like of user code run in up to `count` threads."""
        self._host.use_threads(count)

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run user code on the loop of the rollouts, beside them, and return what it returns.

        Raises:
            TimeoutError: the engine was cancelled, and it did not end within 10 seconds.
        """
        return self._host.run(work, timeout=_TEARDOWN_SECONDS if self._stopping else None)

    def cancel(self) -> None:
        """Start nothing more, cancel what is in flight and wait a moment for it to end."""
        if self._stopping:
            return
        self._stopping = True
        try:
            self._host.run(self._cancel_all(), timeout=_CANCEL_SECONDS + _BLOCKED_SECONDS)
        except concurrent.futures.TimeoutError:
            self._is_blocked = True

    def tear_down(self, environments: Iterable[Any]) -> list[tuple[Any, BaseException]]:
        """Tear down environments, once nothing is in flight; it takes 10 seconds at most.

        Returns:
            Those that failed to, each with what it raised.
        """
        self.cancel()
        environments = list(environments)
        late = TimeoutError("the event loop is blocked")
        if self._is_blocked:
            return [(environment, late) for environment in environments]
        work = tear_down(environments, _TEARDOWN_SECONDS)
        try:
            return self._host.run(work, timeout=_TEARDOWN_SECONDS + _CLOSE_SECONDS)
        except concurrent.futures.TimeoutError:
            self._is_blocked = True
            return [(environment, late) for environment in environments]

    def close(self) -> None:
        """Cancel, close the clients and end the loop; a blocked one is left to its daemon thread.

        Closing again does nothing.
        """
        self.cancel()
        seconds = _BLOCKED_SECONDS if self._is_blocked else _CLOSE_SECONDS
        self._host.close(self._clients.close, seconds)

    def _enqueue(self, jobs: list[RolloutJob]) -> None:
        self._groups.expect(jobs)
        for job in jobs:
            self._waiting.setdefault(job.run, deque()).append(job)
        self._refuse()
        self._fill()
        self._tell_soon()

    def _resize(self, limits: Limits) -> None:
        self._slots.limits = limits
        self._fill()
        self._tell_soon()

    def _give_up(self, endpoint: Endpoint, error: BaseException) -> None:
        self._health_of(endpoint).give_up(error)
        self._refuse()
        self._tell_soon()

    def _fill(self) -> None:
        while not self._stopping and not self._slots.are_full:
            job = self._next_job()
            if job is None:
                return
            self._start(job)

    def _next_job(self) -> RolloutJob | None:
        for run, waiting in self._waiting.items():
            if self._health_of(run.endpoint).may_start and not self._slots.are_full_for(run):
                job = waiting.popleft()
                if not waiting:
                    del self._waiting[run]
                    self._tell_soon()
                return job
        return None

    def _refuse(self) -> None:
        """Deliver what waits for an endpoint that was given up; that takes no slot."""
        for run in list(self._waiting):
            health = self._health_of(run.endpoint)
            if health.status == "given up":
                for job in self._waiting.pop(run):
                    health.failed(Attempt(job, error=health.error))
                    self._report_failures(health)

    def _start(self, job: RolloutJob) -> None:
        self._slots.take(job.run)
        self._health_of(job.run.endpoint).in_flight += 1
        attempt = Attempt(job)
        task = self._spawn(self._roll_out(attempt), attempt)
        # A callback, not a finally: a task cancelled before its first step runs no body.
        task.add_done_callback(lambda task: self._ended(attempt, task))

    def _spawn(self, work: Coroutine[Any, Any, None], attempt: Attempt) -> asyncio.Task[None]:
        context = self._context.copy()
        context.run(CURRENT_OUTPUT.set, attempt.output)
        task = self._host.loop.create_task(work, context=context)
        self._tasks.add(task)
        return task

    async def _roll_out(self, attempt: Attempt) -> None:
        client = self._clients.of(attempt.job.run.endpoint)
        attempt.has_begun = True
        try:
            await generate(attempt, client)
        except ENDINGS as error:
            self._fail([attempt], error, "the code of the environment cancelled the rollout")
        if self._stopping:
            await clean_up([attempt])
            return
        health = self._health_of(attempt.job.run.endpoint)
        if attempt.answered and health.answered():
            self._report_failures(health)
            self._fill()
            self._tell_soon()
        if attempt.ran_out_of_time and health.status != "answering":
            # A limit of the environment's own is scored, as too slow. Of an endpoint that has
            # never answered anything, slowness is not known: it may be down.
            attempt.error = ModelError("no answer within the rollout's limit, nor ever before")
        if attempt.error is not None:
            await clean_up([attempt])
            health.failed(attempt)  # reported by _ended, once this one has left the flight
        elif self._groups.holds(attempt.job):
            await self._score(self._groups.ended(attempt), as_group=True)
        else:
            await self._score([attempt], as_group=False)

    async def _score(self, attempts: list[Attempt], *, as_group: bool) -> None:
        if not attempts:
            return
        try:
            await score(attempts, as_group=as_group)
        except ENDINGS as error:
            self._fail(attempts, error, "a reward function cancelled the scoring")
        # All of a group are on disk before one is delivered: what is reported and lost with its
        # process afterwards leaves no part of a group to be scored.
        for result in [conclude(attempt) for attempt in attempts]:
            self._deliver(result)

    def _score_rest(self, attempts: list[Attempt]) -> None:
        """Score what there is of a group whose last member failed."""
        if not attempts:
            return
        task = self._spawn(self._score(attempts, as_group=True), attempts[0])
        task.add_done_callback(lambda task: self._rest_scored(attempts, task))

    def _rest_scored(self, attempts: list[Attempt], task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        failure = None if task.cancelled() else task.exception()
        if self._stopping:
            return
        for attempt in attempts:
            if not attempt.is_concluded:
                attempt.error = failure or RuntimeError("other code cancelled the scoring")
                self._deliver(conclude(attempt))

    def _fail(self, attempts: list[Attempt], ending: BaseException, text: str) -> None:
        """Note that user code ended these, unless the engine did: then pass its request on."""
        if self._stopping:
            raise ending
        for attempt in attempts:
            attempt.error = RuntimeError(text)
            attempt.error.__cause__ = ending

    def _ended(self, attempt: Attempt, task: asyncio.Task[None]) -> None:
        run = attempt.job.run
        health = self._health_of(run.endpoint)
        self._tasks.discard(task)
        was_uneven = self._slots.are_uneven(run)
        self._slots.give_back(run)
        health.in_flight -= 1
        # Asked for in any case: asyncio complains of an exception that nobody looked at.
        failure = None if task.cancelled() else task.exception()
        if self._stopping:
            return
        # A task that cancels itself counts as cancelled even where it then ran to its end.
        if task.cancelled() and not attempt.has_begun:
            failure = RuntimeError("the rollout was cancelled by other code on the loop")
        if failure is not None:
            attempt.error = failure
            health.failed(attempt)
        self._report_failures(health)
        if health.status == "given up":
            self._refuse()
        self._fill()
        if was_uneven or self._slots.are_uneven(run):
            self._tell_soon()

    def _tell_soon(self) -> None:
        """Tell what there is to do, once for all that changes within a moment."""
        if self._on_demand is not None and not self._is_telling:
            self._is_telling = True
            self._host.loop.call_later(_TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._is_telling = False
        if self._on_demand is not None and not self._stopping:
            self._on_demand(self._demand())

    def _demand(self) -> Demand:
        startable = {
            run: len(waiting)
            for run, waiting in self._waiting.items()
            if self._health_of(run.endpoint).may_start
        }
        return self._slots.demand(startable)

    def _report_failures(self, health: EndpointHealth) -> None:
        for failed in health.settled():
            self._deliver(conclude(failed))
            if self._groups.holds(failed.job):
                self._score_rest(self._groups.ended(failed))

    def _health_of(self, endpoint: Endpoint) -> EndpointHealth:
        health = self._health.get(id(endpoint))
        if health is None:
            health = self._health[id(endpoint)] = EndpointHealth()
        return health

    async def _cancel_all(self) -> None:
        for waiting in self._waiting.values():
            waiting.clear()
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        # What waited for the rest of its group is on disk, to be scored another time.
        tasks.add(asyncio.create_task(clean_up(self._groups.take_waiting())))
        await asyncio.wait(tasks, timeout=_CANCEL_SECONDS)
