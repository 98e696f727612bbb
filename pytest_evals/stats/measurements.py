"""Measurements: what the statistics need of an eval's rows, as columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .row_fields import are_tool_runs, example_column, generation_seconds, is_empty, number, turns

Column: TypeAlias = list[float | None]
RowState: TypeAlias = Literal["scored", "unmeasured", "broken", "missing"]

_TERMINAL: dict[Any, RowState] = {
    "scored": "scored",
    "unmeasured": "unmeasured",
    "broken": "broken",
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rollouts an eval set out to make.

    Attributes:
        num_examples: examples really selected, never "all".
        rollouts_per_example: attempts at each.
        pass_threshold: a rollout is correct from this reward on.
    """

    num_examples: int
    rollouts_per_example: int
    pass_threshold: float = 0.5

    @property
    def rollouts(self) -> int:
        """Rollouts planned in all."""
        return self.num_examples * self.rollouts_per_example


@dataclass(slots=True)
class Measurements:
    """The rows of one eval as columns: entry i of every column belongs to the same rollout.

    None in a column means that the rollout has no such value. Rewards, metrics, seconds, turns,
    truncation and answers are kept of scored rollouts only: what an unmeasured or broken one left
    behind is not a measurement. Token counts are kept of every row, because they were paid for. A
    reward of a scored row that is not a number is NaN, so that no mean hides it.

    Attributes:
        plan: what the eval set out to do.
        examples: place of the rollout's example, 0..N-1 in order of appearance.
        example_ids: of those N examples, in that order.
        states: `scored`, `unmeasured`, `broken`, or `missing` (generated, but not scored).
        reward, metrics: what the rubric returned; metrics by name.
        usage: token counts by name: `input_tokens`, `output_tokens`, ...
        from_cache: of answers that the response cache gave, their number (`answers`) and their
            tokens, by name.
        cost: USD by name: `input_usd`, `output_usd`, `total_usd`; of every row, like tokens.
        paid: the same of what was really paid, of rows where the response cache answered.
        seconds: how long the model took to generate.
        turns: the metric `num_turns`, or else the number of assistant messages.
        truncated: 1.0 when the model hit its token limit.
        timed_out: 1.0 when the environment's own time limit ended it.
        answered: 1.0 when the parsed answer is not empty.
        reward_errors: the lines of mistakes in reward functions that count as a score of 0.0, of
            scored rollouts; each begins with the function's name and a colon.
        tool_runs: of each tool of the rollout, its `calls` and `errors`: counts by type.
        served_models: ids that the servers said they served, in order of appearance.
        tools: the definitions of the tools that the model had, when every scored
            rollout had the same; empty otherwise.
        unplanned: rows that the plan has no place for; they are in no column.
        slices: by column of the dataset, what the rows say that each example has there: one text
            as a rule, none where no row says it, several where rows contradict each other.
    """

    plan: Plan
    examples: list[int] = field(default_factory=list)
    example_ids: list[Any] = field(default_factory=list)
    states: list[RowState] = field(default_factory=list)
    reward: Column = field(default_factory=list)
    metrics: dict[str, Column] = field(default_factory=dict)
    usage: dict[str, Column] = field(default_factory=dict)
    from_cache: dict[str, Column] = field(default_factory=dict)
    cost: dict[str, Column] = field(default_factory=dict)
    paid: dict[str, Column] = field(default_factory=dict)
    seconds: Column = field(default_factory=list)
    turns: Column = field(default_factory=list)
    truncated: Column = field(default_factory=list)
    timed_out: Column = field(default_factory=list)
    answered: Column = field(default_factory=list)
    reward_errors: list[Sequence[str]] = field(default_factory=list)
    tool_runs: list[Mapping[str, Mapping[str, Any]]] = field(default_factory=list)
    served_models: list[str] = field(default_factory=list)
    tools: list[Any] = field(default_factory=list)
    unplanned: int = 0
    slices: dict[str, list[set[str]]] = field(default_factory=dict)
    _generated: RowState = "missing"
    _tool_names: frozenset[str] | None = None

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, Any]],
        *,
        planned: Plan,
        is_over: bool = False,
        by: Iterable[str] = (),
    ) -> Measurements:
        """Read rows in one pass, keeping none of them.

        A row that was generated and not scored is unmeasured when it has an error (its judge
        failed, its group lacks members), or when the run `is_over` and nothing will score it any
        more. Otherwise it has no result yet.

        A later row of the same example and rollout replaces the earlier one. A row whose rollout
        number lies outside the plan, or whose example comes after the planned number of examples,
        is only counted, in `unplanned`. `by` names the columns of `slices`.
        """
        self = cls(planned)
        self.slices = {column: [] for column in by}
        self._generated = "unmeasured" if is_over else "missing"
        place_of_example: dict[Any, int] = {}
        place_of_rollout: dict[tuple[int, int], int] = {}
        for row in rows:
            rollout = row["rollout"]
            if not 0 <= rollout < planned.rollouts_per_example:
                self.unplanned += 1
                continue
            example = place_of_example.setdefault(row["example_id"], len(place_of_example))
            if example >= planned.num_examples:
                self.unplanned += 1
                continue
            for column, found in self.slices.items():
                if example == len(found):
                    found.append(set())
                found[example].update(example_column(row, column))
            known = len(place_of_rollout)
            place = place_of_rollout.setdefault((example, rollout), known)
            if place == known:
                self._add(example)
            else:
                self._clear(place)
            self._read(place, row)
        self.example_ids = [*place_of_example][: planned.num_examples]
        return self

    def _add(self, example: int) -> None:
        """Make room for one more rollout."""
        self.examples.append(example)
        self.states.append("missing")
        self.reward_errors.append(())
        self.tool_runs.append({})
        for column in self._columns():
            column.append(None)

    def _clear(self, place: int) -> None:
        """Forget what an earlier row of a rollout said."""
        for column in self._columns():
            column[place] = None
        self.reward_errors[place] = ()
        self.tool_runs[place] = {}

    def _read(self, place: int, row: Mapping[str, Any]) -> None:
        runs: Any = row.get("tool_runs")
        if are_tool_runs(runs):
            self.tool_runs[place] = runs
        state = _TERMINAL.get(row.get("state"), self._generated)
        if state == "missing" and row.get("error") is not None:
            state = "unmeasured"
        self.states[place] = state
        self._read_table(self.usage, place, row.get("token_usage"))
        self._read_table(self.from_cache, place, row.get("from_cache"))
        self._read_table(self.cost, place, row.get("cost"))
        self._read_table(self.paid, place, row.get("paid"))
        served = row.get("served_model")
        if isinstance(served, str) and served and served not in self.served_models:
            self.served_models.append(served)
        if state != "scored":
            return
        self._read_tools(row.get("tool_defs"))
        reward = number(row.get("reward"))
        self.reward[place] = math.nan if reward is None else reward
        self._read_table(self.metrics, place, row.get("metrics"))
        self.seconds[place] = generation_seconds(row.get("timing"))
        self.turns[place] = turns(row)
        if "is_truncated" in row:
            self.truncated[place] = float(bool(row["is_truncated"]))
        self.timed_out[place] = float(row.get("stop_condition") == "timeout_reached")
        if "prediction" in row:
            self.answered[place] = float(not is_empty(row["prediction"]))
        lines = row.get("reward_errors")
        self.reward_errors[place] = lines if isinstance(lines, list) else ()

    def _read_tools(self, tools: object) -> None:
        defined = tools if isinstance(tools, list) else []
        names = frozenset(str(tool.get("name")) for tool in defined if isinstance(tool, Mapping))
        if self._tool_names is None:
            self.tools, self._tool_names = defined, names
        elif names != self._tool_names:
            self.tools = []

    def _read_table(self, table: dict[str, Column], place: int, values: object) -> None:
        if not isinstance(values, Mapping):
            return
        for name, value in values.items():
            found = number(value)
            if found is None:
                continue
            if name not in table:
                table[name] = [None] * len(self.examples)
            table[name][place] = found

    def _columns(self) -> Iterable[Column]:
        yield self.reward
        yield self.seconds
        yield self.turns
        yield self.truncated
        yield self.timed_out
        yield self.answered
        yield from self.metrics.values()
        yield from self.usage.values()
        yield from self.from_cache.values()
        yield from self.cost.values()
        yield from self.paid.values()

    @property
    def scored(self) -> int:
        """Rollouts with a reward."""
        return self.states.count("scored")

    @property
    def unmeasured(self) -> int:
        """Rollouts that the provider, the network, a sandbox or a judge failed."""
        return self.states.count("unmeasured")

    @property
    def broken(self) -> int:
        """Rollouts whose environment or reward code raised."""
        return self.states.count("broken")

    @property
    def finished(self) -> int:
        """Rollouts with a result: scored, unmeasured or broken."""
        return len(self.states) - self.states.count("missing")

    @property
    def missing(self) -> int:
        """Planned rollouts without a result: no row, or generated and not scored."""
        return self.plan.rollouts - self.finished

    @property
    def complete(self) -> bool:
        """Whether the rows are the planned rollouts, each with a result, and no others."""
        return self.missing == 0 and self.unplanned == 0

    @property
    def coverage(self) -> float:
        """Scored rollouts as a share of the planned ones; 0.0 when none was planned."""
        return self.scored / self.plan.rollouts if self.plan.rollouts else 0.0

    @property
    def error_rate(self) -> float | None:
        """Unmeasured and broken rollouts as a share of the planned; None when none was planned."""
        if not self.plan.rollouts:
            return None
        return (self.unmeasured + self.broken) / self.plan.rollouts

    @property
    def is_from_cache(self) -> list[bool]:
        """Of each rollout, whether the response cache gave answers."""
        return [bool(count) for count in self.from_cache.get("answers", [0.0] * len(self.states))]

    @property
    def has_unknown_cost(self) -> bool:
        """Whether a row has tokens and no cost: nobody knows what all of them cost together."""
        costs = self.cost.get("total_usd", [None] * len(self.states))
        return any(
            cost is None and count is not None
            for counts in self.usage.values()
            for cost, count in zip(costs, counts, strict=True)
        )

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Names of the rubric metrics that at least one scored rollout has, as they appeared."""
        return tuple(
            name
            for name, column in self.metrics.items()
            if any(value is not None for value in column)
        )

    def by_example(self, column: Sequence[float | None]) -> list[list[float | None]]:
        """Return the entries of a column in one list per example, in order of appearance."""
        groups: list[list[float | None]] = [[] for _ in range(max(self.examples, default=-1) + 1)]
        for example, value in zip(self.examples, column, strict=True):
            groups[example].append(value)
        return groups

    def scored_only(self, column: Sequence[float | None]) -> Column:
        """Return a column with None for every rollout that is not scored."""
        return [
            value if state == "scored" else None
            for state, value in zip(self.states, column, strict=True)
        ]

    def correct_counts(self) -> list[tuple[int, int]]:
        """Return (scored rollouts, correct ones among them) of each example.

        Correct is a reward of at least the plan's `pass_threshold`, compared exactly as in the
        rows; NaN is not.
        """
        threshold = self.plan.pass_threshold
        counts = []
        for group in self.by_example(self.reward):
            rewards = [reward for reward in group if reward is not None]
            counts.append((len(rewards), sum(reward >= threshold for reward in rewards)))
        return counts
