"""The nearest known name to a mistyped one."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str], most: int = 3) -> str:
    """Return `" (did you mean 'a' or 'b'?)"`, or "" when nothing known resembles `name`.

    Args:
        name: the mistyped one.
        known: what there is.
        most: how many to name.
    """
    # Imported here: needed only on the way to an error.
    from difflib import get_close_matches

    # Matching is quadratic in the length; a name this long resembles nothing.
    near = get_close_matches(name, list(known), n=most) if len(name) <= 200 else []
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
