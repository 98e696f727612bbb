"""The client of a rollout that looks answers up before it asks for them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_evals.clients.cache import CachedClient, ResponseCache, answer_of, read_answer
from pytest_evals.endpoints.endpoint import Endpoint, ServeCommand
from pytest_evals.errors import CacheMissError, ModelError, outcome_of
from pytest_evals.messages import (
    Message,
    Response,
    ResponseMessage,
    ResponseTokens,
    ToolCall,
    Usage,
    UserMessage,
)

HERE = Endpoint(model="m", url="http://127.0.0.1:1/v1", key_var=None, label="here")
ASK = [UserMessage(content="2 + 2?")]


class Kept:
    """Answers in memory; what goes in and out is JSON, as in a file."""

    def __init__(self, *, reads_only: bool = False) -> None:
        self.reads_only = reads_only
        self.answers: dict[tuple[bytes, int], str] = {}
        self.failure: Exception | None = None

    def digest(self, request: Mapping[str, Any]) -> bytes:
        return json.dumps(request, sort_keys=True).encode()

    def find(self, request: bytes, occurrence: int) -> dict[str, Any] | None:
        if self.failure is not None:
            raise self.failure
        text = self.answers.get((request, occurrence))
        found: dict[str, Any] | None = None if text is None else json.loads(text)
        return found

    def keep(
        self, request: bytes, occurrence: int, answer: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        known = self.find(request, occurrence)
        if known is None:
            self.answers[request, occurrence] = json.dumps(answer)
        return known

    def replace(self, request: bytes, occurrence: int, answer: Mapping[str, Any]) -> None:
        self.answers[request, occurrence] = json.dumps(answer)


class Model:
    """Answers with the number of the request, or with what was put ready."""

    def __init__(self, *ready: Response | Exception) -> None:
        self.ready = list(ready)
        self.requests = 0

    async def get_response(
        self,
        prompt: Sequence[Message],
        model: str,
        sampling_args: Mapping[str, Any],
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> Response:
        self.requests += 1
        number = self.requests
        await asyncio.sleep(0)
        if not self.ready:
            return said(str(number))
        answer = self.ready.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        raise AssertionError("somebody else's")


def said(text: str, **more: Any) -> Response:
    return Response(ResponseMessage(content=text), model="m-1", usage=Usage(10, 2), **more)


def client_of(
    model: Model, kept: Kept, *, endpoint: Endpoint = HERE, rollout: int = 0, example: int = 0
) -> CachedClient:
    return CachedClient(model, ResponseCache(kept, endpoint), example, rollout)


async def texts_of(client: CachedClient, *asked: Any) -> list[str]:
    return [
        (await client.get_response(prompt, "m", {"seed": 1}, None)).message["content"]
        for prompt in asked or [ASK]
    ]


async def test_a_known_answer_is_not_asked_for() -> None:
    kept, model = Kept(), Model()
    assert await texts_of(client_of(model, kept)) == ["1"]
    again = client_of(model, kept)
    assert await texts_of(again) == ["1"]
    assert (again.hits, again.asked) == (1, 0)
    assert (again.input_tokens, again.output_tokens) == (10, 2)
    assert model.requests == 1


async def test_repeats_and_equal_prompts_of_other_examples_are_independent() -> None:
    kept, model = Kept(), Model()
    places = [(0, 0), (0, 1), (1, 0)]
    for example, rollout in places:
        await texts_of(client_of(model, kept, example=example, rollout=rollout))
    again = [
        client_of(model, kept, example=example, rollout=rollout) for example, rollout in places
    ]
    assert [await texts_of(client) for client in again] == [["1"], ["2"], ["3"]]


async def test_equal_requests_of_one_rollout_are_told_apart_by_their_order() -> None:
    kept, model = Kept(), Model()
    assert await texts_of(client_of(model, kept), ASK, ASK, ASK) == ["1", "2", "3"]
    assert await texts_of(client_of(model, kept), ASK, ASK) == ["1", "2"]
    together = client_of(model, kept)
    answers = await asyncio.gather(*(texts_of(together) for _ in range(3)))
    assert answers == [["1"], ["2"], ["3"]]


@pytest.mark.parametrize(
    "change",
    [
        {"model": "other"},
        {"sampling_args": {"seed": 2}},
        {"tools": [{"name": "add"}]},
        {"prompt": [UserMessage(content="2 + 3?")]},
    ],
    ids=str,
)
async def test_another_request_is_asked_for(change: dict[str, Any]) -> None:
    kept, model = Kept(), Model()
    request: dict[str, Any] = {"prompt": ASK, "model": "m", "sampling_args": {}, "tools": None}
    await client_of(model, kept).get_response(**request)
    await client_of(model, kept).get_response(**request)
    await client_of(model, kept).get_response(**{**request, **change})
    assert model.requests == 2


async def test_another_endpoint_is_asked_and_a_managed_one_is_its_command(tmp_path: Any) -> None:
    def served(port: str, command: str = "serve --port {port}") -> Endpoint:
        return Endpoint(
            model="m", url=f"http://127.0.0.1:{port}/v1", key_var=None, label="",
            serve=ServeCommand(command, tmp_path / port),
        )  # fmt: skip

    kept, model = Kept(), Model()
    await texts_of(client_of(model, kept, endpoint=served("1")))
    await texts_of(client_of(model, kept, endpoint=served("2")))
    assert model.requests == 1
    await texts_of(client_of(model, kept, endpoint=served("2", "serve2 --port {port}")))
    await texts_of(client_of(model, kept, endpoint=HERE))
    elsewhere = Endpoint(model="m", url="http://u:p@127.0.0.1:1/v1?k=1", key_var=None, label="")
    await texts_of(client_of(model, kept, endpoint=elsewhere))  # but for what may be secret
    assert model.requests == 3
    assert not any(b"u:p" in request for request, _ in kept.answers)


async def test_errors_are_not_kept_and_leave_their_place_to_the_next() -> None:
    kept, model = Kept(), Model(ModelError("down"), said("4"))
    client = client_of(model, kept)
    with pytest.raises(ModelError):
        await texts_of(client)
    assert await texts_of(client) == ["4"]
    assert await texts_of(client_of(model, kept)) == ["4"]


@pytest.mark.parametrize(
    "refusal",
    [
        said("", was_filtered=True),
        Response(ResponseMessage(content=None, refusal="I will not")),
    ],
    ids=["filtered", "refusal"],
)
async def test_refusals_are_not_kept(refusal: Response) -> None:
    kept, model = Kept(), Model(refusal, said("4"))
    assert await texts_of(client_of(model, kept)) == [refusal.message["content"]]
    assert not kept.answers
    assert await texts_of(client_of(model, kept)) == ["4"]


async def test_a_replay_does_not_ask() -> None:
    kept, model = Kept(reads_only=True), Model()
    client = client_of(model, kept)
    with pytest.raises(CacheMissError, match="record it with --evals-cache=read-write") as raised:
        await texts_of(client)
    assert outcome_of(raised.value) == "unmeasured"
    assert not isinstance(raised.value, ModelError)
    assert (model.requests, client.hits, client.asked) == (0, 0, 0)


def odd_answers() -> list[Any]:
    good = answer_of(said("4"))
    changes: list[dict[str, Any]] = [
        {"message": None}, {"message": []}, {"message": {"content": 4}}, {"model": 1},
        {"created": "now"}, {"usage": [1]}, {"usage": ["1", 2, 3]}, {"usage": {}},
        {"finish_reason": "because"}, {"finish_reason": []}, {"tokens": 5}, {"requests": None},
        {"message": {"content": "", "tool_calls": [5]}},
    ]  # fmt: skip
    return [{}, {"message": {}}, *({**good, **change} for change in changes)]


@pytest.mark.parametrize("answer", odd_answers(), ids=str)
async def test_what_is_no_answer_counts_as_none(answer: dict[str, Any]) -> None:
    assert read_answer(answer) is None
    kept, model = Kept(), Model()
    await texts_of(client_of(model, kept))
    kept.answers = dict.fromkeys(kept.answers, json.dumps(answer))
    assert await texts_of(client_of(model, kept)) == ["2"]
    kept.reads_only = True
    with pytest.raises(CacheMissError, match="cannot be read"):
        await texts_of(client_of(model, kept))


async def test_a_cache_that_fails_loses_no_answer() -> None:
    kept, model = Kept(), Model()
    kept.failure = OSError("disk full")
    client = client_of(model, kept)
    assert await texts_of(client) == ["1"]
    assert client.problem is not None
    assert "was not kept in the response cache: disk full" in client.problem
    kept.reads_only = True
    with pytest.raises(CacheMissError, match="cannot be read: disk full"):
        await texts_of(client_of(model, kept))


async def test_where_two_were_first_both_get_the_answer_that_is_kept() -> None:
    kept, model = Kept(), Model()
    one, other = client_of(model, kept), client_of(model, kept)
    assert list(await asyncio.gather(texts_of(one), texts_of(other))) == [["1"], ["1"]]
    assert model.requests == one.asked + other.asked == 2


def test_a_response_comes_back_as_it_was() -> None:
    message = ResponseMessage(
        content=None,
        reasoning_content="hm",
        thinking_blocks=[{"type": "thinking", "thinking": "hm", "signature": "s"}],
        tool_calls=[ToolCall(id="c1", name="add", arguments='{"a": 1}')],
    )
    tokens = ResponseTokens(prompt_ids=[1], completion_ids=[2], completion_logprobs=[-0.5])
    response = Response(
        message, "m-1", "id-1", 12, "tool_calls", Usage(5, 6, 2), requests=3, tokens=tokens
    )
    again = read_answer(json.loads(json.dumps(answer_of(response))))
    assert again == response
    assert type(again.message) is ResponseMessage
    assert [type(call) for call in again.message["tool_calls"]] == [ToolCall]
    assert (again.message.finish_reason, again.message.tokens) == ("tool_calls", tokens)


def test_a_message_of_another_kind_comes_back_as_one() -> None:
    response = Response(Message(role="text", content="4"), finish_reason="length")
    again = read_answer(json.loads(json.dumps(answer_of(response))))
    assert again is not None
    assert type(again.message).__name__ == "TextMessage"
    assert again.is_truncated


async def test_own_answers_of_another_try_are_free_and_were_not_known() -> None:
    kept, model = Kept(), Model()
    client = client_of(model, kept)
    assert await texts_of(client, ASK, ASK) == ["1", "2"]
    client.begin_again()
    assert await texts_of(client, ASK, ASK, ASK) == ["1", "2", "3"]
    assert (client.hits, client.input_tokens, client.asked) == (0, 0, 3)
    assert client.free == Usage(20, 4)


async def test_an_answer_that_was_useless_is_asked_for_anew_and_replaced() -> None:
    kept, model = Kept(), Model()
    await texts_of(client_of(model, kept), ASK, ASK)
    client = client_of(model, kept)
    assert await texts_of(client, ASK, ASK) == ["1", "2"], "known from before"
    client.begin_again(was_useless=True)
    assert await texts_of(client, ASK, ASK) == ["1", "3"], "only the last answer was useless"
    client.begin_again(was_useless=True)
    client.begin_again()
    assert await texts_of(client, ASK, ASK) == ["1", "4"]
    assert await texts_of(client_of(model, kept), ASK, ASK) == ["1", "4"]


async def test_a_useless_answer_stays_where_nothing_is_asked() -> None:
    kept = Kept()
    await texts_of(client_of(Model(), kept))
    kept.reads_only = True
    client = client_of(Model(), kept)
    await texts_of(client)
    client.begin_again(was_useless=True)
    assert await texts_of(client) == ["1"]
