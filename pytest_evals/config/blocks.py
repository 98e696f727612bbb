"""Blocks: the tables of an eval file that each become one eval, validated, not yet merged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .ablations import MOST_POINTS, Point, points_of, read_sweep
from .document import Document, Mistake
from .lines import KeyPath
from .schema import ALIASES, Level, check_table

_ARRAYS = ("eval", "ablation")


@dataclass(frozen=True, slots=True)
class Block:
    """One table that becomes one eval.

    Attributes:
        table: its own values, aliases replaced; of a point of an ablation also those it sweeps.
        at: where it stands in the document: `("eval", 1)`; `()` is the top level.
        document: the file.
        point: what an ablation sweeps; None of any other block.
    """

    table: Mapping[str, Any]
    at: KeyPath
    document: Document
    point: Point | None = None

    def line(self, *keys: str | int) -> int | None:
        """Return the line of a key of this block, or of its header."""
        swept = None if self.point is None else self.point.places.get(".".join(map(str, keys)))
        return self.document.line(*self.at, *(keys if swept is None else swept))


def read_blocks(document: Document) -> tuple[Block, list[Block], list[Mistake]]:
    """Return the top level of a file, the blocks that become evals, and the mistakes in both.

    First the `[[eval]]` blocks, then the points of each `[[ablation]]`, as they stand in the file.
    """
    mistakes: list[Mistake] = []
    if isinstance(document.table.get("endpoint"), list | dict) and "eval" not in document.table:
        message = "this is an endpoint registry; evals name its rows by endpoint_id"
        return Block({}, (), document), [], [Mistake(document.line("endpoint"), message)]
    globals_ = {key: value for key, value in document.table.items() if key not in _ARRAYS}
    top_level = _checked(globals_, (), document, mistakes)
    evals = _array("eval", document, mistakes)
    blocks = [
        _checked(table, ("eval", index), document, mistakes) for index, table in enumerate(evals)
    ]
    for index, table in enumerate(_array("ablation", document, mistakes)):
        blocks += _expanded(table, ("ablation", index), top_level, mistakes)
        if len(blocks) > MOST_POINTS:
            message = f"more than {MOST_POINTS} evals in one file"
            return top_level, [], [*mistakes, Mistake(document.line("ablation", index), message)]
    if not blocks and not mistakes:
        hint = "no evals here; an eval file needs at least one [[eval]] block with an env_id"
        mistakes.append(Mistake(None, hint))
    return top_level, blocks, mistakes


def lines_of_keys(document: Document) -> dict[KeyPath, dict[str, int]]:
    """Return the lines of the keys of each block, of theirs and of the elements of their lists.

    By where the block stands, and by the key: `gates.0`, `env_args.difficulty`.
    """
    found: dict[KeyPath, dict[str, int]] = {}
    for path, line in document.lines.items():
        at = path[:2] if path[0] in _ARRAYS else ()
        first, *rest = path[len(at) :] or ("",)
        if first and len(rest) <= 1:
            key = ".".join(map(str, (ALIASES.get(str(first), first), *rest)))
            found.setdefault(at, {}).setdefault(key, line)
    return found


def own_and_inherited(lines: Mapping[KeyPath, Mapping[str, int]], block: Block) -> dict[str, int]:
    """Return the lines of a block's keys, and at top level those of the keys that it has not."""
    inherited = {
        key: line
        for key, line in lines.get((), {}).items()
        if key.partition(".")[0] not in block.table
    }
    swept = {} if block.point is None else block.point.places
    points = {key: block.document.line(*block.at, *place) or 1 for key, place in swept.items()}
    return {**inherited, **lines.get(block.at, {}), **points}


def _array(key: str, document: Document, mistakes: list[Mistake]) -> list[Mapping[str, Any]]:
    value = document.table.get(key, [])
    if isinstance(value, list) and all(isinstance(block, dict) for block in value):
        return value
    message = f"{key!r} must be [[{key}]] blocks"
    if isinstance(value, dict):
        message = f"[{key}] must have double brackets: [[{key}]]"
    mistakes.append(Mistake(document.line(key), message))
    return []


def _checked(
    raw: Mapping[str, Any], at: KeyPath, document: Document, mistakes: list[Mistake]
) -> Block:
    level: Level = "eval" if at else "top level"
    table, problems = check_table(raw, level)
    mistakes += [Mistake(document.line(*at, *path), message) for path, message in problems]
    return Block(table, at, document)


def _expanded(
    raw: Mapping[str, Any], at: KeyPath, top_level: Block, mistakes: list[Mistake]
) -> list[Block]:
    """Return the points of an `[[ablation]]`; none of one with mistakes."""
    document = top_level.document
    fixed, dimensions, problems = read_sweep(raw)
    swept = {dimension.key for dimension in dimensions if not dimension.is_arg}
    if not problems and "env_id" not in {*fixed, *swept, *top_level.table}:
        problems.append(((), "this [[ablation]] has no env_id, fixed, swept or at top level"))
    mistakes += [Mistake(document.line(*at, *path), message) for path, message in problems]
    if problems:
        return []
    return [
        Block({**fixed, **point.table}, at, document, point)
        for point in points_of(dimensions, is_named="name" in fixed)
    ]
