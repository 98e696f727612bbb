"""SessionBudget: counts what a session uses, and says when nothing more is to start."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..config.budget import Budget
from ..endpoints.prices import Price
from ..messages import Usage


class SessionBudget:
    """What may be used, and what has been. Threads may count at the same time.

    What is in flight when it is spent goes on, so more is used than was allowed: up to what the
    rollouts in flight still ask.

    Args:
        limits: what may be used.
        on_spent: told, once, why nothing more is to start.

    Attributes:
        reason: why nothing more is to start; None as long as anything may.
    """

    def __init__(self, limits: Budget, on_spent: Callable[[str], None]) -> None:
        self.limits = limits
        self.reason: str | None = None
        self._on_spent = on_spent
        self._lock = threading.Lock()
        self._tokens = self._counted = self._uncounted = 0
        self._usd = 0.0
        self._started: float | None = None
        self._timer: threading.Timer | None = None

    def start(self, wake: Callable[[], None] | None = None) -> None:
        """Begin to count the time, once: when rollouts may start.

        Args:
            wake: called in another thread when the time is over, and has somebody call
                `check_time`; `check_time` itself when None.
        """
        if self._started is not None:
            return
        self._started = time.monotonic()
        if self.limits.max_duration is not None:
            # A day and more is nothing that a timer can be trusted with on every system.
            seconds = min(self.limits.max_duration, threading.TIMEOUT_MAX)
            self._timer = threading.Timer(seconds, wake or self.check_time)
            self._timer.name = "pytest-evals-budget"
            self._timer.daemon = True
            self._timer.start()

    def stop(self) -> None:
        """Stop counting the time; to be called again at no cost."""
        if self._timer is not None:
            self._timer.cancel()

    def check_time(self) -> None:
        """Say so when the time is over."""
        limit = self.limits.max_duration
        if limit is None or self._started is None:
            return
        seconds = time.monotonic() - self._started
        if seconds >= limit:
            self._spend(f"max_duration = {limit:g} is over ({seconds:.1f} s)")

    def count(self, tokens: int | None, usd: float | None) -> None:
        """Count an answer; None is what is not known of it."""
        with self._lock:
            self._counted += tokens is not None
            self._uncounted += tokens is None
            self._tokens += tokens or 0
            self._usd += usd or 0.0
            reason = self._reason(is_priced=usd is not None or tokens is None)
        if reason is not None:
            self._spend(reason)

    def _reason(self, *, is_priced: bool) -> str | None:
        limits = self.limits
        if limits.max_cost_usd is not None and self._usd >= limits.max_cost_usd:
            used = f"{self._usd:.4f} USD used by then"
            return f"max_cost_usd = {limits.max_cost_usd:g} is spent ({used})"
        if limits.max_tokens_total is not None and self._tokens >= limits.max_tokens_total:
            used = f"{self._tokens} used by then"
            return f"max_tokens_total = {limits.max_tokens_total} is spent ({used})"
        if limits.max_cost_usd is not None and not is_priced:
            return "max_cost_usd cannot be kept: the price of a model is not known"
        if self._uncounted > self._counted:
            return (
                f"{' and '.join(limits.words)} cannot be kept: the server counted no tokens in"
                f" {self._uncounted} of {self._uncounted + self._counted} answers"
            )
        return None

    @property
    def used(self) -> str:
        """What has been used of what is limited, in words; "" where no answers are counted."""
        amounts = []
        if self.limits.max_cost_usd is not None:
            amounts.append(f"{self._usd:.4f} USD")
        if self.limits.max_tokens_total is not None:
            amounts.append(f"{self._tokens} tokens")
        return " and ".join(amounts)

    @property
    def uncounted(self) -> int:
        """Answers whose tokens are not known, and not in what was used."""
        return self._uncounted

    def _spend(self, reason: str) -> None:
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
        self._on_spent(reason)


def amounts(usage: Usage | None, price: Price | None) -> tuple[int | None, float | None]:
    """Return the tokens of an answer and what they cost in USD, as far as that is known."""
    if usage is None:
        return None, None
    cost = None if price is None else price.cost_of(usage.prompt_tokens, usage.completion_tokens)
    return usage.total_tokens, None if cost is None else cost.total_usd
