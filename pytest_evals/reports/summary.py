"""EvalSummary: the figures of one finished eval, as every report prints them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ..gates.grammar import Gate
from ..gates.verdicts import Verdict, overall
from ..stats.estimators import example_means, mean, pass_at_k, pass_hat_k, standard_error
from ..stats.measurements import Column, Measurements

EvalVerdict: TypeAlias = Literal["passed", "failed", "inconclusive", "not judged"]


@dataclass(frozen=True, slots=True)
class EvalSummary:
    """One eval at the end of its run.

    Attributes:
        name, model: of the eval; `served_models` are the ids that the servers said they served.
        num_examples, rollouts_per_example: as planned.
        scored, unmeasured, broken, missing: rollouts by state; missing ones have no result.
        mean_reward: mean over examples of their mean reward over scored rollouts; None when
            nothing was scored.
        standard_error: of `mean_reward`, over examples; None for fewer than two.
        metrics: means of the rubric's metrics, computed like `mean_reward`.
        pass_at_k, pass_hat_k: by k, the powers of two up to `rollouts_per_example`; over the
            examples with at least k scored rollouts. Empty for one rollout per example.
        input_tokens, output_tokens: sums over all rollouts, also those that were not scored; None
            when no server counted.
        cost: USD over all rollouts, also those that were not scored: `input_usd`, `output_usd` and
            `total_usd`; None when a price or the tokens are not known. The price of all tokens,
            also those of answers that the response cache gave.
        paid: the same without answers of the response cache: what was paid in truth.
        cached_answers: how many answers the response cache gave.
        reward_errors: mistakes in reward functions that count as a score of 0.0.
        first_reward_errors: of each function, how many they are and the line of the first.
        tool_errors: of each tool and type of error, how many its calls raised, in words.
        timeouts: scored rollouts that the environment's own time limit ended, and after how many
            seconds it did at the earliest; None where it ended none.
        seconds: wall time of the run.
        verdict: of all gates together.
        gated: whether a blocking gate reads the reward (`reward`, `pass@k`, `pass^k`).
        verdicts: of each judged gate, in the order of the gates.
        nodeid: of its collector; "" outside of pytest.
    """

    name: str
    model: str
    served_models: tuple[str, ...]
    num_examples: int
    rollouts_per_example: int
    scored: int
    unmeasured: int
    broken: int
    missing: int
    mean_reward: float | None
    standard_error: float | None
    metrics: Mapping[str, float]
    pass_at_k: Mapping[int, float]
    pass_hat_k: Mapping[int, float]
    input_tokens: int | None
    output_tokens: int | None
    reward_errors: int
    seconds: float
    verdict: EvalVerdict
    gated: bool
    verdicts: tuple[Verdict, ...]
    first_reward_errors: tuple[tuple[int, str], ...] = ()
    tool_errors: tuple[str, ...] = ()
    timeouts: tuple[int, float] | None = None
    nodeid: str = ""
    cached_answers: int = 0
    cost: Mapping[str, float] | None = None
    paid: Mapping[str, float] | None = None

    @property
    def planned(self) -> int:
        """Rollouts planned in all."""
        return self.num_examples * self.rollouts_per_example


def summarise(
    *,
    name: str,
    model: str,
    measurements: Measurements,
    gates: Sequence[Gate],
    verdicts: Sequence[Verdict],
    seconds: float,
    nodeid: str = "",
) -> EvalSummary:
    """Put together the summary of one eval.

    Args:
        name: of the eval.
        model: the model id that was asked for.
        measurements: of its rows.
        gates: all gates of the eval, judged or not.
        verdicts: of the gates that were judged.
        seconds: wall time of the run.
        nodeid: of its collector.
    """
    means = example_means(measurements.by_example(measurements.reward))
    return EvalSummary(
        name=name,
        model=model,
        served_models=tuple(measurements.served_models),
        num_examples=measurements.plan.num_examples,
        rollouts_per_example=measurements.plan.rollouts_per_example,
        scored=measurements.scored,
        unmeasured=measurements.unmeasured,
        broken=measurements.broken,
        missing=measurements.missing,
        mean_reward=mean(means),
        standard_error=standard_error(means),
        metrics=_metric_means(measurements),
        pass_at_k=_by_powers_of_two(pass_at_k, measurements),
        pass_hat_k=_by_powers_of_two(pass_hat_k, measurements),
        input_tokens=_sum(measurements.usage.get("input_tokens", ())),
        output_tokens=_sum(measurements.usage.get("output_tokens", ())),
        reward_errors=sum(map(len, measurements.reward_errors)),
        seconds=seconds,
        verdict=overall(gates, verdicts),
        gated=any(is_on_reward(gate) and gate.tier == "blocking" for gate in gates),
        verdicts=tuple(verdicts),
        first_reward_errors=_first_reward_errors(measurements),
        tool_errors=tuple(_tool_errors(measurements)),
        timeouts=_timeouts(measurements),
        nodeid=nodeid,
        cost=_cost(measurements, measurements.cost),
        paid=_cost(measurements, _paid(measurements)),
        cached_answers=_sum(measurements.from_cache.get("answers", ())) or 0,
    )


def is_on_reward(gate: Gate) -> bool:
    """Whether a gate reads the eval's reward."""
    return gate.metric == "reward" or gate.metric.startswith(("pass@", "pass^"))


