"""Budget: what the evals of a session may use in all, as the levels of the configuration say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .resolving import Sources
    from .settings import Settings

BUDGET_KEYS = ("max_cost_usd", "max_tokens_total", "max_duration")


@dataclass(frozen=True, slots=True)
class Budget:
    """What a session may use; None for any amount.

    Attributes:
        max_cost_usd: USD that its answers may cost.
        max_tokens_total: tokens of prompts and answers together.
        max_duration: seconds from when rollouts may start.
    """

    max_cost_usd: float | None = None
    max_tokens_total: int | None = None
    max_duration: float | None = None

    @property
    def is_limited(self) -> bool:
        """Whether it limits anything."""
        return self != Budget()

    @property
    def counts_answers(self) -> bool:
        """Whether it depends on what the models answer."""
        return self.max_cost_usd is not None or self.max_tokens_total is not None

    @property
    def words(self) -> list[str]:
        """Its limits as they are written."""
        return [
            f"{field.name} = {value:g}" if isinstance(value, float) else f"{field.name} = {value}"
            for field in dataclasses.fields(self)
            if (value := getattr(self, field.name)) is not None
        ]


def smallest(budgets: Iterable[Budget]) -> Budget:
    """Return the budget that keeps all of them: of each limit the smallest."""
    limits: dict[str, Any] = {}
    for budget in budgets:
        for key in BUDGET_KEYS:
            value = getattr(budget, key)
            if value is not None:
                limits[key] = min(value, limits.get(key, value))
    return Budget(**limits)


def budget_in(settings: Settings) -> Budget:
    """Return what the command line or the ini file says."""
    return Budget(**{key: getattr(settings, key) for key in BUDGET_KEYS})


def budget_of(file: Mapping[str, Any], sources: Sources) -> Budget:
    """Return the budget of a file's evals: the smallest of what the levels say.

    No level lifts the limit that another one sets, but `--evals-set` does.
    """
    own = Budget(**{key: file.get(key) for key in BUDGET_KEYS})
    stated = smallest([own, budget_in(sources.command_line), budget_in(sources.ini)])
    assigned = {key: sources.assigned(key) for key in BUDGET_KEYS}
    return dataclasses.replace(
        stated, **{key: value for key, value in assigned.items() if value is not None}
    )
