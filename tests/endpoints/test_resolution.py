from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_evals.endpoints.endpoint import CLIENT_TYPES, Endpoint
from pytest_evals.endpoints.providers import DEFAULT_PROVIDER, PROVIDERS
from pytest_evals.endpoints.resolution import resolve_endpoint
from pytest_evals.endpoints.urls import url_problem
from pytest_evals.errors import ConfigError, SetupError

REGISTRY = """
[[endpoint]]
endpoint_id = "mini"
model = "gpt-4.1-mini"
url = "https://api.openai.com/v1"
key = "OPENAI_API_KEY"
headers = { "X-Api-Key" = "row-secret", "X-Team" = "evals" }

[[endpoint]]
endpoint_id = "mini"
model = "gpt-4.1-mini"
url = "https://replica/v1"
key = "REPLICA_KEY"

[[endpoint]]
endpoint_id = "local"
model = "demo"
serve = "{python} -m demo {port}"

[[endpoint]]
endpoint_id = "claude"
model = "claude-4"
url = "https://api.anthropic.com"
key = "ANTHROPIC_API_KEY"
type = "anthropic_messages"
"""


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    path = tmp_path / "endpoints.toml"
    path.write_text(REGISTRY)
    return path


def resolve(default_path: Path, **settings: Any) -> Endpoint:
    given: dict[str, Any] = dict.fromkeys(
        ("model", "endpoint_id", "endpoints_path", "provider", "api_base_url", "api_key_var")
    )
    return resolve_endpoint(**{**given, **settings}, default_path=default_path)


def test_nothing_given_is_the_default_model_at_prime(tmp_path: Path) -> None:
    endpoint = resolve(tmp_path / "endpoints.toml")

    assert endpoint.model == "openai/gpt-4.1-mini"
    assert endpoint.url == "https://api.pinference.ai/api/v1"
    assert endpoint.key_var == "PRIME_API_KEY"
    assert endpoint.label == "provider 'prime'"


def test_model_that_is_no_alias_is_literal(registry: Path) -> None:
    endpoint = resolve(registry, model="qwen/qwen3", provider="openrouter")

    assert (endpoint.model, endpoint.url) == ("qwen/qwen3", PROVIDERS["openrouter"].url)
    assert endpoint.label == "provider 'openrouter'"


@pytest.mark.parametrize("key", ["model", "endpoint_id"])
def test_row_of_the_registry(registry: Path, key: str) -> None:
    endpoint = resolve(registry, **{key: "mini"})

    assert endpoint.model == "gpt-4.1-mini"
    assert endpoint.url == "https://api.openai.com/v1"
    assert endpoint.key_var == "OPENAI_API_KEY"
    assert endpoint.label == f"endpoint 'mini' ({registry}:2)"


