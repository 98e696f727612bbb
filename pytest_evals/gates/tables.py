"""The long form of a gate: `{ metric = "reward", min = 0.8, rule = "proof" }`."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from .drop_limit import DropLimit, read_drop_limit
from .each_limit import EachLimit, read_each_limit
from .metrics import Metric, read_metric

Rule: TypeAlias = Literal["point", "evidence", "proof"]
OnInconclusive: TypeAlias = Literal["fail", "warn"]
Tier: TypeAlias = Literal["blocking", "advisory"]

DEFAULT_CONFIDENCE = 0.95

_DROP_KEYS = ("max_drop", "relative_below")
_KEYS = (
    *("metric", "min", "max", "rule", "confidence", "range", "on_inconclusive", "tier"),
    *("baseline", *_DROP_KEYS, "by", "each_min", "quarantine"),
)
_WORDS = {
    "rule": get_args(Rule),
    "on_inconclusive": get_args(OnInconclusive),
    "tier": get_args(Tier),
}
# Of an example: its task, a key of its info, or a column of its own.
_COLUMN = re.compile(r"info\.[^\x00-\x1f\x7f]{1,100}|[^\W\d][\w-]{0,99}")
# What is counted and not estimated: no interval says more than the number.
_FACTS = ("error_rate",)


class GateTable(NamedTuple):
    """A gate in its long form, checked; see `grammar.Gate`."""

    metric: Metric
    comparison: Literal[">=", "<="]
    limit: float
    rule: Rule = "point"
    confidence: float = DEFAULT_CONFIDENCE
    range: tuple[float, float] | None = None
    on_inconclusive: OnInconclusive = "fail"
    tier: Tier = "blocking"
    drop: DropLimit | None = None
    by: str = ""
    each: EachLimit | None = None


def read_table(table: Mapping[str, Any]) -> GateTable:
    """Read a gate in its long form.

    Raises:
        ValueError: it is not one; the message names the key and says what to write.
    """
    for key in table:
        if key not in _KEYS:
            close = difflib.get_close_matches(key, _KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the keys are {', '.join(_KEYS)}"
            raise ValueError(f"a gate has no key {key!r}; {hint}")
    name = table.get("metric")
    metric = read_metric(name) if isinstance(name, str) else None
    if metric is None:
        raise ValueError('a gate needs a metric: { metric = "reward", min = 0.8 }')
    rule: Rule = _word(table, "rule", "point")
    if rule != "point" and metric.name in _FACTS:
        raise ValueError(f"{metric.name!r} is counted, not estimated: its rule is 'point'")
    confidence = _number(table, "confidence") if "confidence" in table else DEFAULT_CONFIDENCE
    if not 0.5 < confidence < 1:
        raise ValueError(f"confidence must be above 0.5 and below 1, not {confidence:g}")
    span = _range(table, metric)
    each = read_each_limit(table, metric)
    comparison, limit, drop = _limit(table, metric, span)
    return GateTable(
        metric=metric,
        comparison=comparison,
        limit=limit,
        rule=rule,
        confidence=confidence,
        range=span,
        on_inconclusive=_word(table, "on_inconclusive", "fail"),
        tier=_word(table, "tier", "blocking"),
        drop=drop,
        by=_by(table),
        each=each,
    )


def _limit(
    table: Mapping[str, Any], metric: Metric, span: tuple[float, float] | None
) -> tuple[Literal[">=", "<="], float, DropLimit | None]:
    """Return what the metric, or its drop from a baseline, is held against."""
    if "baseline" in table:
        drop = read_drop_limit(table, metric, span)
        limit = drop.share if drop.most is None else drop.most
        assert limit is not None
        return "<=", limit, drop
    for key in _DROP_KEYS:
        if key in table:
            raise ValueError(f'{key} needs the name of a baseline: baseline = "main"')
    limits = [key for key in ("min", "max", "each_min") if key in table]
    if len(limits) != 1:
        which = "both; write one gate for each" if limits else "neither"
        raise ValueError(f"a gate on {metric.name!r} needs 'min' or 'max', and has {which}")
    (key,) = limits
    limit = _number(table, key)
    if span is not None and not span[0] <= limit <= span[1]:
        low, high = span
        raise ValueError(f"the limit {limit:g} lies outside the range [{low:g}, {high:g}]")
    return "<=" if key == "max" else ">=", limit, None


def _by(table: Mapping[str, Any]) -> str:
    """Return what the examples are parted by."""
    if "by" not in table:
        return ""
    by = table["by"]
    if not isinstance(by, str) or not _COLUMN.fullmatch(by):
        raise ValueError(
            "by must be 'task', 'info.KEY', or a column of the dataset, such as"
            f" 'info.difficulty', not {by!r}"
        )
    if "baseline" in table:
        raise ValueError(
            "a gate with a baseline compares all examples and has no 'by'; --evals-compare shows"
            " the slices of two runs"
        )
    return by


def _word(table: Mapping[str, Any], key: str, default: str) -> Any:
    value = table.get(key, default)
    if value not in _WORDS[key]:
        raise ValueError(f"{key} must be one of {', '.join(_WORDS[key])}, not {value!r}")
    return value


def _number(table: Mapping[str, Any], key: str) -> float:
    return _finite(table[key], key)


def _finite(value: object, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{key} must be a number, not {value!r}")  # noqa: TRY004
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{key} must be a finite number")
    return number


def _range(table: Mapping[str, Any], metric: Metric) -> tuple[float, float] | None:
    if "range" not in table:
        return None
    value = table["range"]
    if metric.built_in and metric.name != "reward":
        raise ValueError(f"range is that of a reward or a rubric metric, not of {metric.name!r}")
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"range must be two numbers, such as [0, 1], not {value!r}")
    low, high = (_finite(each, f"range[{place}]") for place, each in enumerate(value))
    if not low < high:
        raise ValueError(f"range must begin below its end, not [{low:g}, {high:g}]")
    return low, high
