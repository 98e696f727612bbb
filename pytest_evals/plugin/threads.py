"""Threads: how many the blocking code of an environment may need, told to it at the start."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..environments.executors import recommended_max_workers
from ..errors import one_line

if TYPE_CHECKING:
    from .runs import Run
    from .session import EvalSession


def threads_of(run: Run, session: EvalSession) -> int:
    """Return how many threads the code of an environment may need at once.

    It is what `extra_env_kwargs.concurrency` says, or the environment's own choice. One that has
    made none is told how many rollouts may be in flight in this process, by `set_concurrency`.
    """
    environment = run.environment
    if getattr(environment, "concurrency", None) is None:
        resize = getattr(environment, "set_concurrency", None)
        if resize is None:
            return 0
        try:
            resize(recommended_max_workers(session.rollouts_at_once))
        except Exception as error:  # of an override; rollouts go on with what there is
            run.warn(f"{run.spec.name}: set_concurrency() raised {one_line(error)}")
    chosen: int = getattr(environment, "concurrency", None) or 0
    return chosen
