"""Failures of a request: from what aiohttp raises or a server answers to our errors.

And which are tried again.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp

from ..endpoints.urls import public_url
from ..errors import Error, ModelError, OverlongPromptError, RejectedError
from .retries import Failure, retry_after
from .target import Target

if TYPE_CHECKING:
    from .connection import Reply

# What aiohttp lets through when a request fails. OSError includes TimeoutError; ValueError is a
# header that cannot be sent.
REQUEST_ERRORS = (aiohttp.ClientError, OSError, ValueError)

_QUOTED = 300
_RETRIED = frozenset({408, 409, 429})
# Anthropic says 529 where all its customers together ask too much.
_TOO_MANY = frozenset({429, 529})
# How servers say that a prompt is too long: OpenAI and vLLM, SGLang, Anthropic, llama.cpp, Gemini.
_OVERLONG = re.compile(
    r"context_length_exceeded|exceed_context_size|prompt_too_long"
    r"|maximum context length|maximum model length|model's context length"
    r"|prompt is too long|input is too long|available context size"
    r"|exceeds? (?:the )?(?:model )?context (?:limit|window)|too many total text bytes"
    r"|(?:prompt|input|context|tokens)\b.{0,80}\bexceeds the maximum"
    r"|exceeds the maximum.{0,80}\b(?:context|input|prompt)",
    re.IGNORECASE | re.DOTALL,
)
# OpenAI and vLLM; Anthropic: "exceed context limit: 120 + 300000 > 200000".
_CONTEXT_LENGTH = re.compile(
    r"maximum context length (?:is|of) (\d{1,12})"
    r"|context limit: \d{1,12} \+ \d{1,12} > (\d{1,12})",
    re.IGNORECASE,
)
_NO_CREDIT = frozenset({"insufficient_quota", "billing_error"})
# What a 403 says that is about one prompt, as OpenRouter's moderation does, and not about the key.
_FLAGGED = re.compile(r"moderation|flagged|content.?(policy|filter)", re.IGNORECASE)
_NO_KEY = "name its variable: api_key_var in the eval, or key in its row of the registry"
_NO_CREDIT_WORDS = "credit balance is too low"


def failure_of(error: Exception, target: Target) -> Failure:
    """Return what an exception means.

    Args:
        error: one of `REQUEST_ERRORS`.
        target: where the request went.
    """
    ours = ModelError(_network_words(error, target))
    # The text of a proxy's refusal holds the password in the proxy's URL.
    if not isinstance(error, aiohttp.ClientHttpProxyError):
        ours.__cause__ = error
    return Failure(ours, retried=True)


def refusal_of(reply: Reply, target: Target, max_tokens: object = None) -> Failure:
    """Return what a reply means whose status is not 2xx.

    Args:
        reply: the reply.
        target: where it came from.
        max_tokens: the limit that the request set on the answer, if any.
    """
    status = reply.status
    if status < 400:
        return Failure(_redirect_error(reply, target), retried=True)
    said, code = _said(reply.body.decode(errors="replace"))
    words = target.quote(said, _QUOTED) or "(an empty reply)"
    error = _error_of(status, said, code, target, words, max_tokens)
    if type(error) is not ModelError:
        return Failure(error, alive=True)
    return Failure(
        error,
        retried=status in _RETRIED or status >= 500,
        retry_after=retry_after(reply.headers, time.time()),
        alive=status < 500 and status not in _TOO_MANY,
        refused=status in _TOO_MANY,
    )


def _redirect_error(reply: Reply, target: Target) -> ModelError:
    where = target.quote(public_url(reply.headers.get("Location", "")), _QUOTED)
    hint = f": it redirects to {where}; write the url it serves at" if where else ""
    return ModelError(f"{target.url} answered {reply.status}{hint}")


def _error_of(
    status: int, said: str, code: str, target: Target, words: str, max_tokens: object
) -> Error:
    url = target.url
    if status == 403 and _FLAGGED.search(said):
        return ModelError(f"{url} refuses the prompt ({status}): {words}")
    if status in {401, 403} and not target.has_key:
        return RejectedError(
            f"{url} refuses requests without a key ({status}): {words} ({_NO_KEY})"
        )
    if status in {401, 403}:
        return RejectedError(f"{url} refuses the key ({status}): {words}")
    if status == 402 or code in _NO_CREDIT or _NO_CREDIT_WORDS in said:
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
    if found is None or not isinstance(max_tokens, int):
        return False
    return max_tokens >= int(found[1] or found[2])


def _said(text: str) -> tuple[str, str]:
    """Return the server's words and its error code, "" for none, in any of the usual shapes."""
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
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"cannot connect to {target.url} in time"
    if isinstance(error, TimeoutError):
        return f"no answer from {target.url} within {target.timeout:g} s"
    through = f"cannot connect to {target.url} through the environment's proxy"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"{through}: it answered {error.status}: {target.quote(error.message, _QUOTED)}"
    *_, cause = _chain(error)
    words = target.quote(f"{type(cause).__name__}: {cause}", _QUOTED)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return f"{through}: {words}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"cannot connect to {target.url}: {words}"
    return f"the connection to {target.url} failed: {words}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__  # not the context: that may be anything around the request
