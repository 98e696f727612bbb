"""A bench for the engine: fake clients that a test drives by hand, runs, and what was delivered."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import queue
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_evals.endpoints.endpoint import Endpoint
from pytest_evals.engine.attempts import Attempt
from pytest_evals.engine.engine import Engine
from pytest_evals.engine.rollouts import RolloutJob, RolloutResult
from pytest_evals.engine.run import EvalRun
from pytest_evals.engine.slots import Demand
from pytest_evals.environments.environment import Environment
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.messages import Message, Response, Usage
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.store.reading import read_rows
from pytest_evals.store.run_folder import RunFolder

# A test that waits this long has failed: nothing here takes a tenth of a second by itself.
PATIENCE = 10.0


class Signal:
    """An event that either thread sets and either waits for."""

    def __init__(self) -> None:
        self._future: concurrent.futures.Future[None] = concurrent.futures.Future()

    def set(self) -> None:
        self._future.set_result(None)

    @property
    def is_set(self) -> bool:
        return self._future.done()

    def wait(self) -> None:
        """Wait in a thread."""
        self._future.result(PATIENCE)

    async def reached(self) -> None:
        """Wait on a loop."""
        await asyncio.shield(asyncio.wrap_future(self._future))


@dataclass(slots=True)
class Request:
    """A request that waits for the test to answer it."""

    text: str
    sampling_args: Mapping[str, Any]
    future: concurrent.futures.Future[str] = field(default_factory=concurrent.futures.Future)

    def answer(self, text: str = "fine") -> None:
        self.future.set_result(text)

    def fail(self, error: BaseException) -> None:
        self.future.set_exception(error)


class FakeClient:
    """A client whose requests wait in `requests`, or are answered by `reply` at once.

    `asked` holds what was asked for, in order; `peak` the most requests there were at once.
    """

    def __init__(self, reply: Callable[[str], str] | None = None) -> None:
        self.reply = reply
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.asked: list[str] = []
        self.sent: list[Mapping[str, Any]] = []
        self.models: set[str] = set()
        self.in_flight = self.peak = 0
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.closed_on: list[asyncio.AbstractEventLoop] = []

    async def get_response(
        self,
        prompt: Sequence[Message],
        model: str,
        sampling_args: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Response:
        request = Request(str(prompt[-1]["content"]), sampling_args)
        self.asked.append(request.text)
        self.sent.append(sampling_args)
        self.models.add(model)
        self.loops.append(asyncio.get_running_loop())
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        try:
            text = await self._text(request)
        finally:
            self.in_flight -= 1
        message = Message(role="assistant", content=text)
        return Response(message, model="served", finish_reason="stop", usage=Usage(10, 3))

    async def _text(self, request: Request) -> str:
        if self.reply is not None:
            await asyncio.sleep(0)
            return self.reply(request.text)
        self.requests.put(request)
        return await asyncio.shield(asyncio.wrap_future(request.future))

    async def close(self) -> None:
        self.closed_on.append(asyncio.get_running_loop())

    def take(self) -> Request:
        """Return the next request, waiting for it."""
        return self.requests.get(timeout=PATIENCE)

    def take_all(self, count: int) -> dict[str, Request]:
        """Return the next requests by what they ask."""
        requests = [self.take() for _ in range(count)]
        return {request.text: request for request in requests}


def agreeable(text: str) -> str:
    return f"fine: {text}"


def always_one() -> float:
    return 1.0


class Bench:
    """One engine, its endpoints and runs, and the results it delivered.

    Attributes:
        results: what was delivered and not taken yet.
        on_delivery: called with each result on the loop's thread, before it is put there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results: queue.SimpleQueue[RolloutResult] = queue.SimpleQueue()
        self.on_delivery: Callable[[RolloutResult], None] | None = None
        self.engines: list[Engine] = []
        self.runs: list[EvalRun] = []
        self._clients: dict[str, Callable[[], Any]] = {}

    def endpoint(self, make: Callable[[], Any], name: str = "local") -> Endpoint:
        """Return an endpoint whose client is what `make` returns."""
        self._clients[name] = make
        return Endpoint(model="m", url="http://127.0.0.1:9/v1", key_var=None, label=name)

    def start(self, limit: int = 0, on_demand: Callable[[Demand], None] | None = None) -> Engine:
        """Start the engine, to be closed by the fixture."""
        engine = Engine(
            limit=limit,
            make_client=lambda endpoint: self._clients[endpoint.label](),
            deliver=self._deliver,
            on_demand=on_demand,
        )
        self.engines.append(engine)
        return engine

    def _deliver(self, result: RolloutResult) -> None:
        if self.on_delivery is not None:
            self.on_delivery(result)
        self.results.put(result)

    def run(
        self, environment: Environment, endpoint: Endpoint, name: str = "eval", **fields: Any
    ) -> EvalRun:
        """Return a run with a folder of its own."""
        folder = RunFolder.create(self.folder, name=name, model="m", mask=str)
        run = EvalRun(
            **{
                "name": name,
                "environment": environment,
                "endpoint": endpoint,
                "sampling_args": {},
                "folder": folder,
                "log": logging.getLogger(f"tests.engine.{folder.run_id}"),
                "rollouts_per_example": 1,
                "pass_threshold": 0.5,
                **fields,
            }
        )
        self.runs.append(run)
        return run

    def take(self) -> RolloutResult:
        """Return the next result, waiting for it."""
        return self.results.get(timeout=PATIENCE)

    def take_all(self, count: int) -> list[RolloutResult]:
        """Return the next results in the order they were delivered."""
        return [self.take() for _ in range(count)]

    def measure(self, run: EvalRun, limit: int = 0) -> dict[tuple[int, int], RolloutResult]:
        """Start an engine, run everything there is and return the results by key."""
        jobs = jobs_of(run)
        self.start(limit).submit(jobs)
        results = self.take_all(len(jobs))
        assert self.results.empty()
        return {result.key: result for result in results}

    def settle(self) -> None:
        """Return once the loop has nothing left to do until the test does something."""
        for _ in range(20):
            idle = Signal()
            self.engines[-1]._host.call_soon(idle.set)
            idle.wait()

    def close(self) -> None:
        for engine in self.engines:
            engine.close()
        for run in self.runs:
            run.folder.close()


