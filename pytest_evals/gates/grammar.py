"""The grammar of gates: `"reward >= 0.8"`, or a table that says more -> Gate."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from ..stats.power import needed_for_proof
from .drop_limit import DropLimit
from .each_limit import EachLimit
from .metrics import EXAMPLES, nearest, read_metric
from .tables import DEFAULT_CONFIDENCE, OnInconclusive, Rule, Tier, read_table

Comparison: TypeAlias = Literal[">=", "<=", ">", "<"]
# A gate as the user wrote it: its short form or its long one.
Written: TypeAlias = str | Mapping[str, Any]

FORM = "a gate is written '<metric> <comparison> <number>', for example 'reward >= 0.8'"

_COMPARISONS: dict[str, Comparison] = {">=": ">=", "<=": "<=", ">": ">", "<": "<"}
_MEANT = {"=>": ">=", "=<": "<=", "≥": ">=", "≤": "<=", ">>": ">", "<<": "<"}
_MIRRORED = {">=": "<=", "<=": ">=", ">": "<", "<": ">"}
_PARTS = re.compile(r"([^<>=!≤≥~]*)([<>=!≤≥~]+)(.*)", re.DOTALL)
_NUMBER = re.compile(r"[+-]?([0-9][0-9_]*\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")

# What a metric can be, whatever the model does; a reward or a rubric metric can be anything.
_SHARES = ("error_rate", "truncated_rate", "answer_rate")
_COUNTS = ("input_tokens", "output_tokens", "cost_usd", "turns", "latency.mean")


class GateSyntaxError(ValueError):
    """The text of a gate is not one; the message says what is wrong and what to write."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition on an eval's results.

    Attributes:
        name: the name of its test item: `gate-reward`, `gate-pass-at-4`, `gate-reward-2`.
        metric: `reward`, a rubric metric, `pass@k`, `pass^k`, `error_rate`, `truncated_rate`,
            `answer_rate`, `latency.mean`, `latency.p95` (seconds of generation, any percentile),
            `input_tokens`, `output_tokens`, `cost_usd`, `turns` (means per scored rollout). A
            built-in name goes before a rubric metric of the same name.
        comparison, limit: what the metric is held against.
        rule: what the numbers must show: the estimate clears the limit (`point`); the interval
            does not lie beyond it (`evidence`); the interval lies within it (`proof`).
        confidence: of each bound of the interval.
        range: the smallest and largest reward there can be; None where none is declared.
        on_inconclusive: what it means that the data cannot say, for another reason than noise.
        tier: whether the gate decides the exit code, or is only shown.
        text: the condition, as the user wrote it where that is one line.
        written: all of it, in the form the user chose.
        default: added because the eval had none on this metric.
        drop: of a gate with a baseline, how much lower than that the metric may be: what is held
            against the limit is the drop.
        by: what the examples are parted by (`task`, `info.topic`, or a column of their own): the
            gate is held against each slice of them. "" for all together.
        each: of a gate that each example has to meet, which ones; None for their mean.
    """

    name: str
    metric: str
    comparison: Comparison
    limit: float
    rule: Rule = "point"
    confidence: float = DEFAULT_CONFIDENCE
    range: tuple[float, float] | None = None
    on_inconclusive: OnInconclusive = "fail"
    tier: Tier = "blocking"
    text: str = ""
    written: Written = field(default="", compare=False)
    default: bool = False
    drop: DropLimit | None = None
    by: str = ""
    each: EachLimit | None = None


def parse_gate(written: Written) -> Gate:
    """Read one gate, in its short form or its long one.

    Raises:
        GateSyntaxError: `written` is not a gate.
    """
    if isinstance(written, Mapping):
        return _parse_table(written)
    if not isinstance(written, str):
        raise GateSyntaxError(f"{written!r} is not a string or a table; {FORM}")
    text = written
    parts = _PARTS.fullmatch(text.strip())
    if parts is None:
        raise GateSyntaxError(f"{text!r} has no comparison; {FORM}")
    left, sign, right = parts[1].strip(), parts[2], parts[3].strip()
    if _PARTS.fullmatch(right):
        raise GateSyntaxError(f"{text!r} has two comparisons; write one gate for each")
    comparison = _read_comparison(text, left, sign, right)
    if not left:
        raise GateSyntaxError(f"{text!r} names no metric; {FORM}")
    if _NUMBER.fullmatch(left):
        turned = f"{right or 'reward'} {_MIRRORED[comparison]} {left}"
        raise GateSyntaxError(f"{text!r}: the metric comes first; did you mean {turned!r}?")
    try:
        metric = read_metric(left)
    except ValueError as error:
        raise GateSyntaxError(f"{text!r}: {error}") from None
    limit = _read_limit(text, right)
    return Gate(
        _item_name(metric.name),
        metric.name,
        comparison,
        limit,
        text=text.strip(),
        written=text.strip(),
    )


def _parse_table(table: Mapping[str, Any]) -> Gate:
    try:
        read = read_table(table)
    except ValueError as error:
        raise GateSyntaxError(str(error)) from None
    name, condition = read.metric.name, f"{read.comparison} {read.limit:.15g}"
    if read.drop is not None:
        name, condition = f"{name} drop", f"<= {read.drop.text}"
    if read.each is not None:
        name = f"each {name}"
    if read.by:
        name = f"{name} by {read.by}"
    return Gate(
        _item_name(name),
        read.metric.name,
        read.comparison,
        read.limit,
        rule=read.rule,
        confidence=read.confidence,
        range=read.range,
        on_inconclusive=read.on_inconclusive,
        tier=read.tier,
        text=f"{name} {condition}",
        written=dict(table),
        drop=read.drop,
        by=read.by,
        each=read.each,
    )


def parse_gates(texts: Sequence[Written]) -> tuple[Gate, ...]:
    """Read an eval's gates, give each a name of its own, and add the default one.

    The default, `error_rate <= 0`, comes last and only where no gate is on `error_rate`.

    Raises:
        GateSyntaxError: one of `texts` is not a gate, or `texts` is not a list.
    """
    if isinstance(texts, str):
        raise GateSyntaxError(f"gates is a list: write [{texts!r}]")
    if not isinstance(texts, Sequence):
        raise GateSyntaxError(f"gates is a list, not {texts!r}")
    gates = [parse_gate(text) for text in texts]
    if all(gate.metric != "error_rate" for gate in gates):
        gates.append(replace(parse_gate("error_rate <= 0"), default=True))
    taken: set[str] = set()
    named = []
    for gate in gates:
        name, number = gate.name, 1
        while name in taken:
            number += 1
            name = f"{gate.name}-{number}"
        taken.add(name)
        named.append(replace(gate, name=name))
    return tuple(named)


def tolerates_errors(gates: Sequence[Gate]) -> bool:
    """Whether an eval with these gates can pass with an unmeasured rollout in it.

    True when there is an upper limit on `error_rate` and each is above 0.
    """
    limits = [
        gate.limit
        for gate in gates
        if gate.metric == "error_rate" and gate.comparison in ("<=", "<")
    ]
    return bool(limits) and min(limits) > 0


def impossible(gate: Gate, *, num_examples: int, rollouts_per_example: int) -> str | None:
    """Say why a gate cannot pass, whatever the model does, or return None.

    Args:
        gate: the gate.
        num_examples: examples of the eval, never "all".
        rollouts_per_example: attempts at each.
    """
    metric = read_metric(gate.metric)
    if gate.drop is None and (why := _unprovable(gate, num_examples)):
        return why
    if metric.kind in ("pass@", "pass^"):
        if metric.parameter > rollouts_per_example:
            return (
                f"{gate.text!r} needs {metric.name[5:]} rollouts per example and the eval makes "
                f"{rollouts_per_example}: raise rollouts_per_example or lower the number after "
                f"{metric.kind[-1]}"
            )
        return None if gate.drop else _out_of_reach(gate, 1.0)
    if gate.metric == "error_rate":
        # An eval with nothing scored fails, so at most all rollouts but one may be errors.
        rollouts = num_examples * rollouts_per_example
        return _out_of_reach(gate, (rollouts - 1) / rollouts if rollouts > 0 else 1.0)
    if gate.metric in _SHARES:
        return _out_of_reach(gate, 1.0)
    if gate.metric in _COUNTS or metric.kind == "percentile":
        return _out_of_reach(gate, math.inf)
    return None


def doubtful(gate: Gate) -> str | None:
    """Say that no reward between 0 and 1 clears a gate which declares no other range, if so.

    It is no mistake as long as nobody has said how large rewards are.
    """
    if gate.metric != "reward" or gate.drop is not None or gate.range is not None:
        return None
    if _is_within_reach(gate, 0.0, 1.0):
        return None
    return (
        f"{gate.text!r} cannot pass with rewards between 0 and 1; if there are others, say so:"
        f' {{ metric = "reward", ..., range = [0, {max(1.0, gate.limit):g}] }}'
    )


def _unprovable(gate: Gate, num_examples: int) -> str | None:
    """Say that even the best results of so many examples would prove too little, if so."""
    metric = read_metric(gate.metric)
    if gate.rule != "proof" or metric.name in _COUNTS:
        return None
    low, high = gate.range or (0.0, 1.0)
    share = (gate.limit - low) / (high - low)
    is_lower = gate.comparison in (">=", ">")
    if metric.kind == "percentile":
        share, is_lower = metric.parameter / 100, not is_lower
    if not 0 <= share <= 1:
        return None  # of a reward that has another range, which nobody has declared
    share = share if is_lower else 1 - share
    if share == 1:
        return f"{gate.text!r} cannot be proved: no number of examples shows that none differs"
    needed = needed_for_proof(share, confidence=gate.confidence)
    if num_examples >= needed:
        return None
    return (
        f"{gate.text!r} cannot be proved with {num_examples} examples, whatever the model does:"
        f" it takes at least {needed}"
    )


def _out_of_reach(gate: Gate, most: float) -> str | None:
    """Say that a metric between 0 and `most` cannot clear the gate's limit, if so."""
    if _is_within_reach(gate, 0.0, most):
        return None
    bound = "is never below 0" if gate.comparison in ("<", "<=") else f"is at most {most:.6g}"
    return f"{gate.text!r} cannot pass: {gate.metric} {bound}"


