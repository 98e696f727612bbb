"""PostMortem: `--pdb` opens in the user's code, and not at all where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from .nodes import EvalCollector, EvalItem, GateItem
from .outcomes import EvalFailedError
from .users_frames import users_part

_NAME = "pdbinvoke"  # of pytest's own plugin, as it is registered


class PostMortem:
    """Stands in for the plugin with which pytest opens the debugger on a failure.

    Args:
        pytests: that plugin. It does all that is not about evals.
    """

    def __init__(self, pytests: Any) -> None:
        self._pytests = pytests

    @classmethod
    def stand_in(cls, config: pytest.Config) -> None:
        """Take the place of pytest's plugin, if there is a debugger to open."""
        pytests = config.pluginmanager.unregister(name=_NAME)
        if pytests is not None:
            config.pluginmanager.register(cls(pytests), _NAME)

    def pytest_exception_interact(
        self,
        node: pytest.Item | pytest.Collector,
        call: pytest.CallInfo[Any],
        report: pytest.CollectReport | pytest.TestReport,
    ) -> None:
        """Open the debugger where the user's code raised, or say why there is no prompt."""
        assert call.excinfo is not None
        raised = call.excinfo.value
        is_of_eval = isinstance(node, EvalItem | EvalCollector)
        if is_of_eval and isinstance(raised, EvalFailedError | pytest.Collector.CollectError):
            result = getattr(node, "result", None)  # of a rollout
            place = users_part(raised) or users_part(getattr(result, "error", None))
            if place is None:
                _say(node, f"no prompt: {_why(node)}")
                return
            call.excinfo = pytest.ExceptionInfo.from_exception(raised.with_traceback(place))
        self._pytests.pytest_exception_interact(node=node, call=call, report=report)

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Leave bugs of pytest and its plugins to pytest."""
        self._pytests.pytest_internalerror(excinfo=excinfo)


def _why(node: pytest.Item | pytest.Collector) -> str:
    if isinstance(node, GateItem):
        return "a gate judges figures. breakpoint() in a reward function shows how they come about"
    return "no code of yours raised it; the report at the end says what it was"


def _say(node: pytest.Item | pytest.Collector, text: str) -> None:
    terminal = node.config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None:
        terminal.ensure_newline()
        terminal.write_line(f"evals: {node.nodeid}: {text}")
