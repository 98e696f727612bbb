from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_evals import Rubric, SingleTurnEnv
from pytest_evals.clients.asking import headers_from_state, note_state
from pytest_evals.clients.factory import make_client
from pytest_evals.endpoints.endpoint import Endpoint
from pytest_evals.messages import Message

from .servers import recording


@pytest.mark.parametrize(
    ("value", "header"),
    [
        (17, "17"),
        (0, "0"),
        (False, "False"),
        ("plain text, 100 %", "plain text, 100 %"),
        ("  trimmed ", "trimmed"),
        ("", ""),
        ("one\r\nX-Admin: yes", "one%0D%0AX-Admin: yes"),
        ("\0", "%00"),
        ("grün", "gr%C3%BCn"),
        ("\ud800", "?"),
        ("a\n100%", "a%0A100%25"),
    ],
)
def test_any_value_becomes_one_line(value: object, header: str) -> None:
    note_state({"key": value})
    assert headers_from_state({"X-A": "key"}) == {"X-A": header}


def test_what_is_absent_or_none_gives_no_header() -> None:
    note_state({"none": None})
    assert headers_from_state({"X-A": "none", "X-B": "absent"}) == {}
    note_state(None)
    assert headers_from_state({"X-A": "none"}) == {}


async def test_each_request_has_the_value_of_its_moment() -> None:
    class Changing(SingleTurnEnv):
        async def get_model_response(self, state: Any, *args: Any, **kwargs: Any) -> Any:
            state["turn"] = "first"
            await super().get_model_response(state, *args, **kwargs)
            state["turn"] = "second\nX-Evil: 1"
            return await super().get_model_response(state, *args, **kwargs)

    environment = Changing(dataset=[{"question": "hi"}], rubric=Rubric())
    async with recording() as (url, requests):
        names = {"X-Session-ID": "example_id", "X-Turn": "turn", "X-Absent": "nowhere"}
        endpoint = Endpoint("m", url, None, "", headers_from_state=names)
        client = make_client(endpoint, None)
        (example,) = environment.get_eval_dataset()
        await environment.rollout(example, client, "m", {})
        await client.close()

    assert [request.headers["x-turn"] for request in requests] == ["first", "second%0AX-Evil: 1"]
    assert {request.headers["x-session-id"] for request in requests} == {"0"}
    assert not any("x-absent" in each.headers or "x-evil" in each.headers for each in requests)
    assert json.loads(requests[0].body)["model"] == "m"


async def test_it_replaces_a_header_of_the_endpoint() -> None:
    async with recording() as (url, requests):
        endpoint = Endpoint(
            "m", url, None, "", headers={"x-who": "all"}, headers_from_state={"X-Who": "key"}
        )
        client = make_client(endpoint, None)
        note_state({"key": "one"})
        await client.get_response([Message(role="user", content="hi")], "m", {})
        note_state({})
        await client.get_response([Message(role="user", content="hi")], "m", {})
        await client.close()
    assert [request.headers["x-who"] for request in requests] == ["one", "all"]
