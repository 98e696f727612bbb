"""Names: what this package offers under the names of verifiers and its own, and where each is.

The table holds what published environments import; `docs/verifiers.md` lists it. It serves
`import pytest_evals` and, through `adapters.alias`, `import verifiers` and the submodules of both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from .nearest import did_you_mean

# The release whose interface this is: some environments compare it.
VERSION = "0.3.1"

_PACKAGE = __name__.partition(".")[0]


def _of(module: str, *names: str) -> dict[str, str]:
    return {name: f"{module}:{name}" for name in names}


def _only(table: Mapping[str, str], name: str) -> dict[str, str]:
    return {name: table[name]}


_ERRORS = _of(
    ".errors",
    "EmptyModelResponseError", "Error", "InfraError", "InvalidModelResponseError", "ModelError",
    "OverlongPromptError", "SandboxError", "ToolCallError", "ToolError", "ToolParseError",
    "TunnelError",
)  # fmt: skip

_TYPES = {
    **_of(
        ".messages",
        "AssistantMessage", "ContentPart", "FinishReason", "Message", "Messages", "Response",
        "ResponseMessage", "ResponseTokens", "SystemMessage", "TextMessage", "Tool", "ToolCall",
        "ToolMessage", "Usage", "UserMessage",
    ),
    **_of(
        ".adapters.types",
        "ChatMessage", "ChatMessages", "ClientType", "DatasetBuilder", "GenerateOutputs",
        "GenerateMetadata", "GenericContentPart", "GroupRewardFunc", "ImageUrlContentPart",
        "ImageUrlSource", "IndividualRewardFunc", "Info", "InputAudioContentPart",
        "InputAudioSource", "MessageContent", "MessageType", "ModelResponse", "RewardFunc",
        "RolloutInput", "RolloutOutput", "RolloutScore", "RolloutScores", "SamplingArgs",
        "TextContentPart", "TokenUsage",
    ),
    **_of(".state", "State", "TrajectoryStep"),
    "RolloutTiming": ".state:Timing",
    "TimeSpan": ".state:Span",
    "TimeSpans": ".state:Spans",
    **_of(".clients.config", "ClientConfig"),
}  # fmt: skip

_MARKS = _of(".lifecycle", "cleanup", "stop", "teardown")
_PARSERS = _of(".parsers", "MaybeThinkParser", "Parser", "ThinkParser", "XMLParser")
_RUBRICS = {
    **_of(".rubrics.judge_rubric", "JudgeRubric"),
    **_of(".rubrics.math_rubric", "MathRubric"),
    **_of(".rubrics.rubric", "Rubric"),
    **_of(".rubrics.rubric_group", "RubricGroup"),
}
_ENVIRONMENTS = {
    **_of(".environments.env_group", "EnvGroup"),
    **_of(".environments.environment", "Environment"),
    **_of(".environments.multi_turn", "MultiTurnEnv"),
    **_of(".environments.single_turn", "SingleTurnEnv"),
    **_of(".environments.stateful_tool_env", "StatefulToolEnv"),
    **_of(".environments.tool_env", "ToolEnv"),
}
_CLIENTS = {
    **_of(".clients.client", "Client"),
    **_of(".clients.anthropic_messages", "AnthropicMessagesClient"),
    **_of(".clients.openai_chat_completions", "OpenAIChatCompletionsClient"),
    **_of(".clients.openai_completions", "OpenAICompletionsClient"),
    **_of(".clients.openai_responses", "OpenAIResponsesClient"),
}
_TOKEN_CLIENT = _of(".clients.openai_chat_completions_token", "OpenAIChatCompletionsTokenClient")
_KEYS = {**_of(".errors", "MissingKeyError"), **_of(".environments.keys", "ensure_keys")}
_DATA = {
    **_of(".parsers", "extract_boxed_answer", "extract_hash_answer"),
    **_of(".environments.example_dataset", "load_example_dataset"),
}
_LOADING = {"load_environment": ".adapters.loading:load_by_id"}
_LOGS = _of(".adapters.logs", "log_level", "quiet_verifiers", "setup_logging")
_RESPONSES = _of(".adapters.conversations", "parse_response_message", "parse_response_tokens")

# module below "verifiers" ("" is itself) -> name there -> "module in this package:name".
MODULES: Mapping[str, Mapping[str, str]] = {
    "": {
        "__version__": ".names:VERSION",
        **_TYPES, **_ERRORS, **_MARKS, **_PARSERS, **_RUBRICS, **_ENVIRONMENTS, **_CLIENTS,
        **_KEYS, **_DATA, **_LOADING, **_LOGS,
    },
    "types": _TYPES,
    "errors": _ERRORS,
    "decorators": _MARKS,
    "parsers": _PARSERS,
    "parsers.parser": _only(_PARSERS, "Parser"),
    "parsers.think_parser": _only(_PARSERS, "ThinkParser"),
    "parsers.maybe_think_parser": _only(_PARSERS, "MaybeThinkParser"),
    "parsers.xml_parser": _only(_PARSERS, "XMLParser"),
    "rubrics": _RUBRICS,
    "rubrics.rubric": _only(_RUBRICS, "Rubric"),
    "rubrics.rubric_group": _only(_RUBRICS, "RubricGroup"),
    "rubrics.judge_rubric": _only(_RUBRICS, "JudgeRubric"),
    "rubrics.math_rubric": _only(_RUBRICS, "MathRubric"),
    "envs": _ENVIRONMENTS,
    "envs.environment": _only(_ENVIRONMENTS, "Environment"),
    "envs.singleturn_env": _only(_ENVIRONMENTS, "SingleTurnEnv"),
    "envs.multiturn_env": _only(_ENVIRONMENTS, "MultiTurnEnv"),
    "envs.tool_env": _only(_ENVIRONMENTS, "ToolEnv"),
    "envs.stateful_tool_env": _only(_ENVIRONMENTS, "StatefulToolEnv"),
    "envs.env_group": _only(_ENVIRONMENTS, "EnvGroup"),
    "clients": {**_CLIENTS, **_TOKEN_CLIENT},
    "clients.anthropic_messages_client": _only(_CLIENTS, "AnthropicMessagesClient"),
    "clients.client": _only(_CLIENTS, "Client"),
    "clients.openai_chat_completions_client": _only(_CLIENTS, "OpenAIChatCompletionsClient"),
    "clients.openai_chat_completions_token_client": _TOKEN_CLIENT,
    "clients.openai_completions_client": _only(_CLIENTS, "OpenAICompletionsClient"),
    "clients.openai_responses_client": _only(_CLIENTS, "OpenAIResponsesClient"),
    "utils": {},
    "utils.async_utils": _of(".adapters.calls", "maybe_await", "maybe_call_with_named_args"),
    "utils.client_utils": _of(".adapters.openai_clients", "setup_openai_client"),
    "utils.config_utils": _KEYS,
    "utils.data_utils": {
        **_DATA,
        **_of(".adapters.prompts", "BOXED_SYSTEM_PROMPT", "THINK_BOXED_SYSTEM_PROMPT"),
    },
    "utils.env_utils": _LOADING,
    "utils.logging_utils": _LOGS,
    "utils.message_utils": {
        **_of(".adapters.conversations", "concat_messages", "get_messages", "normalize_messages"),
        "maybe_normalize_messages": ".adapters.conversations:normalize_messages",
    },
    "utils.response_utils": _RESPONSES,
    "utils.thread_utils": _of(".environments.executors", "register_executor"),
    "utils.tool_utils": {
        "convert_func_to_tool_def": ".environments.tool_schema:tool_def_of",
        **_of(".adapters.conversations", "is_valid_tool_content_parts"),
    },
}  # fmt: skip

# What `import pytest_evals` offers besides.
_OWN = _of(
    ".errors",
    "ConfigError", "EnvironmentLoadError", "JudgeError", "RejectedError", "RewardError",
    "SetupError",
)  # fmt: skip
PUBLIC: Mapping[str, str] = {
    **{name: target for name, target in MODULES[""].items() if name != "__version__"}, **_OWN
}  # fmt: skip

# What `from verifiers import *` binds.
STARRED = (
    *_PARSERS, *_RUBRICS, *_ENVIRONMENTS, *_MARKS, *_KEYS, *_DATA, *_LOADING, *_LOGS,
    "AnthropicMessagesClient", "Client", "DatasetBuilder", "OpenAIChatCompletionsClient",
    "OpenAICompletionsClient", "OpenAIResponsesClient", "State",
)  # fmt: skip

# What only the package has: these need services or libraries of their own.
_PACKAGES_OWN = frozenset(
    {
        "BrowserEnv", "CliAgentEnv", "GymEnv", "HarborEnv", "MCPEnv",
        "NeMoRLChatCompletionsClient", "OpenEnvEnv", "PythonEnv", "ReasoningGymEnv",
        "RendererClient", "SandboxEnv", "TextArenaEnv",
        "envs.experimental", "envs.integrations", "envs.python_env", "envs.sandbox_env",
        "rubrics.experimental",
    }
)  # fmt: skip
_LATER = frozenset({"v1", "Taskset", "TasksetConfig", "Task", "TaskData", "Harness", "Trace"})


def find(target: str) -> Any:
    """Return what a target of the table names; imports its module."""
    module, _, name = target.partition(":")
    return getattr(import_module(module, _PACKAGE), name)


def attribute_of(module: str) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package of this one that verifiers has as well.

    Args:
        module: below "pytest_evals", as in `MODULES`.
    """

    def get(name: str) -> Any:
        target = MODULES[module].get(name)
        if target is None:
            raise AttributeError(why_missing(_PACKAGE, module, name))
        return find(target)

    return get


