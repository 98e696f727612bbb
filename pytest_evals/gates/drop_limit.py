"""DropLimit: how much lower than its baseline a metric may be."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .metrics import Metric

# A part of the name of a file, without the dot that parts it from the name of the eval.
_NAME = re.compile(r"[A-Za-z0-9_+-]{1,100}")
NAME_FORM = "letters, digits and _ + -"
# What a baseline keeps of each example; counts, costs and times are no part of it.
_KEPT = "a baseline keeps rewards and the metrics of the rubric"


@dataclass(frozen=True, slots=True)
class DropLimit:
    """What a gate with a baseline allows.

    Attributes:
        baselines: names of the runs to compare with; their rollouts are pooled.
        most: the largest drop; None where only `share` bounds it.
        share: the largest drop as a share of the baseline's mean; None where only `most` does.
        below: `share` counts where the baseline's mean is below this.
    """

    baselines: tuple[str, ...]
    most: float | None = None
    share: float | None = None
    below: float = math.inf

    def at(self, mean: float) -> float:
        """Return the largest drop from a baseline of this mean; the smaller where both bound it."""
        bounds = [] if self.most is None else [self.most]
        if self.share is not None and (mean < self.below or not bounds):
            bounds.append(self.share * mean)
        return min(bounds)

    @property
    def names(self) -> str:
        """The baselines in words."""
        return " and ".join(self.baselines)

    @property
    def text(self) -> str:
        """The limit in words: `0.02 from main`, `5% of main`."""
        parts = [] if self.most is None else [f"{self.most:.15g} from {self.names}"]
        if self.share is not None:
            where = "" if math.isinf(self.below) else f" where that is below {self.below:.15g}"
            parts.append(f"{100 * self.share:.10g}% of {self.names}{where}")
        return ", and ".join(parts)


def read_drop_limit(
    table: Mapping[str, Any], metric: Metric, span: tuple[float, float] | None
) -> DropLimit:
    """Read the keys `baseline`, `max_drop` and `relative_below` of a gate's long form.

    Args:
        table: that has `baseline`.
        metric: of the gate.
        span: its declared range.

    Raises:
        ValueError: they are none; the message names the key and says what to write.
    """
    for key in ("min", "max"):
        if key in table:
            raise ValueError(
                f"a gate with a baseline has max_drop or relative_below, and no {key!r}; write one"
                " gate for each"
            )
    if metric.kind not in ("mean", "pass@", "pass^") or (
        metric.built_in and metric.kind == "mean" and metric.name != "reward"
    ):
        raise ValueError(f"{_KEPT}, and nothing of {metric.name!r}")
    if "max_drop" not in table and "relative_below" not in table:
        raise ValueError(
            'a gate with a baseline needs max_drop: { metric = "reward", baseline = "main",'
            " max_drop = 0.02 }"
        )
    most = _number(table["max_drop"], "max_drop") if "max_drop" in table else None
    if most is not None and most < 0:
        raise ValueError(f"max_drop must be 0 or more, not {most:g}")
    width = 1.0 if metric.kind != "mean" else None
    if span is not None:
        width = span[1] - span[0]
    if most is not None and width is not None and most >= width:
        raise ValueError(
            f"max_drop must be below {width:g}: nothing can drop by more, not {most:g}"
        )
    share, below = _relative(table.get("relative_below"), has_most=most is not None)
    if table.get("rule") == "proof" and most == 0:
        raise ValueError(
            "rule = 'proof' needs a max_drop above 0: no number of examples shows that nothing at"
            " all is lost"
        )
    return DropLimit(_baselines(table["baseline"]), most, share, below)


def is_baseline_name(name: str) -> bool:
    """Whether a baseline can be called so."""
    return _NAME.fullmatch(name) is not None


def _baselines(value: object) -> tuple[str, ...]:
    names: Sequence[object] = value if isinstance(value, list | tuple) else [value]
    if not names:
        raise ValueError("baseline must name at least one run, and the list is empty")
    for name in names:
        if not isinstance(name, str) or not is_baseline_name(name):
            raise ValueError(
                f"baseline must be a name of {NAME_FORM}, such as 'main', or a list of them, not"
                f" {name!r}"
            )
    found = tuple(str(name) for name in names)
    if len({*found}) < len(found):
        raise ValueError(f"baseline names one run twice: {', '.join(found)}")
    return found


def _relative(value: object, *, has_most: bool) -> tuple[float | None, float]:
    if value is None:
        return None, math.inf
    below, share = math.inf, value
    key = "relative_below"
    if isinstance(value, Mapping):
        if {*value} != {"baseline", "max_relative_drop"}:
            raise ValueError(
                f"{key} is a number, or {{ baseline = 0.2, max_relative_drop = 0.1 }}: where the"
                f" baseline is below the one, the drop may be that share of it; not {dict(value)!r}"
            )
        if not has_most:
            raise ValueError(f"{key} with a baseline needs max_drop, for where it does not count")
        below = _number(value["baseline"], f"{key}.baseline")
        share, key = value["max_relative_drop"], f"{key}.max_relative_drop"
    number = _number(share, key)
    if not 0 < number < 1:
        raise ValueError(f"{key} is a share of the baseline, between 0 and 1, not {number:g}")
    return number, below


def _number(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} must be a number, not {value!r}")  # noqa: TRY004
    if not abs(value) < 1e300:
        raise ValueError(f"{key} must be a finite number")
    return float(value)
