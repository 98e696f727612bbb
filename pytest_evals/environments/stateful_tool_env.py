"""StatefulToolEnv: tools with arguments that the environment fills in for each rollout."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

from ..messages import Messages
from ..rubrics.slowness import timed_call
from ..state import State
from .tool_env import ToolEnv
from .tool_schema import ToolFunction, parameter_names, tool_name


class StatefulToolEnv(ToolEnv):
    """A `ToolEnv` whose tools also take what the model must not see: a sandbox, a ledger, a key.

    Such arguments are hidden when the tool is added, and `update_tool_args` puts them into each
    call from the state of the rollout. What the model writes for a hidden argument is dropped.

    Args:
        tools: functions without hidden arguments; `add_tool` adds others.
        max_turns, error_formatter, stop_errors, **kwargs: those of `ToolEnv`.

    Attributes:
        skipped_args: the hidden arguments of each tool.
    """

    def __init__(
        self,
        tools: Iterable[ToolFunction] | None = None,
        max_turns: int = 10,
        error_formatter: Callable[[Exception], str] = lambda error: f"{error}",
        stop_errors: Sequence[type[Exception]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.skipped_args: dict[str, list[str]] = {}
        super().__init__(tools, max_turns, error_formatter, stop_errors, **kwargs)

    def add_tool(self, tool: ToolFunction, args_to_skip: Collection[str] = ()) -> None:
        """Let the model call `tool`, without its knowing of some arguments.

        Args:
            tool: the function.
            args_to_skip: names of arguments that `update_tool_args` fills in. One that the tool
                does not have is logged: the list may be common to several tools.

        Raises:
            SetupError: there is a tool of that name, or the schema cannot be made.
        """
        if isinstance(args_to_skip, str):
            args_to_skip = [args_to_skip]
        self._add(tool, args_to_skip)
        name, has = tool_name(tool), parameter_names(tool)
        self.skipped_args[name] = list(args_to_skip)
        unknown = [skipped for skipped in args_to_skip if skipped not in has]
        if unknown:
            self.logger.warning(
                "tool %r has no argument %s to skip; it has %s",
                name, ", ".join(map(repr, unknown)), ", ".join(has) or "none",
            )  # fmt: skip

    def remove_tool(self, tool: ToolFunction) -> None:
        """Take `tool` away from the rollouts that begin from now on, and its metric with it.

        Raises:
            ValueError: it is not one of the tools.
        """
        super().remove_tool(tool)
        self.skipped_args.pop(tool_name(tool), None)

    @abstractmethod
    def update_tool_args(
        self,
        tool_name: str,
        tool_args: dict[str, Any],
        messages: Messages,
        state: State,
        **kwargs: Any,
    ) -> dict[str, Any] | Awaitable[dict[str, Any]]:
        """Return the arguments that the tool is really called with; may be async.

        What it raises ends the rollout: an `errors.Error` says what it is, anything else is a bug.
        It is not called for a tool that does not exist.

        Args:
            tool_name: the tool that the model calls.
            tool_args: what the model wrote, without hidden arguments; may be changed and returned.
            messages: the conversation, the model's message last.
            state: the rollout.
            **kwargs: what `env_response` was given.
        """

    async def _prepared(
        self,
        name: str,
        arguments: dict[str, Any],
        messages: Messages,
        state: State,
        **kwargs: Any,
    ) -> dict[str, Any]:
        if not self._is_tool(name, state):
            return arguments  # call_tool knows what to say
        for hidden in self.skipped_args.get(name, ()):
            arguments.pop(hidden, None)
        updated = await timed_call(
            state,
            f"update_tool_args of {type(self).__name__}",
            self.update_tool_args,
            name,
            arguments,
            messages,
            state,
            **kwargs,
        )
        if not isinstance(updated, dict):
            raise TypeError(
                f"{type(self).__name__}: update_tool_args() returned {type(updated).__name__} for "
                f"tool {name!r}; it returns a dict of arguments"
            )
        return updated

    def _is_tool(self, name: str, state: State) -> bool:
        """Whether the model was told of it: a subclass may answer to more than functions."""
        return name in self.tool_map or any(
            tool.get("name") == name for tool in state.get("tool_defs") or ()
        )
