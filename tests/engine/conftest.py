"""A bench for every test of the engine, closed without a word from asyncio."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from .bench import Bench


class _Collecting(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    # Not caplog: its records are those of one phase of the test.
    said = _Collecting()
    asyncio_log = logging.getLogger("asyncio")
    asyncio_log.addHandler(said)
    bench = Bench(tmp_path)
    try:
        yield bench
        bench.close()
        assert bench.results.empty(), "delivered twice, or the test did not look at it"
        bench.engines.clear()
        bench.runs.clear()
        # "Task was destroyed", "exception was never retrieved": said when an object is collected.
        gc.collect(1)
    finally:
        asyncio_log.removeHandler(said)
    assert said.messages == []
