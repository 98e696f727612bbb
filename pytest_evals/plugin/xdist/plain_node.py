"""PlainNode: a worker as xdist's own scheduler for plain tests sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .surface import send_items


class PlainNode:
    """Stands for a worker, with indices that count the plain tests only.

    Shut down, the worker only learns that no plain test follows; in a session without evals it is
    shut down indeed.

    Args:
        node: the worker.
        plain: the indices of all plain tests; None while and where every item is one.
        say_over: tells the worker that no plain test follows.
    """

    def __init__(
        self, node: Any, plain: Callable[[], Sequence[int] | None], say_over: Callable[[], None]
    ) -> None:
        self._node = node
        self._plain = plain
        self._say_over = say_over
        self._is_over = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._node, name)

    @property
    def shutting_down(self) -> bool:
        """Whether it takes no more plain tests."""
        return self._is_over or bool(self._node.shutting_down)

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Send plain tests to the worker."""
        if self._plain() is None:
            self._node.send_runtest_some(indices)
        else:
            send_items(self._node, self._indices(indices))

    def send_runtest_all(self) -> None:
        """Send every plain test to the worker."""
        plain = self._plain()
        if plain is None:
            self._node.send_runtest_all()
        else:
            send_items(self._node, list(plain))

    def send_steal(self, indices: Sequence[int]) -> None:
        """Ask for plain tests back."""
        self._node.send_steal(self._indices(indices))

    def shutdown(self) -> None:
        """Let the worker know, once, that no plain test follows."""
        if self._plain() is None:
            self._node.shutdown()
        elif not self._is_over:
            self._is_over = True
            self._say_over()

    def _indices(self, indices: Sequence[int]) -> list[int]:
        plain = self._plain()
        return list(indices) if plain is None else [plain[index] for index in indices]
