from __future__ import annotations

import asyncio
import http.client
import socket
import types
import urllib.error

import aiohttp
import httpx2
import openai
import pytest

from pytest_evals.errors import (
    InfraError,
    JudgeError,
    ModelError,
    RewardError,
    ToolCallError,
    causes_of,
    outcome_of,
)


def api_error() -> openai.APIError:
    request = httpx2.Request("POST", "http://127.0.0.1/v1/chat/completions")
    return openai.APIConnectionError(request=request)


def of_package(package: str, name: str) -> Exception:
    """Return an exception of a class as an installed package would have it."""
    kind = types.new_class(name, (Exception,))
    kind.__module__ = f"{package}.inner"
    error: Exception = types.new_class("Particular", (kind,))()
    return error


def raised_by(package: str, error: Exception) -> Exception:
    """Return an exception after code of `package` raised it."""
    namespace = {"__name__": f"{package}.inner", "error": error}
    code = "def fail():\n    raise error"
    exec(code, namespace)
    fail = namespace["fail"]
    assert callable(fail)
    try:
        fail()
    except Exception as caught:
        return caught
    raise AssertionError


@pytest.mark.parametrize(
    "error",
    [
        ModelError(),
        InfraError(),
        JudgeError(),
        api_error(),
        aiohttp.ServerDisconnectedError(),
        httpx2.ReadTimeout("late"),
        of_package("anthropic", "APIError"),
        of_package("requests", "RequestException"),
        of_package("urllib3", "HTTPError"),
        urllib.error.URLError("refused"),
        http.client.IncompleteRead(b""),
        socket.gaierror("no such host"),
        ConnectionResetError(),
        ConnectionRefusedError(),
        raised_by("aiohttp", TimeoutError()),
        raised_by("httpcore", TimeoutError()),
        ExceptionGroup("tasks", [ValueError(), ExceptionGroup("more", [api_error()])]),
    ],
)
def test_an_outage_is_unmeasured(error: Exception) -> None:
    assert outcome_of(error) == "unmeasured"


@pytest.mark.parametrize(
    "error",
    [
        KeyError("x"),
        FileNotFoundError("answers.csv"),
        OSError(28, "No space left on device"),
        TimeoutError(),
        raised_by("my_env", TimeoutError()),
        asyncio.CancelledError(),
        SystemExit(1),
        RewardError("grade", "raised KeyError"),
        ToolCallError("tool"),
        of_package("my_env", "APIError"),
        of_package("openai_like", "APIError"),
        ExceptionGroup("tasks", [ValueError(), KeyError()]),
    ],
)
def test_anything_else_is_broken(error: BaseException) -> None:
    assert outcome_of(error) == "broken"


def raised(error: Exception, *, after: Exception, how: str) -> Exception:
    try:
        try:
            raise after
        except Exception as cause:
            if how == "from":
                raise error from cause
            if how == "from None":
                raise error from None
            raise error  # noqa: B904  # what some environments do
    except Exception as caught:
        return caught


@pytest.mark.parametrize(
    ("how", "outcome"),
    [("from", "unmeasured"), ("while handling", "unmeasured"), ("from None", "broken")],
)
def test_an_error_that_an_outage_led_to(how: str, outcome: str) -> None:
    assert outcome_of(raised(RuntimeError("judge"), after=api_error(), how=how)) == outcome
    assert outcome_of(raised(ToolCallError("tool"), after=api_error(), how=how)) == outcome


def test_a_timeout_of_a_total_limit_of_aiohttp_is_an_outage() -> None:
    async def ask() -> None:
        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            await reader.read()

        writers: list[asyncio.StreamWriter] = []

        server = await asyncio.start_server(never, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        timeout = aiohttp.ClientTimeout(total=0.05)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session:
                await session.get(f"http://127.0.0.1:{port}/")
        finally:
            server.close()
            for writer in writers:
                writer.close()
                await writer.wait_closed()

    with pytest.raises(TimeoutError) as caught:
        asyncio.run(ask())
    assert outcome_of(caught.value) == "unmeasured"


def test_causes_that_go_in_circles() -> None:
    first, second = ValueError("1"), ValueError("2")
    first.__cause__, second.__context__ = second, first

    assert list(causes_of(first)) == [first, second]