def test_named_registry_is_read_instead_of_the_default(registry: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    broken.write_text("[[")

    assert resolve(broken, model="mini", endpoints_path=registry).model == "gpt-4.1-mini"
    assert resolve(broken, model="mini", endpoints_path=tmp_path).model == "gpt-4.1-mini"
    with pytest.raises(ConfigError):
        resolve(broken, model="mini")


def test_named_registry_must_exist_even_for_a_literal_model(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        resolve(tmp_path, model="m", endpoints_path=tmp_path / "nowhere.toml")


def test_provider_replaces_where_a_row_leads(registry: Path) -> None:
    endpoint = resolve(registry, model="claude", provider="openai")

    assert endpoint.model == "claude-4"
    assert (endpoint.url, endpoint.key_var) == ("https://api.openai.com/v1", "OPENAI_API_KEY")
    assert endpoint.client_type == "openai_chat_completions"
    assert endpoint.label == "provider 'openai'"


def test_provider_does_not_receive_the_rows_credentials(registry: Path) -> None:
    assert resolve(registry, model="mini", provider="deepseek").headers == {"X-Team": "evals"}


def test_explicit_settings_beat_provider_and_row(registry: Path) -> None:
    endpoint = resolve(
        registry,
        model="claude",
        provider="anthropic",
        api_base_url="https://proxy/v1/",
        api_key_var="PROXY_KEY",
    )

    assert (endpoint.url, endpoint.key_var) == ("https://proxy/v1", "PROXY_KEY")
    assert endpoint.client_type == "anthropic_messages"
    assert endpoint.label == "api_base_url 'https://proxy/v1'"


def test_url_alone_keeps_the_rows_key_and_headers(registry: Path) -> None:
    endpoint = resolve(registry, model="mini", api_base_url="https://proxy/v1")

    assert endpoint.key_var == "OPENAI_API_KEY"
    assert endpoint.headers["X-Api-Key"] == "row-secret"


def test_key_alone_keeps_the_rows_url(registry: Path) -> None:
    endpoint = resolve(registry, endpoint_id="mini", api_key_var="OTHER_KEY")

    assert (endpoint.url, endpoint.key_var) == ("https://api.openai.com/v1", "OTHER_KEY")


def test_managed_row(registry: Path) -> None:
    endpoint = resolve(registry, endpoint_id="local")

    assert endpoint.serve is not None
    assert endpoint.serve.folder == registry.parent


@pytest.mark.parametrize(
    "settings", [{"api_base_url": "http://127.0.0.1:9/v1"}, {"provider": "vllm"}]
)
def test_managed_row_is_not_started_when_requests_go_elsewhere(
    registry: Path, settings: dict[str, str]
) -> None:
    endpoint = resolve(registry, endpoint_id="local", **settings)

    assert endpoint.model == "demo"
    assert endpoint.serve is None
    assert "{port}" not in endpoint.url


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "https://host/v1",
        "http://host/v1",
        "http://api.pinference.ai/api/v1",
        "https://api.pinference.ai:8443/api/v1",
        "https://api.pinference.ai.evil.org/api/v1",
        "https://api.pinference.ai@evil.org/api/v1",
    ],
)
def test_no_other_server_gets_the_default_providers_key(tmp_path: Path, url: str) -> None:
    assert resolve(tmp_path, model="m", api_base_url=url).key_var is None
    named = resolve(tmp_path, model="m", api_base_url=url, api_key_var="PRIME_API_KEY")
    assert named.key_var == "PRIME_API_KEY"
    chosen = resolve(tmp_path, model="m", api_base_url=url, provider="prime")
    assert chosen.key_var == "PRIME_API_KEY"


@pytest.mark.parametrize(
    "url", ["https://api.pinference.ai/api/v2", "https://API.pinference.ai:443/api/v1/"]
)
def test_the_default_provider_at_another_path_keeps_its_key(tmp_path: Path, url: str) -> None:
    assert resolve(tmp_path, model="m", api_base_url=url).key_var == "PRIME_API_KEY"


def test_key_of_a_server_that_takes_none(tmp_path: Path) -> None:
    endpoint = resolve(
        tmp_path, model="m", api_base_url="http://10.0.0.1:8000/v1", api_key_var="EMPTY"
    )

    assert endpoint.key_var is None


def test_local_provider_works_without_a_key_until_one_is_named(tmp_path: Path) -> None:
    assert resolve(tmp_path, model="m", provider="local").key_optional
    assert not resolve(tmp_path, model="m", provider="local", api_key_var="K").key_optional


def test_unknown_endpoint_id_names_the_nearest(registry: Path) -> None:
    with pytest.raises(SetupError) as caught:
        resolve(registry, endpoint_id="loacl")

    assert "'loacl'" in str(caught.value)
    assert str(registry) in str(caught.value)
    assert "'local'" in str(caught.value)


