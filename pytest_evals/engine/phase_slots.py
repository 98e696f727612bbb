"""PhaseSlots: of the rollouts in flight, how many generate and how many are scored at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Literal, TypeAlias

from ..clients.request_slots import RequestSlots

Phase: TypeAlias = Literal["generation", "scoring"]
# Called on the loop, once for each phase; None for a phase without a limit.
MakeSlots: TypeAlias = Callable[[Phase], RequestSlots | None]


class PhaseSlots:
    """Lets rollouts enter a phase in turn.

    Args:
        make: makes the slots of a phase; None where no phase has a limit.
    """

    def __init__(self, make: MakeSlots | None = None) -> None:
        self._make = make
        self._slots: dict[Phase, RequestSlots | None] = {}

    def turn(self, phase: Phase) -> contextlib.AbstractAsyncContextManager[None]:
        """Return a block that begins when the rollout may enter the phase."""
        if self._make is None:
            return _AT_ONCE
        if phase not in self._slots:
            self._slots[phase] = self._make(phase)
        slots = self._slots[phase]
        return _AT_ONCE if slots is None else _turn(slots)


@contextlib.asynccontextmanager
async def _turn(slots: RequestSlots) -> AsyncIterator[None]:
    if not slots.take():
        await slots.wait(first=False)
    try:
        yield
    finally:
        slots.give_back()


_AT_ONCE: contextlib.AbstractAsyncContextManager[None] = contextlib.nullcontext()
