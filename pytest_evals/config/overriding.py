"""Overriding: which command-line values a file overrides, told rather than silently dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .blocks import Block
from .settings import Settings, option_of


def overridden(
    command_line: Settings,
    top_level: Block,
    blocks: Sequence[tuple[Block, Mapping[str, Any]]],
) -> tuple[str, ...]:
    """Return a phrase for each value of the command line that the file gives another way.

    Args:
        command_line: what the options give.
        top_level: the file's defaults.
        blocks: each block with its table merged with the top level.
    """
    says: dict[str, list[str]] = {}
    for key, value in command_line.table().items():
        for block, table in blocks:
            ruling = _ruling_key(key, table)
            if ruling is not None and (ruling != key or table[key] != value):
                source = block if ruling in block.table else top_level
                says.setdefault(key, []).append(_says(source, ruling, key))
    limit = command_line.max_concurrent
    if limit is not None and top_level.table.get("max_concurrent", limit) != limit:
        says["max_concurrent"] = [_says(top_level, "max_concurrent", "max_concurrent")]
    return tuple(
        f"{option_of(key)}={getattr(command_line, key)} ({', '.join(dict.fromkeys(places))})"
        for key, places in says.items()
    )


def _ruling_key(key: str, file: Mapping[str, Any]) -> str | None:
    """Return the key of the file that decides about `key`; None when the file leaves it open."""
    if key in file:
        return key
    return "endpoint_id" if key in ("model", "provider") and "endpoint_id" in file else None


def _says(source: Block, ruling: str, key: str) -> str:
    what = "" if ruling == key else f"{ruling} "
    where = f"{source.document.path.name}:{source.line(ruling)}"
    return f"{where} says {what}{source.table[ruling]}"
