from __future__ import annotations

import pytest

from pytest_evals.endpoints.endpoint import Endpoint
from pytest_evals.endpoints.keys import is_key_variable, read_key
from pytest_evals.errors import MissingKeyError, SetupError

PRIME = Endpoint(
    model="openai/gpt-4.1-mini",
    url="https://api.pinference.ai/api/v1",
    key_var="PRIME_API_KEY",
    label="provider 'prime'",
)


def test_value_of_the_variable_without_white_space_around_it() -> None:
    assert read_key(PRIME, {"PRIME_API_KEY": "pit_abc \r\n"}) == "pit_abc"


def test_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIME_API_KEY", "pit_abc")

    assert read_key(PRIME) == "pit_abc"


def test_endpoint_without_a_key() -> None:
    assert read_key(Endpoint(model="m", url="http://127.0.0.1/v1", key_var=None, label="x")) is None


def test_missing_key_says_who_needs_it_and_what_else_to_choose() -> None:
    with pytest.raises(MissingKeyError) as caught:
        read_key(PRIME, {})

    assert str(caught.value) == (
        "PRIME_API_KEY is not set, needed by provider 'prime' (https://api.pinference.ai/api/v1) "
        "for model 'openai/gpt-4.1-mini'. Set it, or choose another endpoint: "
        'endpoint_id = "..." with a registry, provider = "..." or --evals-provider, '
        "api_base_url and api_key_var."
    )


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_blank_key(blank: str) -> None:
    with pytest.raises(MissingKeyError, match="PRIME_API_KEY is empty"):
        read_key(PRIME, {"PRIME_API_KEY": blank})


@pytest.mark.parametrize(
    "value", ["abc\r\nX-Evil: 1", "abc\0def", "schl\u00fcssel", "\udcff\udcfe", "\u20ac" * 1_000]
)
def test_key_that_no_header_can_carry_is_not_shown(value: str) -> None:
    with pytest.raises(SetupError, match=r"PRIME_API_KEY.*no HTTP header") as caught:
        read_key(PRIME, {"PRIME_API_KEY": value})

    assert value not in str(caught.value)
    assert ascii(value)[1:-1] not in str(caught.value)


def test_optional_key() -> None:
    local = Endpoint(
        model="m", url="http://localhost:8000/v1", key_var="K", label="x", key_optional=True
    )

    assert read_key(local, {}) is None
    assert read_key(local, {"K": "abc"}) == "abc"


def test_password_in_the_url_is_not_shown() -> None:
    endpoint = Endpoint(model="m", url="https://u:hunter22@host/v1", key_var="K", label="x")

    with pytest.raises(MissingKeyError) as caught:
        read_key(endpoint, {})

    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize("name", ["A", "OPENAI_API_KEY", "my_key", "EMPTY", "A" * 128])
def test_names_of_variables(name: str) -> None:
    assert is_key_variable(name)


@pytest.mark.parametrize("name", ["", "1A", "A-B", "A B", "\u00c4", "A" * 129, "a" * 32, "A\n"])
def test_what_is_no_name(name: str) -> None:
    assert not is_key_variable(name)
