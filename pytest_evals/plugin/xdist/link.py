"""Link: messages between the controller and one worker, both ways."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeAlias

KEY = "evals_link"

# Takes the name of a message and its data; the name "end" means that the other side is gone.
Hear: TypeAlias = Callable[[str, dict[str, Any]], None]


class Link:
    """A channel of its own beside xdist's, which is closed to events it does not know.

    Messages hold builtins only. They keep their order, also among the commands and reports that
    xdist sends over the same connection.

    Args:
        channel: an open channel of the worker's gateway.
    """

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def send(self, name: str, **data: Any) -> None:
        """Send a message; nothing happens when the other side is gone."""
        with contextlib.suppress(OSError):
            self._channel.send((name, data))

    def listen(self, hear: Hear) -> None:
        """Have `hear` called for every message, in the thread that receives them."""

        def received(message: Any) -> None:
            hear(*(("end", {}) if message is None else message))

        self._channel.setcallback(received, endmarker=None)
