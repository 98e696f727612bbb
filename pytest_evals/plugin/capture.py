"""OutputCapture: what rollouts print and log is shown with their own items.

Hundreds of rollouts run at once, and most of them while no item does: pytest's own capture would
show their output with whatever item is running, or leave it on the terminal.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from ..engine.output import RolloutOutput, Stream
from .logs import RolloutLogs
from .streams import DivertedStreams

if TYPE_CHECKING:
    from ..engine.rollouts import RolloutResult
    from .nodes import RolloutItem


class OutputCapture:
    """Gathers what each rollout prints and logs until its item shows it.

    What no item shows, because its rollout was stopped or goes on after it was reported, goes to
    the run's log.

    Args:
        config: says how pytest captures.
        mask: replaces the secrets in a text.
    """

    def __init__(self, config: pytest.Config, mask: Callable[[str], str]) -> None:
        self._config = config
        self._mask = mask
        self._streams: DivertedStreams | None = None
        self._logs: RolloutLogs | None = None
        self._untold: set[RolloutOutput] = set()

    def begin(self, *, is_sequential: bool) -> None:
        """Begin, between two items.

        In a sequential session what a rollout prints is in its item's hands as it is.
        """
        if not is_sequential:
            self._streams = DivertedStreams(self._config, self._keep, self._mask)
        self._logs = RolloutLogs(self._config, self._keep_log)
        self._config.pluginmanager.register(self)
        self._config.add_cleanup(self.end)

    @contextlib.contextmanager
    def log_level(self) -> Iterator[None]:
        """Log from the level on that the user asked for, as long as items run."""
        with contextlib.nullcontext() if self._logs is None else self._logs.level():
            yield

    def show(self, item: RolloutItem, result: RolloutResult) -> None:
        """Add what a rollout wrote to the captured sections of its item, which obtains it."""
        if result.output is None:
            return
        for stream, text in result.output.take(self._mask):
            item.add_report_section("setup", stream, text.rstrip() if stream == "log" else text)
        self._untold.discard(result.output)

    @property
    def has_live(self) -> bool:
        """Whether live log lines of rollouts wait for the main thread."""
        return self._logs is not None and self._logs.has_live

    def show_live(self) -> None:
        """Write the live log lines that wait; for the main thread."""
        if self._logs is not None:
            self._logs.show_live()

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logfinish(self) -> None:
        """Divert what another plugin put into sys meanwhile; write what waits."""
        if self._streams is not None:
            self._streams.divert_current()
        self.show_live()

    def end(self) -> None:
        """End, once no rollout runs any more; to be called again at no cost."""
        if self._logs is None:
            return
        self._config.pluginmanager.unregister(self)
        self._logs.close()
        if self._streams is not None:
            self._streams.close()
        self._logs = self._streams = None
        for output in self._untold:
            output.drop(self._mask)
        self._untold.clear()

    def _keep(self, output: RolloutOutput, stream: Stream, text: str) -> None:
        if output.write(stream, text):
            self._untold.add(output)

    def _keep_log(self, output: RolloutOutput, line: str) -> None:
        self._keep(output, "log", line)
