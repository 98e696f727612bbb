"""The loops the plugin is compared with: one request per question and nothing around it.

Each mode is a process of its own, so that its CPU time holds the imports it needs and no others:

    python -m benchmarks.bare_loops openai --url http://127.0.0.1:8000/v1

It prints one line of JSON: the epoch second of its first request and the mean reward.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, TypeAlias

from benchmarks.bench_env import questions, score

if TYPE_CHECKING:
    import openai

MODEL = "demo-small"
# Both the SDK and the plugin wait this long for a reply; a benchmark never comes near it.
TIMEOUT = 600.0

Ask: TypeAlias = Callable[[str], Awaitable[str]]


def _messages(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def _typed(client: openai.AsyncOpenAI) -> Ask:
    """Ask through the SDK's typed method, as its documentation shows it."""

    async def ask(question: str) -> str:
        reply = await client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": question}]
        )
        return reply.choices[0].message.content or ""

    return ask


async def ask_openai(url: str, concurrency: int, stack: AsyncExitStack) -> Ask:
    """Return `ask` over `AsyncOpenAI` as it comes."""
    import openai

    client = openai.AsyncOpenAI(base_url=url, api_key="none", timeout=TIMEOUT)
    return _typed(await stack.enter_async_context(client))


async def ask_openai_aiohttp(url: str, concurrency: int, stack: AsyncExitStack) -> Ask:
    """Return `ask` over `AsyncOpenAI` on its aiohttp transport."""
    import openai

    http_client = openai.DefaultAioHttpClient()
    client = openai.AsyncOpenAI(
        base_url=url, api_key="none", timeout=TIMEOUT, http_client=http_client
    )
    return _typed(await stack.enter_async_context(client))


async def ask_openai_untyped(url: str, concurrency: int, stack: AsyncExitStack) -> Ask:
    """Return `ask` over `AsyncOpenAI` on aiohttp, its typed layer left out."""
    import openai

    http_client = openai.DefaultAioHttpClient()
    client = await stack.enter_async_context(
        openai.AsyncOpenAI(base_url=url, api_key="none", timeout=TIMEOUT, http_client=http_client)
    )

    async def ask(question: str) -> str:
        body = {"model": MODEL, "messages": _messages(question)}
        reply: Any = await client.post("/chat/completions", body=body, cast_to=object)
        return str(reply["choices"][0]["message"]["content"])

    return ask


async def ask_aiohttp(url: str, concurrency: int, stack: AsyncExitStack) -> Ask:
    """Return `ask` over aiohttp alone."""
    import aiohttp

    session = await stack.enter_async_context(
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=concurrency),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT),
        )
    )

    async def ask(question: str) -> str:
        body = {"model": MODEL, "messages": _messages(question)}
        async with session.post(f"{url}/chat/completions", json=body) as response:
            response.raise_for_status()
            reply = await response.json()
        return str(reply["choices"][0]["message"]["content"])

    return ask


MODES = {
    "openai": ask_openai,
    "openai-aiohttp": ask_openai_aiohttp,
    "openai-untyped": ask_openai_untyped,
    "aiohttp": ask_aiohttp,
}


async def run(mode: str, url: str, rollouts: int, concurrency: int) -> dict[str, float]:
    """Ask every question with `concurrency` requests in flight and score the replies."""
    async with AsyncExitStack() as stack:
        ask = await MODES[mode](url, concurrency, stack)
        limit = asyncio.Semaphore(concurrency)

        async def rollout(question: str, answer: str) -> float:
            async with limit:
                return score(answer, await ask(question))

        first_request = time.time()
        rewards = await asyncio.gather(*(rollout(*pair) for pair in questions(rollouts)))
    return {"first_request": first_request, "reward": sum(rewards) / len(rewards)}


def main() -> None:
    """Run one mode and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", choices=MODES)
    parser.add_argument("--url", required=True)
    parser.add_argument("--rollouts", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=256)
    options = parser.parse_args()
    figures = asyncio.run(run(options.mode, options.url, options.rollouts, options.concurrency))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
