"""Account: what one rollout asks its model with, and what all its tries used and cost."""

from __future__ import annotations

import json
from collections.abc import Mapping

from ..clients.cache import CachedClient
from ..clients.client import Client
from ..clients.metered import MeteredClient
from ..endpoints.prices import Cost
from ..errors import InvalidModelResponseError
from ..messages import Usage
from ..state import State
from ..store.rows import Row
from .rollouts import RolloutKey
from .run import EvalRun

_NOTHING = Usage(0, 0)


class Account:
    """The client of one rollout, the same for all its tries, and what came of it.

    Args:
        client: asks the model.
        run: says the price, and whether answers are counted, and looked up before they are asked
            for.
        key: the rollout.

    Attributes:
        client: what the rollout asks.
        cached: looks answers up; None where nobody does.
        earlier: tokens of the tries that failed, as far as they are known.
    """

    def __init__(self, client: Client, run: EvalRun, key: RolloutKey) -> None:
        self.cached: CachedClient | None = None
        self._metered: MeteredClient | None = None
        if run.count is not None:
            client = self._metered = MeteredClient(client, run.count)
        if run.cache is not None:
            client = self.cached = CachedClient(client, run.cache, *key)
        self.client = client
        self.earlier = _NOTHING
        self._is_known = True
        self._price = run.price
        self._free_before = _NOTHING

    @property
    def problem(self) -> str | None:
        """Why an answer could not be looked up or kept; None as a rule."""
        return None if self.cached is None else self.cached.problem

    @property
    def is_replay(self) -> bool:
        """Whether all answers were known, so that nothing shows that the model answers."""
        return self.cached is not None and bool(self.cached.hits) and not self.cached.asked

    def begin_again(self, state: State | None, error: BaseException) -> None:
        """Begin another try.

        Args:
            state: of the one that failed; what one without a state used is not known.
            error: what it failed with.
        """
        if state is None or (state.usage is None and state.trajectory):
            self._is_known = False
        elif state.usage is not None:
            self.earlier += state.usage
        if self.cached is not None:
            self.cached.begin_again(was_useless=isinstance(error, InvalidModelResponseError))
        if self._metered is not None:
            self._metered.begin_again()
        self._free_before = self._free

    def settle(self, state: State) -> None:
        """Have counted what the try says it used besides what it asked its client."""
        if self._metered is not None:
            self._metered.settle(state.usage, _less(self._free, self._free_before))

    def used(self, state: State) -> Usage | None:
        """Return the tokens of all tries, this the last; None where none was counted."""
        used = state.usage
        if self.earlier is _NOTHING:
            return used
        if used is not None:
            return self.earlier + used
        return self.earlier if self.earlier.total_tokens and not state.trajectory else None

    def cost(self, state: State) -> Cost | None:
        """Return the price of all tokens; None where it or the tokens are not known."""
        return self._cost(state, _NOTHING)

    def columns(self, state: State) -> Row:
        """Return what a row says of it.

        `from_cache` where answers were known before, `cost` in USD, and `paid` where that is less
        as the response cache gave an answer.
        """
        columns: Row = {}
        cached = self.cached
        if cached is not None and cached.hits:
            columns["from_cache"] = {
                "answers": cached.hits,
                "input_tokens": cached.input_tokens,
                "output_tokens": cached.output_tokens,
            }
        if (cost := self.cost(state)) is not None:
            columns["cost"] = _in_usd(cost)
        free = self._free
        if free.total_tokens and (paid := self._cost(state, free)) is not None:
            columns["paid"] = _in_usd(paid)
        return columns

    @property
    def _free(self) -> Usage:
        return _NOTHING if self.cached is None else self.cached.free

    def _cost(self, state: State, free: Usage) -> Cost | None:
        if self._price is None or not self._is_known or (used := self.used(state)) is None:
            return None
        rest = _less(used, free)
        return self._price.cost_of(rest.prompt_tokens, rest.completion_tokens)


def stored_cost(line: str) -> float | None:
    """Return what the row of a line says that it cost in USD; None where it does not."""
    cost = json.loads(line).get("cost")
    total = cost.get("total_usd") if isinstance(cost, Mapping) else None
    return float(total) if isinstance(total, int | float) else None


def _less(used: Usage, free: Usage) -> Usage:
    return Usage(
        used.prompt_tokens - free.prompt_tokens, used.completion_tokens - free.completion_tokens
    )


def _in_usd(cost: Cost) -> Row:
    return {
        "input_usd": cost.input_usd,
        "output_usd": cost.output_usd,
        "total_usd": cost.total_usd,
    }
