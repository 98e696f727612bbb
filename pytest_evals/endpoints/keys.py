"""API keys: names of environment variables, and the values behind them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from ..errors import MissingKeyError, SetupError
from .endpoint import Endpoint
from .urls import public_url

# What registries write as the key of a server that takes none.
NO_KEY = "EMPTY"

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_CONSTANT = re.compile(r"[A-Z_][A-Z0-9_]*", re.ASCII)
_OTHER_CHOICES = (
    'Set it, or choose another endpoint: endpoint_id = "..." with a registry, '
    'provider = "..." or --evals-provider, api_base_url and api_key_var.'
)


def is_key_variable(name: str) -> bool:
    """Whether `name` can be the name of an environment variable and is not a key itself.

    A key pasted in place of its variable would be printed by every message that names the
    variable. Keys are long and seldom written in capitals alone.
    """
    if len(name) < 32:
        return _NAME.fullmatch(name) is not None
    return len(name) <= 128 and _CONSTANT.fullmatch(name) is not None


def read_key(
    endpoint: Endpoint,
    environ: Mapping[str, str] = os.environ,
    *,
    advice: str = _OTHER_CHOICES,
) -> str | None:
    """Return the key of `endpoint`, or None when requests carry none.

    White space around the value is dropped: files and CI secrets often end in a newline.

    Args:
        endpoint: whose key.
        environ: where it is looked for.
        advice: what to do when it is not there.

    Raises:
        MissingKeyError: the variable is not set or blank.
        SetupError: its value cannot be sent in an HTTP header; the message does not show it.
    """
    name = endpoint.key_var
    if name is None:
        return None
    key = environ.get(name, "").strip()
    needed_by = (
        f"needed by {endpoint.label} ({public_url(endpoint.url)}) for model {endpoint.model!r}"
    )
    if not key:
        if endpoint.key_optional:
            return None
        fault = "is empty" if name in environ else "is not set"
        raise MissingKeyError(f"{name} {fault}, {needed_by}. {advice}")
    if not (key.isascii() and key.isprintable()):
        raise SetupError(
            f"{name}, {needed_by}, holds a line break, a control character or a letter outside "
            f"ASCII, which no HTTP header can carry. Set it to the key alone."
        )
    return key
