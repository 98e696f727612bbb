from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from multidict import CIMultiDict

from pytest_evals.clients.connection import Reply
from pytest_evals.clients.failures import failure_of, refusal_of
from pytest_evals.clients.retries import Failure
from pytest_evals.clients.target import Target, target_of
from pytest_evals.endpoints.endpoint import Endpoint
from pytest_evals.endpoints.secrets import Secrets
from pytest_evals.errors import Error, ModelError, OverlongPromptError, RejectedError

KEY = "sk-1234567890"


def target() -> Target:
    secrets = Secrets()
    secrets.add(KEY)
    return Target("http://host/v1", 600, secrets)


def failed(
    status: int,
    body: object = "",
    *,
    headers: dict[str, str] | None = None,
    max_tokens: int | None = None,
) -> Failure:
    """Return the failure that a reply becomes."""
    text = body if isinstance(body, str) else json.dumps(body)
    reply = Reply(status, CIMultiDict(headers or {}), text.encode())
    return refusal_of(reply, target(), max_tokens)


def said(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_requests_without_a_key_says_what_to_set(status: int) -> None:
    endpoint = Endpoint(model="m", url="https://host/v1", key_var=None, label="x")
    reply = Reply(status, CIMultiDict(), b"no")
    words = str(refusal_of(reply, target_of(endpoint, None, 600)).error)
    assert words == (
        f"https://host/v1 refuses requests without a key ({status}): no"
        " (name its variable: api_key_var in the eval, or key in its row of the registry)"
    )
    carried: list[tuple[str | None, dict[str, str]]] = [("k", {}), (None, {"Authorization": "k"})]
    for key, headers in carried:
        known = dataclasses.replace(endpoint, headers=headers)
        words = str(refusal_of(reply, target_of(known, key, 600)).error)
        assert words == f"https://host/v1 refuses the key ({status}): no"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, said("bad temperature"), ModelError),
        (400, said("x", "model_not_found"), RejectedError),
        (401, said("Incorrect API key provided"), RejectedError),
        (402, said("pay"), RejectedError),
        (403, said("forbidden"), RejectedError),
        (403, said("requires moderation and your input was flagged"), ModelError),
        (404, said("The model `x` does not exist"), RejectedError),
        (405, "", ModelError),
        (422, said("bad"), ModelError),
        (429, said("slow down"), ModelError),
        (429, said("You exceeded your quota", "insufficient_quota"), RejectedError),
        (500, "", ModelError),
        (503, "<html>Gateway</html>", ModelError),
    ],
)
def test_statuses_become_our_errors(status: int, body: object, kind: type[Error]) -> None:
    failure = failed(status, body)
    assert type(failure.error) is kind
    assert "http://host/v1" in str(failure.error)
    assert str(status) in str(failure.error)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_statuses_that_may_pass_are_tried_again(status: int) -> None:
    assert failed(status).retried


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 405, 413, 422, 451])
def test_statuses_that_will_not_pass_are_not(status: int) -> None:
    assert not failed(status).retried


def test_a_4xx_shows_that_the_server_is_up_and_a_refusal_or_a_5xx_does_not() -> None:
    assert failed(409).alive
    assert not failed(429).alive
    assert not failed(500).alive


def test_retry_after_is_taken_from_the_reply() -> None:
    assert failed(429, headers={"Retry-After": "7"}).retry_after == 7.0
    assert failed(503, headers={"Retry-After-Ms": "70"}).retry_after == 0.07
    assert failed(500).retry_after is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, said("too long", "context_length_exceeded")),
        (400, said("This model's maximum context length is 4096 tokens. However, you requested")),
        (400, {"message": "The prompt is longer than the maximum model length of 4096"}),
        (400, said("The input (5000 tokens) is longer than the model's context length (4096)")),
        (400, said("prompt is too long: 210000 tokens > 200000 maximum")),
        (400, said("the request exceeds the available context size, try increasing it")),
        (400, said("The input token count (1200000) exceeds the maximum number of tokens")),
        (413, said("prompt is too long")),
        (422, {"detail": "Input is too long for requested model"}),
    ],
)
def test_overlong_prompts_are_known_by_their_words(status: int, body: object) -> None:
    failure = failed(status, body, max_tokens=100)
    assert type(failure.error) is OverlongPromptError
    assert not failure.retried


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "max_tokens is too large: 99999. This model supports at most 16384"),
        (400, "temperature exceeds the maximum of 2"),
        (400, "the image exceeds the maximum size"),
        (500, "maximum context length"),
        (413, "Request Entity Too Large"),
    ],
)
def test_other_limits_are_not_mistaken_for_a_long_prompt(status: int, message: str) -> None:
    assert type(failed(status, said(message)).error) is ModelError


