from __future__ import annotations

import subprocess
import sys

import pytest

from pytest_evals.clients.factory import make_client
from pytest_evals.endpoints.endpoint import CLIENT_TYPES, Endpoint
from pytest_evals.errors import SetupError


def endpoint(**fields: str) -> Endpoint:
    defaults = {"model": "m", "url": "http://127.0.0.1:1/v1", "label": "endpoint 'x' (e.toml:3)"}
    return Endpoint(**({"key_var": None} | defaults | fields))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("client_type", "name"),
    [
        ("openai_chat_completions", "OpenAIChatCompletionsClient"),
        ("openai_completions", "OpenAICompletionsClient"),
        ("openai_chat_completions_token", "OpenAIChatCompletionsTokenClient"),
        ("openai_responses", "OpenAIResponsesClient"),
        ("anthropic_messages", "AnthropicMessagesClient"),
    ],
)
async def test_the_client_type_names_the_wire_format(client_type: str, name: str) -> None:
    client = make_client(endpoint(client_type=client_type), None)
    assert type(client).__name__ == name
    assert client_type in CLIENT_TYPES
    await client.close()


def test_an_unknown_client_type_is_refused() -> None:
    with pytest.raises(SetupError) as caught:
        make_client(endpoint(client_type="telepathy"), None)
    assert "endpoint 'x' (e.toml:3)" in str(caught.value)
    assert "'telepathy'" in str(caught.value)
    assert "openai_chat_completions" in str(caught.value)


@pytest.mark.parametrize("url", ["", "127.0.0.1:8000/v1", "ftp://host/v1", "http://", "http://a:x"])
def test_an_unusable_url_is_refused(url: str) -> None:
    with pytest.raises(SetupError, match=r"endpoint 'x' \(e.toml:3\): its url"):
        make_client(endpoint(url=url), None)


def test_the_protocol_and_the_factory_import_nothing_heavy() -> None:
    script = (
        "import sys, pytest_evals.clients.client, pytest_evals.clients.factory, "
        "pytest_evals.clients.retries, pytest_evals.clients.chat_reply;"
        "print(sorted({'openai', 'pydantic', 'aiohttp', 'httpx2'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "[]"


def test_the_client_runs_without_the_sdk() -> None:
    script = (
        "import sys, pytest_evals.clients.openai_chat_completions;"
        "print(sorted({'openai', 'pydantic', 'httpx2', 'aiohttp'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert ended.stdout.strip() == "['aiohttp']"
    assert ended.stderr == ""
