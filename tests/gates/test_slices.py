"""Gates by slices: each slice is judged, with bounds for as many as there are."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from pytest_evals.gates.grammar import GateSyntaxError, impossible, parse_gate, parse_gates
from pytest_evals.gates.slices import red_part, unprovable
from pytest_evals.gates.verdicts import Verdict, judge
from pytest_evals.gates.worst import worst_examples
from pytest_evals.reports.slice_table import slice_table
from pytest_evals.stats.distributions import binomial_cdf
from pytest_evals.stats.measurements import Measurements, Plan
from pytest_evals.stats.multiplicity import holm

U = None
Groups = Mapping[Any, Sequence[Sequence[float | None]]]


def measured(slices: Groups, by: str = "task", **columns: Any) -> Measurements:
    """Make measurements of slices: examples of each, and rewards of each example."""
    rows: list[dict[str, Any]] = []
    examples = [(name, group) for name, groups in slices.items() for group in groups]
    for example, (name, group) in enumerate(examples):
        for number, reward in enumerate(group):
            rows.append(
                {
                    "example_id": example,
                    "rollout": number,
                    "state": "unmeasured" if reward is None else "scored",
                    "reward": reward,
                    "task": name,
                    "metrics": {key: make(reward) for key, make in columns.items()},
                }
            )
    most = max((len(group) for _, group in examples), default=1)
    return Measurements.from_rows(rows, planned=Plan(len(examples), most), by=[by])


def right(number: int, of: int) -> list[list[float | None]]:
    """Return examples of one rollout each, of which the first are right."""
    return [[1.0 if n < number else 0.0] for n in range(of)]


def verdict(slices: Groups, rule: str = "point", **more: Any) -> Verdict:
    table = {"metric": "reward", "by": "task", "rule": rule, **more}
    if "max" not in more:
        table.setdefault("min", 0.7)
    return judge(parse_gate(table), measured(slices))


def outcomes(found: Verdict) -> dict[str, str]:
    return {each.name: each.outcome for each in found.slices}


def test_each_slice_is_judged_and_the_worst_is_told() -> None:
    found = verdict({"sums": right(9, 10), "logic": right(3, 10), "maps": right(6, 10)})
    assert (found.outcome, found.is_green, found.value) == ("failed", False, 0.3)
    assert [each.name for each in found.slices] == ["logic", "maps", "sums"]
    assert outcomes(found) == {"logic": "failed", "maps": "failed", "sums": "passed"}
    assert found.line.startswith(
        "reward by task: 2 of 3 slices failed; worst logic: reward 0.300 < 0.7 (se "
    )
    passed = verdict({"sums": right(9, 10), "maps": right(8, 10)})
    assert (passed.outcome, passed.is_green, passed.reason) == ("passed", True, "")
    assert passed.line.startswith("reward by task: all of 2 slices passed; worst maps: reward 0.8")


def test_slices_that_no_mean_shows() -> None:
    """The mean of all is 0.9: a slice of a tenth that always fails is seen all the same."""
    found = verdict({"big": right(90, 90), "small": right(0, 10)})
    assert outcomes(found) == {"big": "passed", "small": "failed"}


def test_one_slice_is_the_whole() -> None:
    for rule in ("point", "evidence", "proof"):
        found = verdict({"all": right(14, 20)}, rule)
        whole = judge(
            parse_gate({"metric": "reward", "min": 0.7, "rule": rule}),
            measured({"all": right(14, 20)}),
        )
        assert (found.outcome, found.is_green) == (whole.outcome, whole.is_green)
        assert (found.lower, found.upper) == (whole.lower, whole.upper)


@pytest.mark.parametrize("rule", ["evidence", "proof"])
def test_slices_are_adjusted_by_holm(rule: str) -> None:
    draw = random.Random(3)
    rejected = 0
    for _ in range(60):
        sizes = [draw.randint(2, 40) for _ in range(draw.randint(1, 9))]
        counts = {
            f"s{n}": (sum(draw.random() < draw.choice([0.2, 0.5, 0.95]) for _ in range(size)), size)
            for n, size in enumerate(sizes)
        }
        found = outcomes(verdict({n: right(*each) for n, each in counts.items()}, rule))
        # Clopper-Pearson is the inversion of these; only where every example is alike or all vary
        # as 0 and 1 do is the effective size that of the examples.
        low = holm([binomial_cdf(x, n, 0.7) for x, n in _sizes(counts)])
        high = holm([1 - binomial_cdf(x - 1, n, 0.7) for x, n in _sizes(counts)])
        for name, p_low, p_high in zip(counts, low, high, strict=True):
            # The effective size is one smaller where values vary, so decisions are no bolder.
            if found[name] == "failed":
                assert p_low <= 0.05
                rejected += 1
            if found[name] == "passed":
                assert p_high <= 0.05
                rejected += 1
            if p_low > 0.05 and p_high > 0.05:
                assert found[name] == "inconclusive"
    assert rejected > 30


def _sizes(counts: dict[str, tuple[int, int]]) -> list[tuple[int, int]]:
    return [*counts.values()]


def test_what_one_slice_shows_alone_is_not_shown_among_many() -> None:
    # Alone 5 of 12 are shown to be below 0.7; as the one bad slice of ten they are not.
    bad = right(4, 12)
    assert verdict({"bad": bad}, "evidence").outcome == "failed"
    others = {f"s{n}": right(9, 12) for n in range(9)}
    found = verdict({**others, "bad": bad}, "evidence")
    assert outcomes(found)["bad"] == "inconclusive"
    assert found.is_green
    assert outcomes(verdict({**others, "bad": bad}))["bad"] == "failed"


def test_noise_alone_is_rarely_red() -> None:
    """With every slice at its limit, `evidence` is red in 5 % of runs at most, `point` in most."""
    draw = random.Random(5)
    red = dict.fromkeys(("point", "evidence"), 0)
    for _ in range(60):
        slices = {f"s{n}": [[float(draw.random() < 0.7)] for _ in range(20)] for n in range(6)}
        for rule in red:
            red[rule] += verdict(slices, rule).is_red
    assert red["evidence"] <= 0.13 * 60  # 5 %, and three standard errors
    assert red["point"] > 0.8 * 60


def test_few_examples_are_inconclusive_and_told() -> None:
    found = verdict({"big": right(40, 40), "tiny": right(0, 2)}, "evidence")
    assert outcomes(found) == {"big": "passed", "tiny": "inconclusive"}
    assert found.is_green
    assert "too few examples to show anything in 1: tiny; worst tiny: " in found.line
    (line,) = [line for line in slice_table(found) if "tiny" in line]
    assert line.endswith("inconclusive (too few examples: it takes at least 3)")
    proof = verdict({"big": right(40, 40), "tiny": right(2, 2)}, "proof")
    assert (proof.outcome, proof.is_green) == ("inconclusive", False)
    assert "it takes at least 9" in proof.slices[0].note


def test_unmeasured_rollouts_are_taken_at_both_ends() -> None:
    slices: Groups = {"a": [[1.0], [1.0], [1.0], [U]], "b": [[1.0], [U], [U]], "c": [[0.0], [U]]}
    found = verdict(slices)
    assert outcomes(found) == {"c": "failed", "b": "inconclusive", "a": "passed"}
    (b,) = [each for each in found.slices if each.name == "b"]
    assert b.low == pytest.approx(1 / 3)
    assert b.high == 1.0
    without = verdict({"a": right(3, 3), "gone": [[U], [U]]})
    assert (without.outcome, without.is_green, without.value) == ("inconclusive", False, None)
    assert (without.low, without.high) == (0.0, 1.0)
    assert without.slices[0].note == "no rollout has a value"
    assert verdict({"a": right(3, 3), "gone": [[U]]}, on_inconclusive="warn").is_green
    assert verdict({"a": [[U]], "b": [[U]]}).outcome == "failed"  # nothing scored


@pytest.mark.parametrize("rule", ["point", "evidence", "proof"])
@pytest.mark.parametrize("reward", [0.0, 1.0])
def test_values_that_do_not_vary_are_no_certainty(rule: str, reward: float) -> None:
    found = verdict({"a": [[reward]], "b": [[reward]] * 2, "c": [[reward]] * 30}, rule)
    for each in found.slices:
        assert each.lower is not None and each.upper is not None
        assert each.lower < each.upper
    assert outcomes(found)["a"] == (
        "inconclusive" if rule != "point" else "passed" if reward else "failed"
    )


def test_the_range_is_that_of_all_slices() -> None:
    """Rewards of 0 and 1 in one slice say little where others reach 5."""
    gate = parse_gate({"metric": "reward", "by": "task", "min": 0.5, "rule": "proof"})
    found = judge(gate, measured({"a": [[1.0]] * 50, "b": [[5.0], [4.0], [3.0]] * 9}))
    (a,) = [each for each in found.slices if each.name == "a"]
    assert (a.outcome, a.lower) == ("inconclusive", None)
    declared = parse_gate({**dict(gate.written), "range": [0, 5]})  # type: ignore[arg-type]
    found = judge(declared, measured({"a": [[1.0]] * 50, "b": [[5.0], [4.0], [3.0]] * 9}))
    (a,) = [each for each in found.slices if each.name == "a"]
    assert a.lower is not None and 0 < a.lower < 1


def test_ties_are_in_the_order_of_names() -> None:
    names = ["b", "a", "10", "9"]
    found = verdict({name: right(1, 2) for name in names})
    assert [each.name for each in found.slices] == ["10", "9", "a", "b"]
    assert found.outcome == "failed"
    # At the limit is not below it.
    assert verdict({"a": right(7, 10), "b": right(14, 20)}).outcome == "passed"


def test_an_upper_limit_has_its_worst_slice_at_the_top() -> None:
    found = verdict({"a": right(1, 10), "b": right(9, 10)}, max=0.5)
    assert [each.name for each in found.slices] == ["b", "a"]
    assert found.line.startswith(
        "reward by task: 1 of 2 slices failed; worst b: reward 0.900 > 0.5"
    )


@pytest.mark.parametrize(
    ("metric", "limit", "expected"),
    [
        ("pass@2", {"min": 0.9}, {"a": "passed", "b": "failed"}),
        ("pass^2", {"min": 0.9}, {"a": "failed", "b": "failed"}),
        ("error_rate", {"max": 0.1}, {"a": "passed", "b": "failed"}),
        ("tone", {"min": 0.4}, {"a": "passed", "b": "failed"}),
    ],
)
def test_other_metrics(metric: str, limit: dict[str, float], expected: dict[str, str]) -> None:
    gate = parse_gate({"metric": metric, "by": "task", **limit})
    slices: Groups = {"a": [[1.0, 0.0], [1.0, 1.0]], "b": [[0.0, 0.0], [0.0, U]]}
    found = judge(gate, measured(slices, tone=lambda reward: reward))
    assert outcomes(found) == expected


def test_values_that_are_no_numbers_and_no_rows() -> None:
    broken = verdict({"a": [[math.nan]], "b": [[1.0]]})
    assert (broken.outcome, broken.slices) == ("failed", ())
    assert "not a finite number" in broken.reason
    assert verdict({}).outcome == "failed"
    gate = parse_gate({"metric": "nothing", "by": "task", "min": 1})
    assert "no rollout has a metric 'nothing'" in judge(gate, measured({"a": [[1.0]]})).reason
    hook = judge(gate, measured({"a": [[1.0]]}), computed=1.0)
    assert hook.outcome == "inconclusive" and "by = 'task' cannot part it" in hook.line


@pytest.mark.parametrize(
    "name", [None, "", "  ", math.nan, ["list"], {"a": 1}], ids=lambda name: repr(name)
)
def test_an_example_without_a_slice(name: Any) -> None:
    rows = [
        {"example_id": n, "rollout": 0, "state": "scored", "reward": 1.0, "task": task}
        for n, task in enumerate(["a", name])
    ]
    measurements = Measurements.from_rows(rows, planned=Plan(2, 1), by=["task"])
    found = judge(parse_gate({"metric": "reward", "by": "task", "min": 0.5}), measurements)
    assert (found.outcome, found.is_green) == ("inconclusive", False)
    assert "the rows of 1 example (1) do not say one task" in found.line


def test_rows_that_contradict_each_other() -> None:
    rows = [
        {"example_id": 4, "rollout": n, "state": "scored", "reward": 1.0, "info": info}
        for n, info in enumerate(['{"level": 1}', {"level": 2}])
    ]
    measurements = Measurements.from_rows(rows, planned=Plan(1, 2), by=["info.level"])
    found = judge(parse_gate({"metric": "reward", "by": "info.level", "min": 0.5}), measurements)
    assert "the rows of 1 example (4) do not say one info.level" in found.line


def test_a_metric_is_no_column_of_the_dataset() -> None:
    rows = [
        {"example_id": 4, "rollout": 0, "state": "scored", "reward": 1.0, "tone": 1.0,
         "metrics": {"tone": 1.0}}
    ]  # fmt: skip
    measurements = Measurements.from_rows(rows, planned=Plan(1, 1), by=["tone"])
    found = judge(parse_gate({"metric": "reward", "by": "tone", "min": 0.5}), measurements)
    assert found.outcome == "inconclusive"


def test_hundreds_of_hostile_slices_stay_readable() -> None:
    names = [f"\x1b[31m{n:03}\n::error::{'y' * 500}" for n in range(400)]
    found = verdict({name: right(n % 3, 3) for n, name in enumerate(names)}, "evidence")
    lines = slice_table(found)
    assert len(lines) == 12
    assert lines[-1].startswith("  and 390 more: ")
    for line in [*lines, found.line]:
        assert "\x1b" not in line and "\n" not in line and len(line) < 500
    assert not any(line.strip().startswith("::") for line in lines)


def test_the_worst_examples_are_those_of_red_slices() -> None:
    slices: Groups = {"good": [[1.0], [1.0], [1.0], [0.0]], "bad": [[0.25], [1.0]]}
    measurements = measured(slices)
    gate = parse_gate({"metric": "reward", "by": "task", "min": 0.7})
    found = judge(gate, measurements)
    assert worst_examples(gate, red_part(found, measurements)) == "lowest examples: 4 (0.250)"


def test_what_a_point_gate_on_slices_is_worth() -> None:
    found = verdict({f"s{n}": right(8, 10) for n in range(10)})
    assert found.worth.startswith(
        "a model exactly at the limit in each slice fails 'reward by task >= 0.7' 99% of the"
    )
    assert verdict({"a": right(8, 10)}, "evidence").worth == ""


def test_the_names_and_texts_of_gates() -> None:
    gates = parse_gates(
        [
            {"metric": "reward", "by": "info.a b", "min": 0.8},
            {"metric": "pass@2", "by": "task", "min": 0.8},
        ]
    )
    assert [gate.name for gate in gates][:2] == [
        "gate-reward-by-info.a-b",
        "gate-pass-at-2-by-task",
    ]
    assert gates[0].text == "reward by info.a b >= 0.8"


@pytest.mark.parametrize(
    "by", ["", 5, None, ["task"], "info.", "a b", "\x1b[31m", "info.\n", "x" * 101]
)
def test_a_by_that_is_none(by: Any) -> None:
    with pytest.raises(GateSyntaxError, match=r"by must be 'task', 'info\.KEY', or a column"):
        parse_gate({"metric": "reward", "min": 0.5, "by": by})


def test_a_baseline_has_no_slices() -> None:
    with pytest.raises(GateSyntaxError, match="a gate with a baseline compares all examples"):
        parse_gate({"metric": "reward", "baseline": "main", "max_drop": 0.1, "by": "task"})


def test_slices_that_prove_nothing() -> None:
    gate = parse_gate({"metric": "reward", "min": 0.8, "rule": "proof", "by": "task"})
    assert impossible(gate, num_examples=20, rollouts_per_example=1) is None
    assert "at least 14" in str(impossible(gate, num_examples=13, rollouts_per_example=1))
    assert unprovable(gate, {"a": 14}) is None
    assert unprovable(gate, {"a": 13}) == ("a", 14)
    # By Holm the larger of two has to be shown at half the level.
    assert unprovable(gate, {"a": 14, "b": 17}) is None
    assert unprovable(gate, {"a": 14, "b": 16}) == ("b", 17)
    for sizes in ({"a": 14, "b": 17}, {"a": 14, "b": 16}):
        found = judge(gate, measured({name: right(n, n) for name, n in sizes.items()}))
        assert found.is_green is (unprovable(gate, sizes) is None)
