from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_evals.environments import executors
from pytest_evals.environments.single_turn import SingleTurnEnv


@pytest.fixture(autouse=True)
def no_executors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "_registered", {})
    monkeypatch.setattr(executors, "_concurrency", None)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def runs_at_once(pool: ThreadPoolExecutor, count: int) -> None:
    """Return once `count` pieces of work are under way together, or fail."""
    together = threading.Barrier(count, timeout=10.0)
    for future in [pool.submit(together.wait) for _ in range(count)]:
        future.result()


def test_a_registered_pool_grows_with_the_concurrency(pool: ThreadPoolExecutor) -> None:
    executors.register_executor("mine", pool)
    environment = SingleTurnEnv(dataset=[{"question": "q"}])

    environment.set_concurrency(4)

    assert environment.concurrency == 4
    runs_at_once(pool, 4)


def test_a_pool_may_say_how_it_grows(pool: ThreadPoolExecutor) -> None:
    executors.register_executor("mine", pool, scaling_fn=lambda concurrency: concurrency // 10)

    executors.scale_executors(30)
    runs_at_once(pool, 3)
    executors.scale_executors(3)

    assert pool._max_workers == 1


def test_a_pool_that_comes_late_is_resized_at_once(pool: ThreadPoolExecutor) -> None:
    executors.scale_executors(3)
    executors.register_executor("mine", pool)

    runs_at_once(pool, 3)
