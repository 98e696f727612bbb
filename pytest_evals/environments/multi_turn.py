"""MultiTurnEnv: the model and the environment answer each other until a stop condition fires."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar

from ..clients.client import Client
from ..errors import Error
from ..lifecycle import as_awaitable, cleanup, stop
from ..messages import Messages, Response
from ..rubrics.slowness import timed_call
from ..state import Span, State, TrajectoryStep
from .dataset import Example
from .ending import NO_LIMIT, Limit, end_with, kept, said_so_far, standing_still
from .environment import Environment
from .handlers import FAILURES, noted
from .hook_messages import checked_messages
from .turn_monitor import MultiTurnMonitorRubric, num_turns


class MultiTurnEnv(Environment):
    """An environment in which the model has several turns.

    A rollout is: `setup_state`; then, until a stop condition fires, the prompt of the turn
    (`get_prompt_messages`: what was said so far and what `env_response` adds), the model call and
    `add_trajectory_step`; then the cleanup handlers, whatever happened. Stop conditions are methods
    marked with `@stop`, asked before each turn; the name of the one that fires is the state's
    `stop_condition`. Those that are there: `has_error`, `has_final_env_response`,
    `max_total_completion_tokens_reached`, `max_turns_reached`, `prompt_too_long`.

    Hooks may be sync or async. What one raises ends the rollout and becomes `state["error"]`: an
    `errors.Error` says what it is, anything else is a bug; what was said until then is kept.
    `OverlongPromptError` ends it as `prompt_too_long`, without an error. When `timeout_seconds`
    have passed, the rollout ends as `timeout_reached`, is no error, and is scored on what there is.
    `state["slow_calls"]` names the hooks and tools that kept the event loop busy for more than 0.1
    s in one go, with the seconds; it is absent when there is nothing to say.

    The metric `num_turns` is added, unless the rubric has one of that name.

    Args:
        max_turns: model calls in a rollout; 0 or less for no limit.
        timeout_seconds: limit on set-up and turns together; None for none.
        **kwargs: arguments of `Environment`.
    """

    # Which of its hooks a subclass brought: those are timed.
    _own_hooks: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._own_hooks = frozenset(
            name
            for name in ("setup_state", "get_prompt_messages")
            if getattr(cls, name) is not getattr(MultiTurnEnv, name)
        )

    def __init__(
        self, max_turns: int = -1, timeout_seconds: float | None = None, **kwargs: Any
    ) -> None:
        self.max_total_completion_tokens = -1
        super().__init__(**kwargs)
        self.max_turns = max_turns
        self.timeout_seconds = timeout_seconds
        # Not where the user counts them: metrics of one name are summed.
        if num_turns.__name__ not in self.rubric.metric_names:
            self.add_rubric(MultiTurnMonitorRubric())

    def set_max_total_completion_tokens(self, max_total_completion_tokens: int) -> None:
        """End a rollout once the model has written this many tokens; 0 or less for no limit."""
        self.max_total_completion_tokens = max_total_completion_tokens

    async def setup_state(self, state: State) -> State | None:
        """Override to prepare a rollout: change `state`, or return another."""
        return state

    @abstractmethod
    async def env_response(self, messages: Messages, state: State, **kwargs: Any) -> Any:
        """Answer the model; called before every turn but the first.

        Args:
            messages: the conversation up to the model's last message.
            state: the rollout; set `state["final_env_response"]` to end it with these messages.
            **kwargs: nothing; kept open.

        Returns:
            The messages to add: a list of `Message`s or dicts, or the text of a user message.
        """

    async def get_prompt_messages(self, state: State) -> Any:
        """Return what the model is sent next; override where that is not everything said so far."""
        if not state["trajectory"]:
            return list(state["prompt"])
        last = state["trajectory"][-1]
        messages = [*last["prompt"], *last["completion"]]
        what = f"env_response of {type(self).__name__}"
        answer = await timed_call(state, what, self.env_response, messages, state)
        if state.get("final_env_response") is not None:
            return messages  # there is no next turn; some return nothing then
        return [*messages, *checked_messages(answer, "the result of env_response()", self)]

    async def render_completion(self, state: State) -> None:
        """Set `state["completion"]` to everything that was said after the prompt.

        Override together with `get_prompt_messages`.
        """
        completion = said_so_far(state)
        final = state.get("final_env_response")
        if final and state["trajectory"]:
            completion += checked_messages(final, "state['final_env_response']", self)
        state["completion"] = completion

    async def add_trajectory_step(self, state: State, trajectory_step: TrajectoryStep) -> None:
        """Append a turn; override to give it a reward or anything else of its own."""
        state["trajectory"].append(trajectory_step)

    async def add_model_response(
        self, state: State, prompt_messages: Messages, response: Response
    ) -> None:
        """Make a step of the trajectory of a turn and hand it to `add_trajectory_step`."""
        step = TrajectoryStep(
            prompt=prompt_messages,
            completion=[response.message],
            response=response,
            is_truncated=response.is_truncated,
            trajectory_id=state["trajectory_id"],
        )
        await as_awaitable(self.add_trajectory_step(state, step))

    @stop(priority=100)
    async def has_error(self, state: State, **kwargs: Any) -> bool:
        """Whether an `errors.Error` was raised."""
        return _has_error(self, state)

    @stop
    async def has_final_env_response(self, state: State) -> bool:
        """Whether the environment has said its last word."""
        return _has_final_env_response(self, state)

    @stop
    async def max_total_completion_tokens_reached(self, state: State) -> bool:
        """Whether the model has written as many tokens as it may."""
        return _max_total_completion_tokens_reached(self, state)

    @stop
    async def max_turns_reached(self, state: State) -> bool:
        """Whether the model has had all its turns."""
        return _max_turns_reached(self, state)

    @stop
    async def prompt_too_long(self, state: State) -> bool:
        """Whether the prompt no longer fitted the model's context."""
        return _prompt_too_long(self, state)

    @cleanup(priority=100)
    async def render_state(self, state: State) -> None:
        """Note the end of generation and render the completion, before other handlers see it."""
        state["timing"].generation.end = time.time()
        await as_awaitable(self.render_completion(state))

    def mark_timed_out(self, state: State) -> None:
        """End a rollout that has used up its time."""
        state["timed_out"] = state["is_completed"] = True
        state["stop_condition"] = "timeout_reached"

    async def rollout(
        self,
        input: Example,
        client: Client,
        model: str,
        sampling_args: Mapping[str, Any] | None = None,
    ) -> State:
        """Roll `model` out once on `input` and return the state, complete but not scored.

        Raises:
            BaseException: what is no `Exception`: a cancellation, `SystemExit`; and what the code
                of the environment raised after it spoiled the state. The cleanup is done by then.
        """
        state = await self.init_state(input, client, model, sampling_args)
        seconds = self.timeout_seconds
        limit = NO_LIMIT if seconds is None else asyncio.timeout(seconds)
        try:
            try:
                async with limit:
                    with standing_still(limit):
                        state = await self._set_up(state, limit)
                        await self._take_turns(state, limit)
            except TimeoutError:
                if not limit.expired():
                    raise
            if limit.expired():
                self.mark_timed_out(state)
        except GeneratorExit:  # its loop is gone: nothing can be awaited any more
            raise
        except BaseException as error:
            await self._clean_up_after(error, state)
            if not kept(state, error):
                raise
            return state
        try:
            await self.cleanup(state)
        except Exception as error:
            if not kept(state, error):
                raise
        return state

    async def _clean_up_after(self, error: BaseException, state: State) -> None:
        try:
            await self.cleanup(state)
        except FAILURES as later:
            noted(error, later, "cleanup")

    async def _set_up(self, state: State, limit: Limit) -> State:
        timing = state["timing"]
        timing.generation.start = timing.setup.start = time.time()
        try:
            if "setup_state" in self._own_hooks:
                returned = await self._timed("setup_state", state)
            else:
                returned = await self.setup_state(state)
        except Error as error:
            end_with(state, error, limit)
            return state
        finally:
            timing.setup.end = time.time()
        if returned is None or isinstance(returned, State):
            return state if returned is None else returned
        raise TypeError(
            f"{type(self).__name__}: setup_state() returned {type(returned).__name__}; it returns"
            " the state, or nothing"
        )

    async def _take_turns(self, state: State, limit: Limit) -> None:
        # The limit is asked as well: code of the environment may have swallowed the cancellation.
        while not (await self._is_over(state, limit) or limit.expired()):
            try:
                await self._take_turn(state)
            except Error as error:
                end_with(state, error, limit)

    async def _is_over(self, state: State, limit: Limit) -> bool:
        try:
            return await self.is_completed(state)
        except Error as error:
            # Not left to the conditions: the same one would raise again, for ever.
            end_with(state, error, limit)
            state.stop("prompt_too_long" if _prompt_too_long(self, state) else "has_error")
            return True

    async def _take_turn(self, state: State) -> None:
        timing = state["timing"]
        is_first = not state["trajectory"]
        start = time.time()
        try:
            if "get_prompt_messages" in self._own_hooks:
                given = await self._timed("get_prompt_messages", state)
            else:
                given = await self.get_prompt_messages(state)
        finally:
            if not is_first:  # before the first turn the environment has nothing to say
                timing.env.spans.append(Span(start, time.time()))
        if dict.get(state, "final_env_response") is not None:
            return
        prompt = checked_messages(given, "the result of get_prompt_messages()", self)
        start = time.time()
        try:
            response = await self.get_model_response(state, prompt)
        finally:
            timing.model.spans.append(Span(start, time.time()))
        await self.add_model_response(state, prompt, response)

    def _timed(self, name: str, state: State) -> Awaitable[Any]:
        return timed_call(state, f"{name} of {type(self).__name__}", getattr(self, name), state)


