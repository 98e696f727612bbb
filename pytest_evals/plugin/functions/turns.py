"""Turns: one item after the other through pytest's own protocol."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from ..nodes import GateItem
from .items import EvalFunction


def run_in_turn(
    session: pytest.Session, items: Sequence[pytest.Item], after: pytest.Item | None
) -> None:
    """Run items one after the other, the gates of an eval as soon as its last rollout has run.

    Args:
        after: what runs next.
    """
    for item, following in itertools.pairwise([*items, after]):
        assert item is not None
        due = due_after(item)
        run_item(session, item, due[0] if due else following)
        if isinstance(item, EvalFunction):
            count(item)
        for gate, behind in itertools.pairwise([*due, following]):
            assert gate is not None
            run_item(session, gate, behind)


def due_after(item: pytest.Item) -> list[GateItem]:
    """Return the gates that can be judged once `item` has run."""
    if not isinstance(item, EvalFunction):
        return []
    run = item.run
    return run.gates if run.reported + 1 == run.selected else []


def count(item: EvalFunction) -> None:
    """Count a rollout that has reported; one that was skipped in its setup is not of the run."""
    run = item.run
    if item.was_skipped:
        run.selected -= 1
    else:
        run.reported += 1
    if run.is_done:
        run.finish()


def run_item(session: pytest.Session, item: pytest.Item, following: pytest.Item | None) -> None:
    """Run one item as pytest's own loop does."""
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
