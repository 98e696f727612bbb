"""RolloutsAhead: rollouts are under way before their items run, and items run as rollouts end."""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, get_args

from ..clients.client import Client
from ..clients.factory import ONE_OF_SEVERAL, make_client
from ..clients.replicas import ReplicatedClient
from ..clients.retries import RetryPolicy
from ..endpoints.endpoint import Endpoint
from ..engine.engine import Engine
from ..engine.phase_slots import Phase
from ..engine.rollouts import RolloutJob, RolloutKey, RolloutResult
from ..engine.run import EvalRun
from . import options
from .functions.environment import PYTHON, NoClient
from .threads import threads_of

if TYPE_CHECKING:
    from .nodes import RolloutItem
    from .session import EvalSession

# How often the status line is brought up to date while no rollout ends.
_TICK_SECONDS = 0.2
# asyncio's own number grows with the cores, and a thread that waits for a network needs none.
_THREADS = 32


class RolloutsAhead:
    """Brings the rollouts of a session's items, those that end first to be reported first.

    Args:
        session: whose rollouts.
        act: acts on a signal that was noted while somebody waited; may raise.

    Attributes:
        engine: what runs the rollouts; None while none was started.
    """

    def __init__(self, session: EvalSession, act: Callable[[], None]) -> None:
        self._session = session
        self._act = act
        self.engine: Engine | None = None
        self._inbox: queue.SimpleQueue[RolloutResult | None] = queue.SimpleQueue()
        self._awaited: dict[tuple[EvalRun, RolloutKey], RolloutItem] = {}
        # None for what an earlier session has done: it is read when it is its turn.
        self._arrived: dict[RolloutItem, RolloutResult | None] = {}
        self._ready: deque[RolloutItem] = deque()
        # `next_waiting` has met a call of `wake`, which is for whoever waits next.
        self._is_woken = False

    def start(self, items: list[RolloutItem]) -> None:
        """Start the engine and the servers it needs, and the rollouts of `items`."""
        self.engine = self._make_engine()
        runs = [run for run in self._session.runs if self._session.begins(run)]
        asked = [threads_of(run, self._session) for run in runs]
        self.engine.use_threads(max([_THREADS, *asked]))
        self._session.start([run for run in runs if not run.begins_late], self.engine)
        self._session.terminal.begin(len(items))
        self._begin(items)

    def wake(self) -> None:
        """Make whoever waits for a rollout look around; safe to call from a signal handler."""
        self._inbox.put(None)

    def next(self) -> RolloutItem:
        """Return the item to run next, waiting for it: the one whose rollout ended first."""
        while True:
            item = self._ready.popleft() if self._ready else self._receive()
            if item in self._arrived:
                return item

    def next_waiting(self) -> RolloutItem | None:
        """Return the next item whose rollout has ended already, or None."""
        while self._ready or not self._inbox.empty():
            if not self._ready:
                self._take(self._inbox.get())
                continue
            item = self._ready.popleft()
            if item in self._arrived:
                return item
        return None

    def put_back(self, items: Iterable[RolloutItem]) -> None:
        """Take items back that were returned and not run."""
        self._ready.extend(items)

    def wait(self) -> None:
        """Wait until a rollout has ended or somebody calls `wake`."""
        if not self._is_woken:
            self._take(self._inbox.get())
        self._is_woken = False

    def _take(self, result: RolloutResult | None) -> None:
        if result is None:
            self._is_woken = True
            self._act()
        else:
            self._ready.append(self._taken(result))

    def held(self, seconds: float) -> contextlib.AbstractContextManager[None]:
        """Keep the engine still for a turn of reporting."""
        return contextlib.nullcontext() if self.engine is None else self.engine.held(seconds)

    def obtain(self, item: RolloutItem) -> RolloutResult:
        """Return the rollout of an item, waiting for it.

        As a rule it is there. It is not when another plugin's loop chooses the items, or runs one
        again: then it is waited for, and asked for if nobody did.
        """
        if self.engine is None:
            self.start([item])
        while item not in self._arrived:
            if item not in self._awaited.values():
                item.run.forget_measurements()
                self._ask_for(item)
            self._ready.append(self._receive())
        result = self._arrived.pop(item) or self._session.stored_result(item)
        self._session.output.show(item, result)
        return result

    def item_of(self, job: RolloutJob) -> RolloutItem | None:
        """Return the item that waits for a rollout."""
        return self._awaited.get((job.run, job.key))

    def forget(self, job: RolloutJob) -> RolloutItem:
        """Wait no more for a rollout that another process runs; return its item."""
        return self._awaited.pop((job.run, job.key))

    def arrived(self, item: RolloutItem, result: RolloutResult | None) -> None:
        """Take the rollout of an item that need not be run, as its result is known."""
        item.run.ended += 1
        self._arrived[item] = result
        self._ready.append(item)

    def close(self) -> None:
        """Stop the engine; to be called again at no cost."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None

    def _make_engine(self) -> Engine:
        config = self._session.config
        has_limits = any(options.phase_limit(config, phase) for phase in get_args(Phase))
        return Engine(
            limit=self._session.max_concurrent,
            make_client=self._make_client,
            deliver=self._deliver,
            host=self._session.make_host(),
            on_demand=self._session.on_demand,
            on_given_up=self._session.on_given_up,
            phase_slots=self._session.phase_slots if has_limits else None,
            interleaves=options.interleaves_scoring(config),
        )

    def _begin(self, items: list[RolloutItem]) -> None:
        self.submit(self._not_done(items))

    def _not_done(self, items: list[RolloutItem]) -> list[RolloutItem]:
        """Return the items whose rollouts are left to do, after taking those that are not."""
        left = []
        for item in items:
            stored = item.run.stored
            if stored is not None and stored.is_done(item.key):
                self.arrived(item, None)
                continue
            if stored is not None:
                item.stored = stored.generated(item.key)
            left.append(item)
        return left

    def _ask_for(self, item: RolloutItem) -> None:
        self.submit([item])

    def submit(self, items: list[RolloutItem]) -> None:
        """Start the rollouts of `items`; those of one group must come in one call."""
        assert self.engine is not None
        jobs = [item.run.job(item.example, item.rollout, item.stored) for item in items]
        for item, job in zip(items, jobs, strict=True):
            self._awaited[job.run, job.key] = item
        self.engine.submit(jobs)

    def _deliver(self, result: RolloutResult) -> None:
        """Take a result from the engine, on its loop."""
        item = self._awaited.get((result.run, result.key))
        if item is not None:
            item.run.ended += 1
        self._inbox.put(result)

    def _receive(self) -> RolloutItem:
        """Wait for the engine's next result and return its item."""
        if self._inbox.empty():
            self._session.terminal.settle()
        while True:
            try:
                result = self._inbox.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                if self._session.output.has_live:
                    self._session.terminal.erase()
                    self._session.output.show_live()
                self._session.terminal.tick()
                continue
            if result is not None:
                return self._taken(result)
            self._act()

    def _taken(self, result: RolloutResult) -> RolloutItem:
        item = self._awaited.pop((result.run, result.key))
        self._arrived[item] = result
        return item

    def _make_client(self, endpoint: Endpoint) -> Client:
        if endpoint.client_type == PYTHON or self._session.cache.replays:
            return NoClient()
        if endpoint.replicas:
            return ReplicatedClient(
                [self._client_of_one(each, ONE_OF_SEVERAL) for each in endpoint.servers]
            )
        return self._client_of_one(endpoint)

    def _client_of_one(self, endpoint: Endpoint, policy: RetryPolicy | None = None) -> Client:
        session = self._session
        key = session.endpoints.key_of(endpoint)
        client: Client | None = session.config.hook.pytest_evals_make_client(
            config=session.config, endpoint=endpoint, key=key
        )
        if client is not None:
            return client
        return make_client(endpoint, key, session.slots_of(endpoint), policy)
