"""SessionPrices: what the models of a session cost, as far as that is known."""

from __future__ import annotations

import pytest

from ..config.budget import Budget
from ..config.spec import EvalSpec
from ..endpoints.endpoint import Endpoint
from ..endpoints.prices import Price, Prices, load_prices
from ..errors import SetupError
from . import options

COST = "cost_usd"


class SessionPrices:
    """The prices of the registry's rows, and of the table that `--evals-prices` names."""

    def __init__(self, config: pytest.Config) -> None:
        self._path = options.prices_path(config)
        self._prices: Prices = {}
        self._is_read = self._has_failed = False

    def read(self) -> bool:
        """Read the table, once; False when it cannot be used and that was said before.

        Raises:
            ConfigError: the first time it cannot be used.
        """
        if not self._is_read and self._path is not None:
            self._is_read = self._has_failed = True
            self._prices = load_prices(self._path)
            self._has_failed = False
        return not self._has_failed

    def of(self, endpoint: Endpoint) -> Price | None:
        """Return the price of an endpoint's tokens; None where nobody said it.

        The row of the registry comes before the table: one model costs this here and that there.
        """
        return endpoint.price or self._prices.get(endpoint.model)

    def check(self, spec: EvalSpec, endpoint: Endpoint, budget: Budget) -> None:
        """Refuse an eval whose gates or budget ask for a cost that nobody can tell.

        Raises:
            SetupError: the price is not known.
        """
        if self.of(endpoint) is not None:
            return
        if budget.max_cost_usd is not None:
            raise SetupError(
                f"max_cost_usd = {budget.max_cost_usd:g}: {self.unknown(endpoint)}"
            ).of_keys("max_cost_usd")
        for number, gate in enumerate(spec.gates):
            if gate.metric == COST:
                raise SetupError(f"gate {gate.text!r}: {self.unknown(endpoint)}").of_keys(
                    f"gates.{number}"
                )

    def unknown(self, endpoint: Endpoint) -> str:
        """Say that a price is not known, and what to do."""
        where = "--evals-prices" if self._path is None else str(self._path)
        return (
            f"the price of model {endpoint.model!r} is not known; give it in {where} (a [[price]]"
            " row with model, input_price and output_price, USD per million tokens), or as"
            " input_price and output_price in the model's row of the endpoint registry"
        )
