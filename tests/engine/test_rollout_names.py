"""How rollouts are called in messages."""

from __future__ import annotations

import pytest

from pytest_evals.engine.rollouts import in_short


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "0-r0"),
        (3, "0-r0, 1-r0, 2-r0"),
        (4, "0-r0, 1-r0, 2-r0 and 1 other"),
        (6, "0-r0, 1-r0, 2-r0 and 3 others"),
    ],
)
def test_many_names_are_cut_short(count: int, text: str) -> None:
    assert in_short([f"{number}-r0" for number in range(count)]) == text
