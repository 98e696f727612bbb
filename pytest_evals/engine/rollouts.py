"""What the engine is asked to do and what it delivers: a RolloutJob, a RolloutResult."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ..messages import Messages

if TYPE_CHECKING:
    from .output import RolloutOutput
    from .run import EvalRun

RolloutOutcome: TypeAlias = Literal["scored", "unmeasured", "broken", "generated", "missing"]
# Those that are no error.
SOUND: Final = frozenset({"scored", "generated", "missing"})

_SEED_MASK = 0x7FFFFFFF
_NAMED = 3


RolloutKey: TypeAlias = tuple[int, int]


@dataclass(frozen=True, slots=True)
class RolloutJob:
    """One rollout to run: attempt number `rollout` at `example`.

    `stored` is the line of its row, where the model has answered before and it has only to be
    scored. `turn` says which of several servers of the model it asks first, counted on and on.
    """

    run: EvalRun
    example: dict[str, Any]
    rollout: int
    stored: str | None = None
    turn: int = 0

    @property
    def key(self) -> RolloutKey:
        """What identifies the rollout in its eval."""
        return (self.example["example_id"], self.rollout)

    @property
    def name(self) -> str:
        """The rollout's name with its eval's: `gsm8k::17-r0`."""
        return f"{self.run.name}::{rollout_name(*self.key)}"


@dataclass(slots=True)
class RolloutResult:
    """How one rollout ended.

    Attributes:
        run: the eval it belongs to.
        key: example id and rollout number.
        outcome: scored, unmeasured, broken, generated where the environment does not score, or
            missing where it was not started: then it has no row.
        reward, metrics: of a scored rollout; None and {} otherwise.
        error: what left it unmeasured or broken.
        cause: the rollout (`gsm8k::17-r0`) whose failure explains this one; None for its own.
        ends_endpoint: its failure is why the endpoint was given up.
        start, stop: epoch seconds of the rollout itself, without the wait for its turn.
        input_tokens, output_tokens: over all its model calls; None when not counted.
        cost_usd: what those cost; None when it is not known.
        reward_errors: mistakes in reward functions that count as a score of 0.0.
        slow_calls: what of the environment kept the loop from other rollouts, with the seconds.
        warnings: what the user should know that changes no result, a line each.
        prompt, completion: what was said; None when it never began.
        output: what its code printed and logged; None where it did not run here.
        is_earlier: an earlier session rolled it out; this one reports it again.
    """

    run: EvalRun
    key: RolloutKey
    outcome: RolloutOutcome
    start: float
    stop: float
    reward: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: BaseException | None = None
    cause: str | None = None
    ends_endpoint: bool = False
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    reward_errors: int = 0
    slow_calls: dict[str, float] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    prompt: Messages | None = None
    completion: Messages | None = None
    output: RolloutOutput | None = None
    is_earlier: bool = False


def rollout_name(example_id: int, rollout: int) -> str:
    """Return how a rollout is called in node ids and messages: `17-r0`."""
    return f"{example_id}-r{rollout}"


def in_short(names: Sequence[str]) -> str:
    """Return the first names of many for a message, and how many others there are."""
    others = len(names) - _NAMED
    rest = "" if others <= 0 else " and 1 other" if others == 1 else f" and {others} others"
    return ", ".join(names[:_NAMED]) + rest


def seed_of(rollout_seed: int, example_id: int, rollout: int) -> int:
    """Return the `seed` sent with a rollout: a 31-bit number made of its three arguments.

    Rollouts of one example get different seeds, and the same rollout gets the same one in every
    run, whatever else the run selects.
    """
    return zlib.crc32(f"{rollout_seed}/{example_id}/{rollout}".encode()) & _SEED_MASK
