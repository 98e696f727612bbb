"""The client of a rollout that tells of the tokens of each answer."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_evals.clients.metered import MeteredClient
from pytest_evals.errors import ModelError
from pytest_evals.messages import AssistantMessage, Response, Usage


class Model:
    """Gives what was put ready."""

    def __init__(self, *ready: Usage | Exception | None) -> None:
        self.ready = list(ready)

    async def get_response(self, *_: Any, **__: Any) -> Response:
        usage = self.ready.pop(0)
        if isinstance(usage, Exception):
            raise usage
        return Response(AssistantMessage(content="4"), usage=usage)

    async def close(self) -> None:
        raise AssertionError("somebody else's")


async def test_answers_are_told_and_failures_are_not() -> None:
    told: list[Usage | None] = []
    client = MeteredClient(Model(Usage(5, 2), None, ModelError("down")), told.append)
    for _ in range(2):
        await client.get_response([], "m", {})
    with pytest.raises(ModelError):
        await client.get_response([], "m", {})
    await client.close()
    assert told == [Usage(5, 2), None]


async def test_what_a_rollout_used_besides_is_told_at_its_end() -> None:
    told: list[Usage | None] = []
    client = MeteredClient(Model(Usage(5, 2)), told.append)
    await client.get_response([], "m", {})
    client.settle(Usage(5, 2), Usage(0, 0))
    client.settle(None, Usage(0, 0))
    client.settle(Usage(7, 4), Usage(2, 2))  # the rest was known
    client.settle(Usage(1, 1), Usage(0, 0))  # it counted less than the server did
    assert told == [Usage(5, 2)]
    client.settle(Usage(15, 3), Usage(0, 0))
    assert told[1:] == [Usage(10, 1)]
