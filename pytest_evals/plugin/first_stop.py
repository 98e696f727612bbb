"""FirstStop: the debugger at the first line of the user's code that a rollout runs."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

import pytest

from ..engine.parts import rubric_of
from ..environments.location import module_name
from ..errors import EnvironmentLoadError

if TYPE_CHECKING:
    from .nodes import RolloutItem

_PACKAGE = __name__.partition(".")[0]


class FirstStop:
    """Enters the debugger, once, in a hook, a tool or a reward function of an environment.

    A context manager, around what runs the rollout in this thread; to be entered as often as that
    runs. It does what `pytest --trace` does to the function of a test.

    Args:
        item: whose environment.
    """

    def __init__(self, item: RolloutItem) -> None:
        self._sources = _sources_of(item)
        self._is_over = not self._sources
        self._before: Any = None

    def __enter__(self) -> None:
        """Look at every function that is called."""
        if not self._is_over:
            self._before = sys.gettrace()
            sys.settrace(self._look)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Look no more."""
        if sys.gettrace() == self._look:
            sys.settrace(self._before)

    def _look(self, frame: FrameType, event: str, argument: object) -> Any:
        if self._is_over or not frame.f_code.co_filename.startswith(self._sources):
            return None
        self._is_over = True
        sys.settrace(self._before)
        # The debugger stops at the next line that is not of this module: the function's first.
        pytest.set_trace(skip=[__name__])
        return frame.f_trace


def _sources_of(item: RolloutItem) -> tuple[str, ...]:
    """Return the files, or with a slash at the end the folders, of an item's environment."""
    run = item.run
    names = {type(run.environment).__module__}
    with contextlib.suppress(EnvironmentLoadError):
        names.add(module_name(run.spec.env_id))
    rubric = rubric_of(run.environment, item.example)
    names |= {getattr(function, "__module__", "") for function in getattr(rubric, "funcs", ())}
    sources = []
    for name in names:
        module = sys.modules.get(name)
        file = getattr(module, "__file__", None)
        if file is None or name.partition(".")[0] in {_PACKAGE, "verifiers"}:
            continue
        sources.append(f"{Path(file).parent}/" if hasattr(module, "__path__") else file)
    return (*sources, str(item.path)) if item.is_function else tuple(sources)
