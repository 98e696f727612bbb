"""What the text of an option or ini key says; each reader raises where it says nothing."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import re
from typing import Any

_YES = frozenset({"1", "true", "t", "yes", "y", "on"})
_NO = frozenset({"0", "false", "f", "no", "n", "off"})


def table(text: str) -> dict[str, Any]:
    """Return the JSON object in `text`."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"must be a JSON object: {error}") from None
    if not isinstance(table, dict):
        raise argparse.ArgumentTypeError("must be a JSON object, such as '{\"level\": 3}'")
    return table


def amount(text: str) -> float:
    """Return the number in `text`, which is above 0."""
    with contextlib.suppress(ValueError):
        number = float(text)
        if 0 < number < math.inf:
            return number
    raise argparse.ArgumentTypeError(f"must be a number above 0, not {text!r}")


def count(text: str) -> int:
    """Return the whole number in `text`, which is at least 1."""
    with contextlib.suppress(ValueError):
        number = int(text)
        if number >= 1:
            return number
    raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")


def names(text: str) -> tuple[str, ...]:
    """Return what stands between the commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def number_or_auto(text: str) -> int | str:
    """Return the whole number in `text`, or "auto"."""
    return "auto" if text.strip() == "auto" else int(text)


def switch_or_path(text: str) -> bool | str:
    """Return the boolean that `text` says, or a path."""
    return {"true": True, "false": False}.get(text.strip().lower(), text)


def switch(text: str) -> bool:
    """Return whether `text` says yes, as pytest reads it in ini files."""
    word = text.strip().lower()
    if word not in _YES and word not in _NO:
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return word in _YES


def url(text: str) -> str:
    """Return `text`, the URL of a monitor."""
    from urllib.parse import urlsplit

    if re.match(r"https?://[^\s/]", text) and text.isprintable() and " " not in text:
        with contextlib.suppress(ValueError):  # a port that is no number, for instance
            parts = urlsplit(text)
            if parts.hostname and parts.port != 0:
                return text
    # Never shown: whoever knows it can speak for the session.
    raise argparse.ArgumentTypeError(
        "must be a URL that begins with http:// or https:// and a host; in a user or password,"
        " write %40 for @, %2F for / and so on"
    )


def baseline_name(text: str) -> str:
    """Read the name of a baseline."""
    from ..gates.drop_limit import NAME_FORM, is_baseline_name

    if not is_baseline_name(text):
        raise argparse.ArgumentTypeError(
            f"a baseline is named with {NAME_FORM}, such as main, not {text!r}"
        )
    return text
