"""What the live view counts of an eval."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_evals.plugin.standing import EvalStanding


@pytest.mark.parametrize(
    ("state", "errors"),
    [("scored", 0), ("generated", 0), ("missing", 0), ("unmeasured", 1), ("broken", 1)],
)
def test_only_errors_are_errors(state: str, errors: int) -> None:
    run: Any = SimpleNamespace(selected=1)
    standing = EvalStanding(run)
    report: Any = SimpleNamespace(
        when="setup", evals_state=state, nodeid="a::b::0-r0", longrepr=None, outcome="skipped",
        user_properties=[], duration=0.0,
    )  # fmt: skip
    standing.count(report)
    assert (standing.done, standing.errors) == (1, errors)
