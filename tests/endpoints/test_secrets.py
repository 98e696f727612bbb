from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from pytest_evals.endpoints.endpoint import Endpoint
from pytest_evals.endpoints.secrets import Secrets, secret_headers, secrets_of

PLAIN = "sk-proj-AbC123xyz789"
# Every encoding changes something of it.
AWKWARD = "k&y/+\"quo'te\\d \u00fc<\u20ac>?=\u00ff\u00ff\u00ff~~~"


def masking(*values: str) -> Secrets:
    secrets = Secrets()
    for value in values:
        secrets.add(value)
    return secrets


@pytest.mark.parametrize("value", [PLAIN, AWKWARD])
def test_encoded_forms(value: str) -> None:
    secrets = masking(value)
    data = value.encode()
    forms = [
        value,
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        re.sub("%..", lambda escape: escape[0].lower(), quote(value, safe="")),
        json.dumps(value),
        json.dumps(value, ensure_ascii=False),
        json.dumps(json.dumps({"k": value})),
        repr(value),
        repr(data),
        html.escape(value),
        data.hex(),
        data.hex().upper(),
    ]

    for form in forms:
        masked = secrets.mask(f"before {form} after")
        assert "***" in masked, form
        assert form.strip("\"'b") not in masked
        assert masked.startswith("before ")
        assert masked.endswith(" after")


@pytest.mark.parametrize("value", [PLAIN, AWKWARD, "abcdef", "abcdefg", "abcdefgh"])
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
@pytest.mark.parametrize("prefix", ["", "a", "ab", "abc", "Bearer ", "user:"])
@pytest.mark.parametrize("suffix", ["", "x", "xy", "xyz"])
def test_base64_inside_a_longer_text(value: str, encode: object, prefix: str, suffix: str) -> None:
    assert callable(encode)
    whole = encode((prefix + value + suffix).encode()).decode()

    masked = masking(value).mask(f"Authorization: {whole}.")

    assert "***" in masked
    # What is left is what prefix and suffix decide, so nothing of the value can be decoded.
    left = masked.removeprefix("Authorization: ").removesuffix(".").partition("***")
    assert len(left[0]) <= -(-8 * len(prefix) // 6)
    assert len(left[2].rstrip("=")) <= -(-8 * len(suffix) // 6)


def test_every_occurrence_of_every_secret() -> None:
    secrets = masking("first-secret", "second-secret")

    assert secrets.mask("first-secret second-secret first-secret") == "*** *** ***"


def test_secret_that_holds_another_leaves_nothing() -> None:
    assert masking("secret", "my-secret-key").mask("a my-secret-key b secret") == "a *** b ***"


def test_text_without_a_secret_is_returned_as_it_is() -> None:
    text = "nothing here" * 100

    assert masking(PLAIN).mask(text) is text
    assert Secrets().mask(text) is text
    assert masking(PLAIN).mask("") == ""


@pytest.mark.parametrize("value", ["", " ", "abc", "12345", "  abc  \n"])
def test_short_values_are_not_masked(value: str) -> None:
    text = f"1 + 1 = 12345, abc{value}"

    assert masking(value).mask(text) == text


def test_ends_are_stripped() -> None:
    assert masking(f" {PLAIN}\n").mask(f"key={PLAIN};") == "key=***;"


def test_pattern_characters_are_literal() -> None:
    secrets = masking("a.c*e+(g)[i]")

    assert secrets.mask("a.c*e+(g)[i]") == "***"
    assert secrets.mask("abcceegi") == "abcceegi"


def test_bytes_of_the_environment_that_are_no_utf8() -> None:
    value = b"secret-\xff\xfe-bytes".decode("utf-8", "surrogateescape")

    assert masking(value).mask(f"x {value} y") == "x *** y"


def test_huge_text_and_huge_secret() -> None:
    secrets = masking("s3cr3t!" * 1_000, PLAIN)

    masked = secrets.mask(f"{'x' * 1_000_000}{PLAIN}{'s3cr3t!' * 1_000}")

    assert masked == f"{'x' * 1_000_000}******"


def test_adding_again_changes_nothing() -> None:
    assert masking(PLAIN, PLAIN).mask(PLAIN) == "***"


def test_headers_that_suggest_a_secret() -> None:
    headers = {
        "Authorization": "Bearer tok-123456",
        "proxy-authorization": "Basic dXNlcjpwYXNz",
        "X-API-Key": "key-1",
        "api_key": "key-2",
        "X-Auth-Token": "key-3",
        "Client-Secret": "key-4",
        "Cookie": "session=abcdef; theme=dark",
        "X-Auth": "key-5",
        "X-Team": "team",
        "X-Author": "someone",
        "X-Max-Tokens": "100000",
        "X-Keyboard": "qwerty",
        "X-Empty-Token": " ",
    }

    assert secret_headers(headers) == [
        "Bearer tok-123456",
        "tok-123456",
        "Basic dXNlcjpwYXNz",
        "dXNlcjpwYXNz",
        "key-1",
        "key-2",
        "key-3",
        "key-4",
        "session=abcdef; theme=dark",
        "abcdef",
        "dark",
        "key-5",
    ]


def endpoint(url: str, **headers: str) -> Endpoint:
    return Endpoint(model="m", url=url, key_var=None, label="x", headers=headers)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        ("https://host/v1", []),
        ("https://user:pass%2Fword@host/v1", ["pass%2Fword", "pass/word"]),
        ("https://token-as-user@host/v1", ["token-as-user"]),
        ("https://host/v1?api-version=2&api_key=abc%20d&x=y", ["abc%20d", "abc d"]),
        ("https://host/v1?access_token=abc+d", ["abc+d", "abc d"]),
        ("https://host/v1?key=&token", []),
        ("https://user:@host/v1", []),
        ("http://127.0.0.1:{port}/v1", []),
    ],
)
def test_secrets_in_a_url(url: str, secrets: list[str]) -> None:
    assert secrets_of(endpoint(url)) == secrets


def test_secrets_of_headers_and_url_together() -> None:
    found = secrets_of(endpoint("https://u:pw-123@host/v1?key=q-123", Authorization="Bearer h-123"))

    assert set(found) >= {"h-123", "pw-123", "q-123"}
