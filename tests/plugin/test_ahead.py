"""RolloutsAhead: whoever waits for a rollout hears of what else there is to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pytest_evals.plugin.ahead import RolloutsAhead


def test_a_call_that_is_met_while_nobody_waits_is_for_who_waits_next() -> None:
    acted: list[int] = []
    session: Any = SimpleNamespace()
    rollouts = RolloutsAhead(session, lambda: acted.append(1))
    rollouts.wake()
    assert rollouts.next_waiting() is None
    rollouts.wait()  # or an order that came in between would wait for the next rollout to end
    assert acted == [1]
