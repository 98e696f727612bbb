"""What the comparison with vf-eval takes for a difference; running it needs verifiers."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "compare_vf_eval.py"
ROW: dict[str, Any] = {
    "example_id": 3,
    "completion": [{"role": "assistant", "content": "4"}],
    "reward": 0.5,
    "is_truncated": False,
    "metrics": {"exact": 0.5},
}


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def differing(script: dict[str, Any], there: list[Any], here: list[Any]) -> list[str]:
    return list(script["differing_rows"](there, here))


def test_the_same_rows_in_another_order_with_other_times_are_the_same(
    script: dict[str, Any],
) -> None:
    other = ROW | {"reward": 1.0}
    here = [other | {"timing": 1, "rollout": 0}, ROW | {"timing": 2, "rollout": 1}]
    assert differing(script, [ROW, other], here) == []


def test_the_last_digit_of_a_number_is_no_difference(script: dict[str, Any]) -> None:
    assert differing(script, [ROW], [ROW | {"metrics": {"exact": 0.5 + 1e-12}}]) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"reward": 0.6}, "reward: there 0.5, here 0.6"),
        ({"reward": None}, "reward: there 0.5, here None"),
        ({"is_truncated": 0}, "is_truncated: there False, here 0"),
        ({"new": 1}, "new: there 'nothing', here 1"),
        ({"metrics": {}}, "metrics: there {'exact': 0.5}, here {}"),
    ],
)
def test_a_row_that_differs_says_in_what(
    script: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    near, far = ROW | change, ROW | {"reward": 0.1, "completion": []}
    assert differing(script, [far, ROW], [near, far]) == [f"example 3: {told}"]


def test_a_key_that_is_only_there_is_told(script: dict[str, Any]) -> None:
    here = {key: value for key, value in ROW.items() if key != "reward"}
    assert differing(script, [ROW], [here]) == ["example 3: reward: there 0.5, here 'nothing'"]


def test_a_row_too_many_or_too_few_is_told(script: dict[str, Any]) -> None:
    assert differing(script, [ROW, ROW], [ROW]) == ["example 3: a row only there"]
    assert differing(script, [ROW], [ROW, ROW]) == ["example 3: a row only here"]
    assert differing(script, [], [ROW | {"example_id": 1}]) == ["example 1: a row only here"]


def test_nothing_written_is_a_difference(
    script: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    side = script["Side"]
    nothing = side({}, script["Counter"]())
    assert script["report_runs"](nothing, {"native": nothing}) == 1
    point = ("sums", '{"hard": true}', 0.5)
    there = side({point: ({"model": "m"}, [ROW])}, script["Counter"]())
    assert script["report_runs"](there, {"native": nothing}) == 2
    shown = capsys.readouterr().out
    assert "| sums hard=true temperature=0.5 | 1 | 1, and metadata |" in shown
    assert "metadata, model: there 'm', here 'nothing'" in shown


def test_requests_that_differ_are_counted(
    script: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    counter, side = script["Counter"], script["Side"]
    there, here = side({}, counter(["a", "a", "b"])), side({}, counter(["a", "c"]))
    assert script["report_requests"](there, {"native": here}) == 3
    assert "3 there, 2 here, 2 and 1 differ" in capsys.readouterr().out


def test_null_fields_of_messages_and_unknown_headers_do_not_make_a_request_another(
    script: dict[str, Any],
) -> None:
    message = {"role": "user", "content": "x"}
    one = script["request_of"]({"messages": [message]}, {"x-purpose": "a", "x-session-id": "1"})
    other = script["request_of"]({"messages": [message | {"tool_calls": None}]}, {"x-purpose": "a"})
    assert one == other
    assert one != script["request_of"]({"messages": [message]}, {"x-purpose": "b"})


def test_each_repetition_of_a_request_is_another_attempt(script: dict[str, Any]) -> None:
    def texts() -> list[str]:
        ask, bodies = script["Attempts"](), [{"model": "demo-small", "messages": messages}] * 20
        return [ask(body, 1)["choices"][0]["message"]["content"] for body in bodies]

    messages = [{"role": "user", "content": "Write a slogan for coffee."}]
    assert texts() == texts()
    assert len(set(texts())) > 1
