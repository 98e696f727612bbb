"""Whose code is on the CPU, as another process would read it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_evals.engine.culprit import CurrentRollout, read_current
from pytest_evals.engine.output import CURRENT_OUTPUT


def _run(work: Any, current: CurrentRollout, *, is_rollout: bool = True) -> None:
    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(current.make_task)  # type: ignore[arg-type]
        if is_rollout:
            CURRENT_OUTPUT.set(SimpleNamespace(job="job"))  # type: ignore[arg-type]
        await asyncio.create_task(work())

    asyncio.run(main())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "current-gw0"


def test_a_rollouts_steps_and_those_of_its_tasks_are_noted(path: Path) -> None:
    seen: list[int | None] = []

    async def child() -> None:
        seen.append(read_current(path))

    async def work() -> None:
        seen.append(read_current(path))
        await asyncio.sleep(0)
        seen.append(read_current(path))
        await asyncio.gather(child(), child())

    _run(work, CurrentRollout(path, lambda job: 41))
    assert seen == [41] * 4
    assert read_current(path) is None


def test_between_steps_nobody_is_noted(path: Path) -> None:
    seen: list[int | None] = []

    async def work() -> None:
        asyncio.get_running_loop().call_soon(lambda: seen.append(read_current(path)))
        await asyncio.sleep(0)

    _run(work, CurrentRollout(path, lambda job: 0))
    assert seen == [None]


def test_a_cancelled_step_is_noted_too(path: Path) -> None:
    seen: list[int | None] = []

    async def work() -> None:
        async with asyncio.timeout(0):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                seen.append(read_current(path))
                raise

    with pytest.raises(TimeoutError):
        _run(work, CurrentRollout(path, lambda job: 5))
    assert seen == [5]
    assert read_current(path) is None


def test_other_tasks_are_left_alone(path: Path) -> None:
    seen: list[int | None] = []

    async def work() -> None:
        seen.append(read_current(path))

    _run(work, CurrentRollout(path, lambda job: 7), is_rollout=False)
    _run(work, CurrentRollout(path, lambda job: None))
    assert seen == [None, None]


def test_without_a_file_nobody_is_blamed(path: Path) -> None:
    assert read_current(path) is None
