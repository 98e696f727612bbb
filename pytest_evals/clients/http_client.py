"""HttpClient: one connection pool to one endpoint; a subclass for each wire format.

Requests go out as bytes and the raw reply is read: the SDKs' layers cost several times the request
itself, and each has retries and errors of its own.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, TypeAlias

from yarl import URL

from ..endpoints.endpoint import Endpoint
from ..errors import Error, InvalidModelResponseError, ModelError
from ..messages import Message, Response
from .adaptive_limit import limit_of
from .asking import headers_from_state
from .connection import Connection, route
from .failures import REQUEST_ERRORS, failure_of, refusal_of
from .headers import request_headers
from .request_slots import RequestSlots, own_slots
from .retries import Failure, Retries, RetryPolicy
from .target import Target, target_of

# Escaped to ASCII: a lone surrogate in a dataset is then still valid JSON.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode

_Prompt: TypeAlias = Sequence[Message]
_Tools: TypeAlias = Sequence[Mapping[str, Any]] | None


class HttpClient:
    """A `Client` over HTTP.

    A subclass names the route (`path`) and the field of a request that limits the answer's tokens
    (`limit`), and has two functions:

    `_write` returns the body of a request, of the arguments of `get_response`. It raises a
    SetupError where the format has no word for one of the settings or a part of the prompt, and a
    TypeError where `extra_body` is not a mapping.

    `_read` returns the response in the body of a reply. It raises an InvalidModelResponseError,
    which quotes its first characters, where there is none, and as another Error what the server
    says in a reply with status 200.

    Args:
        endpoint: its `url` and `headers` are used; the model is named with each request.
        key: the API key; None where the server takes none.
        timeout: seconds until a whole reply must be there.
        connect_timeout: seconds until a connection must be there.
        retries: how failed requests are tried again; None for the default policy.
        slots: how many may be in flight, unless `retries` knows; None for a limit of its own.

    Raises:
        SetupError: the environment names a proxy that cannot be used.
    """

    path: ClassVar[str]
    limit: ClassVar[str] = "max_tokens"
    _write: ClassVar[staticmethod[[_Prompt, str, Mapping[str, Any], _Tools], dict[str, Any]]]
    _read: ClassVar[staticmethod[[bytes, Target], Response]]

    def __init__(
        self,
        endpoint: Endpoint,
        key: str | None,
        *,
        timeout: float = 600.0,
        connect_timeout: float = 10.0,
        retries: Retries | None = None,
        slots: RequestSlots | None = None,
    ) -> None:
        endpoint = replace(endpoint, url=self._base(endpoint.url))
        self._connection = Connection(
            endpoint.url,
            self._headers(endpoint, key),
            timeout=timeout,
            connect_timeout=connect_timeout,
        )
        self._url = route(endpoint.url, self.path)
        self._from_state = endpoint.headers_from_state
        self._target = target_of(endpoint, key, timeout)
        slots = own_slots(limit_of(endpoint)) if slots is None else slots
        self._retries = retries or Retries(RetryPolicy(), slots)

    @property
    def url(self) -> str:
        """The base URL, without anything secret."""
        return self._target.url

    async def get_response(
        self,
        prompt: Sequence[Message],
        model: str,
        sampling_args: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Response:
        """Ask `model` to continue `prompt`; see `Client.get_response`."""
        return await self._ask(self._url, self._write(prompt, model, sampling_args, tools))

    async def close(self) -> None:
        """Close every connection."""
        await self._connection.close()

    @staticmethod
    def _base(url: str) -> str:
        """Return the base URL that an endpoint's URL means."""
        return url

    def _headers(self, endpoint: Endpoint, key: str | None) -> Mapping[str, str]:
        """Return the headers of every request."""
        return request_headers(endpoint, key)

    def _ask(self, url: URL, body: Mapping[str, Any]) -> Awaitable[Response]:
        content = encoded(body)
        limit = body.get(self.limit, body.get("max_tokens"))
        return self._retries.run(lambda: self._send(url, content, limit))

    async def _send(self, url: URL, content: bytes, limit: object) -> Response | Failure:
        try:
            headers = headers_from_state(self._from_state)
            reply = await self._connection.post(url, content, headers)
        except REQUEST_ERRORS as error:
            # Also a request that was cut off by `close`, and one that comes to be tried again.
            if self._connection.closed:
                return Failure(ModelError(f"the client of {self._target.url} is closed"))
            return failure_of(error, self._target)
        if not 200 <= reply.status < 300:
            return refusal_of(reply, self._target, limit)
        try:
            return self._read(reply.body, self._target)
        except Error as error:
            return Failure(error, retried=isinstance(error, InvalidModelResponseError))


def encoded(body: Mapping[str, Any]) -> bytes:
    """Return a body as it is sent."""
    return _encode(body).encode()
