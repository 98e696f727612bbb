"""Generating: a rollout is made, in its turn and as often as its eval allows."""

from __future__ import annotations

from collections.abc import Callable

from ..clients.client import Client
from . import retrying
from .attempts import Attempt, generate
from .phase_slots import PhaseSlots
from .scoring import clean_up


async def generate_in_turn(
    attempt: Attempt, client: Client, slots: PhaseSlots, is_over: Callable[[], bool]
) -> None:
    """Roll the model out, again where the infrastructure failed; see `attempts.generate`.

    A rollout that waits before its next try lets others generate. One whose turn comes when nothing
    more is to be asked is left out, unless the model has answered it before; one that was tried
    before stays as it failed.
    """
    for retry in range(attempt.job.run.max_retries + 1):
        if retry:
            await clean_up([attempt])
            await retrying.wait(retry - 1)
        async with slots.turn("generation"):
            if is_over() and (retry or attempt.job.stored is None):
                attempt.is_left_out = attempt.is_settled = not retry
                return
            if retry:
                attempt.begin_again()
            attempt.started()
            await generate(attempt, client)
        if attempt.error is None or not retrying.may_pass([attempt.error]) or is_over():
            return
