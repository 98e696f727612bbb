"""The table: what it says, and that it fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from pytest_evals.gates.grammar import parse_gates
from pytest_evals.gates.verdicts import judge
from pytest_evals.reports.columns import width_of
from pytest_evals.reports.summary import EvalSummary, summarise
from pytest_evals.reports.table import render
from pytest_evals.stats.measurements import Measurements, Plan


def summary(
    table: Sequence[Sequence[float | str]],
    gates: Sequence[str] = ("reward >= 0.5",),
    *,
    name: str = "arithmetic",
    model: str = "demo",
    seconds: float = 4.13,
    judged: bool = True,
    nodeid: str = "",
    **fields: Any,
) -> EvalSummary:
    rows = [
        {
            "example_id": example,
            "rollout": number,
            "state": entry if isinstance(entry, str) else "scored",
            "reward": None if isinstance(entry, str) else entry,
            **fields,
        }
        for example, line in enumerate(table)
        for number, entry in enumerate(line)
    ]
    found = Measurements.from_rows(rows, planned=Plan(len(table), max(map(len, table))))
    read = parse_gates(gates)
    return summarise(
        name=name,
        model=model,
        measurements=found,
        gates=read,
        verdicts=[judge(gate, found) for gate in read] if judged else [],
        seconds=seconds,
        nodeid=nodeid,
    )


def texts(summaries: Sequence[EvalSummary], width: int = 120) -> list[str]:
    return [line.text for line in render(summaries, width=width)]


GREEN = summary(
    [[1, 1, 0], [1, 0, 0], [1, 1, 1]],
    ["reward >= 0.5", "pass@2 >= 0.8"],
    metrics={"format": 0.5, "num_turns": 1},
    token_usage={"input_tokens": 400, "output_tokens": 11_000},
    served_model="demo",
)
RED = summary(
    [[1], ["unmeasured"], ["broken"], [0.5]],
    ["reward >= 0.9"],
    name="gsm8k",
    model="openai/gpt-4.1-mini",
    seconds=125,
    served_model="gpt-4.1-mini-2025",
)


def test_names_that_look_the_same_once_cut_stand_below_their_rows() -> None:
    names = [f"my-env-temperature-{t}-difficulty-hard" for t in (0.0, 0.5)]
    evals = [summary([[1]], name=name) for name in (*names, "my-env")]
    told = texts(evals, width=80)
    assert [line.strip() for line in told if line.strip() in names] == names
    assert told[1].startswith("my-env-temp")
    assert "my-env" not in [line.strip() for line in told]
    assert not set(names) & {line.strip() for line in texts(evals, width=200)}
    assert all(width_of(line) <= 60 for line in texts(evals, width=60))


def test_the_whole_screen() -> None:
    assert texts([GREEN, RED]) == [
        "eval        model                  n  reward         pass@k    errors  tokens in/out"
        "   time  verdict",
        "arithmetic  demo                 3x3  0.667 ± 0.192  @2 0.889       0       3.6k/99k"
        "   4.1s  passed",
        "  pass@1 0.667, pass@2 0.889, pass^2 0.444, format 0.500, num_turns 1.000",
        "  passed  reward 0.667 >= 0.5 (se 0.192, 3 examples x 3 rollouts, 9 of 9 scored, 95 %"
        " bounds 0.098 and 0.991, can see a",
        "          drop of 0.479)",
        "  passed  pass@2 0.889 >= 0.8 (se 0.111, 3 examples x 3 rollouts, 9 of 9 scored, 95 %"
        " bounds 0.276 and 1.000, can see a",
        "          drop of 0.276)",
        "  passed  error_rate 0.000 <= 0 (no errors in 9 rollouts)",
        "gsm8k       openai/gpt-4.1-mini  4x1  0.750 ± 0.250                 2            n/a"
        "  2m05s  FAILED",
        "  2 of 4 rollouts scored: 1 unmeasured, 1 broken",
        "  served by gpt-4.1-mini-2025",
        "  FAILED  reward 0.750 < 0.9 (0.375 to 0.875 counting the 2 without a value, se 0.250,"
        " 4 examples x 1 rollout, 2 of 4",
        "          scored, 95 % bounds 0.046 and 1.000, can see a drop of 0.622)",
        "  FAILED  error_rate 0.500 > 0 (1 unmeasured and 1 broken of 4 rollouts)",
        "a model exactly at the limit fails 'reward >= 0.5' 34% of the time; rule = \"evidence\""
        " fails it 2%",
    ]


def test_lines_say_what_they_are() -> None:
    lines = render([GREEN, RED], width=120)
    assert [(line.kind, line.verdict) for line in lines] == [
        ("header", None),
        ("eval", "passed"),
        ("detail", None),
        *[("gate", "passed")] * 5,  # two of them take two lines
        ("eval", "failed"),
        ("detail", None),
        ("detail", None),
        *[("gate", "failed")] * 3,
        ("detail", None),
    ]


def test_no_evals_no_table() -> None:
    assert render([], width=80) == []


def test_an_eval_without_a_gate_on_its_reward_says_so() -> None:
    assert texts([summary([[1], [1]], [])])[1].endswith("passed, not gated")
    assert texts([summary([[1], [1]], ["tone >= 0"], metrics={"tone": 1})])[1].endswith("not gated")
    for gate in ("reward >= 0", "pass@1 >= 0", "pass^1 >= 0"):
        assert texts([summary([[1], [1]], [gate])])[1].endswith("passed")


def test_verdicts_that_are_not_green_are_loud() -> None:
    assert texts([summary([[1, 1], [1]])])[1].endswith("INCONCLUSIVE")
    assert texts([summary([[1], [1]], judged=False)])[1].endswith("NOT JUDGED")
    assert texts([summary([[0], [0]])])[1].endswith("FAILED")


def test_nothing_scored_has_no_reward() -> None:
    row = texts([summary([["unmeasured"], ["broken"]])])[1]
    assert "n/a" in row
    assert "0.000" not in row


def test_one_example_has_no_standard_error() -> None:
    assert "1.000 ± n/a" in texts([summary([[1, 1]])])[1]


def test_missing_rollouts_are_named() -> None:
    assert "  3 of 4 rollouts scored: 1 without a result" in texts([summary([[1, 1], [1]])])


def test_what_leaves_the_table_stands_below_the_row() -> None:
    lines = texts([GREEN, RED], width=80)
    assert "tokens" not in lines[0]
    assert "tokens in/out 3.6k/99k" in lines[2]
    narrow = "\n".join(texts([GREEN, RED], width=60))
    for figure in ("model demo", "3.6k/99k", "4.1s", "pass@2 0.889"):
        assert figure in narrow


@pytest.mark.parametrize("width", range(60, 201))
def test_every_line_fits(width: int) -> None:
    summaries = [
        GREEN,
        RED,
        summary([[1], [1]], [], name="an-eval-" * 12, model="provider/" * 9, seconds=1e6),
        summary([[1, 1], [1]], [], name="日本語の評価" * 4, model="模型" * 20),
        summary(
            [[0.5] * 8] * 3,
            ["tone >= 0"],
            metrics={f"metric_{'x' * number}": -12345.678 for number in range(30)},
            served_model="s" * 300,
            token_usage={"input_tokens": 10**12, "output_tokens": 10**15},
        ),
    ]
    lines = texts(summaries, width)
    assert max(map(width_of, lines)) <= width
    for place, found in enumerate(summaries):
        rows = [line for line in lines if not line.startswith(" ")]
        assert rows[place + 1].startswith(found.name[:3])
        assert rows[place + 1].endswith(("passed", "FAILED", "gated", "INCONCLUSIVE"))


def test_a_terminal_too_narrow_gets_lines_for_sixty_columns() -> None:
    assert texts([GREEN, RED], width=1) == texts([GREEN, RED], width=60)


def test_columns_line_up() -> None:
    header, first, *_ = texts([summary([[1]], name="日本", model="模型")])
    start = width_of(header[: header.index("model")])
    assert width_of(first[: first.index("模")]) == start


def test_names_from_outside_are_harmless() -> None:
    lines = texts(
        [
            summary(
                [[1]],
                name="e\x1b[2J",
                model="m\n::error::",
                served_model="s\r\u202e\n",
                metrics={"a\x07\n": 1.0},
            )
        ]
    )
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (9.94, "9.9s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (3599.4, "59m59s"),
        (3600, "1h00m"),
        (7325, "2h02m"),
        (360_000, "100h00m"),
    ],
)
def test_times(seconds: float, text: str) -> None:
    assert f" {text}  passed" in texts([summary([[1]], seconds=seconds)])[1]


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1.0k"),
        (9949, "9.9k"),
        (9951, "10k"),
        (999_499, "999k"),
        (999_501, "1.0M"),
        (5_600_000, "5.6M"),
        (10**10, "10G"),
        (10**15, "1e+15"),
    ],
)
def test_token_counts(tokens: int, text: str) -> None:
    usage = {"input_tokens": tokens, "output_tokens": tokens}
    assert f" {text}/{text} " in texts([summary([[1]], token_usage=usage)])[1]


@pytest.mark.parametrize(("count", "text"), [(1, "  2 reward errors"), (2, "  4 reward errors")])
def test_mistakes_in_reward_functions_are_counted(count: int, text: str) -> None:
    lines = texts([summary([[0, 1]], reward_errors=["grade: KeyError"] * count)])
    assert f"{text} counted as 0" in lines


def test_one_mistake_is_no_more() -> None:
    lines = texts([summary([[0]], reward_errors=["grade: KeyError: 'x' (sums.py:13)"])])
    at = lines.index("  1 reward error counted as 0")
    assert lines[at + 1] == "    1x grade: KeyError: 'x' (sums.py:13)"
    assert not any("reward error" in line for line in texts([summary([[0]])]))


def test_the_first_error_of_a_function_and_of_a_tool_is_shown_whoever_wrote_it() -> None:
    runs = {"a\nb": {"calls": 1, "errors": {"E": 1}}}
    errors = [f"grade{number}: ValueError: {'x' * 1000}\x1b[2J" for number in range(9)]
    lines = texts([summary([[0, 1]], reward_errors=errors, tool_runs=runs)])

    shown = [line for line in lines if line.startswith("    2x grade")]
    assert len(shown) == 5
    assert all(len(line) < 400 and "\x1b" not in line for line in shown)
    assert r"  tool a\nb raised E in 2 of 2 calls" in lines


def test_rollouts_that_ran_out_of_time_are_counted() -> None:
    timed_out: dict[str, Any] = {
        "stop_condition": "timeout_reached",
        "timing": {"generation": {"duration": 30.02}},
    }
    lines = texts([summary([[0, 1], [0, "broken"]], **timed_out)])
    assert "  timeouts: 3 of 3 scored rollouts ran out of their 30s" in lines


def test_other_ends_are_not_out_of_time() -> None:
    lines = texts([summary([[0, 1]], stop_condition="max_turns_reached")])
    assert not any("timeouts" in line for line in lines)


def test_evals_of_one_name_are_told_apart_by_their_files() -> None:
    nodeids = ["one/a.toml::sums", "one/b.toml::sums", "two/b.toml::sums", "one/a.toml::other"]
    table = texts([summary([[1]], name=id.rpartition(":")[2], nodeid=id) for id in nodeids])
    shown = [line.partition(" ")[0] for line in table if "::" in line or "other" in line]
    assert shown == ["a.toml::sums", "one/b.toml::sums", "two/b.toml::sums", "other"]
