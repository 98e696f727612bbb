"""Seeds: different for each rollout, the same in every run."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from pytest_evals.engine.rollouts import rollout_name, seed_of

from .bench import Bench, FakeClient, agreeable, jobs_of, single_turn


def seeds_sent(bench: Bench, selected: slice, **fields: Any) -> dict[tuple[str, int], Any]:
    """Return the seed of each request by what it asks and how often that was asked before."""
    client = FakeClient(agreeable)
    fields = {"rollout_seed": 7, "rollouts_per_example": 2, **fields}
    run = bench.run(single_turn(3), bench.endpoint(lambda: client), **fields)
    jobs = jobs_of(run)[selected]
    bench.start(limit=1).submit(jobs)
    bench.take_all(len(jobs))
    asked: dict[tuple[str, int], Any] = {}
    for job, sent in zip(jobs, client.sent, strict=True):
        asked[f"q{job.key[0]}", job.rollout] = sent.get("seed")
    return asked


def test_each_rollout_sends_its_own(bench: Bench) -> None:
    sent = seeds_sent(bench, slice(None))
    assert len(set(sent.values())) == len(sent) == 6
    assert sent["q2", 1] == seed_of(7, 2, 1)


def test_they_are_the_same_in_every_run(bench: Bench) -> None:
    assert seeds_sent(bench, slice(None)) == seeds_sent(bench, slice(None))


def test_they_do_not_depend_on_the_selection(bench: Bench) -> None:
    all_of_them = seeds_sent(bench, slice(None))
    some = seeds_sent(bench, slice(3, 5))
    assert some == {key: all_of_them[key] for key in some}


def test_another_base_gives_others(bench: Bench) -> None:
    first, second = (seeds_sent(bench, slice(None), rollout_seed=base) for base in (7, 8))
    assert set(first.values()).isdisjoint(second.values())


def test_none_is_sent_without_a_base(bench: Bench) -> None:
    client = FakeClient(agreeable)
    run = bench.run(single_turn(1), bench.endpoint(lambda: client))
    bench.measure(run)
    assert "seed" not in client.sent[0]


def test_a_base_of_zero_is_one(bench: Bench) -> None:
    sent = seeds_sent(bench, slice(None), rollout_seed=0)
    assert None not in sent.values()


def test_sampling_args_are_sent_and_not_changed(bench: Bench) -> None:
    client = FakeClient(agreeable)
    given = {"temperature": 0.5, "seed": 1}
    run = bench.run(
        single_turn(1), bench.endpoint(lambda: client), sampling_args=given, rollout_seed=7
    )
    bench.measure(run)
    assert client.sent[0]["temperature"] == 0.5
    assert client.sent[0]["seed"] == seed_of(7, 0, 0)
    assert given == {"temperature": 0.5, "seed": 1}


def test_the_numbers_are_kept() -> None:
    """A stored run is repeated with the same seeds by later versions."""
    assert [seed_of(7, 0, 0), seed_of(7, 17, 3), seed_of(0, 0, 0)] == [
        1037877682,
        793975753,
        268180898,
    ]


def test_they_differ_and_fit_in_31_bits() -> None:
    keys = list(itertools.product((0, 1, 7, -1), range(60), range(30)))
    seeds = {seed_of(*key) for key in keys}
    assert len(seeds) == len(keys)
    assert min(seeds) >= 0 and max(seeds) < 2**31


@pytest.mark.parametrize(("one", "other"), [((1, 11, 1), (11, 1, 1)), ((1, 2, 34), (1, 23, 4))])
def test_digits_do_not_run_together(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    assert seed_of(*one) != seed_of(*other)


def test_names() -> None:
    assert rollout_name(17, 0) == "17-r0"
