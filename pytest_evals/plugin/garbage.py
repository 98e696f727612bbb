"""Garbage collection: what lives until the session ends is not looked at again and again."""

from __future__ import annotations

import functools
import gc

import pytest

# With the rest frozen, Python's own would look at all reports so far every few rollouts.
_THRESHOLD = (100_000, 20, 20)
# In a session with fewer rollouts nothing is gained, and the tests of its user go by what they set.
_MANY = 1_000

_KEY: pytest.StashKey[tuple[int, int, int]] = pytest.StashKey()


def freeze(config: pytest.Config) -> None:
    """Leave all objects that exist now out of garbage collection until the session has ended.

    A million objects of modules and items exist once many rollouts start, and none of them becomes
    garbage before the end: looking at them again and again is a sixth of a long session's CPU time.
    """
    if _KEY not in config.stash and _rollouts(config) >= _MANY:
        config.stash[_KEY] = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(*_THRESHOLD)


def _rollouts(config: pytest.Config) -> int:
    """Return how many rollouts were selected."""
    from .session import EvalSession

    return sum(len(run.rollouts) for run in EvalSession.of(config).runs)


def thaw_at_end(config: pytest.Config) -> None:
    """See to it that `freeze` is undone; to be called while pytest is configured.

    Cleanups run in reverse order: so this one comes after pytest's own, which collects all garbage
    once more.
    """
    config.add_cleanup(functools.partial(_thaw, config))


def _thaw(config: pytest.Config) -> None:
    threshold = config.stash.get(_KEY, None)
    if threshold is not None:
        gc.unfreeze()
        gc.set_threshold(*threshold)
