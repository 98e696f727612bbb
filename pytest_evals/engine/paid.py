"""What a rollout's answers cost, and which of them were known and cost nothing."""

from __future__ import annotations

from ..clients.cache import CachedClient
from ..endpoints.prices import Cost, Price
from ..messages import Usage
from ..store.rows import Row

_NOTHING = Usage(0, 0)


def known_usage(cached: CachedClient | None) -> Usage:
    """Return the tokens of the answers that the response cache gave."""
    return _NOTHING if cached is None else Usage(cached.input_tokens, cached.output_tokens)


def cost_of(used: Usage | None, price: Price | None, cached: CachedClient | None) -> Cost | None:
    """Return what a rollout cost; None where the price or its tokens are not known."""
    if used is None or price is None:
        return None
    known = known_usage(cached)
    return price.cost_of(
        used.prompt_tokens - known.prompt_tokens, used.completion_tokens - known.completion_tokens
    )


def paid_columns(cost: Cost | None, cached: CachedClient | None) -> Row:
    """Return what a row says of both: `cost` in USD, and `from_cache` where answers were known."""
    columns: Row = {}
    if cached is not None and cached.hits:
        columns["from_cache"] = {
            "answers": cached.hits,
            "input_tokens": cached.input_tokens,
            "output_tokens": cached.output_tokens,
        }
    if cost is not None:
        columns["cost"] = {
            "input_usd": cost.input_usd,
            "output_usd": cost.output_usd,
            "total_usd": cost.total_usd,
        }
    return columns