def why_missing(root: str, module: str, name: str) -> str:
    """Say that pytest_evals does not provide a name of verifiers, and what does.

    Args:
        root: "verifiers" or "pytest_evals", as it was asked for.
        module: below the root, "" for itself.
        name: a name in it, or a module below it.
    """
    inner = f"{module}.{name}" if module else name
    dotted = f"{root}.{inner}"
    if inner.partition(".")[0] in _LATER:
        return (
            f"{dotted} belongs to tasksets, the interface of verifiers 0.4, which pytest_evals does"
            " not run: it runs environments, the interface up to 0.3.1"
        )
    known = PUBLIC if root == _PACKAGE and not module else MODULES.get(module, {})
    is_packages_own = _is_packages_own(inner)
    names = [] if is_packages_own else [*known, *_below(module)]
    meant = did_you_mean(name, names, most=1)
    install = "pip install 'pytest-rollouts[verifiers]'"
    if root == _PACKAGE:
        missing = f"{dotted.rpartition('.')[0]} has no {name!r}{meant}"
        how = f"{install} and import it from verifiers"
    else:
        missing = f"{dotted} is not provided by pytest_evals, which stands in for verifiers here"
        missing += meant
        how = f"{install} and run pytest with --evals-verifiers=package"
    if is_packages_own:
        return f"{missing}. The package verifiers has it: {how}"
    if root == _PACKAGE and meant:
        return missing
    return f"{missing}. If a release of verifiers from 0.1.11 to 0.3.1 has it: {how}"


def _below(module: str) -> list[str]:
    """Return the names of the modules right below one of the table."""
    prefix = f"{module}." if module else ""
    return [
        rest
        for other in MODULES
        if other.startswith(prefix) and (rest := other.removeprefix(prefix)) and "." not in rest
    ]


def _is_packages_own(inner: str) -> bool:
    return any(inner == name or inner.startswith(f"{name}.") for name in _PACKAGES_OWN)
