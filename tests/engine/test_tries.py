"""Rollouts that are tried again: not once nothing more is to be asked."""

from __future__ import annotations

import asyncio

import pytest

from pytest_evals.clients.request_slots import Fixed, RequestSlots
from pytest_evals.engine import retrying
from pytest_evals.engine.attempts import Attempt
from pytest_evals.engine.generating import generate_in_turn
from pytest_evals.engine.phase_slots import PhaseSlots
from pytest_evals.environments.single_turn import SingleTurnEnv
from pytest_evals.errors import InfraError
from pytest_evals.lifecycle import cleanup
from pytest_evals.rubrics.rubric import Rubric
from pytest_evals.state import State

from .bench import Bench, FakeClient, always_one, jobs_of, questions, rows_of


class Releasing(Rubric):
    def __init__(self) -> None:
        super().__init__(funcs=[always_one])
        self.released = 0

    @cleanup
    async def release(self, state: State) -> None:
        self.released += 1


def failing(text: str) -> str:
    raise InfraError("no box")


def test_a_budget_that_is_spent_before_the_next_try_leaves_the_last_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    rubric, client = Releasing(), FakeClient(failing)
    environment = SingleTurnEnv(dataset=questions(1), rubric=rubric)
    run = bench.run(environment, bench.endpoint(lambda: client), max_retries=3)
    engine = bench.start()

    async def spend(retry: int) -> None:
        if retry == 1:
            engine.spend("the budget is spent")

    monkeypatch.setattr(retrying, "wait", spend)
    engine.submit(jobs_of(run))
    result = bench.take()
    assert (result.outcome, str(result.error)) == ("unmeasured", "no box")
    assert len(client.asked) == 2
    assert rubric.released == 2, "once for each try"
    (row,) = rows_of(run)
    assert row["state"] == "unmeasured"
    assert len(row["retries"]) == 1


async def test_one_that_waits_for_its_turn_to_be_tried_again_asks_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, slots = FakeClient(failing), RequestSlots(Fixed(), 1)
    environment = SingleTurnEnv(dataset=questions(1), rubric=Releasing())
    run = bench.run(environment, bench.endpoint(lambda: client), max_retries=3)
    attempt = Attempt(jobs_of(run)[0])
    is_spent = False

    async def occupied(retry: int) -> None:
        assert slots.take(), "whoever waits for the next try lets others generate"

    monkeypatch.setattr(retrying, "wait", occupied)
    phases = PhaseSlots(lambda phase: slots)
    trying = asyncio.create_task(generate_in_turn(attempt, client, phases, lambda: is_spent))
    async with asyncio.timeout(10):
        while not slots.waiting:  # noqa: ASYNC110 -- the code under test
            await asyncio.sleep(0)
        is_spent = True
        slots.give_back()
        await trying
    assert len(client.asked) == 1
    assert isinstance(attempt.error, InfraError)
    assert not attempt.is_left_out
