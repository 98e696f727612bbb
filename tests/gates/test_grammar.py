"""The grammar of gates: what is read, what is refused and with which advice."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_evals.gates.grammar import (
    Gate,
    GateSyntaxError,
    doubtful,
    impossible,
    parse_gate,
    parse_gates,
    tolerates_errors,
)


@pytest.mark.parametrize(
    ("text", "metric", "comparison", "limit", "name"),
    [
        ("reward >= 0.8", "reward", ">=", 0.8, "gate-reward"),
        ("  reward>=.80 ", "reward", ">=", 0.8, "gate-reward"),
        ("reward > -1", "reward", ">", -1.0, "gate-reward"),
        ("error_rate <= 2e-2", "error_rate", "<=", 0.02, "gate-error_rate"),
        ("error_rate >= 0", "error_rate", ">=", 0.0, "gate-error_rate"),
        ("truncated_rate < 0.1", "truncated_rate", "<", 0.1, "gate-truncated_rate"),
        ("answer_rate >= 1", "answer_rate", ">=", 1.0, "gate-answer_rate"),
        ("pass@4 >= 0.9", "pass@4", ">=", 0.9, "gate-pass-at-4"),
        ("pass@04 >= 0.9", "pass@4", ">=", 0.9, "gate-pass-at-4"),
        ("pass^4 >= 0.9", "pass^4", ">=", 0.9, "gate-pass-hat-4"),
        ("latency.p95 <= 30", "latency.p95", "<=", 30.0, "gate-latency.p95"),
        ("latency.p99.90 <= 30", "latency.p99.9", "<=", 30.0, "gate-latency.p99.9"),
        ("latency.p100 <= 30", "latency.p100", "<=", 30.0, "gate-latency.p100"),
        ("latency.mean <= 3", "latency.mean", "<=", 3.0, "gate-latency.mean"),
        ("output_tokens <= 1_500", "output_tokens", "<=", 1500.0, "gate-output_tokens"),
        ("turns <= 4", "turns", "<=", 4.0, "gate-turns"),
        ("correct_answer >= 0.8", "correct_answer", ">=", 0.8, "gate-correct_answer"),
        ("reward2 >= 0.8", "reward2", ">=", 0.8, "gate-reward2"),
        ("reward_format >= 0.8", "reward_format", ">=", 0.8, "gate-reward_format"),
        ("passed >= 0.8", "passed", ">=", 0.8, "gate-passed"),
        ("judge/tone >= 0.8", "judge/tone", ">=", 0.8, "gate-judge-tone"),
    ],
)
def test_gates_that_are_read(
    text: str, metric: str, comparison: Any, limit: float, name: str
) -> None:
    assert parse_gate(text) == Gate(name, metric, comparison, limit, text=text.strip())


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("", "has no comparison; a gate is written"),
        ("reward", "has no comparison"),
        ("reward 0.8", "has no comparison"),
        ("reward >=", "has no number to compare with"),
        (">= 0.8", "names no metric"),
        ("reward => 0.8", "did you mean 'reward >= 0.8'?"),
        ("reward =< 0.8", "did you mean 'reward <= 0.8'?"),
        ("reward ≥ 0.8", "did you mean 'reward >= 0.8'?"),
        ("reward = 0.8", "rarely equal"),
        ("reward == 0.8", "rarely equal"),
        ("reward != 0.8", "'!=' is not a comparison"),
        ("reward <> 0.8", "'<>' is not a comparison"),
        ("reward ~ 0.8", "'~' is not a comparison"),
        ("0.8 <= reward", "did you mean 'reward >= 0.8'?"),
        ("0.5 <= reward <= 0.8", "two comparisons; write one gate for each"),
        ("reward >= 80%", "not percentages; write 0.8"),
        ("reward >= 80 %", "not percentages; write 0.8"),
        ("reward >= 0,8", "write the decimal point: 0.8"),
        ("reward > high", "'high' is not a number"),
        ("reward > 0.8 or so", "'0.8 or so' is not a number"),
        ("reward > 1_", "'1_' is not a number"),
        ("reward > ٣", "is not a number"),
        ("reward > pass@4", "two metrics cannot be compared"),
        ("reward >= nan", "must be a finite number"),
        ("reward >= -Infinity", "must be a finite number"),
        ("reward >= 1e999", "must be a finite number"),
        ("pass@0 >= 0.8", "at least 1"),
        ("pass^00 >= 0.8", "at least 1"),
        ("pass@k >= 0.8", "did you mean 'pass@4'?"),
        ("pass@ >= 0.8", "did you mean 'pass@4'?"),
        ("pass-at-8 >= 0.8", "did you mean 'pass@8'?"),
        ("pass_hat_8 >= 0.8", "did you mean 'pass^8'?"),
        ("Pass@8 >= 0.8", "did you mean 'pass@8'?"),
        ("latency <= 3", "'latency.mean' or 'latency.p95'"),
        ("latency_p95 <= 3", "'latency.mean' or 'latency.p95'"),
        ("latency.max <= 3", "p100 the most"),
        ("latency.p0 <= 3", "above 0 and at most 100"),
        ("latency.p101 <= 3", "above 0 and at most 100"),
        ("Reward >= 0.8", "did you mean 'reward'?"),
        ("rewrad >= 0.8", "did you mean 'reward'?"),
        ("rewad >= 0.8", "did you mean 'reward'?"),
        ("rewards >= 0.8", "did you mean 'reward'?"),
        ("error-rate <= 0", "did you mean 'error_rate'?"),
        ("eror_rate <= 0", "did you mean 'error_rate'?"),
        ("input tokens <= 9", "did you mean 'input_tokens'?"),
        ("my metric >= 0.8", "not the name of a metric"),
        ("4th >= 0.8", "not the name of a metric"),
        ("reward\x1b[2J >= 0.8", "not the name of a metric"),
        (3, "is not a string or a table"),
        (None, "is not a string or a table"),
    ],
)
def test_what_is_refused_and_the_advice(text: Any, advice: str) -> None:
    with pytest.raises(GateSyntaxError, match=re.escape(advice)) as caught:
        parse_gate(text)
    message = str(caught.value)
    assert repr(text) in message
    assert "\x1b" not in message


@pytest.mark.parametrize("text", ["x" * 100_000, "<" * 100_000, "pass@" + "9" * 10_000 + " >= 1"])
def test_huge_texts_are_refused(text: str) -> None:
    with pytest.raises(GateSyntaxError):
        parse_gate(text)


def test_names_are_unique_and_the_default_comes_last() -> None:
    gates = parse_gates(["reward >= 0.8", "reward <= 0.99", "pass@2 >= 0.9", "reward > 0"])
    assert [gate.name for gate in gates] == [
        "gate-reward",
        "gate-reward-2",
        "gate-pass-at-2",
        "gate-reward-3",
        "gate-error_rate",
    ]
    assert [gate.default for gate in gates] == [False, False, False, False, True]
    assert gates[-1] == Gate(
        "gate-error_rate", "error_rate", "<=", 0.0, "point", text=gates[-1].text, default=True
    )


def test_names_stay_unique_when_a_metric_is_called_like_a_second_gate() -> None:
    gates = parse_gates(["reward-2 >= 1", "reward >= 1", "reward >= 2", "error_rate < 1"])
    names = [gate.name for gate in gates]
    assert len(set(names)) == len(names) == 4


def test_names_hold_only_what_a_node_id_can() -> None:
    texts = ["pass@4 >= 1", "pass^4 >= 1", "latency.p99.9 < 1", "judge/tone:x >= 1", "a+b-c >= 1"]
    for gate in parse_gates(texts):
        assert re.fullmatch(r"[\w.+-]+", gate.name)


def test_no_gates_gives_the_default_alone() -> None:
    (gate,) = parse_gates([])
    assert (gate.text, gate.default) == ("error_rate <= 0", True)


def test_a_gate_on_error_rate_replaces_the_default() -> None:
    (gate,) = parse_gates(["error_rate <= 0.1"])
    assert not gate.default


@pytest.mark.parametrize("texts", ["reward >= 0.8", 3, None, {"reward": 0.8}])
def test_gates_must_be_a_list(texts: Any) -> None:
    with pytest.raises(GateSyntaxError, match="gates is a list"):
        parse_gates(texts)


@pytest.mark.parametrize(
    ("texts", "tolerant"),
    [
        ([], False),
        (["error_rate <= 0"], False),
        (["error_rate <= 0.01"], True),
        (["error_rate < 0.01"], True),
        (["error_rate <= 0.01", "error_rate <= 0"], False),
        (["error_rate >= 0.5"], False),
    ],
)
def test_tolerates_errors(texts: list[str], tolerant: bool) -> None:
    assert tolerates_errors(parse_gates(texts)) is tolerant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("pass@4 >= 0.1", "needs 4 rollouts per example and the eval makes 3"),
        ("pass^99 >= 0.1", "needs 99 rollouts"),
        ("pass@3 > 1", "is at most 1"),
        ("pass@3 >= 1.01", "is at most 1"),
        ("pass^3 < 0", "is never below 0"),
        ("error_rate < 0", "is never below 0"),
        ("error_rate <= -0.1", "is never below 0"),
        ("error_rate >= 1", "is at most 0.966667"),
        ("answer_rate > 1", "is at most 1"),
        ("truncated_rate < 0", "is never below 0"),
        ("turns < 0", "is never below 0"),
        ("output_tokens <= -1", "is never below 0"),
        ("latency.p95 < 0", "is never below 0"),
        ("latency.mean < 0", "is never below 0"),
    ],
)
def test_impossible_gates(text: str, why: str) -> None:
    message = impossible(parse_gate(text), num_examples=10, rollouts_per_example=3)
    assert message is not None
    assert why in message
    assert text in message


@pytest.mark.parametrize(
    "text",
    [
        "pass@3 >= 1",
        "pass^1 <= 0",
        "error_rate <= 0",
        "error_rate >= 0.5",
        "error_rate <= 2",
        "answer_rate >= 1",
        "reward >= 5",
        "reward < -5",
        "format >= 5",
        "turns > 1000",
        "latency.p95 <= 0",
    ],
)
def test_possible_gates(text: str) -> None:
    assert impossible(parse_gate(text), num_examples=10, rollouts_per_example=3) is None


def test_k_beyond_the_range_of_float_is_impossible() -> None:
    gate = parse_gate(f"pass@{'9' * 400} >= 0.5")
    assert "needs 999" in (impossible(gate, num_examples=1, rollouts_per_example=1) or "")


@pytest.mark.parametrize(
    ("written", "is_doubtful"),
    [
        ("reward >= 80", True),
        ("reward > 1", True),
        ("reward < 0", True),
        ("reward >= 1", False),
        ("reward <= 80", False),
        ("correct >= 80", False),
        ({"metric": "reward", "min": 80, "range": [0, 100]}, False),
    ],
)
def test_limits_that_a_reward_of_0_to_1_cannot_clear(written: Any, is_doubtful: bool) -> None:
    (gate, *_) = parse_gates([written])
    text = doubtful(gate)
    assert (text is not None) is is_doubtful
    assert impossible(gate, num_examples=100, rollouts_per_example=1) is None
    if text is not None:
        assert "cannot pass with rewards between 0 and 1" in text
