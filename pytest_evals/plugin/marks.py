"""Which evals `-m` rules out, before their environments are loaded."""

from __future__ import annotations

from collections.abc import Collection

import pytest


def is_ruled_out(config: pytest.Config, marks: Collection[str]) -> bool:
    """Whether no item that carries just these marks can be selected by `-m`.

    pytest deselects items after they exist, and the items of an eval exist only once its
    environment has been loaded. An expression that pytest will refuse rules nothing out.
    """
    expression = config.getoption("markexpr", "")
    if not expression:
        return False
    try:
        # Private: pytest has no public way to evaluate a -m expression. Checked on 8.4.0, 9.1.0
        # and 9.2.0. Without it every environment of the file is loaded, and pytest deselects.
        from _pytest.mark.expression import Expression
    except ImportError:
        return False
    try:
        return not Expression.compile(expression).evaluate(
            lambda name, /, **kwargs: name in marks and not kwargs
        )
    except (SyntaxError, TypeError, ValueError):
        return False
