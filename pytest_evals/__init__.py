"""Evaluate language models on environments as pytest items.

The names in `__all__` are the interface. Each is imported when it is first used: pytest imports
this package in every session of the Python environment it is installed in.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clients.client import Client
    from .environments.environment import Environment
    from .environments.keys import ensure_keys
    from .environments.loading import load_by_id as load_environment
    from .environments.single_turn import SingleTurnEnv
    from .errors import (
        ConfigError,
        EmptyModelResponseError,
        EnvironmentLoadError,
        Error,
        InfraError,
        InvalidModelResponseError,
        MissingKeyError,
        ModelError,
        OverlongPromptError,
        RejectedError,
        RewardError,
        SandboxError,
        SetupError,
        ToolCallError,
        ToolError,
        ToolParseError,
        TunnelError,
    )
    from .messages import Message, Messages, Response, Usage
    from .parsers import (
        MaybeThinkParser,
        Parser,
        ThinkParser,
        XMLParser,
        extract_boxed_answer,
        extract_hash_answer,
    )
    from .rubrics.rubric import Rubric
    from .state import State, TrajectoryStep

__all__ = [
    "Client",
    "ConfigError",
    "EmptyModelResponseError",
    "Environment",
    "EnvironmentLoadError",
    "Error",
    "InfraError",
    "InvalidModelResponseError",
    "MaybeThinkParser",
    "Message",
    "Messages",
    "MissingKeyError",
    "ModelError",
    "OverlongPromptError",
    "Parser",
    "RejectedError",
    "Response",
    "RewardError",
    "Rubric",
    "SandboxError",
    "SetupError",
    "SingleTurnEnv",
    "State",
    "ThinkParser",
    "ToolCallError",
    "ToolError",
    "ToolParseError",
    "TrajectoryStep",
    "TunnelError",
    "Usage",
    "XMLParser",
    "ensure_keys",
    "extract_boxed_answer",
    "extract_hash_answer",
    "load_environment",
]

# name -> (module, name there)
_WHERE = {
    "Client": (".clients.client", "Client"),
    "Environment": (".environments.environment", "Environment"),
    "ensure_keys": (".environments.keys", "ensure_keys"),
    "load_environment": (".environments.loading", "load_by_id"),
    "SingleTurnEnv": (".environments.single_turn", "SingleTurnEnv"),
    "ConfigError": (".errors", "ConfigError"),
    "EmptyModelResponseError": (".errors", "EmptyModelResponseError"),
    "EnvironmentLoadError": (".errors", "EnvironmentLoadError"),
    "Error": (".errors", "Error"),
    "InfraError": (".errors", "InfraError"),
    "InvalidModelResponseError": (".errors", "InvalidModelResponseError"),
    "MissingKeyError": (".errors", "MissingKeyError"),
    "ModelError": (".errors", "ModelError"),
    "OverlongPromptError": (".errors", "OverlongPromptError"),
    "RejectedError": (".errors", "RejectedError"),
    "RewardError": (".errors", "RewardError"),
    "SandboxError": (".errors", "SandboxError"),
    "SetupError": (".errors", "SetupError"),
    "ToolCallError": (".errors", "ToolCallError"),
    "ToolError": (".errors", "ToolError"),
    "ToolParseError": (".errors", "ToolParseError"),
    "TunnelError": (".errors", "TunnelError"),
    "Message": (".messages", "Message"),
    "Messages": (".messages", "Messages"),
    "Response": (".messages", "Response"),
    "Usage": (".messages", "Usage"),
    "MaybeThinkParser": (".parsers", "MaybeThinkParser"),
    "Parser": (".parsers", "Parser"),
    "ThinkParser": (".parsers", "ThinkParser"),
    "XMLParser": (".parsers", "XMLParser"),
    "extract_boxed_answer": (".parsers", "extract_boxed_answer"),
    "extract_hash_answer": (".parsers", "extract_hash_answer"),
    "Rubric": (".rubrics.rubric", "Rubric"),
    "State": (".state", "State"),
    "TrajectoryStep": (".state", "TrajectoryStep"),
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, there = _WHERE[name]
    value = getattr(import_module(module, __name__), there)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
