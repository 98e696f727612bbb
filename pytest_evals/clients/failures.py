"""Failures of a request: from what the SDK raises to our errors, and which are tried again."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx2
import openai

from ..errors import Error, ModelError, OverlongPromptError, RejectedError
from .retries import Failure, retry_after
from .target import Target

# What `openai` lets through when a request fails: its own exceptions, and those that its aiohttp
# transport does not translate: a malformed status line, a redirect to a URL that is none. OSError
# includes TimeoutError.
REQUEST_ERRORS = (
    openai.OpenAIError,
    httpx2.HTTPError,
    httpx2.InvalidURL,
    aiohttp.ClientError,
    OSError,
    ValueError,
)

_QUOTED = 300
_RETRIED = frozenset({408, 409, 429})
# How servers say that a prompt is too long: OpenAI and vLLM, SGLang, Anthropic, llama.cpp, Gemini.
_OVERLONG = re.compile(
    r"context_length_exceeded|exceed_context_size|prompt_too_long"
    r"|maximum context length|maximum model length|model's context length"
    r"|prompt is too long|input is too long|available context size"
    r"|(?:prompt|input|context|tokens)\b.{0,80}\bexceeds the maximum"
    r"|exceeds the maximum.{0,80}\b(?:context|input|prompt)",
    re.IGNORECASE | re.DOTALL,
)
_CONTEXT_LENGTH = re.compile(r"maximum context length (?:is|of) (\d{1,12})", re.IGNORECASE)
_NO_CREDIT = "insufficient_quota"


def failure_of(error: Exception, target: Target, max_tokens: object = None) -> Failure:
    """Return what a request's exception means.

    Args:
        error: one of `REQUEST_ERRORS`.
        target: where the request went.
        max_tokens: the limit it set on the answer, if any.
    """
    if isinstance(error, openai.APIStatusError):
        return _status_failure(error, target, max_tokens)
    return Failure(_caused(ModelError(_network_words(error, target)), error), retried=True)


def _status_failure(error: openai.APIStatusError, target: Target, max_tokens: object) -> Failure:
    status = error.status_code
    said, code = _said(error.response)
    words = target.quote(said, _QUOTED) or "(an empty reply)"
    ours = _error_of(status, said, code, target.url, words, max_tokens)
    if type(ours) is not ModelError:
        return Failure(_caused(ours, error), alive=True)
    return Failure(
        _caused(ours, error),
        retried=status in _RETRIED or status >= 500,
        retry_after=retry_after(error.response.headers, time.time()),
        alive=status < 500,
    )


def _error_of(status: int, said: str, code: str, url: str, words: str, max_tokens: object) -> Error:
    if status in {401, 403}:
        return RejectedError(f"{url} refuses the key ({status}): {words}")
    if status == 402 or code == _NO_CREDIT:
        return RejectedError(f"{url} says the account has no credit ({status}): {words}")
    if status == 404 or code == "model_not_found":
        return RejectedError(
            f"{url} does not know the model or the URL ({status}): {words}{_version_hint(url)}"
        )
    if status in {400, 413, 422} and (_OVERLONG.search(code) or _OVERLONG.search(said)):
        if _leaves_no_room(said, max_tokens):
            return RejectedError(f"{url} refuses max_tokens = {max_tokens} ({status}): {words}")
        return OverlongPromptError(f"the prompt is too long for {url} ({status}): {words}")
    return ModelError(f"{url} answered {status}: {words}")


def _version_hint(url: str) -> str:
    """Ask for the version in a URL that has none: the usual reason why nothing is found there."""
    has_version = re.search(r"/v\d", urlsplit(url).path)
    return "" if has_version else " (the url must go up to and with the version, such as /v1)"


def _leaves_no_room(said: str, max_tokens: object) -> bool:
    """Whether the limit on the answer alone fills the context.

    Servers word this as a prompt that is too long. It is a mistake in the settings: scored as
    overlong, every rollout of the eval would be 0.
    """
    found = _CONTEXT_LENGTH.search(said)
    return found is not None and isinstance(max_tokens, int) and max_tokens >= int(found[1])


def _said(response: httpx2.Response) -> tuple[str, str]:
    """Return the server's words and its error code, "" for none, in any of the usual shapes."""
    text = response.text
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text, ""
    if isinstance(body, dict):
        code = body.get("code")
        # OpenAI: {"error": {"message"}}; older vLLM: {"message"}; FastAPI: {"detail"}.
        inner = body.get("error") or body.get("message") or body.get("detail") or text
        if isinstance(inner, dict):
            code = inner.get("code") or inner.get("type")
            inner = inner.get("message") or text
        return inner if isinstance(inner, str) else text, code if isinstance(code, str) else ""
    return text, ""


def _network_words(error: Exception, target: Target) -> str:
    chain = list(_chain(error))
    connecting = any(
        isinstance(link, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        for link in chain
    )
    # The transport calls a lost connection a timeout as well, so only the cause tells them apart.
    if any(isinstance(link, TimeoutError) for link in chain) and not connecting:
        return f"no answer from {target.url} within {target.timeout:g} s"
    cause = chain[-1]
    words = target.quote(f"{type(cause).__name__}: {cause}", _QUOTED)
    if connecting:
        return f"cannot connect to {target.url}: {words}"
    return f"the connection to {target.url} failed: {words}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _caused(ours: Error, theirs: Exception) -> Error:
    ours.__cause__ = theirs
    return ours