def test_a_token_limit_that_fills_the_context_is_a_mistake_in_the_settings() -> None:
    words = said("'max_tokens' is too large: 8192. This model's maximum context length is 4096")
    failure = failed(400, words, max_tokens=8192)
    assert type(failure.error) is RejectedError
    assert "max_tokens = 8192" in str(failure.error)
    assert type(failed(400, words, max_tokens=2048).error) is OverlongPromptError


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (said("the words"), "the words"),
        ({"error": "the words"}, "the words"),
        ({"message": "the words"}, "the words"),
        ({"detail": "the words"}, "the words"),
        ({"detail": [{"loc": ["body"]}]}, '{"detail": [{"loc": ["body"]}]}'),
        ({"error": {"message": None}}, '{"error": {"message": null}}'),
        ({"error": 3}, '{"error": 3}'),
        ([1], "[1]"),
        ("plain", "plain"),
        ("", "(an empty reply)"),
        ("[" * 50_000, "[[["),
    ],
)
def test_the_server_is_quoted_in_its_own_words(body: object, words: str) -> None:
    assert str(failed(500, body).error).startswith(f"http://host/v1 answered 500: {words}")


def test_a_quote_is_short_one_line_and_without_the_key() -> None:
    body = said(f"no\n\x1b[31m {KEY} " + "x" * 1_000_000)
    message = str(failed(401, body).error)
    assert message.isprintable()
    assert KEY not in message
    assert "no \\x1b[31m *** xxx" in message
    assert len(message) < 380


def test_bytes_that_are_no_text_are_quoted_all_the_same() -> None:
    failure = refusal_of(Reply(500, {}, b"caf\xe9 \xff"), target())
    assert str(failure.error) == "http://host/v1 answered 500: caf\ufffd \ufffd"


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_says_where_to(status: int) -> None:
    failure = failed(status, headers={"Location": f"https://u:p@host/v1/x?key={KEY}"})
    assert str(failure.error) == (
        f"http://host/v1 answered {status}: it redirects to https://host/v1/x; "
        "write the url it serves at"
    )
    assert failure.retried
    assert not failure.alive


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TimeoutError(), "no answer from http://host/v1 within 600 s"),
        (
            OSError(f"{KEY}\n\x1b[31m"),
            "the connection to http://host/v1 failed: OSError: *** \\x1b",
        ),
        (ValueError("x" * 9999), "the connection to http://host/v1 failed: ValueError: xxx"),
    ],
)
def test_what_goes_wrong_on_the_way_is_tried_again(error: Exception, words: str) -> None:
    failure = failure_of(error, target())
    assert type(failure.error) is ModelError
    assert failure.error.__cause__ is error
    assert failure.retried
    assert not failure.alive
    assert str(failure.error).startswith(words)
    assert str(failure.error).isprintable()
    assert KEY not in str(failure.error)
    assert len(str(failure.error)) < 400


def test_what_the_request_was_made_around_is_no_reason() -> None:
    try:
        try:
            raise RuntimeError("no running event loop")
        except RuntimeError:
            raise ConnectionResetError("reset by peer")  # noqa: B904  # as anything would in there
    except OSError as error:
        failure = failure_of(error, target())

    assert str(failure.error).endswith("failed: ConnectionResetError: reset by peer")
