"""Keys that an environment needs from the process environment."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ..errors import MissingKeyError


def ensure_keys(keys: Iterable[str]) -> None:
    """Check that every environment variable in `keys` is set; call it in `load_environment`.

    Raises:
        MissingKeyError: some are not set or empty; names them all.
    """
    names = [keys] if isinstance(keys, str) else list(keys)
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        raise MissingKeyError(
            f"the environment needs {', '.join(missing)}: set "
            f"{'it' if len(missing) == 1 else 'them'} in the process environment"
        )