def _is_within_reach(gate: Gate, least: float, most: float) -> bool:
    return {
        ">=": gate.limit <= most,
        ">": gate.limit < most,
        "<=": gate.limit >= least,
        "<": gate.limit > least,
    }[gate.comparison]


def _read_comparison(text: str, left: str, sign: str, right: str) -> Comparison:
    if sign in _COMPARISONS:
        return _COMPARISONS[sign]
    if sign in _MEANT:
        meant = f"{left} {_MEANT[sign]} {right}".strip()
        raise GateSyntaxError(f"{text!r}: {sign!r} is not a comparison; did you mean {meant!r}?")
    if sign in ("=", "=="):
        raise GateSyntaxError(
            f"{text!r}: a mean is rarely equal to a number to the last digit; write '>=' or '<=', "
            f"or one gate of each"
        )
    raise GateSyntaxError(f"{text!r}: {sign!r} is not a comparison; use >=, <=, > or <")


def _read_limit(text: str, right: str) -> float:
    if not right:
        raise GateSyntaxError(f"{text!r} has no number to compare with; {FORM}")
    if right.endswith("%") and _NUMBER.fullmatch(number := right[:-1].strip()):
        raise GateSyntaxError(
            f"{text!r}: limits are not percentages; write {float(number) / 100:g}"
        )
    if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", right):
        raise GateSyntaxError(f"{text!r}: write the decimal point: {right.replace(',', '.')}")
    if right.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise GateSyntaxError(f"{text!r}: the limit must be a finite number, not {right!r}")
    if not _NUMBER.fullmatch(right):
        raise GateSyntaxError(f"{text!r}: {right!r} is not a number; {FORM}{_swapped(right)}")
    try:
        limit = float(right)
    except ValueError:  # an underscore that is not between digits
        raise GateSyntaxError(f"{text!r}: {right!r} is not a number; {FORM}") from None
    if not math.isfinite(limit):
        raise GateSyntaxError(f"{text!r}: the limit must be a finite number, not {right!r}")
    return limit


def _swapped(right: str) -> str:
    metric = nearest(right, EXAMPLES)
    return "" if metric is None else "; two metrics cannot be compared with each other"


def _item_name(metric: str) -> str:
    """Return the name of a gate's test item: letters, digits and `_ . + -` only."""
    readable = metric.replace("pass@", "pass-at-").replace("pass^", "pass-hat-")
    return "gate-" + re.sub(r"[^\w.+-]", "-", readable)
