"""FunctionEnvironment: what the engine asks to roll out, where an eval is a test function."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...endpoints.endpoint import Endpoint
from ...state import State, TrajectoryStep, new_state

# The client type of endpoints that are not asked anything: the function asks whom it likes.
PYTHON = "python"
# Where an example holds the call that is its rollout; no row has such a column.
CALL = "call"


@dataclass(frozen=True, slots=True)
class Returned:
    """What came of one call of the function.

    Attributes:
        reward: what it returned, 1.0 for nothing, 0.0 where an assertion failed.
        failure: the text of that assertion.
    """

    reward: float
    failure: str | None = None


Call: TypeAlias = Callable[[], Awaitable[Returned]]


class FunctionEnvironment:
    """A test function as an environment: its examples are calls, and it is its own rubric.

    Args:
        env_id: the function, with dots.
        pass_threshold: a rollout is correct from this reward on.
        concurrency: how many calls may need a thread at once; None when it is a coroutine.
    """

    def __init__(self, env_id: str, pass_threshold: float, concurrency: int | None) -> None:
        self.env_id = env_id
        self.pass_threshold = pass_threshold
        self.concurrency = concurrency
        self.sampling_args: dict[str, Any] = {}
        self.score_rollouts = True
        self.rubric = _OwnRubric()
        self.parser = None

    async def rollout(
        self, example: Mapping[str, Any], client: Any, model: str, sampling_args: Any = None
    ) -> State:
        """Call the function; what it raises besides failed assertions is passed on."""
        call: Call = example[CALL]
        row = {name: value for name, value in example.items() if name != CALL}
        state = new_state(row, client=client, model=model, sampling_args={})
        generation = state.timing.generation
        generation.start = time.time()
        returned = await call()
        generation.end = time.time()
        # A step of its own making says that the function was not kept waiting in vain: whoever it
        # asked has answered.
        state.trajectory.append(TrajectoryStep(response=None))
        state["returned"] = returned
        if returned.failure is not None:
            state["failure"] = returned.failure
        state.stop("returned" if returned.failure is None else "failed assertion")
        return state


class _OwnRubric:
    """The reward is what the function returned."""

    has_group_functions = False

    async def score_rollout(self, state: State) -> None:
        """Set the reward."""
        state["reward"], state["metrics"] = state["returned"].reward, {}


class NoClient:
    """Stands where other evals have a client, and in a replay of kept answers."""

    async def get_response(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: nobody is at the other end."""
        raise RuntimeError("there is no endpoint to ask")

    async def close(self) -> None:
        """Do nothing."""


def endpoint_of(model: str, nodeid: str) -> Endpoint:
    """Return what stands for the endpoint of an eval: one for each function, so that the failures
    of one say nothing about another.
    """
    return Endpoint(model=model, url="", key_var=None, label=nodeid, client_type=PYTHON)
