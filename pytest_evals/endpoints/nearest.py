"""The nearest known name to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `" (did you mean 'a' or 'b'?)"`, or "" when nothing known resembles `name`."""
    # Imported here: needed only on the way to an error.
    from difflib import get_close_matches

    # Matching is quadratic in the length; a name this long resembles nothing.
    near = get_close_matches(name, list(known), n=3) if len(name) <= 200 else []
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