# The stop conditions of every environment, asked before each turn: as plain functions, and past
# the forwarding of State.get, which none of these keys needs.


def _has_error(environment: MultiTurnEnv, state: State) -> bool:
    return dict.get(state, "error") is not None


def _has_final_env_response(environment: MultiTurnEnv, state: State) -> bool:
    return dict.get(state, "final_env_response") is not None


def _max_total_completion_tokens_reached(environment: MultiTurnEnv, state: State) -> bool:
    limit = environment.max_total_completion_tokens
    if limit <= 0:
        return False
    usage = state.usage
    return usage is not None and usage.completion_tokens >= limit


def _max_turns_reached(environment: MultiTurnEnv, state: State) -> bool:
    return 0 < environment.max_turns <= len(dict.__getitem__(state, "trajectory"))


def _prompt_too_long(environment: MultiTurnEnv, state: State) -> bool:
    return bool(dict.get(state, "prompt_too_long"))


MultiTurnEnv.plain_stops = {
    MultiTurnEnv.has_error: _has_error,
    MultiTurnEnv.has_final_env_response: _has_final_env_response,
    MultiTurnEnv.max_total_completion_tokens_reached: _max_total_completion_tokens_reached,
    MultiTurnEnv.max_turns_reached: _max_turns_reached,
    MultiTurnEnv.prompt_too_long: _prompt_too_long,
}
