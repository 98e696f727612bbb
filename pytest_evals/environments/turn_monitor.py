"""MultiTurnMonitorRubric: the metric `num_turns` of environments with turns."""

from __future__ import annotations

from collections.abc import Sequence

from ..rubrics.rubric import Rubric
from ..state import State


class MultiTurnMonitorRubric(Rubric):
    """Counts model calls: the metric `num_turns`, of weight 0.

    A rubric of its own: the user's stays what it was, whatever is changed in it later.
    """

    def __init__(self) -> None:
        super().__init__()
        self.add_metric(num_turns)

    @property
    def has_group_functions(self) -> bool:
        """It has none."""
        return False

    async def _score(self, states: Sequence[State], *, incomplete: bool) -> None:
        # What the base class comes to for this one function, at a tenth of the cost.
        for state in states:
            if state["error"] is None:
                turns = float(num_turns(state))
                dict.update(state, reward=0.0, metrics={"num_turns": turns})


def num_turns(state: State) -> int:
    """Count the model calls of a rollout."""
    return len(state["trajectory"])
