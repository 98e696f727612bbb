"""ItemRun: a run whose items are in this process."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from .owned_run import OwnedRun

if TYPE_CHECKING:
    from .nodes import EvalItem, GateItem, RolloutItem


class ItemRun(OwnedRun):
    """A run with the items that were selected of it, and what their reports have in common.

    Attributes:
        examples: the rows of the dataset that have rollout items.
        rollouts, gates: its items that were selected to run, in order.
    """

    examples: Sequence[dict[str, Any]] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.rollouts: list[RolloutItem] = []
        self.gates: list[GateItem] = []
        self._keywords: dict[str, Any] = {}
        self._place: tuple[str, int | None] | None = None

    def select(self, item: RolloutItem | GateItem) -> None:
        """Note that an item of the run is to run."""
        if item.kind == "rollout":
            self.rollouts.append(item)  # type: ignore[arg-type]
            self.selected += 1
        else:
            self.gates.append(item)  # type: ignore[arg-type]
            self.selected_gates += 1

    def selected_keys(self) -> Collection[Any]:
        """Return the rollouts that were selected."""
        return [item.key for item in self.rollouts]

    def keywords_of(self, item: EvalItem) -> dict[str, Any]:
        """Return the keywords of an item's reports: one dict for the eval, not one for each."""
        if not self._keywords:
            self._keywords = dict.fromkeys(name for name in item.keywords if name != item.name)
        return self._keywords

    def location_of(self, item: EvalItem) -> tuple[str, int | None, str]:
        """Return where an item stands, as its reports say; only the name is not the eval's."""
        if self._place is None:
            self._place = item.own_location[:2]
        return (*self._place, f"{self.heading}::{item.name}")
