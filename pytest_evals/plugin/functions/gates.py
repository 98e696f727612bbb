"""The gates of an eval that is a test function, beside its rollouts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...reports.summary import is_on_reward
from .. import outcomes
from ..nodes import EvalCollector, GateItem
from ..runs import Run
from ..session import EvalSession


class FunctionGates(EvalCollector):
    """The gates of an eval that is a test function; named like it."""

    def __init__(self, *, run: Run | None, problem: Exception | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run
        self._problem = problem

    def collect(self) -> Iterable[GateItem]:
        """Yield an item for each gate."""
        with EvalSession.of(self.config).reported_errors(self):
            if self._problem is not None:
                raise self._problem
        assert self.run is not None
        for gate in self.run.spec.gates:
            yield FunctionGate.from_parent(self, name=gate.name, run=self.run, gate=gate)


class FunctionGate(GateItem):
    """One gate; where it fails it tells which assertions did."""

    is_function = True

    def runtest(self) -> None:
        """Judge the gate."""
        try:
            super().runtest()
        except outcomes.EvalFailedError as error:
            failures = self.run.failures.lines() if is_on_reward(self.gate) else []
            raise outcomes.EvalFailedError("\n".join([str(error), *failures])) from None
