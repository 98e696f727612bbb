"""Assertion rewriting: pytest's, of which this package's own modules have no use."""

from __future__ import annotations

import pytest

_PACKAGE = __name__.partition(".")[0]


def leave_out_own_modules(config: pytest.Config) -> None:
    """Let Python itself load the modules of this package from now on.

    pytest rewrites the assertions of every plugin, and reads the compiled files of what it rewrites
    in many small steps: with two hundred modules that is a tenth of a short session's CPU time.
    """
    # Private: modules can be marked for rewriting, not unmarked. Checked on pytest 8.4.0 and 9.2.0;
    # without it they are rewritten.
    hook = getattr(config.pluginmanager, "rewrite_hook", None)
    marked = getattr(hook, "_must_rewrite", None)
    if isinstance(marked, set):
        marked.discard(_PACKAGE)
