"""Evaluate language models on environments as pytest items.

The names in `__all__` are the interface. Each is imported when it is first used: pytest imports
this package in every session of the Python environment it is installed in. Where each is, and which
modules of verifiers are found below this package besides its own, is in `names`.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

    from .adapters.loading import load_by_id as load_environment
    from .adapters.logs import log_level, quiet_verifiers, setup_logging
    from .adapters.types import (
        ChatMessage,
        ChatMessages,
        ClientType,
        DatasetBuilder,
        GenerateMetadata,
        GenerateOutputs,
        GenericContentPart,
        GroupRewardFunc,
        ImageUrlContentPart,
        ImageUrlSource,
        IndividualRewardFunc,
        Info,
        InputAudioContentPart,
        InputAudioSource,
        MessageContent,
        MessageType,
        ModelResponse,
        RewardFunc,
        RolloutInput,
        RolloutOutput,
        RolloutScore,
        RolloutScores,
        SamplingArgs,
        TextContentPart,
        TokenUsage,
    )
    from .clients.anthropic_messages import AnthropicMessagesClient
    from .clients.client import Client
    from .clients.config import ClientConfig
    from .clients.openai_chat_completions import OpenAIChatCompletionsClient
    from .clients.openai_completions import OpenAICompletionsClient
    from .clients.openai_responses import OpenAIResponsesClient
    from .environments.env_group import EnvGroup
    from .environments.environment import Environment
    from .environments.example_dataset import load_example_dataset
    from .environments.keys import ensure_keys
    from .environments.multi_turn import MultiTurnEnv
    from .environments.single_turn import SingleTurnEnv
    from .environments.stateful_tool_env import StatefulToolEnv
    from .environments.tool_env import ToolEnv
    from .errors import (
        ConfigError,
        EmptyModelResponseError,
        EnvironmentLoadError,
        Error,
        InfraError,
        InvalidModelResponseError,
        JudgeError,
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
    from .lifecycle import cleanup, stop, teardown
    from .messages import (
        AssistantMessage,
        ContentPart,
        FinishReason,
        Message,
        Messages,
        Response,
        ResponseMessage,
        ResponseTokens,
        SystemMessage,
        TextMessage,
        Tool,
        ToolCall,
        ToolMessage,
        Usage,
        UserMessage,
    )
    from .parsers import (
        MaybeThinkParser,
        Parser,
        ThinkParser,
        XMLParser,
        extract_boxed_answer,
        extract_hash_answer,
    )
    from .rubrics.judge_rubric import JudgeRubric
    from .rubrics.math_rubric import MathRubric
    from .rubrics.rubric import Rubric
    from .rubrics.rubric_group import RubricGroup
    from .state import (
        Span as TimeSpan,
    )
    from .state import (
        Spans as TimeSpans,
    )
    from .state import (
        State,
        TrajectoryStep,
    )
    from .state import (
        Timing as RolloutTiming,
    )

__all__ = [
    "AnthropicMessagesClient",
    "AssistantMessage",
    "ChatMessage",
    "ChatMessages",
    "Client",
    "ClientConfig",
    "ClientType",
    "ConfigError",
    "ContentPart",
    "DatasetBuilder",
    "EmptyModelResponseError",
    "EnvGroup",
    "Environment",
    "EnvironmentLoadError",
    "Error",
    "FinishReason",
    "GenerateMetadata",
    "GenerateOutputs",
    "GenericContentPart",
    "GroupRewardFunc",
    "ImageUrlContentPart",
    "ImageUrlSource",
    "IndividualRewardFunc",
    "Info",
    "InfraError",
    "InputAudioContentPart",
    "InputAudioSource",
    "InvalidModelResponseError",
    "JudgeError",
    "JudgeRubric",
    "MathRubric",
    "MaybeThinkParser",
    "Message",
    "MessageContent",
    "MessageType",
    "Messages",
    "MissingKeyError",
    "ModelError",
    "ModelResponse",
    "MultiTurnEnv",
    "OpenAIChatCompletionsClient",
    "OpenAICompletionsClient",
    "OpenAIResponsesClient",
    "OverlongPromptError",
    "Parser",
    "RejectedError",
    "Response",
    "ResponseMessage",
    "ResponseTokens",
    "RewardError",
    "RewardFunc",
    "RolloutInput",
    "RolloutOutput",
    "RolloutScore",
    "RolloutScores",
    "RolloutTiming",
    "Rubric",
    "RubricGroup",
    "SamplingArgs",
    "SandboxError",
    "SetupError",
    "SingleTurnEnv",
    "State",
    "StatefulToolEnv",
    "SystemMessage",
    "TextContentPart",
    "TextMessage",
    "ThinkParser",
    "TimeSpan",
    "TimeSpans",
    "TokenUsage",
    "Tool",
    "ToolCall",
    "ToolCallError",
    "ToolEnv",
    "ToolError",
    "ToolMessage",
    "ToolParseError",
    "TrajectoryStep",
    "TunnelError",
    "Usage",
    "UserMessage",
    "XMLParser",
    "cleanup",
    "ensure_keys",
    "extract_boxed_answer",
    "extract_hash_answer",
    "load_environment",
    "load_example_dataset",
    "log_level",
    "quiet_verifiers",
    "setup_logging",
    "stop",
    "teardown",
]


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # asked for by Python itself
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    names = import_module(".names", __name__)  # `from . import names` would come here again
    if name in names.PUBLIC:
        value = globals()[name] = names.find(names.PUBLIC[name])  # the next use does not come here
        return value
    if name in names.MODULES:
        return import_module(f".{name}", __name__)
    raise AttributeError(names.why_missing(__name__, "", name))


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Submodules:
    """Finds the modules that are here by name only; asked when Python has found none."""

    @staticmethod
    def find_spec(fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        # While `python -m` looks for its module, it says itself that there is none.
        if not fullname.startswith(f"{__name__}.") or sys.argv[:1] == ["-m"]:
            return None
        from .adapters.alias import OWN_MODULES

        return OWN_MODULES.find_spec(fullname)


sys.meta_path.append(_Submodules)
