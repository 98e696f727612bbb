"""Overriding: which command-line values a file overrides, told rather than silently dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .blocks import Block
from .merging import ADDRESS, SHORT_SAMPLING
from .settings import Settings, option_of

# Their values may be keys.
_NOT_TOLD = ("header", "headers")


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
                says.setdefault(key, []).append(_says(source, ruling, key, table[ruling]))
    limit = command_line.max_concurrent
    if limit is not None and top_level.table.get("max_concurrent", limit) != limit:
        stated = top_level.table["max_concurrent"]
        says["max_concurrent"] = [_says(top_level, "max_concurrent", "max_concurrent", stated)]
    return tuple(
        f"{_told(key, getattr(command_line, key))} ({', '.join(dict.fromkeys(places))})"
        for key, places in says.items()
    )


def _ruling_key(key: str, file: Mapping[str, Any]) -> str | None:
    """Return the key of the file that decides about `key`; None when the file leaves it open."""
    if key in file:
        return key
    if key in SHORT_SAMPLING and key in file.get("sampling_args", {}):
        return "sampling_args"
    if key == "model" and "endpoint_id" in file:
        return "endpoint_id"
    stronger = {
        "provider": ("endpoint_id", "api_base_url"),
        **dict.fromkeys(ADDRESS, ("endpoint_id", "provider")),
    }
    return next((each for each in stronger.get(key, ()) if each in file), None)


def _says(source: Block, ruling: str, key: str, value: Any) -> str:
    where = f"{source.document.path.name}:{source.line(ruling)}"
    if ruling in _NOT_TOLD or isinstance(value, Mapping):
        return where if ruling == key else f"{where} says {ruling}"
    return f"{where} says {'' if ruling == key else f'{ruling} '}{value}"


def _told(key: str, value: Any) -> str:
    return option_of(key) if key in _NOT_TOLD else f"{option_of(key)}={value}"
