"""Bounded retries: when a failed request is sent again, and how long to wait before it is."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from ..errors import Error, ModelError
from ..messages import Response
from .adaptive_limit import AdaptiveLimit
from .request_slots import RequestSlots, own_slots
from .standing_still import StandingStill


@dataclass(frozen=True, slots=True)
class Failure:
    """One request that failed.

    Attributes:
        error: what to raise when it is not tried again.
        retried: whether another try may succeed.
        retry_after: seconds the server asked to wait; None when it did not say.
        alive: whether the server understood the request, so that it is known to be up.
        refused: whether there were too many requests for it.
    """

    error: Error
    retried: bool = False
    retry_after: float | None = None
    alive: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The bounds of retrying. Times are seconds.

    Attributes:
        retries: after the first request, once the server is known to be up.
        retries_failing: of those, where the server did not refuse the request as one too many.
        retries_unproven: after the first request while it is not, so that a server that is down
            or always fails is found out fast.
        retries_refused: the same where it refused the request as one too many.
        first_wait: the wait before the first retry; it doubles with each.
        longest_wait: where it stops growing.
        longest_retry_after: a server that asks to wait longer is not waited for.
        total: no retry starts later than this after the first request, not counting the time in
            which it waited for its turn among other requests.
    """

    retries: int = 7
    retries_failing: int = 7
    retries_unproven: int = 2
    retries_refused: int = 3
    first_wait: float = 0.5
    longest_wait: float = 30.0
    longest_retry_after: float = 120.0
    total: float = 300.0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The decision not to try again, and why; `reason` is "" when nothing needs saying."""

    reason: str = ""


def decide(
    policy: RetryPolicy,
    failure: Failure,
    *,
    requests: int,
    elapsed: float,
    proven: bool,
    draw: float,
) -> float | GiveUp:
    """Return the seconds to wait before the next request, or the decision to give up.

    Args:
        policy: the bounds.
        failure: of the last request.
        requests: sent so far, at least 1.
        elapsed: seconds since the first one was sent.
        proven: whether the server is known to be up.
        draw: uniform in [0, 1): spreads the waits, so that requests that failed together do not
            come back together.
    """
    if not failure.retried:
        return GiveUp()
    unproven = policy.retries_refused if failure.refused else policy.retries_unproven
    allowed = policy.retries if proven else unproven
    if not failure.refused:
        allowed = min(allowed, policy.retries_failing)
    if requests > allowed:
        return GiveUp(f"gave up after {_counted(requests)}")
    backoff = min(policy.longest_wait, policy.first_wait * 2.0 ** (requests - 1))
    wait = backoff * (0.5 + 0.5 * draw)
    if failure.retry_after:
        if failure.retry_after > policy.longest_retry_after:
            return GiveUp(f"the server asks to wait {failure.retry_after:.0f} s: not waited for")
        wait = failure.retry_after + policy.first_wait * draw
    if elapsed + wait > policy.total:
        return GiveUp(f"gave up after {_counted(requests)} in {elapsed:.0f} s")
    return wait


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return the seconds that a reply's headers ask to wait, or None when they do not.

    Args:
        headers: looked up in lower case: `retry-after-ms` (milliseconds) before `retry-after`
            (seconds or an HTTP date, RFC 9110 section 10.2.3).
        now: epoch seconds.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    written = headers.get("retry-after")
    seconds = _number(written)
    if seconds is not None or written is None:
        return seconds
    try:
        date = parsedate_to_datetime(written)
        # A date without a zone is UTC; `timestamp` would take it for local time.
        return max(0.0, (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    # A NaN fails the comparison too.
    return number if 0 <= number < float("inf") else None


# A request in flight is taken to be served once it has lasted longer than a refusal takes: twice
# the last one, and this many seconds more.
_REFUSAL_SECONDS = 0.25


class Retries:
    """Sends requests to one endpoint in their turn, and again as its policy allows.

    A server that refuses requests as too many is up only if it answers one, now or later. While it
    has answered none and none seems to be served, few are sent to it again, and once one of them
    was given up those that were refused are too.

    Args:
        policy: the bounds.
        slots: how many may be in flight; None for any number until one is refused.
        sleep, clock, draw: how to wait, monotonic seconds, and a uniform number in [0, 1).
    """

    def __init__(
        self,
        policy: RetryPolicy,
        slots: RequestSlots | None = None,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self._policy = policy
        self._slots = own_slots(AdaptiveLimit(None)) if slots is None else slots
        self._sleep = sleep
        self._clock = clock
        self._draw = draw
        # Whether the server has answered any request so far, or refused it for a reason.
        self._proven = False
        # When each request in flight was sent, while it is not proven.
        self._sent_at: dict[object, float] = {}
        self._only_refuses = False

    async def run(self, send: Callable[[], Awaitable[Response | Failure]]) -> Response:
        """Return the first response that `send` gives; its `requests` says how many it took.

        Raises:
            Error: that of the last failure, which says why there was no other try.
        """
        started = self._clock()
        requests = 0
        refusal: Failure | None = None
        while True:
            if not self._slots.take():
                started += await self._turn(first=requests > 0)
            if refusal is not None and self._only_refuses and not self._proven:
                self._slots.give_back()
                reason = f"gave up after {_counted(requests)}, as all others were refused too"
                raise _final(refusal.error, reason, requests)
            requests += 1
            sent_at = self._clock()
            outcome = await self._sent(send)
            if isinstance(outcome, Response):
                self._proven = True
                outcome.requests = requests
                return outcome
            self._proven = self._proven or outcome.alive
            refusal = outcome if outcome.refused else None
            decision = decide(
                self._policy,
                outcome,
                requests=requests,
                elapsed=self._clock() - started,
                proven=self._proven or (outcome.refused and self._seems_to_serve(sent_at)),
                draw=self._draw(),
            )
            if isinstance(decision, GiveUp):
                self._only_refuses = self._only_refuses or outcome.refused
                raise _final(outcome.error, decision.reason, requests)
            with StandingStill():
                await self._sleep(decision)

    def _seems_to_serve(self, refused_at: float) -> bool:
        """Whether a request is in flight that would have been refused by now.

        Args:
            refused_at: when a request was sent that was refused now.
        """
        now = self._clock()
        longest = 2 * (now - refused_at) + _REFUSAL_SECONDS
        return any(now - sent_at > longest for sent_at in self._sent_at.values())

    async def _turn(self, *, first: bool) -> float:
        """Wait for a slot; return the seconds it took."""
        began = self._clock()
        with StandingStill():
            await self._slots.wait(first=first)
        return self._clock() - began

    async def _sent(self, send: Callable[[], Awaitable[Response | Failure]]) -> Response | Failure:
        """Send a request in the slot that was taken for it."""
        slots, epoch = self._slots, self._slots.epoch
        request = object()
        if not self._proven:
            self._sent_at[request] = self._clock()
        try:
            outcome = await send()
        except BaseException:
            slots.give_back()
            raise
        finally:
            self._sent_at.pop(request, None)
        if isinstance(outcome, Response):
            slots.answered()
        elif outcome.refused:
            pause = outcome.retry_after
            is_waited_for = pause is not None and pause <= self._policy.longest_retry_after
            slots.refused(epoch, pause if is_waited_for else None)
        else:
            slots.give_back()
        return outcome


def _counted(requests: int) -> str:
    return "1 request" if requests == 1 else f"{requests} requests"


def _final(error: Error, reason: str, requests: int) -> Error:
    """Return the error with the reason in its message and the count of requests on it."""
    if reason:
        cause = error.__cause__
        error = type(error)(f"{error} ({reason})")
        error.__cause__ = cause
    if isinstance(error, ModelError):
        error.requests = requests
    return error
