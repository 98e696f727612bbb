"""EachLimit: that every example must reach a gate's limit, but for those in quarantine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .metrics import Metric

# What says something else than that each example reaches a limit.
_OTHERS = ("min", "max", "baseline", "max_drop", "relative_below", "by", "confidence")


@dataclass(frozen=True, slots=True)
class EachLimit:
    """Which examples a gate with `each_min` is about.

    Attributes:
        quarantine: ids of examples that may fall short, as text.
    """

    quarantine: tuple[str, ...] = ()

    def covers(self, example_id: object) -> bool:
        """Whether an example has to reach the limit."""
        return str(example_id) not in self.quarantine


def read_each_limit(table: Mapping[str, Any], metric: Metric) -> EachLimit | None:
    """Read the keys `each_min` and `quarantine` of a gate's long form; None where it has none.

    Raises:
        ValueError: they are none, or stand beside what they cannot; the message names the key.
    """
    if "each_min" not in table:
        if "quarantine" in table:
            raise ValueError("quarantine needs each_min: it names examples that may miss that")
        return None
    for key in _OTHERS:
        if key in table:
            raise ValueError(
                f"each_min is a limit for each example and has no {key!r}; write one gate for each"
            )
    if metric.built_in and metric.name != "reward":
        raise ValueError(
            f"each_min is about the reward or a metric of the rubric, not {metric.name!r}"
        )
    if table.get("rule", "point") != "point":
        raise ValueError(
            "each_min has rule = 'point': a few rollouts of one example show nothing about it, so"
            f" {table['rule']!r} could not decide; a gate on the mean can"
        )
    return EachLimit(_quarantine(table.get("quarantine", ())))


def _quarantine(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"quarantine is a list of example ids, such as ['17'], not {value!r}")  # noqa: TRY004
    names = []
    for each in value:
        if isinstance(each, bool) or not isinstance(each, str | int) or each == "":
            raise ValueError(f"quarantine holds ids of examples, such as '17', not {each!r}")
        if str(each) in names:
            raise ValueError(f"quarantine names {str(each)!r} twice")
        names.append(str(each))
    return tuple(names)
