"""Prices: what a model's tokens cost, from a table that the user supplies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ..errors import ConfigError
from ..nearest import did_you_mean
from .toml_file import read_rows

# Of a `[[price]]` row; the last two also stand in a row of the endpoint registry.
PRICE_KEYS = ("input_price", "output_price")
KEYS = ("model", *PRICE_KEYS)

_MILLION = 1_000_000

Prices: TypeAlias = Mapping[str, "Price"]


@dataclass(frozen=True, slots=True)
class Cost:
    """What tokens cost, in USD."""

    input_usd: float
    output_usd: float

    @property
    def total_usd(self) -> float:
        """Both together."""
        return self.input_usd + self.output_usd


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million input tokens and per million output tokens."""

    input: float
    output: float

    def cost_of(self, input_tokens: int, output_tokens: int) -> Cost:
        """Return what so many tokens cost; fewer than none cost nothing."""
        return Cost(
            max(0, input_tokens) * self.input / _MILLION,
            max(0, output_tokens) * self.output / _MILLION,
        )


def price_in(table: Mapping[str, Any]) -> Price | None:
    """Return the price in a table's `input_price` and `output_price`; None where it has neither.

    Raises:
        ValueError: one is missing or no price; the message names the key.
    """
    if not table.keys() & set(PRICE_KEYS):
        return None
    for key in PRICE_KEYS:
        if key not in table:
            raise ValueError(f"{key!r} is missing: a price is both, USD per million tokens")
        value = table[key]
        if type(value) not in (int, float) or not (0 <= value < math.inf):
            raise ValueError(f"{key!r} must be USD per million tokens, a number of at least 0")
    return Price(*(float(table[key]) for key in PRICE_KEYS))


def load_prices(path: Path) -> Prices:
    """Read a table of prices: `[[price]]` rows with `model`, `input_price` and `output_price`.

    Raises:
        ConfigError: it cannot be read, is no TOML, or a row is not valid.
    """
    _, rows = read_rows(path, "price", "the table of prices")
    prices: dict[str, Price] = {}
    for row, head in rows:
        try:
            model, price = _read(row, prices)
        except ValueError as error:
            line = None if head is None else head + 1
            raise ConfigError(path, line, f"[[price]]: {error}") from None
        prices[model] = price
    return prices


def _read(row: Mapping[str, Any], known: Prices) -> tuple[str, Price]:
    for key in row:
        if key not in KEYS:
            raise ValueError(f"unknown key {key!r}{did_you_mean(key, KEYS)}; {', '.join(KEYS)}")
    model = row.get("model")
    if not isinstance(model, str) or not model.strip():
        raise ValueError("'model' must be the id of a model")
    if model in known:
        raise ValueError(f"model {model!r} has a price already")
    price = price_in(row)
    if price is None:
        raise ValueError("'input_price' and 'output_price' are missing, USD per million tokens")
    return model, price
