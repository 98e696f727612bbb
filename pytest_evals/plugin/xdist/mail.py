"""Mail: the messages between the controller and its workers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import pytest

from . import surface
from .link import KEY, Link


class Mail:
    """A link to each worker. What comes over them waits until the main thread reads it.

    Args:
        config: of the controller.
        after: called in the main thread when something was read.

    Attributes:
        handlers: by name of the message, what takes it: the worker and the message's data.
        wake: has the main thread read; any thread can call it.
    """

    def __init__(self, config: pytest.Config, after: Callable[[], None]) -> None:
        # Of the end of a worker xdist tells as well, and says why.
        self.handlers: dict[str, Callable[..., None]] = {"end": lambda node: None}
        self.wake = surface.on_main_thread(config, self.read)
        self._after = after
        self._links: dict[Any, Link] = {}
        self._received: deque[tuple[Any, str, dict[str, Any]]] = deque()

    @property
    def nodes(self) -> Collection[Any]:
        """The workers, those that have ended too."""
        return self._links.keys()

    def open(self, node: Any) -> None:
        """Open a channel to a worker that has not started."""
        channel = node.gateway.newchannel()
        node.workerinput[KEY] = channel
        link = self._links[node] = Link(channel)
        link.listen(partial(self._receive, node))

    def _receive(self, node: Any, name: str, data: dict[str, Any]) -> None:
        # In the thread that receives; xdist's own events of the worker queue up behind this one.
        self._received.append((node, name, data))
        self.wake()

    def read(self) -> None:
        """Have every message handled that has come.

        Raises:
            pytest.UsageError: a worker sent one that is not known here.
        """
        while self._received:
            node, name, data = self._received.popleft()
            handle = self.handlers.get(name)
            if handle is None:
                raise pytest.UsageError(
                    f"worker {node.gateway.id} sent {name!r}, which is not known here: install the"
                    " same version of pytest-rollouts there and where pytest was called"
                )
            handle(node, **data)
        self._after()

    def tell(self, node: Any, name: str, **data: Any) -> None:
        """Send a message to a worker."""
        self._links[node].send(name, **data)

    def tell_all(self, name: str, **data: Any) -> None:
        """Send a message to every worker."""
        for node in self._links:
            self.tell(node, name, **data)
