"""Comparison: in what two runs of an eval differ, example by example, as lines of text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from ..gates.drop_texts import id_text, ids_text, strangers_text
from ..gates.figures import rounded, spread_text
from ..stats.drops import Drop, drop_between
from ..stats.estimators import example_means, mean
from ..stats.multiplicity import holm
from ..stats.power import detectable_drop
from ..store import baselines
from ..store.compared_runs import ComparedRun
from ..store.encoding import to_json
from ..visible import clipped, visible
from .columns import filled, width_of

Id: TypeAlias = int | str

_MOST_IDS = 20
_MOST_SLICES = 12
_MOST_PROBLEMS = 5
_LONGEST_VALUE = 80
_DEFAULT_THRESHOLD = 0.5


def compared(before: ComparedRun, after: ComparedRun) -> list[str]:
    """Return the comparison of two runs, the earlier one first.

    An example is right where the mean of its rewards reaches the threshold of the eval.
    """
    lines = [*_described("before", before), *_described("after", after), *_warned(before, after)]
    shared = [name for name in before.rewards if name in after.rewards]
    strangers = strangers_text(before.label, [*after.rewards], before.rewards)
    if strangers:
        lines.append(f"examples of one run alone: {strangers.replace(' only here', ' only after')}")
    if not shared:
        return [_plain(line) for line in [*lines, "no example is in both"]]
    old, new = _means(before, shared), _means(after, shared)
    values = [*old.values(), *new.values()]
    width = 1.0 if min(values) >= 0 and max(values) <= 1 else None
    total = drop_between([*old.values()], [*new.values()], width=width)
    lines += ["", _total(total)]
    lines += _flips(old, new, _threshold(before, after))
    lines += _slices(before, after, old, new, width)
    return [_plain(line) for line in lines]


def _described(which: str, run: ComparedRun) -> Iterator[str]:
    found = mean(example_means(run.rewards.values()))
    rollouts = sum(map(len, run.rewards.values()))
    parts = [
        " of ".join(filter(None, [run.name, run.model])),
        f"{len(run.rewards)} examples",
        f"{rollouts} rollouts",
        "no reward" if found is None else f"reward {rounded(found)}",
    ]
    if run.without_reward:
        parts.append(f"{run.without_reward} more without a reward")
    yield f"{which:6}  {run.label}: {', '.join(filter(None, parts))}"
    for problem in run.problems[:_MOST_PROBLEMS]:
        yield f"        {problem}"
    if len(run.problems) > _MOST_PROBLEMS:
        yield f"        and {len(run.problems) - _MOST_PROBLEMS} more lines that are no rows"


def _warned(before: ComparedRun, after: ComparedRun) -> Iterator[str]:
    """Say what besides the model differs: then rewards may, for that reason."""
    if before.settings is not None and after.settings is not None:
        for field, (name, old, new) in baselines.differing(before.settings, after.settings):
            yield f"{field} differs: {name} {_short(old)} -> {_short(new)}"
    for place, field in enumerate(("dataset", "prompts")):
        changed = [
            name
            for name, content in before.contents.items()
            if name in after.contents and after.contents[name][place] != content[place]
        ]
        if changed:
            yield f"{field} of {len(changed)} examples changed: {ids_text(changed)}"


def _total(drop: Drop) -> str:
    figures = [
        f"se {spread_text(drop.standard_error) if drop.standard_error else 'n/a'}",
        f"{drop.n} {'pair' if drop.n == 1 else 'pairs'}",
    ]
    bounds = [rounded(bound) for bound in drop.interval if math.isfinite(bound)]
    if len(bounds) == 2:
        figures.append(f"95 % bounds {bounds[0]} and {bounds[1]}")
    figures.append(f"p {drop.p_value:.2g} by {drop.test}")
    if drop.standard_error:
        figures.append(f"can see a drop of {spread_text(detectable_drop(drop.standard_error))}")
    return (
        f"reward {rounded(drop.before)} -> {rounded(drop.after)}, a drop of"
        f" {rounded(drop.value)} ({', '.join(figures)})"
    )


def _flips(old: Mapping[Id, float], new: Mapping[Id, float], threshold: float) -> Iterator[str]:
    lost = [name for name in old if old[name] >= threshold > new[name]]
    won = [name for name in old if new[name] >= threshold > old[name]]
    for words, names in (("right -> wrong", lost), ("wrong -> right", won)):
        shown = ", ".join(map(id_text, names[:_MOST_IDS]))
        more = f" and {len(names) - _MOST_IDS} more" if len(names) > _MOST_IDS else ""
        yield f"{words}  {len(names)}" + (f": {shown}{more}" if names else "")
    flipped = {*lost, *won}
    worse = sum(old[name] > new[name] for name in old if name not in flipped)
    better = sum(old[name] < new[name] for name in old if name not in flipped)
    if worse or better:
        yield f"of the others {worse} became worse and {better} better"


def _slices(
    before: ComparedRun,
    after: ComparedRun,
    old: Mapping[Id, float],
    new: Mapping[Id, float],
    width: float | None,
) -> Iterator[str]:
    """Yield a table for each column that sorts the examples into a few groups."""
    columns = {**before.slices, **after.slices}
    for column, value_of in columns.items():
        groups: dict[str, list[Id]] = {}
        for name in old:
            groups.setdefault(value_of.get(name, "(none)"), []).append(name)
        if not 1 < len(groups) <= _MOST_SLICES or len(groups) == len(old):
            continue
        drops = {
            value: drop_between([old[n] for n in names], [new[n] for n in names], width=width)
            for value, names in sorted(groups.items())
        }
        adjusted = holm([drop.p_value for drop in drops.values()])
        rows = [(column, "pairs", "before", "after", "drop", "p (Holm)")]
        rows += [
            (
                value,
                str(drop.n),
                rounded(drop.before),
                rounded(drop.after),
                rounded(drop.value),
                f"{p:.2g}",
            )
            for (value, drop), p in zip(drops.items(), adjusted, strict=True)
        ]
        yield ""
        yield from _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    rows = [tuple(map(_plain, row)) for row in rows]
    widths = [max(map(width_of, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            filled(cell, width, right=place > 0)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield "  ".join(cells).rstrip()


def _means(run: ComparedRun, names: Sequence[Id]) -> dict[Id, float]:
    return {name: math.fsum(run.rewards[name]) / len(run.rewards[name]) for name in names}


def _threshold(before: ComparedRun, after: ComparedRun) -> float:
    given = after.threshold if before.threshold is None else before.threshold
    return _DEFAULT_THRESHOLD if given is None else given


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value)
    return clipped(text, _LONGEST_VALUE).replace("\n", " ")


def _plain(text: str) -> str:
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")
