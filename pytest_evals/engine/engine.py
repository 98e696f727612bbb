"""Engine: keeps rollouts in flight on one event loop and delivers them as they finish."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from ..endpoints.endpoint import Endpoint
from ..errors import ModelError, SetupError
from .admission import Admission, GivenUp
from .attempts import ENDINGS, Attempt, conclude, jobs_anew
from .clients import EndpointClients, MakeClient
from .generating import generate_in_turn
from .groups import GroupBoard, is_scored_by_group
from .health import EndpointHealth
from .loop import LoopHost, LoopThread
from .notice import Notice
from .oldest import Oldest, oldest_of
from .phase_slots import MakeSlots, PhaseSlots
from .rollouts import RolloutJob, RolloutResult
from .scoring import clean_up, score
from .shutdown import Shutdown
from .slots import Demand, Limits
from .tasks import RolloutTasks
from .teardown import tear_down

# How long is waited for all that ends on the loop in the end, and for that where it is blocked.
_CLOSE_SECONDS = 2.0
_BLOCKED_SECONDS = 0.5
# How long environments may take to release what they hold.
_TEARDOWN_SECONDS = 10.0


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
        on_given_up: may see to rollouts that would be refused; like `deliver`: `Admission`.
        phase_slots: makes those that bound how many generate, and how many are scored, at once.
        interleaves: rollouts are scored while others of their eval have not been generated.
    """

    def __init__(
        self,
        *,
        limit: int,
        make_client: MakeClient,
        deliver: Callable[[RolloutResult], None],
        host: LoopHost | None = None,
        on_demand: Callable[[Demand], None] | None = None,
        on_given_up: GivenUp | None = None,
        phase_slots: MakeSlots | None = None,
        interleaves: bool = True,
    ) -> None:
        self._clients = EndpointClients(make_client)
        self._deliver = deliver
        self._groups = GroupBoard(interleaves=interleaves)
        self._phases = PhaseSlots(phase_slots)
        self._admission = Admission(Limits(limit if limit > 0 else None), self._groups, on_given_up)
        self._tasks = RolloutTasks()
        self._stopping = False
        self._shutdown: Shutdown | None = None
        self._is_blocked = False
        self._host = LoopThread("pytest-evals") if host is None else host
        self._notice = None if on_demand is None else Notice(self._host.loop, on_demand)

    @property
    def in_flight(self) -> int:
        """Rollouts under way."""
        return self._admission.slots.taken

    @property
    def oldest(self) -> Oldest | None:
        """The rollout that is under way for the longest time."""
        return oldest_of(self._tasks)

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

    def spend(self, reason: str) -> None:
        """Start nothing more, and deliver what waits as missing; safe to call from any thread."""
        self._admission.spent = reason
        with contextlib.suppress(RuntimeError):  # closed by now
            self._host.loop.call_soon_threadsafe(self._proceed)

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

    def stop(self) -> None:
        """Start and record nothing more; to be called on the loop, `cancel` does the rest."""
        self._stopping = True

    def cancel(
        self, on_cleaning: Callable[[Sequence[RolloutJob]], None] | None = None
    ) -> Sequence[RolloutJob]:
        """Start nothing more, cancel what is in flight and wait for it to end.

        That takes a moment, and up to 10 seconds where cleanup handlers have to end.

        Args:
            on_cleaning: told once, if it takes long, whose cleanup is waited for.

        Returns:
            The rollouts whose cleanup did not end.
        """
        self._stopping = True
        if self._shutdown is None:
            self._shutdown = Shutdown(self._tasks, self._groups)
        if not self._is_blocked:
            self._is_blocked = not self._shutdown.wait(self._host, on_cleaning)
        return self._shutdown.unclean

    def hurry(self) -> None:
        """Wait for no cleanup any more in `cancel`; safe to call from a signal handler."""
        if self._shutdown is not None:
            self._shutdown.hurry()

    def tear_down(self, environments: Iterable[Any]) -> list[tuple[Any, BaseException]]:
        """Tear down environments, once nothing is in flight; it takes 10 seconds at most.

        Returns:
            Those that failed to, each with what it raised.
        """
        self.cancel()
        if not self._is_blocked:
            failed, self._is_blocked = tear_down(self._host, environments, _TEARDOWN_SECONDS)
            return failed
        late = TimeoutError("the event loop is blocked")
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
        self._admission.add(jobs)
        self._proceed()

    def _resize(self, limits: Limits) -> None:
        self._admission.slots.limits = limits
        self._proceed()

    def _give_up(self, endpoint: Endpoint, error: BaseException) -> None:
        self._health_of(endpoint).give_up(error)
        self._proceed()

    def _fill(self) -> None:
        while not self._stopping:
            for dropped in self._admission.drop():
                self._deliver(dropped)
            work = self._admission.next()
            if work is None:
                return
            if isinstance(work, RolloutJob):
                self._start(work)
            else:
                self._score_rest(work)

    def _proceed(self) -> None:
        """Report what is not worth asking for any more, and start what may start."""
        for attempt in self._admission.refused():
            self._report_failure(attempt)
            self._groups.let_go(attempt.job)
        self._fill()
        self._tell_soon()

    def _start(self, job: RolloutJob) -> None:
        self._admission.slots.take(job.run)
        self._health_of(job.run.endpoint).in_flight += 1
        attempt = Attempt(job)
        task = self._tasks.spawn(self._host.loop, self._roll_out(attempt), attempt)
        # A callback, not a finally: a task cancelled before its first step runs no body.
        task.add_done_callback(lambda task: self._ended(attempt, task))
        if not self._admission.has_waiting(job.run):
            self._tell_soon()

    async def _roll_out(self, attempt: Attempt) -> None:
        client = self._clients.of(attempt.job.run.endpoint)
        attempt.has_begun = True
        try:
            await generate_in_turn(attempt, client, self._phases, self._may_not_ask)
        except ENDINGS as error:
            self._fail([attempt], error, "the code of the environment cancelled the rollout")
        if self._stopping:
            await clean_up([attempt])
            return
        if attempt.is_left_out:
            self._deliver(self._admission.left_out(attempt.job))
            return
        health = self._health_of(attempt.job.run.endpoint)
        if attempt.answered and health.answered():
            self._report_failures(health)
            self._proceed()
        health.doubt_slowness(attempt)
        if attempt.error is not None:
            await clean_up([attempt])
            health.failed(attempt)  # reported by _ended, once this one has left the flight
        else:
            as_group = self._groups.holds(attempt.job)
            await self._score(self._groups.generated(attempt), as_group=as_group)

    async def _score(self, attempts: list[Attempt], *, as_group: bool) -> None:
        if not attempts:
            return
        try:
            spent = self._admission.spent
            await score(attempts, as_group=as_group, slots=self._phases, spent=spent)
        except ENDINGS as error:
            self._fail(attempts, error, "a reward function cancelled the scoring")
        if anew := jobs_anew(attempts):
            self._enqueue(anew)
            return
        scoring = self._admission.outages.scoring(attempts[0].job.run)
        scoring.note(attempts, self._admission.slots)
        if scoring.is_given_up:
            self._admission.tell_given_up(attempts[0].job.run)
        # All of a group are on disk before one is delivered: what is reported and lost with its
        # process afterwards leaves no part of a group to be scored.
        for result in [conclude(attempt) for attempt in attempts]:
            self._deliver(result)
        if scoring.is_given_up:
            self._proceed()

    def _may_not_ask(self) -> bool:
        return self._stopping or self._admission.spent is not None

    def _score_rest(self, attempts: list[Attempt]) -> None:
        """Score what was put aside: for another rollout that failed, or until all are there."""
        self._admission.slots.take(attempts[0].job.run)
        scoring = self._score(attempts, as_group=is_scored_by_group(attempts[0].job))
        task = self._tasks.spawn(self._host.loop, scoring, attempts[0])
        task.add_done_callback(lambda task: self._rest_scored(attempts, task))

    def _rest_scored(self, attempts: list[Attempt], task: asyncio.Task[None]) -> None:
        failure = self._tasks.landed(task)
        self._admission.slots.give_back(attempts[0].job.run)
        if self._stopping:
            return
        for attempt in attempts:
            if not attempt.is_concluded:
                attempt.error = failure or RuntimeError("other code cancelled the scoring")
                self._deliver(conclude(attempt))
        self._proceed()

    def _fail(self, attempts: list[Attempt], ending: BaseException, text: str) -> None:
        """Note that user code ended these, unless the engine did: then pass its request on."""
        if self._stopping:
            raise ending
        for attempt in attempts:
            attempt.was_ended(ending, text)

    def _ended(self, attempt: Attempt, task: asyncio.Task[None]) -> None:
        run = attempt.job.run
        health, slots = self._health_of(run.endpoint), self._admission.slots
        failure = self._tasks.landed(task)
        was_uneven = slots.are_uneven(run)
        slots.give_back(run)
        health.in_flight -= 1
        if self._stopping:
            return
        if task.cancelled():
            failure = RuntimeError("the rollout was cancelled by other code on the loop")
        # A task that cancels itself counts as cancelled even where it then ran to its end.
        if failure is not None and not attempt.is_settled:
            attempt.error = failure
            health.failed(attempt)
        self._report_failures(health)
        self._groups.let_go(attempt.job)
        if health.status == "given up":
            self._proceed()
        self._fill()
        if was_uneven or slots.are_uneven(run):
            self._tell_soon()

    def _tell_soon(self) -> None:
        if self._notice is not None:
            self._notice.give(self._demand)

    def _demand(self) -> Demand | None:
        return None if self._stopping else self._admission.demand()

    def _report_failures(self, health: EndpointHealth) -> None:
        settled = health.settled()
        if health.status == "given up":
            for run in {failed.job.run for failed in settled}:
                self._admission.tell_given_up(run)
        for failed in settled:
            self._report_failure(failed)

    def _report_failure(self, failed: Attempt) -> None:
        self._deliver(conclude(failed))
        if self._groups.holds(failed.job):
            self._groups.put_aside(self._groups.ended(failed))

    def _health_of(self, endpoint: Endpoint) -> EndpointHealth:
        return self._admission.outages.endpoint(endpoint)
