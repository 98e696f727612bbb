"""Executors: thread and process pools that grow with the number of rollouts in flight."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, TypeAlias

Scaling: TypeAlias = Callable[[int], int]

_registered: dict[str, tuple[Executor, Scaling]] = {}
_concurrency: int | None = None


def register_executor(name: str, executor: Executor, scaling_fn: Scaling | None = None) -> None:
    """Let `set_concurrency` of any environment resize a pool, at once if it was called before.

    Args:
        name: of the pool; the one registered before under this name is forgotten.
        executor: a `ThreadPoolExecutor` or a `ProcessPoolExecutor`.
        scaling_fn: turns rollouts in flight into workers; None for one each.
    """
    _registered[name] = (executor, scaling_fn or _one_each)
    if _concurrency is not None:
        _resize(executor, (scaling_fn or _one_each)(_concurrency))


def recommended_max_workers(concurrency: int, cap: int = 4096) -> int:
    """Return how many workers a pool should have for this many rollouts in flight.

    One for each: they wait for a network nearly all of their time. `cap` keeps a mistake from
    filling the memory with stacks.
    """
    return max(1, min(concurrency, cap))


def scale_executors(concurrency: int) -> None:
    """Resize every registered pool for this many rollouts in flight."""
    global _concurrency
    _concurrency = concurrency
    for executor, scaling in _registered.values():
        _resize(executor, scaling(concurrency))


def _one_each(concurrency: int) -> int:
    return concurrency


def _resize(executor: Executor, workers: int) -> None:
    # There is no public way. Both pools start workers as work comes in, up to this number, so a
    # higher one takes effect with the next piece of work; workers that run already stay.
    pool: Any = executor
    pool._max_workers = max(1, workers)