def jobs_of(run: EvalRun) -> list[RolloutJob]:
    """Return every rollout of a run, in item order."""
    return [
        RolloutJob(run, example, rollout)
        for example in run.environment.get_eval_dataset()
        for rollout in range(run.rollouts_per_example)
    ]


def rows_of(run: EvalRun) -> list[dict[str, Any]]:
    """Return the rows on disk, one per rollout, in order."""
    return list(read_rows(run.folder.path))


def questions(count: int, prefix: str = "q") -> list[dict[str, Any]]:
    return [{"question": f"{prefix}{number}", "answer": "fine"} for number in range(count)]


def single_turn(count: int, *funcs: Callable[..., Any], prefix: str = "q") -> SingleTurnEnv:
    """Return an environment of `count` questions; each rollout has the reward 1 by default."""
    return SingleTurnEnv(
        dataset=questions(count, prefix), rubric=Rubric(funcs=funcs or (always_one,))
    )


class Scripted(SingleTurnEnv):
    """Asks the model, then does what `step` says with the state before it returns it."""

    def __init__(self, step: Callable[[Any], Any], count: int = 2, **fields: Any) -> None:
        fields.setdefault("rubric", Rubric(funcs=[always_one]))
        super().__init__(dataset=questions(count), **fields)
        self.step = step

    async def rollout(self, *args: Any, **named: Any) -> Any:
        state = await super().rollout(*args, **named)
        returned = self.step(state)
        return await returned if asyncio.iscoroutine(returned) else returned


def attempt_of(run: EvalRun, error: BaseException | None = None, rollout: int = 0) -> Attempt:
    """Return an attempt at the run's first example that ended in `error`."""
    return Attempt(RolloutJob(run, run.environment.get_eval_dataset()[0], rollout), error=error)
