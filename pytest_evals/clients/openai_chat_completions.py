"""The client of OpenAI's chat completions, over the `openai` package and its aiohttp transport.

Requests go through `post` with bytes in and the raw reply out: the SDK's typed layer costs several
times the request itself.
"""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx2
from openai import AsyncOpenAI, DefaultAioHttpClient, Omit

from ..endpoints.endpoint import Endpoint
from ..endpoints.keys import NO_KEY
from ..endpoints.urls import is_loopback
from ..errors import InvalidModelResponseError, ModelError
from ..messages import Message, Response
from .failures import REQUEST_ERRORS, failure_of
from .replies import read_reply
from .retries import Failure, Retries, RetryPolicy
from .target import target_of

# The engine bounds what is in flight; the pool must only never be the tighter bound.
_CONNECTIONS = 10_000
# Shorter than the 5 s after which uvicorn (vLLM, SGLang) closes an idle connection: a request sent
# into a connection that is being closed is lost.
_KEEPALIVE = 4.0


class OpenAIChatCompletionsClient:
    """One connection pool to one endpoint that speaks OpenAI's chat completions.

    Args:
        endpoint: its `url` and `headers` are used; the model is named with each request.
        key: the bearer token; None where the server takes none.
        timeout: seconds until a whole reply must be there.
        connect_timeout: seconds until a connection must be there.
        retries: how failed requests are tried again; None for the default policy.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: str | None,
        *,
        timeout: float = 600.0,
        connect_timeout: float = 10.0,
        retries: Retries | None = None,
    ) -> None:
        self._timeout = timeout
        # Servers without keys ignore it; the SDK refuses to send none.
        self._sdk = _Sdk(endpoint, key or NO_KEY, httpx2.Timeout(timeout, connect=connect_timeout))
        self._url = _chat_url(endpoint.url)
        self._target = target_of(endpoint, key, timeout)
        self._retries = retries or Retries(RetryPolicy())

    async def get_response(
        self,
        prompt: Sequence[Message],
        model: str,
        sampling_args: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Response:
        """Ask `model` to continue `prompt`; see `Client.get_response`."""
        body = request_body(prompt, model, sampling_args, tools)
        # Escaped to ASCII: a lone surrogate in a dataset is then still valid JSON.
        content = json.dumps(body, separators=(",", ":"), allow_nan=False).encode()
        max_tokens = body.get("max_completion_tokens", body.get("max_tokens"))
        return await self._retries.run(lambda: self._send(content, max_tokens))

    async def close(self) -> None:
        """Close every connection."""
        await self._sdk.close()

    async def _send(self, content: bytes, max_tokens: object) -> Response | Failure:
        # A request that was cut off by `close` comes here again to be retried.
        if self._sdk.is_closed():
            return Failure(ModelError(f"the client of {self._target.url} is closed"))
        try:
            # The transport's own timeout starts again with every packet.
            async with asyncio.timeout(self._timeout):
                reply = await self._sdk.post(self._url, content=content, cast_to=httpx2.Response)
        except REQUEST_ERRORS as error:
            return failure_of(error, self._target, max_tokens)
        try:
            return read_reply(reply.content, self._target)
        except InvalidModelResponseError as error:
            return Failure(error, retried=True)


def request_body(
    prompt: Sequence[Message],
    model: str,
    sampling_args: Mapping[str, Any],
    tools: Sequence[Mapping[str, Any]] | None,
) -> dict[str, Any]:
    """Return the body of a request.

    Arguments that are None are left out, `max_tokens` becomes `max_completion_tokens`, and the
    content of `extra_body` is put in the body last, as it is.

    Raises:
        TypeError: `extra_body` is not a mapping.
    """
    extra = sampling_args.get("extra_body")
    if not isinstance(extra, Mapping | None):
        raise TypeError(f"sampling_args: extra_body must be a table, not {extra!r}")
    body: dict[str, Any] = {"model": model, "messages": prompt}
    if tools:
        body["tools"] = [_function_tool(tool) for tool in tools]
    body.update(
        (name, value)
        for name, value in sampling_args.items()
        if value is not None and name != "extra_body"
    )
    if "max_tokens" in body:
        limit = body.pop("max_tokens")
        body.setdefault("max_completion_tokens", limit)
    body.update(extra or {})
    return body


def _function_tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    if tool.get("type") == "function" and "function" in tool:
        return dict(tool)
    fields = ("name", "description", "parameters", "strict")
    function = {name: tool[name] for name in fields if tool.get(name) is not None}
    return {"type": "function", "function": function}


def _chat_url(base: str) -> str:
    """Return the whole URL of the route, without user and password.

    The SDK would append the route to the base URL's query, and aiohttp refuses a request that has
    both a key and a password in its URL.
    """
    parts = urlsplit(base)
    path = parts.path.rstrip("/") + "/chat/completions"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], path=path).geturl()


def _basic_auth(base: str) -> dict[str, str]:
    """Return the header that says what user and password in a URL say, if there are any."""
    userinfo, at, _ = urlsplit(base).netloc.rpartition("@")
    if not at:
        return {}
    user, _, password = userinfo.partition(":")
    pair = f"{unquote(user)}:{unquote(password)}".encode()
    return {"Authorization": f"Basic {b64encode(pair).decode()}"}


class _Sdk(AsyncOpenAI):
    """The SDK's client with fixed headers and nothing taken from the environment.

    Otherwise OPENAI_ORG_ID, OPENAI_PROJECT_ID and OPENAI_CUSTOM_HEADERS would reach every
    endpoint, whoever runs it.
    """

    def __init__(self, endpoint: Endpoint, key: str, timeout: httpx2.Timeout) -> None:
        super().__init__(
            api_key=key,
            admin_api_key="",
            organization="",
            project="",
            webhook_secret="",
            base_url=endpoint.url,
            timeout=timeout,
            max_retries=0,
            http_client=_http_client(endpoint.url, timeout),
        )
        # The SDK finds this out in a thread for each request in flight before the first is sent:
        # 256 at once start 40 threads. Only headers that are not sent would say it.
        self._platform = "Unknown"
        self._urls: dict[str, httpx2.URL] = {}
        self._fixed_headers: dict[str, str | Omit] = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": self.user_agent,
            **_basic_auth(endpoint.url),
            **endpoint.headers,
        }

    # Private to the SDK, checked on openai 3.0 and 3.54: they only save work that is the same for
    # every request (parsing the URL) or never sent (a random idempotency key). Where the SDK does
    # not call them, it does that work itself.
    def _prepare_url(self, url: str) -> httpx2.URL:
        if url not in self._urls:
            self._urls[url] = super()._prepare_url(url)
        return self._urls[url]

    def _idempotency_key(self) -> str:
        return ""

    @property
    def default_headers(self) -> dict[str, str | Omit]:
        """The headers of every request besides the key."""
        return self._fixed_headers


def _http_client(url: str, timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    # A proxy of the environment does not reach this machine's loopback interface.
    direct: dict[str, None] = {}
    if is_loopback(url):
        host = urlsplit(url).hostname or ""
        direct[f"all://[{host}]" if ":" in host else f"all://{host}"] = None
    return DefaultAioHttpClient(
        timeout=timeout,
        limits=httpx2.Limits(
            max_connections=_CONNECTIONS,
            max_keepalive_connections=_CONNECTIONS,
            keepalive_expiry=_KEEPALIVE,
        ),
        mounts=direct,
    )
