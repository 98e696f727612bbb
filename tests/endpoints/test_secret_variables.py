from __future__ import annotations

from pathlib import Path

import pytest

from pytest_evals.endpoints.secret_variables import secret_variables, secrets_in, values_of

KEY = "sk-0123456789abcdef"


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY", "MYKEY", "my_key", "HF_TOKEN", "GITHUB_TOKENS", "CLIENT_SECRET_2",
        "PGPASSWORD", "AWS_SECRET_ACCESS_KEY", "ACTIONS_RUNTIME_TOKEN",
    ],
)  # fmt: skip
def test_names_that_say_secret(name: str) -> None:
    assert secret_variables({name: KEY, "HOME": "/home/somebody"})[-1] == KEY


@pytest.mark.parametrize(
    "name", ["HOME", "SSH_AUTH_SOCK", "TOKENIZER", "TOKENIZERS_PARALLELISM", "MODEL", "PATH"]
)
def test_names_that_do_not(name: str) -> None:
    assert not any(secret_variables({name: KEY}))


def test_the_key_of_a_provider_is_one_whatever_it_looks_like() -> None:
    assert "whatever" in secret_variables({"OPENAI_API_KEY": "whatever"})


@pytest.mark.parametrize(
    "value",
    [
        KEY,
        f" {KEY}\n",
        "correct-horse-battery",
        "with a space in it",
        "aGVsbG8gd29ybGQ",
        "/jR8+no/path/of/this/machine",
        "-----BEGIN KEY-----\nMIIE\n-----END KEY-----",
        "abc\0def-0123",
        "x" * 5000 + "1",
        "http://[broken-0123",
    ],
)
def test_values_that_are_secret(value: str) -> None:
    assert secrets_in(value, {}) == [value.strip()]


@pytest.mark.parametrize(
    "value",
    [
        "", "true", "short-1", "localhost", "Disabled", "REQUIRED", "postgres", "1700000000",
        "127.0.0.1", "https://vault.example/keys", "OPENAI_API_KEY",
    ],
)  # fmt: skip
def test_values_without_which_text_would_be_garbled(value: str) -> None:
    assert secrets_in(value, {"OPENAI_API_KEY": KEY}) == []


def test_paths_that_exist_are_no_secrets(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.touch()
    assert secrets_in(str(path), {}) == []
    assert secrets_in(f"{path}:{tmp_path}", {}) == []


def test_of_a_url_only_what_is_secret_in_it() -> None:
    assert secrets_in("https://user:word-123@host.example/?sig=abc-456&x=1", {}) == [
        "word-123",
        "abc-456",
    ]


def test_values_of_variables_that_are_not_set() -> None:
    assert values_of(["A", "B"], {"B": KEY}) == [KEY]
