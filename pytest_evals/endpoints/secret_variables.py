"""Secret variables: what of the process environment is masked although no endpoint names it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from .providers import PROVIDERS
from .secrets import url_secrets

# Of a variable that only its name makes a secret: shorter values stand in ordinary text.
_SHORTEST = 8
# A tokenizer is a model's, and its name stands in many a line.
_SECRET_NAME = re.compile(r"KEY|TOKEN(?!IZ)|SECRET|PASSWORD", re.IGNORECASE)
# One word, as capital as words are: a host, a switch, a user. A key mixes more than that.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9._]+", re.ASCII)


def secret_variables(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the values to mask: of every provider's key, and of what is named like a secret.

    Rubrics, tools and test functions read keys that no endpoint names. A value that is named like
    a secret and is none as far as can be seen (`secrets_in`) is left alone.
    """
    keys = [environ.get(provider.key_var, "") for provider in PROVIDERS.values()]
    names = [name for name in environ if _SECRET_NAME.search(name)]
    return [*keys, *values_of(names, environ)]


def values_of(names: Iterable[str], environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return what is secret in the variables `names`, those that are set."""
    return [secret for name in names for secret in secrets_in(environ.get(name, ""), environ)]


def secrets_in(value: str, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return what is secret in the value of a variable, as a rule all of it.

    Not what ordinary text would be garbled without: less than 8 characters, one word, a number, the
    name of another variable, a path that exists. Of a URL it is what is secret in URLs.
    """
    value = value.strip()
    if len(value) < _SHORTEST or _WORD.fullmatch(value) or _NUMBER.fullmatch(value):
        return []
    if value in environ or _is_path(value):
        return []
    if "://" in value and " " not in value:
        return _in_url(value)
    return [value]


def _in_url(value: str) -> list[str]:
    try:
        urlsplit(value)
    except ValueError:  # no URL after all
        return [value]
    return url_secrets(value)


def _is_path(value: str) -> bool:
    paths = [Path(part) for part in value.split(os.pathsep) if part]
    with contextlib.suppress(OSError, ValueError):  # too long, not to be read, a null character
        return all(path.is_absolute() and path.exists() for path in paths)
    return False