def test_endpoint_id_without_a_registry(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.toml"
    with pytest.raises(SetupError, match=r"endpoints\.toml does not exist"):
        resolve(path, endpoint_id="mini")
    path.touch()
    with pytest.raises(SetupError, match=r"endpoints\.toml has no endpoints"):
        resolve(path, endpoint_id="mini")


def test_unknown_provider_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"'opanai' is not known \(did you mean 'openai'"):
        resolve(tmp_path, provider="opanai")


@pytest.mark.parametrize("name", ["", "x" * 100_000, "\x1b[2J"])
def test_hostile_provider(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="known are prime, ") as caught:
        resolve(tmp_path, provider=name)

    assert "\x1b" not in str(caught.value)


def test_model_and_endpoint_id_exclude_each_other(registry: Path) -> None:
    with pytest.raises(SetupError, match="both given"):
        resolve(registry, endpoint_id="mini", model="mini")


@pytest.mark.parametrize("model", ["", "  "])
def test_empty_model(tmp_path: Path, model: str) -> None:
    with pytest.raises(SetupError, match="model is empty"):
        resolve(tmp_path, model=model)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must begin with http"),
        ("localhost:8000", "must begin with http"),
        ("http://", "names no host"),
        ("http://host/v1#x", "fragment"),
        ("http://host\n/v1", "control characters"),
        ("http://127.0.0.1:{port}/v1", "only an endpoint with serve"),
    ],
)
def test_bad_api_base_url(registry: Path, url: str, message: str) -> None:
    with pytest.raises(SetupError, match=message):
        resolve(registry, endpoint_id="local", api_base_url=url)


def test_password_in_the_url_is_in_no_message_or_label(tmp_path: Path) -> None:
    endpoint = resolve(tmp_path, model="m", api_base_url="https://user:hunter22@host/v1?key=abcd")
    with pytest.raises(SetupError) as caught:
        resolve(tmp_path, model="m", api_base_url="ftp://user:hunter22@host/v1?key=abcd")

    assert endpoint.label == "api_base_url 'https://host/v1'"
    assert "hunter22" not in str(caught.value)
    assert "abcd" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "sk-abcdefgh", "A B", "A=B", "K" * 1000])
def test_bad_api_key_var_is_not_shown(tmp_path: Path, name: str) -> None:
    with pytest.raises(SetupError, match="api_key_var must be the name") as caught:
        resolve(tmp_path, api_key_var=name)

    assert not name or name not in str(caught.value)


def test_providers_are_usable() -> None:
    assert DEFAULT_PROVIDER in PROVIDERS
    for provider in PROVIDERS.values():
        assert url_problem(provider.url) is None
        assert provider.client_type in CLIENT_TYPES
        assert not provider.url.endswith("/")


def test_headers_go_over_those_of_the_row_in_any_case(registry: Path) -> None:
    given = {"x-team": "other", "X-New": "1"}
    endpoint = resolve(registry, model="mini", headers=given)
    assert endpoint.headers == {"X-Api-Key": "row-secret", "x-team": "other", "X-New": "1"}
    elsewhere = resolve(registry, model="mini", provider="openai", headers=given)
    assert elsewhere.headers == given
    assert resolve(registry, model="mini", headers={}) == resolve(registry, model="mini")


def test_the_wire_format_goes_over_that_of_row_and_provider(registry: Path) -> None:
    assert resolve(registry, model="claude").client_type == "anthropic_messages"
    assert (
        resolve(registry, model="claude", api_client_type="openai_responses").client_type
        == "openai_responses"
    )
    by_provider = resolve(registry, provider="anthropic", api_client_type="openai_completions")
    assert by_provider.client_type == "openai_completions"


@pytest.mark.parametrize("name", ["", "openai", "openai_response", "x" * 10_000])
def test_an_unknown_wire_format(registry: Path, name: str) -> None:
    with pytest.raises(SetupError, match=r"^api_client_type is '.*it can be openai_chat_comple"):
        resolve(registry, model="mini", api_client_type=name)
