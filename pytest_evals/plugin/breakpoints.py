"""Breakpoints of rollouts that run ahead: refused, for no debugger can be used there."""

from __future__ import annotations

import contextlib
import pdb
from collections.abc import Iterator
from typing import Any

from ..engine.output import CURRENT_OUTPUT


class BreakpointError(BaseException):
    """A breakpoint in a rollout that runs in the background.

    Not an Exception: an environment hands those of its tools to the model, as a rule.
    """


@contextlib.contextmanager
def breakpoints_refused() -> Iterator[None]:
    """Raise at breakpoints of rollouts while this lasts; those of tests work as ever.

    A debugger would wait for input in one thread while the other writes to the terminal. One that
    `PYTHONBREAKPOINT` names is the user's own business.
    """
    set_trace = pdb.set_trace  # pytest's own, by now

    def refuse(*args: Any, **kwargs: Any) -> Any:
        if CURRENT_OUTPUT.get() is None:
            # This frame lies between pytest's and the test's: the debugger must not stop in it.
            kwargs["skip"] = [*kwargs.get("skip", ()), __name__]
            return set_trace(*args, **kwargs)
        raise BreakpointError(
            "a breakpoint in a rollout: run pytest with --evals-sequential (or --pdb), which takes"
            " one rollout at a time, in the main thread"
        )

    pdb.set_trace = refuse
    try:
        yield
    finally:
        pdb.set_trace = set_trace
