"""Admission: once the budget is spent, what waits is looked at once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pytest_evals.engine.admission import Admission
from pytest_evals.engine.groups import GroupBoard
from pytest_evals.engine.slots import Limits
from pytest_evals.engine.waiting import WaitingRollouts

from .bench import Bench, FakeClient, jobs_of, single_turn


def test_the_queue_is_divided_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    run = bench.run(single_turn(6), bench.endpoint(FakeClient))
    jobs = jobs_of(run)
    stored = [replace(job, stored="{}") for job in jobs[:2]]
    admission = Admission(Limits(1), GroupBoard(interleaves=True))
    admission.add([*stored, *jobs[2:4]])
    assert list(admission.drop()) == []

    admission.spent = "all of it"
    dropped = list(admission.drop())
    assert [(result.key, result.outcome) for result in dropped] == [
        ((2, 0), "missing"),
        ((3, 0), "missing"),
    ]

    def take_all(self: WaitingRollouts, run: object) -> None:
        raise AssertionError("what waits to be scored was looked at again")

    monkeypatch.setattr(WaitingRollouts, "take_all", take_all)
    assert list(admission.drop()) == []
    late = replace(jobs[5], stored="{}")
    admission.add([jobs[4], late])
    assert [result.key for result in admission.drop()] == [(4, 0)]
    assert list(admission.drop()) == []
    assert [admission.next() for _ in range(4)] == [*stored, late, None]
