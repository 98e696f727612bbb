"""Secret names: what headers and other settings are called whose values are kept secret."""

from __future__ import annotations

import re

_SECRET = re.compile(
    r"authorization|api[-_]?key|secret|password|cookie|token(?!s)|(?:^|[-_])(?:auth|key)(?:$|[-_])",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Whether the name of a header or of a setting suggests that its value is secret."""
    return _SECRET.search(name) is not None
