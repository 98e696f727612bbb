"""EvalWork: what the scheduler asks of the evals, and tells of them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

# Indices of rollouts that stay together: those of one example.
Unit: TypeAlias = list[int]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which items are of evals, by index.

    Attributes:
        units: all rollouts, in the groups that stay together.
        gates: every gate, by node id of the eval and by name; of every eval.
        eval_of: the node id of the eval of every rollout.
    """

    units: list[Unit]
    gates: dict[str, dict[str, int]]
    eval_of: dict[int, str]


class EvalWork(Protocol):
    """What the scheduler must know of the evals, and tell of them."""

    def layout(self) -> Layout | None:
        """Return what the items of evals are; None where they go the way of plain tests."""
        ...

    def begin(self) -> bool:
        """Begin the runs, once every worker has collected; False when they cannot begin."""
        ...

    def is_gone(self, node: Any) -> bool:
        """Whether a worker has ended, or takes no part, the reason of which was reported."""
        ...

    def refuse(self, node: Any) -> bool:
        """Let a worker take no part; return whether any other does or may yet."""
        ...

    def given_up_by(self, node: Any) -> Collection[str]:
        """Return the evals that a worker is not to be sent rollouts of."""
        ...

    def share(self, node: Any) -> int:
        """Return how many rollouts a worker may have in flight; 0 or less for no limit."""
        ...

    def tell(self, node: Any, name: str, **data: Any) -> None:
        """Send a message to a worker."""
        ...

    def reported(self, index: int) -> None:
        """Note that a rollout has reported."""
        ...

    def judge(self, node: Any, nodeid: str) -> None:
        """Judge the gates of an eval whose rollouts have all reported; tell the worker."""
        ...

    def replay(self, node: Any, indices: Sequence[int]) -> None:
        """Tell a worker what is known of rollouts that another one had finished."""
        ...

    def blamed(self, node: Any, indices: Sequence[int]) -> int | None:
        """Return which of its rollouts, if any, made a worker die, and note that as its result."""
        ...

    def is_stopping(self) -> bool:
        """Whether the session is to stop; every worker has then been told."""
        ...
