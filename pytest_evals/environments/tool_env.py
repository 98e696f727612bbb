"""ToolEnv: the model calls Python functions until it answers without calling one."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from ..errors import InfraError, ModelError, SetupError, ToolCallError, ToolParseError, one_line
from ..lifecycle import maybe_await, stop
from ..messages import ContentPart, Message, Messages, Tool, ToolCall, ToolMessage, as_tool_call
from ..places import was_raised_here
from ..rubrics.rubric import Rubric
from ..rubrics.slowness import timed_call
from ..state import State
from .multi_turn import MultiTurnEnv
from .tool_schema import ToolFunction, check_can_be_called, check_name, tool_def_of, tool_name

_CONTENT_PARTS = frozenset({"text", "image_url"})


class ToolEnv(MultiTurnEnv):
    """An environment in which the model may call tools: Python functions, sync or async.

    The calls of a message are made one by one, in their order, on the event loop; each is answered
    by a tool message with the text of what the function returned, or with the list itself where it
    returned one of `text` and `image_url` parts. The rollout ends when the model answers without a
    call (`no_tools_called`), or like any `MultiTurnEnv`.

    What goes wrong in a call is for the model to mend: arguments that are not a JSON object or have
    wrong names, a tool that does not exist or that raises are answered by a tool message with what
    `error_formatter` says. Not so:

    - An exception of a type in `stop_errors` ends the rollout with a `ToolParseError` (the
      arguments could not be read) or a `ToolCallError`, raised from it. That leaves the rollout
      unmeasured when the exception is an `InfraError` or a `ModelError`, and broken otherwise: to
      list a type is to say that the model must never cause it, so it is a bug when it happens.
    - An `InfraError` or a `ModelError` ends the rollout, unmeasured, listed or not: a sandbox
      that is down says nothing about the model.
    - Cancellation, `KeyboardInterrupt` and `SystemExit` are passed on.

    `state["eval_tool_runs"]` counts for each tool how often it ran, and what it raised that the
    model was told of, by type: a tool that always raises looks like a weak model.

    The metrics `total_tool_calls` and, for each tool, `<tool>_calls` are added to the rubric with
    weight 0. They count what the model asked for, calls that failed included.

    Args:
        tools: the functions. `tool_def_of` says what the model is told of them.
        max_turns: model calls in a rollout; 0 or less for no limit.
        error_formatter: turns an exception into the text of a tool message.
        stop_errors: exception types that end the rollout.
        **kwargs: arguments of `MultiTurnEnv`, except `tool_defs`.

    Attributes:
        tools: the functions.
        tool_map: the same by name.

    Raises:
        SetupError: two tools have one name, or a model could not be told of one, or not call it.
    """

    def __init__(
        self,
        tools: Iterable[ToolFunction] | None = None,
        max_turns: int = 10,
        error_formatter: Callable[[Exception], str] = lambda error: f"{error}",
        stop_errors: Sequence[type[Exception]] | None = None,
        **kwargs: Any,
    ) -> None:
        self.tools: list[ToolFunction] = []
        self.tool_map: dict[str, ToolFunction] = {}
        self.error_formatter = error_formatter
        self.stop_errors = list(stop_errors or ())
        super().__init__(tool_defs=[], max_turns=max_turns, **kwargs)
        self.tool_monitor_rubric = ToolMonitorRubric()
        self.add_rubric(self.tool_monitor_rubric)
        for tool in tools or ():
            self._add(tool)

    def add_tool(self, tool: ToolFunction) -> None:
        """Let the model call `tool` in the rollouts that begin from now on.

        Raises:
            SetupError: there is a tool of that name, or the schema cannot be made.
        """
        self._add(tool)

    def remove_tool(self, tool: ToolFunction) -> None:
        """Take `tool` away from the rollouts that begin from now on, and its metric with it.

        Raises:
            ValueError: it is not one of the tools.
        """
        name = tool_name(tool)
        if tool not in self.tools:
            raise ValueError(f"{name!r} is not one of the tools: {self._names_of_tools()}")
        self.tools.remove(tool)
        del self.tool_map[name]
        self.tool_defs = [one for one in self.tool_defs or () if one.name != name]
        self.tool_monitor_rubric.remove_tool_metric(name)

    @stop
    async def no_tools_called(self, state: State) -> bool:
        """Whether the model's last message calls no tool."""
        if not state["trajectory"] or not state["trajectory"][-1]["completion"]:
            return False
        last = state["trajectory"][-1]["completion"][-1]
        return last.get("role") == "assistant" and not last.get("tool_calls")

    async def call_tool(
        self, tool_name: str, tool_args: dict[str, Any], tool_call_id: str, **kwargs: Any
    ) -> Message:
        """Call a tool and return the message that answers the call.

        Raises:
            KeyError: there is no such tool. Its text is the name in quotes: what verifiers tells
                the model, whose rewards would change with other words.
            Exception: whatever the tool raises.
        """
        result = await maybe_await(self.tool_map[tool_name](**tool_args))
        return ToolMessage(content=_content(result), tool_call_id=tool_call_id)

    async def env_response(self, messages: Messages, state: State, **kwargs: Any) -> Any:
        """Make the tool calls of the last message; return one tool message for each."""
        calls = messages[-1].get("tool_calls")
        assert calls is not None, "no_tools_called ends a rollout before a message without calls"
        return [await self._answer(as_tool_call(call), messages, state, **kwargs) for call in calls]

    async def _answer(
        self, call: ToolCall, messages: Messages, state: State, **kwargs: Any
    ) -> Message:
        try:
            arguments = _arguments_of(call)
        except Exception as error:
            return self._told(error, call, ToolParseError)
        arguments = await self._prepared(call.name, arguments, messages, state, **kwargs)
        try:
            answer: Message = await timed_call(
                state,
                f"tool {call.name!r}",
                self.call_tool,
                call.name,
                arguments,
                call.get("id", ""),
            )
            _count(call.name, state)
            return answer
        except Exception as error:
            message = self._told(error, call, ToolCallError)
            if not was_raised_here(error):  # not the model's: a name or arguments that are wrong
                _count(call.name, state, error)
            return message

    async def _prepared(
        self,
        name: str,
        arguments: dict[str, Any],
        messages: Messages,
        state: State,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Return what the tool is called with; subclasses add what the model does not know."""
        return arguments

    def _told(
        self, error: Exception, call: ToolCall, stops_as: type[ToolParseError | ToolCallError]
    ) -> Message:
        """Return the tool message that tells the model of `error`, or end the rollout."""
        if isinstance(error, tuple(self.stop_errors)):
            raise stops_as(f"tool {call.name!r}: {one_line(error)}") from error
        if isinstance(error, InfraError | ModelError):
            raise error
        return ToolMessage(content=self.error_formatter(error), tool_call_id=call.get("id", ""))

    def _add(self, tool: ToolFunction, hidden: Collection[str] = ()) -> None:
        definition: Tool = tool_def_of(tool, hidden)
        name = definition.name
        check_name(name)
        if type(self).call_tool is ToolEnv.call_tool:  # others may call in their own way
            check_can_be_called(tool, hidden)
        if name in self.tool_map:
            raise SetupError(
                f"{type(self).__name__}: two tools are named {name!r}; give one another __name__"
            )
        self.tools.append(tool)
        self.tool_map[name] = tool
        self.tool_defs = [*(self.tool_defs or ()), definition]
        self.tool_monitor_rubric.add_tool_metric(name)

    def _names_of_tools(self) -> str:
        return ", ".join(self.tool_map) or "there are none"


class ToolMonitorRubric(Rubric):
    """Counts tool calls: the metrics `total_tool_calls` and `<tool>_calls`, all of weight 0."""

    def __init__(self, tool_names: Iterable[str] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.tool_names: list[str] = []
        self.add_metric(total_tool_calls)
        for name in tool_names:
            self.add_tool_metric(name)

    def add_tool_metric(self, tool_name: str) -> None:
        """Count the calls of a tool."""
        if tool_name not in self.tool_names:
            self.tool_names.append(tool_name)
            self.add_metric(_counter_of(tool_name))

    def remove_tool_metric(self, tool_name: str) -> None:
        """Count the calls of a tool no longer."""
        if tool_name in self.tool_names:
            place = 1 + self.tool_names.index(tool_name)
            del self.funcs[place], self.weights[place]
            self.tool_names.remove(tool_name)


def total_tool_calls(completion: Messages) -> float:
    """Count the tool calls in a completion."""
    return float(len(_calls_in(completion)))


def _counter_of(tool_name: str) -> Callable[[Messages], float]:
    def count(completion: Messages) -> float:
        return float(sum(call.get("name") == tool_name for call in _calls_in(completion)))

    count.__name__ = f"{tool_name}_calls"
    return count


def _calls_in(completion: Messages) -> list[Mapping[str, Any]]:
    return [
        call
        for message in completion
        if message.get("role") == "assistant"
        for call in message.get("tool_calls") or ()
    ]


def _count(tool: str, state: State, error: Exception | None = None) -> None:
    runs = state.setdefault("eval_tool_runs", {}).setdefault(tool, {"calls": 0, "errors": {}})
    runs["calls"] += 1
    if error is not None:
        kind = type(error).__name__
        runs["errors"][kind] = runs["errors"].get(kind, 0) + 1


def _arguments_of(call: ToolCall) -> dict[str, Any]:
    arguments = json.loads(call.arguments)
    if not isinstance(arguments, dict):
        raise ValueError(  # noqa: TRY004  # of one kind with text that is not JSON, for stop_errors
            f"Expected tool arguments to be a dict, got {type(arguments).__name__}: {arguments}"
        )
    return arguments


def _content(result: Any) -> Any:
    if isinstance(result, list) and result and all(map(_is_content_part, result)):
        return [ContentPart(part) for part in result]
    return str(result)


def _is_content_part(part: Any) -> bool:
    return isinstance(part, Mapping) and part.get("type") in _CONTENT_PARTS
