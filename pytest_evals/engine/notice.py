"""Notice: tells what an engine has to do, once for all that changes within a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .slots import Demand

# How long changes of the demand are gathered before they are told.
_TELL_SECONDS = 0.02


class Notice:
    """Tells `on_demand` what there is to do.

    Args:
        loop: where that happens.
        on_demand: takes it.

    Attributes:
        is_due: something will be told.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, on_demand: Callable[[Demand], None]
    ) -> None:
        self._loop = loop
        self._on_demand = on_demand
        self.is_due = False

    def give(self, demand: Callable[[], Demand | None]) -> None:
        """Tell the demand as it is in a moment, unless there is none by then."""
        if not self.is_due:
            self.is_due = True
            self._loop.call_later(_TELL_SECONDS, self._tell, demand)

    def _tell(self, demand: Callable[[], Demand | None]) -> None:
        self.is_due = False
        current = demand()
        if current is not None:
            self._on_demand(current)
