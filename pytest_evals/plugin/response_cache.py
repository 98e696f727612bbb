"""SessionCache: the response cache of a session, opened for the first eval that is collected."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from ..clients.cache import ResponseCache
from ..endpoints.endpoint import Endpoint
from ..errors import CacheMissError
from . import options
from .functions.environment import PYTHON
from .outcomes import relative

_MISS = CacheMissError.__name__

if TYPE_CHECKING:
    from ..store.responses import ResponseStore
    from .owned_run import OwnedRun


def told_misses(run: OwnedRun, config: pytest.Config) -> list[str]:
    """Say how many rollouts of a replayed run lack an answer in the cache; [] where none does."""
    if options.cache_mode(config) != "read" or not run.measurements().unmeasured:
        return []
    errors = [row.get("error") for row in run.rows()]
    misses = sum(isinstance(each, dict) and each.get("error") == _MISS for each in errors)
    if not misses:
        return []
    return [
        f"{misses} of {run.plan.rollouts} rollouts of {run.spec.name} need answers that are not in"
        f" the cache, {relative(options.cache_dir(config), config)}"
    ]


class SessionCache:
    """What the options say of the response cache, and its file.

    Args:
        mask: replaces the session's secrets in a text.

    Attributes:
        replays: whether answers come from the cache alone: no key, server or client is needed.
    """

    def __init__(self, config: pytest.Config, mask: Callable[[str], str]) -> None:
        self._config = config
        self._mode = options.cache_mode(config)
        self._folder = options.cache_dir(config)
        self._mask = mask
        self._is_for_show = config.option.collectonly or options.is_dry(config)
        self._store: ResponseStore | None = None
        self._has_failed = False
        self.replays = self._mode == "read"

    def open(self) -> bool:
        """Open the file, once; False when it cannot be used and that was said before.

        Raises:
            SetupError: the first time it cannot be used.
        """
        if self._mode == "off" or self._store is not None or self._is_for_show:
            return True
        if self._has_failed:
            return False
        from ..store.responses import ResponseStore

        self._has_failed = True
        self._store = ResponseStore(self._folder, self._mask, reads_only=self.replays)
        self._has_failed = False
        return True

    def of(self, endpoint: Endpoint) -> ResponseCache | None:
        """Return what is known of an endpoint's answers; None where that is of no use.

        Args:
            endpoint: as it was resolved, without the port of a managed one.
        """
        if self._store is None or endpoint.client_type == PYTHON:
            return None
        return ResponseCache(self._store, endpoint)

    def close(self) -> None:
        """Close the file; to be called again at no cost."""
        if self._store is not None:
            self._store.close()

    @property
    def notices(self) -> list[str]:
        """Say where answers come from, unless they are the model's."""
        if self._mode == "off":
            return []
        folder = relative(self._folder, self._config)
        if self.replays:
            return [f"evals: answers come from {folder}; no model is asked"]
        return [f"evals: answers are looked up and kept in {folder}"]
