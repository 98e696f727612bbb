from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import pytest_evals
from pytest_evals import names

COMPARED = Path(__file__).parents[1] / "scripts" / "compare_envs"

NAMES = [
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


# Under its own name each is something else as well, or was called otherwise in verifiers once.
OTHERWISE_NAMED = {
    *("ChatMessage", "GenericContentPart", "ImageUrlSource", "InputAudioSource", "ModelResponse"),
    *("RolloutTiming", "TimeSpan", "TimeSpans", "load_environment", "ClientType"),
}


def test_exactly_these_names_are_public() -> None:
    assert sorted(pytest_evals.__all__) == NAMES
    assert set(NAMES) <= set(dir(pytest_evals))


@pytest.mark.parametrize("name", NAMES)
def test_each_name_resolves_to_what_it_names(name: str) -> None:
    value = getattr(pytest_evals, name)

    assert value is getattr(pytest_evals, name)
    is_own = isinstance(value, type | FunctionType)  # no type of typing's
    if is_own and name not in OTHERWISE_NAMED:
        assert value.__name__ == name


def test_type_checkers_see_the_same_names() -> None:
    source = Path(pytest_evals.__file__).read_text(encoding="utf-8")
    imported = {
        alias.asname or alias.name
        for statement in ast.parse(source).body
        if isinstance(statement, ast.If)
        for inner in statement.body
        if isinstance(inner, ast.ImportFrom) and inner.level
        for alias in inner.names
    }

    assert sorted(imported) == NAMES


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Rubrik", r"^pytest_evals has no 'Rubrik' \(did you mean 'Rubric'\?\)$"),
        ("SingelTurnEnv", r"\(did you mean 'SingleTurnEnv'\?\)$"),
        ("SandboxEnv", r"no 'SandboxEnv'\. The package verifiers has it: pip install .*import it"),
        ("Quux", r"no 'Quux'\. If a release of verifiers from 0\.1\.11 to 0\.3\.1 has it: pip"),
        ("Taskset", "belongs to tasksets"),
        ("__wrapped__", "has no attribute '__wrapped__'"),
    ],
)
def test_an_unknown_name_is_an_attribute_error(name: str, says: str) -> None:
    with pytest.raises(AttributeError, match=says):
        getattr(pytest_evals, name)
    if not name.startswith("__"):
        with pytest.raises(ImportError, match=says):
            exec(f"from pytest_evals import {name}")


@pytest.mark.parametrize("module", sorted(set(names.MODULES) - {""}))
def test_modules_of_verifiers_are_found_here(module: str) -> None:
    found = importlib.import_module(f"pytest_evals.{module}")
    below: Any = pytest_evals
    for part in module.split("."):
        below = getattr(below, part)

    assert below is found
    for name, target in names.MODULES[module].items():
        assert getattr(found, name) is names.find(target)
        scope: dict[str, Any] = {}
        exec(f"from pytest_evals.{module} import {name}", scope)
        assert scope[name] is names.find(target)


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("import pytest_evals.novelties", r"^pytest_evals has no 'novelties'\. If a release"),
        ("from pytest_evals.utils import data_util", r"utils has no 'data_util' \(did you mean"),
        ("from pytest_evals.types import Mesages", r"types has no 'Mesages' \(did you mean 'Mess"),
        ("from pytest_evals.rubrics import Rubrik", r"rubrics has no 'Rubrik' \(did you mean"),
        ("from pytest_evals.parsers import Parsr", r"parsers has no 'Parsr' \(did you mean"),
        ("from pytest_evals.envs.sandbox_env import SandboxEnv", r"The package verifiers has it"),
        ("import pytest_evals.stats.novelties", r"^No module named 'pytest_evals.stats.novelties'"),
        ("import pytest_evals_novelties", r"^No module named 'pytest_evals_novelties'"),
    ],
)
def test_a_module_that_is_not_here(statement: str, says: str) -> None:
    with pytest.raises(ImportError, match=says):
        exec(statement)


@pytest.mark.parametrize("path", sorted(COMPARED.glob("*.py")), ids=lambda path: path.stem)
def test_an_environment_is_moved_by_replacing_the_name(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("datasets")
    monkeypatch.setenv("COMPARE_JUDGE_URL", "http://127.0.0.1:9/v1")
    scope: dict[str, Any] = {"__name__": "moved"}

    exec(path.read_text("utf-8").replace("verifiers", "pytest_evals"), scope)

    environment = scope["load_environment"]()
    assert isinstance(environment, pytest_evals.Environment)
    assert len(environment.get_eval_dataset()) > 0


@pytest.mark.parametrize(
    "use", ["", "pytest_evals.SingleTurnEnv, pytest_evals.load_environment, pytest_evals.XMLParser"]
)
def test_importing_loads_the_standard_library_only(use: str) -> None:
    script = (
        "import sys\nbefore = set(sys.modules)\nimport pytest_evals\n"
        f"{use}\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'pytest_evals'}))\n"
        "print(len([name for name in sys.modules if name.startswith('pytest_evals')]))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    others, own = done.stdout.splitlines()

    assert others == "[]"
    assert (own == "1") == (use == "")


def test_python_m_says_itself_that_a_module_is_missing() -> None:
    """The command of a managed server may be mistyped; verifiers has nothing to do with that."""
    found = subprocess.run(
        [sys.executable, "-m", "pytest_evals.no_such_module"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode != 0
    assert "No module named pytest_evals.no_such_module" in found.stderr
    assert "verifiers" not in found.stderr
