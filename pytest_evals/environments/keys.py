"""Keys that an environment needs from the process environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from ..errors import MissingKeyError

# The variables that environments of this process have asked for, and who wants to hear of them:
# what they hold must be masked by whoever shows text.
_asked_for: set[str] = set()
_watchers: list[Callable[[Iterable[str]], None]] = []


def ensure_keys(keys: Iterable[str]) -> None:
    """Check that every environment variable in `keys` is set; call it in `load_environment`.

    Raises:
        MissingKeyError: some are not set or empty; names them all.
    """
    names = [keys] if isinstance(keys, str) else list(keys)
    _asked_for.update(names)
    for watcher in tuple(_watchers):
        watcher(names)
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise MissingKeyError(
            f"the environment needs {', '.join(missing)}: set "
            f"{'it' if len(missing) == 1 else 'them'} in the process environment"
        )


def watch_keys(watcher: Callable[[Iterable[str]], None]) -> Callable[[], None]:
    """Call `watcher` with the names that `ensure_keys` checks, and now with those it has checked.

    Returns:
        What ends that.
    """
    _watchers.append(watcher)
    watcher(asked_for())
    return lambda: _watchers.remove(watcher)


def asked_for() -> list[str]:
    """Return the names of the variables that environments of this process have asked for."""
    return sorted(_asked_for)
