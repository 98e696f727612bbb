"""Logs: what environments import from `verifiers.utils.logging_utils`."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager

# Environments log under the one name, this package under the other.
_LOGGERS = (logging.getLogger("verifiers"), logging.getLogger(__name__.partition(".")[0]))


def setup_logging(level: str | None = "INFO", **_: object) -> None:
    """Set the level of verifiers' and this package's logger; where they show is not set here."""
    if level:
        for logger in _LOGGERS:
            logger.setLevel(level.upper())


@contextlib.contextmanager
def log_level(level: str | int) -> Iterator[None]:
    """Give both loggers another level for a while."""
    before = [logger.level for logger in _LOGGERS]
    for logger in _LOGGERS:
        logger.setLevel(level.upper() if isinstance(level, str) else level)
    try:
        yield
    finally:
        for logger, old in zip(_LOGGERS, before, strict=True):
            logger.setLevel(old)


def quiet_verifiers() -> AbstractContextManager[None]:
    """Let both loggers pass warnings and errors only, for a while."""
    return log_level("WARNING")
