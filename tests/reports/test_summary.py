"""EvalSummary and metadata: the same figures everywhere, in the layout that tools know."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_evals.gates.grammar import parse_gates
from pytest_evals.gates.verdicts import judge
from pytest_evals.reports.metadata import metadata
from pytest_evals.reports.summary import EvalSummary, summarise
from pytest_evals.stats.measurements import Measurements, Plan


def evaluated(
    table: Sequence[Sequence[float | str]],
    gates: Sequence[str] = ("reward >= 0.5",),
    *,
    plan: Plan | None = None,
    **fields: Any,
) -> tuple[EvalSummary, Measurements]:
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
    planned = plan or Plan(len(table), max(map(len, table)))
    found = Measurements.from_rows(rows, planned=planned)
    read = parse_gates(gates)
    summary = summarise(
        name="toy",
        model="m1",
        measurements=found,
        gates=read,
        verdicts=[judge(gate, found) for gate in read],
        seconds=1.5,
    )
    return summary, found


def written(summary: EvalSummary, found: Measurements, **fields: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "env_id": "toy-env",
        "env_args": {"n": 5},
        "base_url": "http://127.0.0.1:1/v1",
        "sampling_args": {"n": 1, "extra_body": {}, "max_tokens": None},
        "version": "0.1.0",
    }
    return metadata(summary=summary, measurements=found, **(arguments | fields))


def test_figures_of_a_complete_eval() -> None:
    summary, _ = evaluated(
        [[1, 0, 0, 0], [1, 1, 1, 0]],
        ["reward >= 0.5"],
        metrics={"format": 0.5},
        token_usage={"input_tokens": 10, "output_tokens": 3},
        served_model="m1-2025",
    )
    assert summary.mean_reward == 0.5
    assert summary.standard_error == pytest.approx(0.25)
    assert summary.metrics == {"format": 0.5}
    assert summary.pass_at_k == {1: 0.5, 2: pytest.approx(0.75), 4: 1.0}
    assert summary.pass_hat_k == {1: 0.5, 2: pytest.approx(0.25), 4: 0.0}
    assert (summary.input_tokens, summary.output_tokens) == (80, 24)
    assert summary.served_models == ("m1-2025",)
    assert (summary.verdict, summary.gated, summary.planned) == ("passed", True, 8)


@pytest.mark.parametrize(("rollouts", "ks"), [(1, []), (2, [1, 2]), (3, [1, 2]), (8, [1, 2, 4, 8])])
def test_pass_at_powers_of_two(rollouts: int, ks: list[int]) -> None:
    summary, _ = evaluated([[1.0] * rollouts] * 2)
    assert list(summary.pass_at_k) == list(summary.pass_hat_k) == ks


def test_errors_are_never_averaged_in() -> None:
    summary, found = evaluated([[1, "unmeasured"], [0.5, "broken"], ["broken", "broken"]])
    assert summary.mean_reward == 0.75
    assert (summary.scored, summary.unmeasured, summary.broken, summary.missing) == (2, 1, 3, 0)
    assert summary.pass_at_k == {1: 1.0}
    data = written(summary, found)
    assert data["avg_reward"] == 0.75
    assert data["avg_error"] == pytest.approx(4 / 6)


def test_nothing_scored_has_no_figures() -> None:
    summary, found = evaluated([["unmeasured"], ["broken"]])
    assert summary.mean_reward is None
    assert summary.standard_error is None
    assert summary.input_tokens is None
    assert summary.verdict == "failed"
    data = written(summary, found)
    assert data["avg_reward"] is None
    assert data["usage"] is None
    assert data["avg_error"] == 1.0


def test_no_rows_at_all() -> None:
    summary, found = evaluated([], plan=Plan(5, 3))
    assert (summary.verdict, summary.missing) == ("failed", 15)
    assert written(summary, found)["complete"] is False


def test_the_gate_and_the_summary_state_the_same_mean() -> None:
    for metric in ("reward", "format", "pass@2", "pass^2"):
        summary, _ = evaluated(
            [[0.1, 0.9, 0.3], [1, "unmeasured", 0.7]], [f"{metric} >= 0.1"], metrics={"format": 0.3}
        )
        figures: Mapping[str, float | None] = {
            "reward": summary.mean_reward,
            "format": summary.metrics["format"],
            "pass@2": summary.pass_at_k[2],
            "pass^2": summary.pass_hat_k[2],
        }
        assert summary.verdicts[0].value == figures[metric]


def test_tokens_of_rollouts_that_failed_were_paid_for() -> None:
    summary, _ = evaluated([[1], ["unmeasured"]], token_usage={"input_tokens": 5})
    assert summary.input_tokens == 10
    assert summary.output_tokens is None


def test_token_counts_out_of_range_are_unknown() -> None:
    summary, _ = evaluated(
        [[1], [1]], token_usage={"input_tokens": math.inf, "output_tokens": 1e308}
    )
    assert summary.input_tokens is None


def test_metadata_has_the_keys_of_verifiers_in_their_order() -> None:
    data = written(*evaluated([[1, 0], [1, 1], [1, 0]], token_usage={"input_tokens": 4}))
    assert list(data)[:21] == [
        "env_id",
        "env_args",
        "model",
        "base_url",
        "num_examples",
        "rollouts_per_example",
        "shuffle",
        "shuffle_seed",
        "sampling_args",
        "time",
        "avg_reward",
        "avg_metrics",
        "avg_error",
        "pass_at_k",
        "pass_all_k",
        "pass_threshold",
        "usage",
        "version_info",
        "state_columns",
        "tools",
        "name",
    ]
    assert data["pass_at_k"] == {"1": pytest.approx(2 / 3), "2": 1.0}
    assert data["pass_all_k"] == {"1": pytest.approx(2 / 3), "2": pytest.approx(1 / 3)}
    assert data["usage"] == {"input_tokens": 4.0}
    assert (data["num_examples"], data["rollouts_per_example"]) == (3, 2)
    assert (data["planned"], data["complete"], data["time"]) == (6, True, 1.5)
    assert data["states"] == {"scored": 6, "unmeasured": 0, "broken": 0, "missing": 0}
    assert data["version_info"] == {"pytest_evals": "0.1.0"}
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_metadata_holds_each_gate_with_its_figures() -> None:
    data = written(*evaluated([[1, 0], [1, 1]], ["reward >= 0.80"]))
    reward, errors = data["gates"]
    assert data["verdict"] == "failed"
    assert reward == {
        "name": "gate-reward",
        "gate": "reward >= 0.80",
        "metric": "reward",
        "comparison": ">=",
        "limit": 0.8,
        "rule": "point",
        "confidence": 0.95,
        "tier": "blocking",
        "default": False,
        "outcome": "failed",
        "is_red": True,
        "value": 0.75,
        "standard_error": 0.25,
        "low": 0.75,
        "high": 0.75,
        "lower": pytest.approx(0.014, abs=0.001),
        "upper": pytest.approx(1.0, abs=0.001),
        "detectable_drop": pytest.approx(0.622, abs=0.001),
        "n_examples": 2,
        "n_rollouts": 4,
        "coverage": 1.0,
        "reason": "reward 0.750 < 0.80",
        "line": "reward 0.750 < 0.80 (se 0.250, 2 examples x 2 rollouts, 4 of 4 scored,"
        " 95 % bounds 0.014 and 1.000, can see a drop of 0.622)",
        "worth": reward["worth"],
        "worst": "",
    }
    assert (errors["default"], errors["outcome"]) == (True, "passed")


def test_metadata_writes_nan_as_null() -> None:
    data = written(*evaluated([[math.nan], [1]], metrics={"tone": math.inf}))
    assert data["avg_reward"] is None
    assert data["avg_metrics"] == {"tone": None}
    assert data["verdict"] == "failed"
    json.dumps(data, allow_nan=False)


def test_metadata_is_not_tied_to_its_arguments() -> None:
    env_args = {"n": 5}
    data = written(*evaluated([[1]]), env_args=env_args)
    data["env_args"]["n"] = 6
    assert env_args == {"n": 5}


def test_metadata_names_tools_and_counts_what_became_zero() -> None:
    errors = ["grade: KeyError: 'a' (sums.py:3)", "tone: returned None"]
    summary, found = evaluated([[1, 0]], reward_errors=errors, tool_defs=[{"name": "add"}])
    data = written(summary, found, extra_env_kwargs={"max_turns": 3})
    assert data["tools"] == [{"name": "add"}]
    assert (data["reward_errors"], summary.reward_errors) == (4, 4)
    assert summary.first_reward_errors == ((2, errors[0]), (2, errors[1]))
    assert data["extra_env_kwargs"] == {"max_turns": 3}
    assert written(*evaluated([[1]]))["tools"] is None


def test_what_tools_raised_is_told_with_the_calls_there_were() -> None:
    runs = {
        "add": {"calls": 4, "errors": {"RuntimeError": 2, "KeyError": 1}},
        "book": {"calls": 1, "errors": {}},
    }
    summary, _ = evaluated([[1, 0]], tool_runs=runs)
    assert summary.tool_errors == (
        "tool add raised RuntimeError in 4 of 8 calls",
        "tool add raised KeyError in 2 of 8 calls",
    )
    summary, _ = evaluated([[1]], tool_runs={"add": {"calls": 1, "errors": {"KeyError": 1}}})
    assert summary.tool_errors == ("tool add raised KeyError in 1 of 1 call",)
    assert evaluated([[1]])[0].tool_errors == ()


def test_a_cost_that_rows_lack_is_no_sum() -> None:
    tokens = {"input_tokens": 10, "output_tokens": 3}
    cost = {"input_usd": 0.1, "output_usd": 0.2, "total_usd": 0.3}
    rows: list[dict[str, Any]] = [
        {"example_id": 0, "rollout": 0, "state": "broken", "token_usage": tokens, "cost": cost},
        {"example_id": 1, "rollout": 0, "state": "broken"},
    ]

    def summed(*more: dict[str, Any]) -> EvalSummary:
        found = Measurements.from_rows([*rows, *more], planned=Plan(3, 1))
        return summarise(
            name="toy", model="m1", measurements=found, gates=(), verdicts=(), seconds=1.0
        )

    last = {"example_id": 2, "rollout": 0, "state": "broken", "token_usage": tokens}
    assert summed().cost == summed().paid == cost
    assert (summed(last).cost, summed(last).paid) == (None, None)
    replayed = summed(last | {"cost": cost, "paid": dict.fromkeys(cost, 0.0)})
    assert replayed.cost is not None
    assert replayed.cost["total_usd"] == pytest.approx(0.6)
    assert replayed.paid == cost
