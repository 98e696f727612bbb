from __future__ import annotations

from pathlib import Path

import pytest

from pytest_evals.clients.adaptive_limit import START, AdaptiveLimit, limit_of, limited_as
from pytest_evals.clients.request_limits import RequestLimits, held_back, refusing
from pytest_evals.endpoints.endpoint import Endpoint, ServeCommand


def served_at(url: str, **fields: object) -> Endpoint:
    return Endpoint("m", url, "KEY", "endpoint", **fields)  # type: ignore[arg-type]


def limit_after_windows(limit: AdaptiveLimit, windows: int) -> int:
    for _ in range(windows):
        assert limit.limit is not None
        limit.answered(limit.limit, 0.0)
    assert limit.limit is not None
    return limit.limit


def test_it_doubles_with_every_window_until_a_request_is_refused() -> None:
    limit = AdaptiveLimit(START)
    assert limit_after_windows(limit, 4) == 16 * START


def test_a_refusal_takes_a_fifth_and_then_it_grows_slowly() -> None:
    limit = AdaptiveLimit(100)
    limit.refused(0.0, epoch=0, in_flight=100)
    assert limit.limit == 80
    assert limit_after_windows(limit, 1) == 84
    few = AdaptiveLimit(10)
    few.refused(0.0, epoch=0, in_flight=10)
    assert limit_after_windows(few, 1) == 9


def test_requests_sent_before_it_shrank_say_nothing_about_it() -> None:
    limit = AdaptiveLimit(100)
    for _ in range(50):
        limit.refused(0.0, epoch=0, in_flight=100)
    assert (limit.limit, limit.refusals, limit.epoch) == (80, 50, 1)
    limit.refused(0.0, epoch=1, in_flight=80)
    assert limit.limit == 64


def test_fewer_in_flight_than_allowed_were_too_many() -> None:
    limit = AdaptiveLimit(1000)
    limit.refused(0.0, epoch=0, in_flight=10)
    assert limit.limit == 8


def test_it_never_falls_below_one() -> None:
    limit = AdaptiveLimit(2)
    for epoch in range(20):
        limit.refused(0.0, epoch=epoch, in_flight=0)
    assert limit.limit == 1
    assert limit_after_windows(limit, 1) == 2


def test_it_does_not_grow_during_the_pause_that_the_server_asks_for() -> None:
    limit = AdaptiveLimit(10)
    limit.refused(5.0, epoch=0, in_flight=10, pause=30.0)
    limit.refused(6.0, epoch=0, in_flight=10, pause=2.0)
    assert limit.resume_at == 35.0
    limit.answered(100, 34.9)
    assert limit.limit == 8
    limit.answered(8, 35.0)
    assert limit.limit == 9


def test_a_server_of_ones_own_is_limited_only_once_it_refuses() -> None:
    limit = limit_of(served_at("http://127.0.0.1:8000/v1"))
    limit.answered(1000, 0.0)
    assert limit.limit is None
    limit.refused(0.0, epoch=0, in_flight=256)
    assert limit.limit == START
    assert limit_after_windows(limit, 1) == 2 * START
    few = limit_of(served_at("http://localhost:8000/v1"))
    few.refused(0.0, epoch=0, in_flight=5)
    assert few.limit == 4


def test_what_begins_low() -> None:
    assert limit_of(served_at("https://api.example/v1")).limit == START
    serve = ServeCommand("vllm", Path())
    assert limit_of(served_at("http://gpu:8000/v1", serve=serve)).limit is None


def test_the_limit_is_on_a_model_for_a_key_at_a_url() -> None:
    limits = RequestLimits()
    one = limits.slots_of(served_at("https://user:secret@api.example/v1"))
    assert limits.slots_of(served_at("https://api.example/v1", headers={"X": "1"})) is one
    assert limits.slots_of(served_at("https://api.example/v2")) is not one
    other = Endpoint("m", "https://api.example/v1", "OTHER", "")
    assert limits.slots_of(other) is not one
    assert limited_as(served_at("https://user:secret@api.example/v1")) == (
        "m at https://api.example/v1 (KEY)"
    )


@pytest.mark.parametrize(("count", "words"), [(1, "1 request was"), (7, "7 requests were")])
def test_what_the_summary_says(count: int, words: str) -> None:
    limit = AdaptiveLimit(20)
    assert held_back({"m at https://x/v1": limit}) == []
    limit.refused(0.0, epoch=0, in_flight=20, count=count)
    limit.answered(16, 0.0)
    assert held_back({"m at https://x/v1": limit}) == [
        f"m at https://x/v1 held the run back: {words} refused as too many; down to 16 in flight"
        " there, 17 at the end"
    ]


def test_refusals_are_told_while_they_go_on() -> None:
    calm, busy = AdaptiveLimit(16), AdaptiveLimit(16)
    assert refusing([calm, busy], 0.0) == ""
    busy.refused(100.0, epoch=0, in_flight=16)
    assert refusing([calm, busy], 100.0) == "refused once (429)"
    busy.refused(100.0, epoch=0, in_flight=16, count=31, pause=60)
    assert refusing([calm, busy], 100.5) == "refused 32 times (429), waiting 60 s"
    assert refusing([calm, busy], 159.9) == "refused 32 times (429), waiting 1 s"
    assert refusing([calm, busy], 161.0) == ""
