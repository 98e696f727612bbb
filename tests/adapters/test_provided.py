"""What exists for environments alone: the functions and types behind names of verifiers."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_evals import names
from pytest_evals.adapters import logs, types
from pytest_evals.adapters.calls import maybe_await, maybe_call_with_named_args
from pytest_evals.adapters.conversations import (
    concat_messages,
    get_messages,
    is_valid_tool_content_parts,
    normalize_messages,
    parse_response_message,
    parse_response_tokens,
)
from pytest_evals.adapters.openai_clients import setup_openai_client
from pytest_evals.clients.config import ClientConfig
from pytest_evals.messages import AssistantMessage, Response, ResponseMessage, ToolMessage
from tests.adapters.conftest import HAS_REAL


async def add(a: int, b: int = 1) -> int:
    return a + b


async def test_calls_of_either_kind() -> None:
    assert await maybe_await(add, 1, b=2) == 3
    assert await maybe_await(max, 1, 2) == 2
    assert await maybe_call_with_named_args(add, a=1, state={}) == 2
    assert await maybe_call_with_named_args(lambda **given: sorted(given), a=1, b=2) == ["a", "b"]


def test_messages_of_any_form() -> None:
    messages = normalize_messages([{"role": "tool", "tool_call_id": "1", "content": "x"}])

    assert type(messages[0]) is ToolMessage
    assert normalize_messages(messages) == messages
    assert normalize_messages("once upon") == [{"role": "text", "content": "once upon"}]
    assert concat_messages([messages, [], messages]) == messages * 2
    assert get_messages([*messages, {"role": "user", "content": "y"}], "tool") == messages
    assert len(get_messages(messages)) == 1
    with pytest.raises(TypeError, match=r"env_response holds \{'content': 'x'\}, which is not"):
        normalize_messages([{"content": "x"}], field_name="env_response")
    with pytest.raises(TypeError, match="messages holds 3"):
        normalize_messages([3])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("value", "valid"),
    [
        ([{"type": "text", "text": "x"}, {"type": "image_url"}], True),
        ([], True),
        ([{"type": "audio"}], False),
        (["text"], False),
        ("text", False),
        (None, False),
    ],
)
def test_content_parts(value: Any, valid: bool) -> None:
    assert is_valid_tool_content_parts(value) is valid


async def test_responses() -> None:
    response = Response(ResponseMessage(content="x", reasoning_content="y"), finish_reason="length")
    (message,) = await parse_response_message(response)

    assert type(message) is AssistantMessage
    assert message == {"role": "assistant", "content": "x", "reasoning_content": "y"}
    tokens: Any = parse_response_tokens(response, 100)
    assert await tokens is None


def test_log_levels() -> None:
    logger = logging.getLogger("verifiers")
    before = logger.level
    logs.setup_logging(None)
    with logs.log_level("debug"), logs.quiet_verifiers():
        assert logger.level == logging.getLogger("pytest_evals").level == logging.WARNING
    with logs.log_level(logging.ERROR):
        assert logger.level == logging.ERROR
    assert logger.level == before


def test_content_parts_know_their_type() -> None:
    assert types.TextContentPart(text="x") == {"type": "text", "text": "x"}
    part = types.ImageUrlContentPart(image_url=types.ImageUrlSource(url="u"))
    assert part == {"type": "image_url", "image_url": {"url": "u"}}
    assert types.InputAudioContentPart({"type": "own"}).type == "own"
    assert types.RolloutInput(prompt=[], example_id=1)["example_id"] == 1


def test_a_client_of_the_openai_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-1")
    leaf = ClientConfig(api_base_url="http://127.0.0.1:1/v1", api_key_var="JUDGE_KEY", timeout=5)
    client = setup_openai_client(ClientConfig(endpoint_configs=[leaf]))
    without = setup_openai_client(ClientConfig(api_key_var="NOBODY_SETS_THIS"))

    assert (str(client.base_url), client.api_key) == ("http://127.0.0.1:1/v1/", "sk-1")
    assert (client.timeout, without.api_key) == (5, "EMPTY")


def test_a_config_shows_no_header() -> None:
    assert "sk-1" not in repr(ClientConfig(extra_headers={"Authorization": "Bearer sk-1"}))


def test_the_documentation_lists_what_is_provided() -> None:
    text = (Path(__file__).parents[2] / "docs" / "verifiers.md").read_text("utf-8")

    for module, provided in names.MODULES.items():
        assert f".{module.rpartition('.')[2]}`" in text or not (module and provided), module
        if module.partition(".")[0] != "types":
            missing = [name for name in provided if module and f"`{name}`" not in text]
            assert not missing, (module, missing)


@pytest.mark.skipif(HAS_REAL, reason="it would be driven, and takes no list as a dataset")
def test_a_script_loads_an_environment_that_imports_verifiers(tmp_path: Path) -> None:
    environments = tmp_path / "environments"
    environments.mkdir()
    (environments / "published.py").write_text(
        "import verifiers as vf\n"
        "def load_environment(n=1):\n"
        "    return vf.SingleTurnEnv(dataset=[{'question': '?'}] * n)\n"
    )
    script = (
        "import pytest_evals\n"
        "environment = pytest_evals.load_environment('published', n=2)\n"
        "import verifiers\n"
        "assert isinstance(environment, verifiers.SingleTurnEnv)\n"
        "print(environment.env_id, len(environment.get_dataset()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )

    assert (done.stdout, done.stderr) == ("published 2\n", "")
