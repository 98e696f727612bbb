"""The token client against a server with vLLM's routes and a chat template of one id per word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from pytest_evals.clients.http_client import HttpClient
from pytest_evals.errors import RejectedError
from pytest_evals.messages import (
    AssistantMessage,
    Message,
    Response,
    ResponseMessage,
    ToolMessage,
    UserMessage,
)

from .formats import client_of, raw
from .servers import http, raw_server, request_of

NAME = "openai_chat_completions_token"
USER, ASSISTANT, TOOL, END, NEWLINE = 1, 2, 3, 9, 8
ROLES = {"user": USER, "assistant": ASSISTANT, "tool": TOOL, "system": USER}
QUESTION = UserMessage(content="1 + 1 ?")
# What the model wrote is not what a tokenizer makes of its text.
WRITTEN = [77, 78, END]
ANSWER = "2"


def rendered(messages: Sequence[dict[str, Any]], *, generate: bool = True) -> list[int]:
    """Return the ids of messages: each ends with END and a NEWLINE."""
    ids: list[int] = []
    for message in messages:
        words = (message.get("content") or "").split()
        ids += [ROLES[message["role"]], *(100 + len(word) for word in words), END, NEWLINE]
    return [*ids, ASSISTANT] if generate else ids


@dataclass
class Vllm:
    """A server with some of the routes; `asked` has the path and body of each request."""

    routes: frozenset[str]
    reason: str = "stop"
    tokenize_status: str = "200 OK"
    tokenizes: Any = None
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def handle(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        parsed = request_of(request)
        path = parsed.line.split()[1]
        body = json.loads(parsed.body)
        self.asked.append((path, body))
        writer.write(self.reply(path, body))
        await writer.drain()

    def reply(self, path: str, body: dict[str, Any]) -> bytes:
        if path not in self.routes:
            return http(b"{}", "404 Not Found")
        if path == "/tokenize":
            generate = body.get("add_generation_prompt", True)
            ids = rendered(body["messages"], generate=generate)
            return http(raw(self.tokenizes or {"tokens": ids}), self.tokenize_status)
        choice = {
            "message": {"role": "assistant", "content": ANSWER},
            "finish_reason": self.reason,
            "token_ids": WRITTEN,
            "logprobs": {"content": [{"logprob": -0.5} for _ in WRITTEN]},
        }
        ids = body.get("tokens") or rendered(body["messages"])
        return http(raw({"choices": [choice], "prompt_token_ids": ids}))

    @property
    def paths(self) -> list[str]:
        return [path for path, _ in self.asked]


CHAT, TOKENS, TOKENIZE = "/v1/chat/completions", "/v1/chat/completions/tokens", "/tokenize"
ALL = frozenset({CHAT, TOKENS, TOKENIZE})


@asynccontextmanager
async def serving(vllm: Vllm) -> AsyncIterator[HttpClient]:
    async with raw_server(vllm.handle) as url, client_of(NAME, url) as client:
        yield client


async def say(client: HttpClient, *prompt: Message, **arguments: Any) -> Response:
    return await client.get_response(list(prompt), "m", arguments)


async def test_ids_and_probabilities_are_asked_for_and_kept() -> None:
    vllm = Vllm(ALL)
    async with serving(vllm) as client:
        first = await say(client, QUESTION, max_tokens=5, extra_body={"top_k": 3})
    ((path, body),) = vllm.asked
    assert path == CHAT
    assert body == {
        "model": "m",
        "messages": [QUESTION],
        "max_completion_tokens": 5,
        "top_k": 3,
        "logprobs": True,
        "return_token_ids": True,
    }
    assert first.tokens == {
        "prompt_ids": [USER, 101, 101, 101, 101, END, NEWLINE, ASSISTANT],
        "prompt_mask": [0] * 8,
        "completion_ids": WRITTEN,
        "completion_mask": [1, 1, 1],
        "completion_logprobs": [-0.5, -0.5, -0.5],
    }
    assert first.message == {"role": "assistant", "content": ANSWER}
    assert isinstance(first.message, ResponseMessage)
    assert first.message.tokens is first.tokens


async def test_what_was_said_is_sent_as_the_ids_it_was() -> None:
    vllm = Vllm(ALL)
    prompt: list[Message] = [QUESTION]
    template = {"chat_template_kwargs": {"thinking": False}}
    async with serving(vllm) as client:
        first = await say(client, *prompt)
        prompt += [first.message, UserMessage(content="sure ?")]
        second = await say(client, *prompt, extra_body=template)
        prompt += [second.message, UserMessage(content="really ?")]
        third = await say(client, *prompt)
    turn = [TOKENIZE, TOKENIZE, TOKENS]
    assert vllm.paths == [CHAT, *turn, *turn]
    start = [USER, 101, 101, 101, 101, END, NEWLINE, ASSISTANT]
    again = [*start, *WRITTEN, NEWLINE, USER, 104, 101, END, NEWLINE, ASSISTANT]
    assert second.tokens is not None
    assert second.tokens.prompt_ids == again
    assert third.tokens is not None
    assert third.tokens.prompt_ids == [
        *again, *WRITTEN, NEWLINE, USER, 106, 101, END, NEWLINE, ASSISTANT,
    ]  # fmt: skip
    sent = vllm.asked[3][1]
    assert sent["tokens"] == again
    assert sent["messages"] == [QUESTION, first.message, prompt[2]]
    for _, body in vllm.asked[1:4]:
        assert body["chat_template_kwargs"] == {"thinking": False}
    assert vllm.asked[2][1]["add_generation_prompt"] is False


async def test_results_of_tools_follow_a_stand_in_that_called_them() -> None:
    vllm = Vllm(ALL)
    async with serving(vllm) as client:
        first = await say(client, QUESTION)
        result = ToolMessage(tool_call_id="c1", content="two")
        await client.get_response(
            [QUESTION, first.message, result], "m", {}, [{"name": "f", "parameters": {}}]
        )
    whole, alone = vllm.asked[1][1], vllm.asked[2][1]
    assert [call["id"] for call in whole["messages"][0]["tool_calls"]] == ["c1"]
    assert whole["messages"] == [*alone["messages"], result]
    assert whole["tools"] == [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert vllm.asked[3][1]["tokens"][-6:] == [NEWLINE, TOOL, 103, END, NEWLINE, ASSISTANT]


@pytest.mark.parametrize("missing", [TOKENS, TOKENIZE])
async def test_a_server_without_a_route_is_sent_messages_and_not_asked_again(missing: str) -> None:
    vllm = Vllm(ALL - {missing})
    async with serving(vllm) as client:
        first = await say(client, QUESTION)
        prompt = [QUESTION, first.message, UserMessage(content="sure ?")]
        for _ in range(3):
            assert (await say(client, *prompt)).tokens is not None
    assert vllm.paths.count(missing) == 1
    assert vllm.paths[-2:] == [CHAT, CHAT]
    assert vllm.asked[-1][1]["messages"] == prompt


@pytest.mark.parametrize(
    "vllm",
    [
        Vllm(ALL, reason="length"),
        Vllm(ALL, tokenize_status="500 Oops"),
        Vllm(ALL, tokenizes={"tokens": "x"}),
        Vllm(ALL, tokenizes={"tokens": [None]}),
        Vllm(ALL, tokenizes=[1]),
    ],
)
async def test_what_cannot_be_stitched_is_sent_as_messages(vllm: Vllm) -> None:
    async with serving(vllm) as client:
        first = await say(client, QUESTION)
        second = await say(client, QUESTION, first.message, UserMessage(content="sure ?"))
    assert vllm.paths[-1] == CHAT
    assert second.message.content == ANSWER


async def test_a_template_that_shows_an_answer_differently_later_is_not_stitched() -> None:
    shown: list[dict[str, Any]] = [{"tokens": [1, 2, 3]}, {"tokens": [1, 7]}]
    vllm = Vllm(ALL)
    async with serving(vllm) as client:
        first = await say(client, QUESTION)
        reply = vllm.reply

        def other(path: str, body: dict[str, Any]) -> bytes:
            return http(raw(shown.pop(0))) if path == TOKENIZE else reply(path, body)

        vllm.reply = other  # type: ignore[method-assign]
        await say(client, QUESTION, first.message, UserMessage(content="sure ?"))
    assert vllm.paths == [CHAT, TOKENIZE, TOKENIZE, CHAT]


def _edited(message: Message) -> Message:
    message["content"] = "3"
    return message


@pytest.mark.parametrize(
    "after",
    [
        lambda answer: [UserMessage(content="other"), answer, UserMessage(content="?")],
        lambda answer: [QUESTION, _edited(answer), UserMessage(content="?")],
        lambda answer: [QUESTION, AssistantMessage(answer), UserMessage(content="?")],
        lambda answer: [QUESTION, answer],
        lambda answer: [QUESTION, answer, AssistantMessage(content="x")],
        lambda answer: [QUESTION, answer, UserMessage(content="a"), UserMessage(content="b")],
        lambda answer: [
            QUESTION,
            answer,
            UserMessage(content=[{"type": "image_url", "image_url": {"url": "http://h/a"}}]),
        ],
    ],
    ids=["prompt", "edited", "copied", "nothing-new", "assistant", "two-users", "image"],
)
async def test_another_conversation_is_sent_as_messages(after: Any) -> None:
    vllm = Vllm(frozenset({CHAT, TOKENS}))
    async with serving(vllm) as client:
        first = await say(client, QUESTION)
        vllm.reply = lambda path, body: http(raw({"choices": [{"message": first.message}]}))  # type: ignore[method-assign]
        await say(client, *after(first.message))
    assert vllm.paths == [CHAT, CHAT]


async def test_a_token_that_ends_one_turn_and_begins_the_next_is_sent_once() -> None:
    shown: list[dict[str, Any]] = [{"tokens": [2, 50, END, 60, ASSISTANT]}, {"tokens": [2, 50]}]
    vllm = Vllm(ALL)
    async with serving(vllm) as client:
        first = await say(client, QUESTION)
        reply = vllm.reply

        def other(path: str, body: dict[str, Any]) -> bytes:
            return http(raw(shown.pop(0))) if path == TOKENIZE else reply(path, body)

        vllm.reply = other  # type: ignore[method-assign]
        await say(client, QUESTION, first.message, UserMessage(content="sure ?"))
    assert vllm.asked[-1][1]["tokens"][-5:] == [*WRITTEN, 60, ASSISTANT]


async def test_a_missing_key_is_told() -> None:
    vllm = Vllm(ALL)
    async with serving(vllm) as client:
        first = await say(client, QUESTION)
        vllm.reply = lambda path, body: http(b"{}", "401 No")  # type: ignore[method-assign]
        with pytest.raises(RejectedError, match="without a key"):
            await say(client, QUESTION, first.message, UserMessage(content="sure ?"))


async def test_a_server_that_gives_no_ids_answers_all_the_same() -> None:
    vllm = Vllm(ALL)
    vllm.reply = lambda path, body: http(  # type: ignore[method-assign]
        raw({"choices": [{"message": {"content": "2"}, "logprobs": {"content": [3]}}]})
    )
    async with serving(vllm) as client:
        first = await say(client, QUESTION)
        await say(client, QUESTION, first.message, UserMessage(content="sure ?"))
    assert first.tokens is None
    assert vllm.paths == [CHAT, CHAT]