def _first_reward_errors(measurements: Measurements) -> tuple[tuple[int, str], ...]:
    lines = [line for lines in measurements.reward_errors for line in lines]
    first: dict[str, str] = {}
    for line in lines:
        first.setdefault(line.partition(":")[0], line)
    counts = Counter(line.partition(":")[0] for line in lines)
    return tuple((count, first[function]) for function, count in counts.most_common())


def _tool_errors(measurements: Measurements) -> Iterator[str]:
    calls = Counter[str]()
    errors = Counter[tuple[str, str]]()
    for runs in measurements.tool_runs:
        for tool, run in runs.items():
            calls[tool] += run["calls"]
            errors.update({(tool, kind): count for kind, count in run["errors"].items()})
    for (tool, kind), count in errors.most_common():
        noun = "call" if calls[tool] == 1 else "calls"
        yield f"tool {tool} raised {kind} in {count} of {calls[tool]} {noun}"


def _timeouts(measurements: Measurements) -> tuple[int, float] | None:
    ended = [
        seconds or 0.0
        for seconds, timed_out in zip(measurements.seconds, measurements.timed_out, strict=True)
        if timed_out
    ]
    return (len(ended), min(ended)) if ended else None


def _metric_means(measurements: Measurements) -> dict[str, float]:
    means = {}
    for name in measurements.metric_names:
        value = mean(example_means(measurements.by_example(measurements.metrics[name])))
        means[name] = math.nan if value is None else value
    return means


def _by_powers_of_two(
    estimator: Callable[[int, int, int], float | None], measurements: Measurements
) -> dict[int, float]:
    rollouts = measurements.plan.rollouts_per_example
    counts = measurements.correct_counts()
    figures = {}
    for exponent in range(rollouts.bit_length() if rollouts > 1 else 0):
        k = 2**exponent
        estimates = [chance for n, c in counts if (chance := estimator(n, c, k)) is not None]
        value = mean(estimates)
        if value is not None:
            figures[k] = value
    return figures


def _paid(measurements: Measurements) -> dict[str, Column]:
    """Return what was paid for each row: its cost, where the row says nothing else."""
    nothing: Column = [None] * len(measurements.states)
    return {
        name: [
            cost if paid is None else paid
            for cost, paid in zip(costs, measurements.paid.get(name, nothing), strict=True)
        ]
        for name, costs in measurements.cost.items()
    }


def _cost(measurements: Measurements, columns: Mapping[str, Column]) -> dict[str, float] | None:
    if measurements.has_unknown_cost:
        return None
    sums = {
        name: math.fsum(value for value in column if value is not None)
        for name, column in columns.items()
        if any(value is not None for value in column)
    }
    return sums if sums and all(map(math.isfinite, sums.values())) else None


def _sum(column: Sequence[float | None]) -> int | None:
    counted = [value for value in column if value is not None]
    total = sum(counted)
    return round(total) if counted and math.isfinite(total) else None
