"""Figures: comparing a statistic with a limit, and printing it so that what is printed is true."""

from __future__ import annotations

import math
from typing import Final

from .grammar import Comparison, Gate

# How far apart two numbers of size 1 may be and still count as equal, in units in the last place.
# Adding up and dividing a hundred thousand rewards with `math.fsum` is off by one or two; rewards
# are often sums of weights themselves (0.1 + 0.2 + 0.4 is 0.7000000000000001).
TOLERANCE_ULPS: Final = 8

NEGATED: Final[dict[Comparison, Comparison]] = {">=": "<", "<=": ">", ">": "<=", "<": ">="}


def compare(value: float, limit: float) -> int:
    """Return -1, 0 or 1 as `value` is below, equal to or above `limit`.

    Equal means within 8 units in the last place of the larger of the two, or of 1.0 when both are
    smaller: a mean of 0.7 that was computed as 0.6999999999999999 meets a limit of 0.7.
    """
    if math.isinf(value):  # of which a unit in the last place is infinite, too
        return -1 if value < 0 else 1
    if abs(value - limit) <= TOLERANCE_ULPS * math.ulp(max(abs(value), abs(limit), 1.0)):
        return 0
    return -1 if value < limit else 1


def clears(value: float, comparison: Comparison, limit: float) -> bool:
    """Whether `value comparison limit` holds, up to the tolerance of `compare`."""
    order = compare(value, limit)
    return {">=": order >= 0, "<=": order <= 0, ">": order > 0, "<": order < 0}[comparison]


def limit_text(gate: Gate) -> str:
    """Return the limit of a gate as the user wrote it, or else its shortest decimal form."""
    written = gate.text.rpartition(gate.comparison)[2].strip()
    try:
        if written and float(written) == gate.limit:
            return written
    except ValueError:  # a text of another form
        pass
    return f"{gate.limit:.15g}"


def condition_text(gate: Gate) -> str:
    """Return what a gate asks for, with the limit as `limit_text` has it."""
    if gate.drop is not None or gate.by or gate.each is not None:
        return gate.text
    return f"{gate.metric} {gate.comparison} {limit_text(gate)}"


def value_text(value: float, limit: float) -> str:
    """Print a value with as many decimals as its comparison with `limit` needs to be true.

    Three decimals below 10, two below 1,000, one above; more when rounding would move the value
    onto the limit or past it: 0.79996 is not printed as "0.800 < 0.80".
    """
    order = compare(value, limit)
    if abs(value) < 1e15:
        for decimals in range(_decimals(value), 18):
            text = f"{value:.{decimals}f}"
            if compare(float(text), limit) == order:
                return text.lstrip("-") if float(text) == 0 else text
    return repr(value)


def rounded(value: float) -> str:
    """Print a value that is compared with nothing, with the decimals of `value_text`."""
    if not math.isfinite(value) or abs(value) >= 1e15:
        return repr(value)
    text = f"{value:.{_decimals(value)}f}"
    return text.lstrip("-") if float(text) == 0 else text


def spread_text(value: float) -> str:
    """Print a standard error: rounded, or with two significant digits when it is very small."""
    return f"{value:.2g}" if 0 < value < 0.0005 else rounded(value)


def _decimals(value: float) -> int:
    if abs(value) < 10:
        return 3
    return 2 if abs(value) < 1000 else 1
