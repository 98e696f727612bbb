"""Turns: one item after the other through pytest's own protocol."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import pytest

from ..nodes import GateItem
from .items import EvalFunction


class Turns:
    """Runs items, and says which gates wait for them no more."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session

    def run(self, item: pytest.Item, following: pytest.Item | None) -> None:
        """Run one item as pytest's own loop does."""
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if self._session.shouldfail:
            raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
            raise self._session.Interrupted(self._session.shouldstop)

    def due_after(self, item: pytest.Item) -> list[GateItem]:
        """Return the gates that can be judged once `item` has run."""
        if not isinstance(item, EvalFunction):
            return []
        run = item.run
        return run.gates if run.reported + 1 == run.selected else []

    def count(self, item: EvalFunction) -> None:
        """Count a rollout that has reported; one skipped in its setup is not of the run."""
        run = item.run
        if item.was_skipped:
            run.selected -= 1
        else:
            run.reported += 1
        if run.is_done:
            run.finish()

    def run_all(
        self,
        items: Sequence[pytest.Item],
        after: Callable[[pytest.Item], pytest.Item | None],
    ) -> None:
        """Run items one after the other, the gates of an eval as soon as its last rollout has run.

        Args:
            after: returns what runs next when all of these have run.
        """
        for item, upcoming in itertools.pairwise([*items, None]):
            assert item is not None
            due = self.due_after(item)
            following = upcoming or after(due[-1] if due else item)
            self.run(item, due[0] if due else following)
            if isinstance(item, EvalFunction):
                self.count(item)
            for gate, behind in itertools.pairwise([*due, following]):
                assert gate is not None
                self.run(gate, behind)
