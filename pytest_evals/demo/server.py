"""The demo server: the APIs of OpenAI and Anthropic over HTTP, on the loopback interface only."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from .anthropic_messages import anthropic_message
from .chat_completions import chat_completion
from .error_bodies import error_body
from .faults import Faults
from .model import MODELS
from .refusal import RequestError
from .responses import response
from .text_completions import text_completion

HOST = "127.0.0.1"
MAX_BODY = 4 * 2**20
MESSAGES = "/v1/messages"

Answer = Callable[[dict[str, Any], int], dict[str, Any]]
# What answers the requests of each route.
ANSWERS: dict[str, Answer] = {
    "/v1/chat/completions": chat_completion,
    "/v1/completions": text_completion,
    "/v1/responses": response,
    MESSAGES: anthropic_message,
}


class DemoApp:
    """The application, and what it has seen.

    Args:
        faults: how it misbehaves.
        record: keep the body of every request in `bodies`.

    Attributes:
        requests: those that asked the model, so far.
        peak: most of them that were in flight at once.
        refused: those beyond the capacity.
        bodies, headers: of those whose body could be read, when `record` is set.
        arrival: notified of each of them.
    """

    def __init__(self, faults: Faults, *, record: bool = False) -> None:
        self.faults = faults
        self.record = record
        self.requests = 0
        self.in_flight = 0
        self.peak = 0
        self.refused = 0
        self._admitted = 0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.arrival = threading.Condition()

    def runner(self) -> web.AppRunner:
        """Return a runner that serves the application, not yet set up."""
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_get("/v1/models", self._models)
        for path in ANSWERS:
            app.router.add_post(path, self._ask)
        app.router.add_route("*", "/{path:.*}", self._unknown)
        # A handler whose client has gone is cancelled, so that `in_flight` stays true; what is
        # left at shutdown (a hang, a long latency) is not waited for.
        return web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)

    async def _models(self, request: web.Request) -> web.StreamResponse:
        try:
            self._check_key(request)
        except RequestError as error:
            return self._error(error, request)
        models = [
            {"id": name, "object": "model", "created": 0, "owned_by": "pytest-rollouts"}
            for name in MODELS
        ]
        return web.json_response({"object": "list", "data": models})

    async def _unknown(self, request: web.Request) -> web.StreamResponse:
        where = f"{request.method} {request.path}"
        error = RequestError(404, f"Unknown request URL: {where}", code="unknown_url")
        return self._error(error, request)

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        self.in_flight += 1
        self.peak = max(self.peak, self.in_flight)
        with self.arrival:
            number = self.requests = self.requests + 1
            self.arrival.notify_all()
        try:
            return await self._answered(request, number)
        except RequestError as error:
            return self._error(error, request)
        finally:
            self.in_flight -= 1

    async def _answered(self, request: web.Request, number: int) -> web.StreamResponse:
        self._check_key(request)
        body = await _read_body(request)
        if self.record:
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in request.headers.items()})
        if self.faults.capacity is not None and self._admitted >= self.faults.capacity:
            self.refused += 1
            raise RequestError(429, "Too many requests at once")
        self._admitted += 1
        try:
            return await self._admitted_answer(request, body, number)
        finally:
            self._admitted -= 1

    async def _admitted_answer(
        self, request: web.Request, body: dict[str, Any], number: int
    ) -> web.StreamResponse:
        delay = self.faults.delay_of(number)
        if delay:
            await asyncio.sleep(delay)
        kind = self.faults.kind_of(number)
        if kind is None:
            return _json(ANSWERS[request.path](body, number))
        if kind.isdecimal():
            raise RequestError(int(kind), f"The demo server was asked to answer {kind}")
        return await _misbehave(kind, request, ANSWERS[request.path](body, number))

    def _check_key(self, request: web.Request) -> None:
        is_anthropic = request.path == MESSAGES
        if is_anthropic and "anthropic-version" not in request.headers:
            raise RequestError(400, "anthropic-version: header is required")
        expected = self.faults.key
        if expected is None or request.headers.get("Authorization") == f"Bearer {expected}":
            return
        if not is_anthropic or request.headers.get("x-api-key") != expected:
            raise RequestError(401, "Incorrect API key provided", code="invalid_api_key")

    def _error(self, error: RequestError, request: web.Request) -> web.Response:
        response = _json(error_body(error, is_anthropic=request.path == MESSAGES), error.status)
        if self.faults.retry_after is not None and (error.status == 429 or error.status >= 500):
            response.headers["Retry-After"] = f"{self.faults.retry_after:g}"
        return response


def _json(body: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(
        body=json.dumps(body).encode(), status=status, content_type="application/json"
    )


async def _read_body(request: web.Request) -> dict[str, Any]:
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise RequestError(413, f"The body is larger than {MAX_BODY} bytes") from None
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise RequestError(400, "The body could not be parsed as JSON") from None
    if not isinstance(body, dict):
        raise RequestError(400, "The body must be a JSON object")
    return body


async def _misbehave(kind: str, request: web.Request, honest: dict[str, Any]) -> web.StreamResponse:
    if kind == "hang":
        await asyncio.Event().wait()
    if kind == "html":
        return web.Response(text="<html><h1>Gateway</h1></html>", content_type="text/html")
    if kind == "truncated":
        text = json.dumps(honest)
        return web.Response(body=text[: len(text) // 2].encode(), content_type="application/json")
    _reset(request)
    return web.Response()


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is None:
        return
    # Without lingering, closing sends RST instead of FIN.
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


class DemoServer:
    """A demo server on a thread with an event loop of its own.

        with DemoServer(latency=0.1) as server:
            ask(server.url)

    Args:
        port: 0 picks a free one.
        latency, straggler, key, status, fault_rate, fault_kinds, fault_seed, retry_after,
            capacity: see `Faults`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        latency: float = 0.0,
        straggler: float = 0.0,
        key: str | None = None,
        status: int | None = None,
        fault_rate: float = 0.0,
        fault_kinds: tuple[str, ...] = (),
        fault_seed: int = 0,
        retry_after: float | None = None,
        capacity: int | None = None,
    ) -> None:
        faults = Faults(
            latency=latency,
            straggler=straggler,
            key=key,
            status=status,
            rate=fault_rate,
            kinds=fault_kinds,
            seed=fault_seed,
            retry_after=retry_after,
            capacity=capacity,
        )
        self._app = DemoApp(faults, record=True)
        self._port = port
        self._started = threading.Event()
        self._failure: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="demo-server", daemon=True)

    @property
    def url(self) -> str:
        """The base URL, up to and including `/v1`."""
        return f"http://{HOST}:{self._port}/v1"

    @property
    def requests(self) -> int:
        """Requests to the model so far."""
        return self._app.requests

    @property
    def in_flight(self) -> int:
        """Requests that have no answer yet."""
        return self._app.in_flight

    @property
    def peak(self) -> int:
        """Most requests that were in flight at once."""
        return self._app.peak

    @property
    def refused(self) -> int:
        """Requests beyond the capacity, so far."""
        return self._app.refused

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The bodies of the requests so far, in order of arrival."""
        return self._app.bodies

    @property
    def headers(self) -> list[dict[str, str]]:
        """The headers of the same requests, their names in small letters."""
        return self._app.headers

    def start(self) -> None:
        """Start serving; returns when the server takes requests.

        Raises:
            OSError: the port is taken.
        """
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def stop(self) -> None:
        """Stop serving, requests in flight included; a second call does nothing."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()

    def wait_for_requests(self, count: int, timeout: float = 10.0) -> None:
        """Block until `count` requests have come.

        Raises:
            TimeoutError: they have not after `timeout` seconds.
        """
        with self._app.arrival:
            if not self._app.arrival.wait_for(lambda: self.requests >= count, timeout):
                raise TimeoutError(f"{self.requests} requests came, not {count}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:
            self._failure = error
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with serving(self._app, self._port) as port:
            self._port = port
            self._started.set()
            await self._stopping.wait()


@asynccontextmanager
async def serving(app: DemoApp, port: int) -> AsyncIterator[int]:
    """Serve an application for as long as the block runs; gives the port.

    Raises:
        OSError: the port is taken.
    """
    runner = app.runner()
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port, backlog=2048).start()
        bound: int = runner.addresses[0][1]
        yield bound
    finally:
        await runner.cleanup()
