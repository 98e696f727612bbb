"""Verdicts: exact figures, honest bounds, and red whenever the data cannot show green."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from typing import Any

import pytest

from pytest_evals.gates.figures import clears
from pytest_evals.gates.grammar import parse_gate, parse_gates
from pytest_evals.gates.verdicts import Verdict, judge, overall
from pytest_evals.stats.measurements import Measurements, Plan

# A rollout in a table of rewards: its reward, or a state without one.
U, B, G = "unmeasured", "broken", "generated"


def measured(
    table: Sequence[Sequence[Any]], *, rollouts: int | None = None, **columns: Any
) -> Measurements:
    """Make measurements of a table of rewards, one line per example.

    `columns` are functions of the reward that make further fields of a scored row.
    """
    rows = []
    for example, line in enumerate(table):
        for number, entry in enumerate(line):
            scored = not isinstance(entry, str)
            row = {
                "example_id": example,
                "rollout": number,
                "state": "scored" if scored else entry,
                "reward": entry if scored else None,
            }
            if scored:
                row |= {name: make(entry) for name, make in columns.items()}
            rows.append(row)
    per_example = rollouts or max(map(len, table), default=1)
    return Measurements.from_rows(rows, planned=Plan(len(table), per_example))


def verdict(text: str, measurements: Measurements) -> Verdict:
    return judge(parse_gate(text), measurements)


@pytest.mark.parametrize(
    ("text", "table", "outcome", "value", "error"),
    [
        ("reward >= 0.5", [[1, 0], [1, 1], [0, 0], [1, 0]], "passed", 0.5, math.sqrt(1 / 24)),
        ("reward > 0.5", [[1, 0], [1, 1], [0, 0], [1, 0]], "failed", 0.5, math.sqrt(1 / 24)),
        ("reward <= 0.5", [[1, 0], [0.5, 0.5]], "passed", 0.5, 0.0),
        ("reward < 0.5", [[1, 0], [0.5, 0.5]], "failed", 0.5, 0.0),
        ("reward >= 0.1", [[0], [0]], "failed", 0.0, 0.0),
        ("reward >= 0", [[0], [0]], "passed", 0.0, 0.0),
        ("reward >= 1", [[1], [1]], "passed", 1.0, 0.0),
        ("reward >= 0.7", [[0.7]], "passed", 0.7, None),
        ("reward >= 2.5", [[3, 2], [4, 1]], "passed", 2.5, 0.0),
        ("reward >= -0.5", [[-1], [0]], "passed", -0.5, 0.5),
        ("pass@1 >= 0.5", [[1, 0, 0], [1, 1, 0]], "passed", 0.5, 1 / 6),
        ("pass@2 >= 0.8", [[1, 0, 0], [1, 1, 0]], "passed", 5 / 6, 1 / 6),
        ("pass@3 >= 1", [[1, 0, 0], [1, 1, 0]], "passed", 1.0, 0.0),
        ("pass^2 >= 0.5", [[1, 0, 0], [1, 1, 0]], "failed", 1 / 6, 1 / 6),
        ("pass^3 > 0", [[1, 0, 0], [1, 1, 1]], "passed", 0.5, 0.5),
        ("pass@1 >= 1", [[0.5], [0.6]], "passed", 1.0, 0.0),
        ("pass@1 > 0", [[0.4999]], "failed", 0.0, None),
        ("error_rate <= 0", [[0, 1]], "passed", 0.0, None),
        ("error_rate <= 0.25", [[1, U], [B, 0], [1, 1], [1, 1]], "passed", 0.25, None),
        ("error_rate < 0.25", [[1, U], [B, 0], [1, 1], [1, 1]], "failed", 0.25, None),
        ("error_rate <= 0", [[1, 1], [1, B]], "failed", 0.25, None),
    ],
)
def test_value_standard_error_and_outcome(
    text: str, table: Any, outcome: str, value: float, error: float | None
) -> None:
    found = verdict(text, measured(table))
    assert found.outcome == outcome, found.line
    assert found.value == pytest.approx(value)
    assert found.standard_error == pytest.approx(error)
    assert found.low == found.high == found.value
    assert (found.reason == "") is (outcome == "passed")


def test_a_mean_that_falls_short_by_rounding_meets_its_limit() -> None:
    rewards = [0.6999999999999999] * 3
    found = verdict("reward >= 0.7", measured([rewards, rewards]))
    assert found.outcome == "passed"
    assert found.line.startswith("reward 0.700 >= 0.7 (")
    assert verdict("reward > 0.7", measured([rewards])).line.startswith("reward 0.700 <= 0.7 (")


@pytest.mark.parametrize(
    ("text", "table", "line"),
    [
        (
            "reward >= 0.80",
            [[1, 0], [1, 1]],
            "reward 0.750 < 0.80 (se 0.250, 2 examples x 2 rollouts, 4 of 4 scored)",
        ),
        (
            "reward >= 0.8",
            [[1]],
            "reward 1.000 >= 0.8 (se n/a, 1 example x 1 rollout, 1 of 1 scored)",
        ),
        (
            "reward >= 0.8",
            [[0.79996], [0.79996]],
            "reward 0.79996 < 0.8 (se 0.000, 2 examples x 1 rollout, 2 of 2 scored)",
        ),
        (
            "reward >= 0.5",
            [[1, 1], [1, U]],
            "reward 1.000 >= 0.5 (0.750 to 1.000 counting the 1 without a value, "
            "se 0.000, 2 examples x 2 rollouts, 3 of 4 scored)",
        ),
        (
            "reward >= 0.80",
            [[1, 1], [1, U]],
            "reward >= 0.80 undecided: between 0.750 and 1.000, as 1 rollout has no value "
            "(1.000 without them, se 0.000, 2 examples x 2 rollouts, 3 of 4 scored)",
        ),
        (
            "pass@2 >= 0.80",
            [[0, U]],
            "pass@2 >= 0.80 undecided: between 0.000 and 1.000, as 1 rollout has no value "
            "(se n/a, 1 example x 2 rollouts, 1 of 2 scored, value from 0)",
        ),
        (
            "pass^2 >= 0.80",
            [[0, U], [0, 0]],
            "pass^2 0.000 < 0.80 (se n/a, 2 examples x 2 rollouts, 3 of 4 scored, value from 2)",
        ),
        (
            "pass^2 >= 0.60",
            [[1, U], [0, 0]],
            "pass^2 0.000 < 0.60 (0.000 to 0.500 counting the 1 without a value, "
            "se n/a, 2 examples x 2 rollouts, 3 of 4 scored, value from 2)",
        ),
        ("error_rate <= 0", [[1, 1]], "error_rate 0.000 <= 0 (no errors in 2 rollouts)"),
        (
            "error_rate <= 0",
            [[1, U], [B, B]],
            "error_rate 0.750 > 0 (1 unmeasured and 2 broken of 4 rollouts)",
        ),
        (
            "reward >= 0.8",
            [[1, G], [1, 1]],
            "reward >= 0.8 undecided: incomplete: 3 of 4 rollouts have a result",
        ),
        (
            "error_rate <= 1",
            [[U, B]],
            "error_rate <= 1 failed: nothing was scored (of 2 planned rollouts 1 are unmeasured, "
            "1 broken, 0 have no result)",
        ),
    ],
)
def test_lines(text: str, table: Any, line: str) -> None:
    # What the bounds are is another test's.
    assert verdict(text, measured(table)).line.startswith(line.removesuffix(")"))


@pytest.mark.parametrize(
    ("text", "table", "outcome", "low", "high"),
    [
        ("reward >= 0.75", [[1, 1], [1, U]], "passed", 0.75, 1.0),
        ("reward >= 0.76", [[1, 1], [1, U]], "inconclusive", 0.75, 1.0),
        ("reward >= 0.51", [[1, 0], [0, B]], "failed", 0.25, 0.5),
        ("reward <= 0.5", [[1, 0], [0, B]], "passed", 0.25, 0.5),
        ("reward <= 0.25", [[1, 0], [0, B]], "inconclusive", 0.25, 0.5),
        ("reward > 0.5", [[1, 0], [0, B]], "failed", 0.25, 0.5),
        ("reward < 0.25", [[1, 0], [0, B]], "failed", 0.25, 0.5),
        # an example with nothing scored counts in the bounds
        ("reward >= 0.5", [[1, 1], [U, U]], "passed", 0.5, 1.0),
        # the range of rewards is widened by those seen
        ("reward >= 1", [[2], [U]], "passed", 1.0, 2.0),
        ("reward >= 0", [[-1], [U]], "inconclusive", -1.0, 0.0),
        # all wrong: 1 of 3; all right: 3 of 3
        ("pass@2 >= 0.9", [[1, U, U]], "inconclusive", 2 / 3, 1.0),
        ("pass^2 >= 0.1", [[1, U, U]], "inconclusive", 0.0, 1.0),
        ("pass@2 >= 0.9", [[1, 1, U]], "passed", 1.0, 1.0),
        ("pass^3 >= 0.1", [[1, 0, U]], "failed", 0.0, 0.0),
        ("pass@3 >= 0.1", [[1, U, U]], "passed", 1.0, 1.0),
    ],
)
def test_unmeasured_rollouts_are_bounded(
    text: str, table: Any, outcome: str, low: float, high: float
) -> None:
    found = verdict(text, measured(table))
    assert found.outcome == outcome, found.line
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)


def test_a_bound_speaks_where_the_value_is_not_defined_or_not_within_the_bounds() -> None:
    none = verdict("pass@2 >= 0.5", measured([[1, U, U]]))
    assert none.value is None
    assert none.line.startswith("pass@2 at least 0.667 >= 0.5 (0.667 to 1.000 counting the 2 ")
    # pass^2 of the one example with two rewards is 1, which the other must pull down
    outside = verdict("pass^2 >= 0.9", measured([[1, 1, 1], [0, U, U]]))
    assert (outside.value, outside.low) == (1.0, 0.5)
    assert outside.high == pytest.approx(2 / 3)
    assert outside.outcome == "failed"
    assert outside.line.startswith("pass^2 at most 0.667 < 0.9 (")


def test_columns_besides_the_reward() -> None:
    data = measured(
        [[1, 2], [3, 4]],
        metrics=lambda reward: {"format": reward / 4, "num_turns": reward},
        token_usage=lambda reward: {"input_tokens": 10 * reward, "output_tokens": 100 * reward},
        timing=lambda reward: {"generation": {"duration": reward / 10}},
        is_truncated=lambda reward: reward == 4,
        prediction=lambda reward: "" if reward == 1 else "x",
    )
    expected = {
        "format": 0.625,
        "turns": 2.5,
        "num_turns": 2.5,
        "input_tokens": 25.0,
        "output_tokens": 250.0,
        "latency.mean": 0.25,
        "latency.p50": 0.2,
        "latency.p75": 0.3,
        "latency.p95": 0.4,
        "truncated_rate": 0.25,
        "answer_rate": 0.75,
    }
    for metric, value in expected.items():
        found = verdict(f"{metric} >= {value}", data)
        assert found.value == pytest.approx(value), metric
        assert found.outcome == "passed"
        assert found.n_rollouts == 4
        assert ("se " in found.line) is not metric.startswith("latency.p")


def test_latency_and_tokens_are_bounded_by_what_was_seen() -> None:
    data = measured(
        [[1, 1], [1, U]],
        token_usage=lambda _: {"output_tokens": 0.5},
        timing=lambda _: {"generation": {"duration": 0.25}},
    )
    for metric, value in {
        "output_tokens": 0.5,
        "latency.mean": 0.25,
        "latency.p95": 0.25,
    }.items():
        found = verdict(f"{metric} <= {value}", data)
        assert (found.low, found.high) == (value, value)
        assert found.outcome == "passed"


def test_tokens_of_unmeasured_rollouts_are_paid_for_but_not_judged() -> None:
    rows: list[dict[str, Any]] = [
        {"example_id": 0, "rollout": 0, "state": "scored", "reward": 1.0},
        {"example_id": 1, "rollout": 0, "state": "unmeasured"},
    ]
    for row, tokens in zip(rows, (10, 990), strict=True):
        row["token_usage"] = {"output_tokens": tokens}
    found = verdict("output_tokens <= 10", Measurements.from_rows(rows, planned=Plan(2, 1)))
    assert (found.value, found.high, found.outcome) == (10.0, 10.0, "passed")


def test_percentile_bounds() -> None:
    data = measured(
        [[1], [2], [3], [U]], timing=lambda reward: {"generation": {"duration": float(reward)}}
    )
    found = verdict("latency.p50 <= 2", data)
    # of 1, 2, 3 and one more: the second smallest, with the fourth at 1 or at 3
    assert (found.low, found.value, found.high, found.outcome) == (1.0, 2.0, 2.0, "passed")


@pytest.mark.parametrize(
    ("scores", "low", "high"),
    [([0.5, 1.0], 0.5, 0.833), ([2.0, 4.0], 2.667, 3.333), ([-1.0, 1.0], -0.333, 0.333)],
)
def test_a_metric_that_a_rollout_lacks_is_bounded(
    scores: list[float], low: float, high: float
) -> None:
    values = iter([*scores, None])
    data = measured(
        [[1], [1], [1]],
        metrics=lambda _: {} if (value := next(values)) is None else {"tone": value},
    )
    found = verdict("tone >= 0.6", data)
    assert found.low == pytest.approx(low, abs=1e-3)
    assert found.high == pytest.approx(high, abs=1e-3)
    assert (found.n_examples, found.n_rollouts, found.coverage) == (2, 2, 1.0)
    assert "3 of 3 scored, value from 2," in found.line


def test_a_metric_that_no_rollout_has_fails_and_names_those_that_exist() -> None:
    data = measured([[1], [1]], metrics=lambda reward: {"format": reward, "tone": reward})
    found = verdict("fromat >= 0.1", data)
    assert found.outcome == "failed"
    assert found.value is None
    assert "no rollout has a metric 'fromat'" in found.line
    assert "the rubric's metrics are 'format', 'tone'" in found.line
    assert "did you mean 'format'?" in found.line


def test_a_metric_of_an_unmeasured_rollout_alone_does_not_exist() -> None:
    rows = [
        {"example_id": 0, "rollout": 0, "state": "scored", "reward": 1.0},
        {"example_id": 1, "rollout": 0, "state": "broken", "metrics": {"tone": 1.0}},
    ]
    found = verdict("tone >= 0", Measurements.from_rows(rows, planned=Plan(2, 1)))
    assert found.outcome == "failed"
    assert "the rubric's metrics are none" in found.line


def test_names_of_metrics_are_printed_harmless_and_not_all() -> None:
    names = {f"\x1b[2J\n{number}": 1.0 for number in range(40)}
    found = verdict("tone >= 0", measured([[1]], metrics=lambda _: names))
    assert "and 28 more" in found.line
    assert found.line.isprintable()


@pytest.mark.parametrize(
    "metric", ["input_tokens", "latency.p95", "latency.mean", "turns", "answer_rate"]
)
def test_a_built_in_metric_without_values_fails(metric: str) -> None:
    found = verdict(f"{metric} <= 1e9", measured([[1], [1]]))
    assert found.outcome == "failed"
    assert f"no rollout has a value of {metric!r}" in found.line


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("comparison", [">=", "<=", ">", "<"])
@pytest.mark.parametrize("metric", ["reward", "pass@1", "pass^1", "tone", "latency.p50", "turns"])
def test_a_value_that_is_not_finite_fails(metric: str, comparison: str, value: float) -> None:
    values = iter([1.0, value])
    data = measured(
        [[1.0], [value]],
        metrics=lambda reward: {"tone": reward, "num_turns": reward},
        timing=lambda _: {"generation": {"duration": next(values)}},
    )
    found = verdict(f"{metric} {comparison} 0.5", data)
    assert found.outcome == "failed"
    assert "1 of 2 rollouts have a value that is not a finite number" in found.line


def test_values_whose_sum_is_out_of_range_fail() -> None:
    found = verdict("reward >= 0.5", measured([[1e308] * 4]))
    assert found.outcome == "failed"


@pytest.mark.parametrize(
    "text", ["reward >= 0", "error_rate <= 1", "pass@1 >= 0", "tone <= 1", "latency.p95 <= 9"]
)
@pytest.mark.parametrize("table", [[[U, U]], [[B]], [[U, G]], [[G]], [], [[]]])
def test_nothing_scored_fails_every_gate(text: str, table: Any) -> None:
    found = verdict(text, measured(table, rollouts=2))
    assert found.outcome == "failed"
    assert "nothing was scored" in found.line


@pytest.mark.parametrize(
    "text", ["reward >= 0", "error_rate <= 1", "pass@1 >= 0", "tone <= 1", "reward >= 99"]
)
@pytest.mark.parametrize("table", [[[1, 1], [1]], [[1, 1], []], [[1, G], [1, 1]]])
def test_an_incomplete_eval_is_inconclusive_whatever_the_gate(text: str, table: Any) -> None:
    found = verdict(text, measured(table, rollouts=2))
    assert found.outcome == "inconclusive"
    assert re.search(r"incomplete: [23] of 4 rollouts have a result", found.line)


def test_results_of_another_plan_are_inconclusive() -> None:
    rows = [{"example_id": n, "rollout": 0, "state": "scored", "reward": 1.0} for n in range(3)]
    found = verdict("reward >= 0", Measurements.from_rows(rows, planned=Plan(2, 1)))
    assert found.outcome == "inconclusive"
    assert "hold 1 rollouts that were not planned" in found.line


def test_whatever_the_unmeasured_rollouts_were_the_verdict_stands() -> None:
    """Complete random evals by random rewards: a decided verdict is the one of the whole."""
    generator = random.Random(17)
    gates = ["reward >= 0.6", "reward < 0.4", "pass@2 >= 0.7", "pass^2 > 0.3", "pass@1 <= 0.5"]
    decided = 0
    for _ in range(400):
        whole = [
            [generator.choice([0.0, 0.3, 0.5, 1.0]) for _ in range(3)]
            for _ in range(generator.randint(1, 6))
        ]
        holes = [[entry if generator.random() < 0.9 else U for entry in line] for line in whole]
        if all(entry == U for line in holes for entry in line):
            continue
        for text in gates:
            partial, full = verdict(text, measured(holes)), verdict(text, measured(whole))
            assert full.value is not None
            assert partial.low is not None
            assert partial.high is not None
            assert partial.low - 1e-12 <= full.value <= partial.high + 1e-12
            if partial.outcome != "inconclusive":
                decided += 1
                assert partial.outcome == full.outcome
    assert decided > 500


def test_every_printed_inequality_is_true() -> None:
    generator = random.Random(23)
    for _ in range(500):
        table = [
            [generator.choice([0.0, 1.0, generator.random(), U]) for _ in range(2)]
            for _ in range(generator.randint(1, 5))
        ]
        comparison = generator.choice([">=", "<=", ">", "<"])
        metric = generator.choice(["reward", "pass@2", "error_rate"])
        found = verdict(f"{metric} {comparison} {generator.random():.2f}", measured(table))
        stated = re.match(r"\S+ (?:at least |at most )?(\S+) (>=|<=|>|<) (\S+) \(", found.line)
        if stated is None:
            assert "undecided" in found.line or "nothing was scored" in found.line
            continue
        held: Any = stated[2]
        assert clears(float(stated[1]), held, float(stated[3])), found.line
        assert (held == comparison) is (found.outcome == "passed")


def test_overall() -> None:
    gates = parse_gates(["reward >= 0.5", "pass@1 >= 0.5"])
    good, bad, holes = measured([[1], [1]]), measured([[0], [0]]), measured([[1], [U]])
    passed = [judge(gate, good) for gate in gates]
    assert overall(gates, passed) == "passed"
    assert overall(gates, passed[:-1]) == "not judged"
    assert overall(gates, []) == "not judged"
    assert overall([], []) == "not judged"
    assert overall(gates, [judge(gate, bad) for gate in gates]) == "failed"
    assert overall(gates, [judge(gates[0], bad)]) == "failed"
    undecided = parse_gates(["reward >= 0.8", "error_rate <= 0.5"])
    assert overall(undecided, [judge(gate, holes) for gate in undecided]) == "inconclusive"


def test_a_computed_value_is_compared_as_it_is() -> None:
    (gate, _) = parse_gates(["length >= 10"])
    measured = Measurements.from_rows(
        [{"example_id": 0, "rollout": 0, "state": "scored", "reward": 1.0}], planned=Plan(1, 1)
    )
    assert judge(gate, measured, computed=10.0).outcome == "passed"
    assert judge(gate, measured, computed=9.5).line.startswith("length 9.500 < 10")
    assert judge(gate, measured, computed=math.nan).outcome == "failed"


def test_a_computed_value_decides_nothing_while_rollouts_are_unmeasured() -> None:
    (gate, _) = parse_gates(["length >= 10"])
    rows = [
        {"example_id": 0, "rollout": 0, "state": "scored", "reward": 1.0},
        {"example_id": 0, "rollout": 1, "state": "unmeasured", "reward": None},
    ]
    measured = Measurements.from_rows(rows, planned=Plan(1, 2))
    assert judge(gate, measured, computed=99.0).outcome == "inconclusive"


def test_too_few_examples_to_see_any_drop() -> None:
    line = verdict("reward >= 0.5", measured([[1], [0]])).line
    assert "too few examples to see any drop" in line
    assert "can see" not in line
    spread = measured([[100], [0], [100]])  # without a range nothing is known of it
    assert "can see a drop of" in verdict("reward >= 50", spread).line
