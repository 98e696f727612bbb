"""PackageRubric: a rubric of the verifiers package, whose failures are seen."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from ..errors import InfraError, RewardError
from ..rubrics.reward_function import scoring_error
from ..rubrics.rubric import Rubric
from ..rubrics.slowness import SLOW, Timed, note_slow
from ..rubrics.tally import mistake_in, set_advantages
from ..state import State
from .package_state import PackageState

# Where the notes of a state of verifiers are: an attribute, not a key that user code would see.
_NOTES = "_pytest_evals_notes"


@dataclass(slots=True)
class _Notes:
    """What happened while a rollout was scored.

    Attributes:
        failures: the reward functions that raised, with their names, and what.
        slow: seconds for which functions kept the event loop busy.
    """

    failures: list[tuple[str, Callable[..., Any], Exception]] = field(default_factory=list)
    slow: dict[str, float] = field(default_factory=dict)


class PackageRubric(Rubric):
    """Scores with a rubric of verifiers.

    A reward function that raises scores 0.0 in verifiers, and only its log says so. Here the
    rollout is broken, or unmeasured when a judge failed, unless `reward_errors` is "zero".

    Args:
        original: the rubric of verifiers.
    """

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.original = original
        self.parser = original.parser
        for rubric in rubrics_in(original):
            _watch(rubric)

    @property
    def functions(self) -> list[Callable[..., Any]]:
        """The reward functions, in order; of a group, those of all its rubrics."""
        return list(self.original._get_reward_funcs())

    @property
    def metric_names(self) -> list[str]:
        """The metrics they fill."""
        return list(dict.fromkeys(self.original._get_reward_func_names()))

    @property
    def has_group_functions(self) -> bool:
        """Whether the rollouts of an example are scored together."""
        return self._scores_groups_itself or bool(self._group_functions())

    @property
    def has_weighted_group_functions(self) -> bool:
        """Whether a reward needs all rollouts of its example."""
        return self._scores_groups_itself or any(weight for _, weight in self._group_functions())

    @property
    def gives_rewards(self) -> bool:
        """Whether a reward can be other than 0.0: a function has weight, or a subclass scores."""
        weighted = any(any(rubric.weights) for rubric in rubrics_in(self.original))
        return weighted or self._scores_groups_itself

    @property
    def _scores_groups_itself(self) -> bool:
        # A score_group() of verifiers' own classes compares rollouts in group functions alone.
        return any(
            not type(rubric).score_group.__module__.startswith("verifiers.")
            for rubric in rubrics_in(self.original)
        )

    def _group_functions(self) -> list[tuple[str, float]]:
        """Return the names and weights of the functions that score groups."""
        return [
            (getattr(function, "__name__", repr(function)), weight)
            for rubric in rubrics_in(self.original)
            for function, weight in zip(rubric.funcs, rubric.weights, strict=True)
            if rubric._is_group_func(function)
        ]

    async def score_rollout(self, state: State) -> None:
        """Set the reward and metrics of one rollout, or its error."""
        # verifiers' own score_rollout() refuses rubrics without functions.
        await self.score_group([state])
        state.pop("advantage", None)  # of a group of one it says nothing

    async def score_group(self, states: Sequence[State], *, incomplete: bool = False) -> None:
        """Set reward, metrics and advantage of each rollout, or its error.

        A rollout that already has an error stays unscored. Part of a group cannot be judged by
        group functions: of weight 0 they are left out, else the others end in an `InfraError`.
        """
        scored = [state for state in states if state.get("error") is None]
        if not scored:
            return
        is_part = incomplete or len(scored) < len(states)
        if is_part and self.has_weighted_group_functions:
            for state in scored:
                state["error"] = InfraError(
                    "its group is incomplete, and the rubric compares the rollouts of an example"
                )
            return
        originals = [_original(state) for state in scored]
        for original in originals:
            setattr(original, _NOTES, _Notes())
        await self.original.score_group(originals)
        left_out = {name for name, _ in self._group_functions()} if is_part else frozenset()
        for state in scored:
            self._settle(state, left_out)
        set_advantages(scored)

    def _settle(self, state: State, left_out: Set[str]) -> None:
        original = _original(state)
        _read_others(state)
        metrics = original.get("metrics") or {}
        state["metrics"] = {n: value for n, value in metrics.items() if n not in left_out}
        state["reward"] = original.get("reward")
        notes = _notes_of(original)
        for name, seconds in notes.slow.items():
            note_slow(state, f"reward function {name!r}", seconds)
        mistakes = []
        for name, function, raised in notes.failures:
            error = scoring_error(name, raised, function)
            is_zero = self.reward_errors == "zero"
            if is_zero and isinstance(error, RewardError) and error.may_be_zero:
                mistakes.append(mistake_in(error))
            elif state["error"] is None:
                state["error"] = error
        if mistakes:
            state["reward_errors"] = mistakes
        if state["error"] is not None:
            state["reward"] = state["metrics"] = None

    async def cleanup(self, state: State) -> None:
        """Call what the rubric's authors marked as cleanup."""
        # 0.1.11 has none.
        cleanup = getattr(self.original, "cleanup", None)
        if cleanup is not None:
            await cleanup(_original(state))
            _read_others(state)

    async def teardown(self) -> None:
        """Do nothing: the environment's own teardown includes it."""


def rubrics_in(rubric: Any) -> Iterator[Any]:
    """Yield a rubric of verifiers and those that it is a group of."""
    yield rubric
    for inner in getattr(rubric, "rubrics", ()):
        yield from rubrics_in(inner)


def _original(state: State) -> Any:
    assert isinstance(state, PackageState)
    return state.original


def _read_others(state: State) -> None:
    assert isinstance(state, PackageState)
    state.read_others()


def _notes_of(state: Any) -> _Notes:
    notes: _Notes | None = getattr(state, _NOTES, None)
    if notes is None:
        notes = _Notes()
        setattr(state, _NOTES, notes)
    return notes


def _watch(rubric: Any) -> None:
    """Let a rubric of verifiers note which reward functions raised, and which blocked the loop.

    It calls each through one of two methods of its own, which swallow what the function raises.
    """
    if "_call_individual_reward_func" in vars(rubric):
        return  # watched already: environments can share a rubric
    individual = rubric._call_individual_reward_func
    group = rubric._call_group_reward_func

    async def call_individual(func: Callable[..., Any], state: Any) -> Any:
        return await individual(func=_watched(func, [_notes_of(state)], float), state=state)

    async def call_group(func: Callable[..., Any], states: list[Any]) -> Any:
        notes = [_notes_of(state) for state in states]
        return await group(func=_watched(func, notes, list), states=states)

    rubric._call_individual_reward_func = call_individual
    rubric._call_group_reward_func = call_group


def _watched(
    function: Callable[..., Any], notes: Sequence[_Notes], convert: Callable[[Any], Any]
) -> Callable[..., Any]:
    """Return the function with the same parameters; what it raises is noted and raised again."""
    name = getattr(function, "__name__", repr(function))

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        longest = 0.0
        start = perf_counter()
        try:
            returned = function(*args, **kwargs)
            longest = perf_counter() - start
            if inspect.isawaitable(returned):
                returned = await (timed := Timed(returned))
                longest = max(longest, timed.longest)
            return convert(returned)  # here, so that what cannot be converted is noted as well
        except asyncio.CancelledError:
            raise
        except Exception as error:
            longest = longest or perf_counter() - start
            for note in notes:
                note.failures.append((name, function, error))
            raise
        finally:
            if longest > SLOW:
                for note in notes:
                    note.slow[name] = max(longest, note.slow.get(name, 0.0))

    return call
