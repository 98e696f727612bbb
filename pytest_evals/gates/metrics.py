"""The metrics that a gate can name: which are built in, and how their names are written."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["mean", "pass@", "pass^", "percentile", "error_rate"]

# Each is a mean per scored rollout, but for error_rate.
PLAIN = (
    "reward",
    "error_rate",
    "truncated_rate",
    "answer_rate",
    "input_tokens",
    "output_tokens",
    "cost_usd",
    "turns",
)
# One of each form, for messages.
EXAMPLES = (*PLAIN, "pass@4", "pass^4", "latency.mean", "latency.p95")

_PASS = re.compile(r"pass([@^])([0-9]+)")
_PERCENTILE = re.compile(r"latency\.p([0-9]+(?:\.[0-9]+)?)")
_RUBRIC_METRIC = re.compile(r"[^\W\d][\w.+/:-]*")


@dataclass(frozen=True, slots=True)
class Metric:
    """What the name of a metric means.

    Attributes:
        name: in its one spelling: `pass@04` is `pass@4`.
        kind: how the rollouts' values become one number.
        parameter: k of `pass@k` and `pass^k`, p of a percentile; otherwise 0.
        built_in: False for the name of a rubric metric, which only the rows can confirm.
    """

    name: str
    kind: Kind = "mean"
    parameter: float = 0
    built_in: bool = True


def read_metric(name: str) -> Metric:
    """Read the name of a metric.

    Raises:
        ValueError: it is neither built in nor a possible name of a rubric metric, or it is so
            close to a built-in name that it must be a slip. The message says what to write.
    """
    if name == "error_rate":
        return Metric(name, "error_rate")
    if name in PLAIN or name == "latency.mean":
        return Metric(name)
    if match := _PASS.fullmatch(name):
        return _read_pass(match[1], int(match[2]))
    if match := _PERCENTILE.fullmatch(name):
        p = float(match[1])
        if not 0 < p <= 100:
            raise ValueError(f"{name!r} is no percentile: p is above 0 and at most 100")
        return Metric(f"latency.p{p:g}", "percentile", p)
    if hint := _near_miss(name):
        raise ValueError(f"{name!r} is not a metric; {hint}")
    if not _RUBRIC_METRIC.fullmatch(name):
        raise ValueError(
            f"{name!r} is not the name of a metric: a rubric metric or one of {', '.join(EXAMPLES)}"
        )
    return Metric(name, built_in=False)


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` was probably meant to be, or None."""
    close = get_close_matches(name, list(names), n=1, cutoff=0.6)
    return close[0] if close else None


def _read_pass(sign: str, k: int) -> Metric:
    if k == 0:
        raise ValueError(f"'pass{sign}0' means nothing: k is the number of attempts, at least 1")
    return Metric(f"pass{sign}{k}", "pass@" if sign == "@" else "pass^", k)


def _near_miss(name: str) -> str | None:
    """Say what was meant by a name that is almost a built-in one.

    A rubric may have a metric of any name, so only what is one slip of a key, or other
    punctuation or case, away from a built-in name is taken for a mistake; a longer name that
    begins with a built-in one (`reward2`, `reward_format`) never is.
    """
    plain = re.sub(r"[\W_]", "", name).lower()
    if match := re.fullmatch(r"pass(at|hat|all)?([0-9]*|k)", plain):
        sign = "^" if match[1] in ("hat", "all") or "^" in name else "@"
        return f"did you mean 'pass{sign}{match[2] if match[2].isdigit() else 4}'?"
    if plain in ("latency", "latencymedian", "latencymin", "latencymax") or re.fullmatch(
        r"latencyp?[0-9]*|p[0-9]+latency|latencymean|meanlatency", plain
    ):
        return "latency is written 'latency.mean' or 'latency.p95' (p50 the median, p100 the most)"
    for known in PLAIN:
        if plain == known.replace("_", "") or _one_slip(name, known):
            return f"did you mean {known!r}?"
    return None


def _one_slip(name: str, known: str) -> bool:
    """Whether one letter was added, lost or replaced, or two neighbours swapped."""
    if name.startswith(known) and not name[len(known) :].isalpha():
        return False
    start = 0
    while start < min(len(name), len(known)) and name[start] == known[start]:
        start += 1
    end = 0
    while end < min(len(name), len(known)) - start and name[-1 - end] == known[-1 - end]:
        end += 1
    left, right = name[start : len(name) - end], known[start : len(known) - end]
    return (len(left) <= 1 and len(right) <= 1) or (len(left) == 2 and left == right[::-1])
