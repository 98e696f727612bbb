"""Connection: one aiohttp session to one endpoint; bytes go out, a whole reply comes back."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import (
    ClientConnectionError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    TCPConnector,
)
from yarl import URL

from .proxies import proxy_of

# Shorter than the 5 s after which uvicorn (vLLM, SGLang) closes an idle connection: a request sent
# into a connection that is being closed is lost.
_KEEPALIVE = 4.0
_REDIRECTS = 3
# aiohttp warns of larger bodies given as bytes, which it writes in one piece.
_LARGE = 2**20


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answered.

    Attributes:
        status: the HTTP status.
        headers: looked up in any case.
        body: decompressed.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connection:
    """The connections to one endpoint, opened as needed and kept.

    Proxies and certificates are those of the environment as it is now. There is no limit on
    connections, the engine bounds what is in flight. Cookies are neither kept nor sent: rollouts
    would share them.

    Args:
        url: of the endpoint; only its scheme and host are used.
        headers: of every request.
        timeout: seconds until a whole reply must be there.
        connect_timeout: seconds until a connection must be there.

    Raises:
        SetupError: the environment's proxy for `url` cannot be used.
    """

    def __init__(
        self, url: str, headers: Mapping[str, str], *, timeout: float, connect_timeout: float
    ) -> None:
        self._headers = headers
        self._timeout = ClientTimeout(total=timeout, connect=connect_timeout)
        self._proxy = proxy_of(url)
        self._tls = _tls_of(url)
        # Opened by the first request: aiohttp needs the running loop.
        self._session: ClientSession | None = None
        self.closed = False

    async def post(
        self, url: URL, content: bytes, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Send `content` and return the reply, whatever its status.

        A redirect to the same origin that keeps the method (307, 308) is followed, each with a
        timeout of its own. Every other is returned: the headers hold keys under any name, and a
        POST that becomes a GET asks for nothing.

        Args:
            url: without user and password.
            content: the body.
            headers: of this request, over those of every one.

        Raises:
            aiohttp.ClientError, OSError, ValueError: there was no reply, or not a whole one.
        """
        for _ in range(_REDIRECTS):
            reply = await self._send(url, content, headers)
            elsewhere = _redirect(url, reply)
            if elsewhere is None:
                return reply
            url = elsewhere
        return await self._send(url, content, headers)

    async def close(self) -> None:
        """Close every connection; requests in flight fail, and so do later ones."""
        self.closed = True
        if self._session is not None:
            await self._session.close()
            # Sockets are let go in the loop's next round, and this may be its last.
            await asyncio.sleep(0)

    async def _send(self, url: URL, content: bytes, headers: Mapping[str, str] | None) -> Reply:
        if self.closed:
            raise ClientConnectionError("closed")
        session = self._session or self._open()
        data = content if len(content) <= _LARGE else io.BytesIO(content)
        async with session.post(
            url, data=data, headers=headers, allow_redirects=False, proxy=self._proxy
        ) as response:
            return Reply(response.status, response.headers, await response.read())

    def _open(self) -> ClientSession:
        # `trust_env` stays off: with it each request would read ~/.netrc in a thread and send the
        # password found there.
        self._session = ClientSession(
            connector=TCPConnector(limit=0, keepalive_timeout=_KEEPALIVE, ssl=self._tls),
            headers=self._headers,
            timeout=self._timeout,
            cookie_jar=DummyCookieJar(),
        )
        return self._session


def route(base: str, path: str) -> URL:
    """Return the URL of a route: `path` after the base URL's own, before its query.

    User and password are left out; they are sent as a header.
    """
    parts = urlsplit(base)
    return URL(
        parts._replace(
            netloc=parts.netloc.rpartition("@")[2], path=parts.path.rstrip("/") + path
        ).geturl()
    )


def _redirect(url: URL, reply: Reply) -> URL | None:
    """Return where to send the request again, None when `reply` is not to be followed."""
    location = reply.headers.get("Location")
    if reply.status not in (307, 308) or not location or not location.isprintable():
        return None
    try:
        elsewhere = url.join(URL(location))
        is_same = elsewhere.origin() == url.origin()
    except ValueError:
        return None
    return elsewhere if is_same and elsewhere.user is elsewhere.password is None else None


def _tls_of(url: str) -> ssl.SSLContext | bool:
    """Return what servers' certificates are checked against; SSL_CERT_FILE and _DIR count.

    The system's trust store on macOS and Windows, elsewhere the bundle that OpenSSL was built for
    or the usual places of one.
    """
    if urlsplit(url).scheme != "https":
        return True
    # Takes 20 ms beyond what aiohttp has loaded, which plain http should not pay.
    import httpx2

    return httpx2.create_ssl_context()
