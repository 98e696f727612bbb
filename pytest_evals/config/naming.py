"""Naming: what each eval of a file is called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..secret_names import is_secret_name
from .document import Mistake, raise_mistakes
from .values import is_name

if TYPE_CHECKING:
    from .blocks import Block

# A longer value, or point, is named by its place: it would fill the screen and the file name.
_LONGEST_VALUE = 40
_LONGEST_POINT = 120
# Their values are headers of requests.
_HEADERS = frozenset({"header", "headers", "extra_headers", "default_headers"})
# A shorter text is not masked elsewhere either.
_SHORTEST_SECRET = 6


def value_labels(values: Sequence[Any], key: str = "") -> list[str]:
    """Return how names say each of the values of one list; no two are the same.

    A value keeps its label when others are added behind it: `0.5`, `true`, `hard`, `a-b` for
    `"a b"`, and by its place, `v3`, where it says nothing short or may be secret. Of equal ones the
    second is `0.5-2`.

    Args:
        values: in order.
        key: what they are values of.
    """
    labels: dict[str, None] = {}
    for number, value in enumerate(values, start=1):
        label = "" if _may_be_secret(key, value) else _text_of(value)
        if not label or len(label) > _LONGEST_VALUE:
            label = f"v{number}"
        labels[_free(label, labels)] = None
    return list(labels)


def names_of(blocks: Sequence[Block], top_level: Block) -> list[str]:
    """Return the name of each block's eval.

    That is its `name`, or else the last part of its `env_id`; of a point of an ablation that and
    what is swept: `my-env-temperature-0.5-difficulty-hard`.

    Raises:
        ConfigError: one cannot be a name, or two are the same.
    """
    names: dict[str, Block] = {}
    mistakes: list[Mistake] = []
    points: dict[object, int] = {}
    for block in blocks:
        base = block.table.get("name")
        if base is None:
            env_id: str = (block.table if "env_id" in block.table else top_level.table)["env_id"]
            base = env_id.rpartition("/")[2].partition("@")[0]
        name = base
        if block.point is not None:
            points[block.at] = points.get(block.at, 0) + 1
            name = "-".join(filter(None, (base, block.point.label)))
            if len(name) > _LONGEST_POINT:
                name = f"{base}-v{points[block.at]}"
            own = {other: each for other, each in names.items() if each.at == block.at}
            name = _free(name, own) if name in own else name
        if not is_name(name):
            message = f"{name!r} cannot name an eval; set name, of letters, digits and _ . + -"
            mistakes.append(Mistake(block.line("env_id"), message))
        elif name in names:
            message = (
                f"this eval is named {name!r} like the one in line {names[name].line()};"
                f' set name = "..." in one of them'
            )
            mistakes.append(Mistake(block.line(), message))
        names.setdefault(name, block)
    raise_mistakes(top_level.document.path, mistakes)
    return list(names)


def _free(label: str, taken: Mapping[str, object]) -> str:
    free, number = label, 1
    while free in taken:
        number += 1
        free = f"{label}-{number}"
    return free


def _may_be_secret(key: str, value: Any) -> bool:
    """Whether a value, or one in it, is a header, is named like a secret, or a URL may hold one.

    Names of evals are shown everywhere, and are the same in every session: nothing masks them.
    """
    if key.lower() in _HEADERS:
        return True
    if isinstance(value, dict):
        return any(_may_be_secret(str(inner), each) for inner, each in value.items())
    if isinstance(value, list):
        return any(_may_be_secret(key, each) for each in value)
    if not isinstance(value, str) or len(value) < _SHORTEST_SECRET:
        return False
    return is_secret_name(key) or ("://" in value and not {"@", "?"}.isdisjoint(value))


def _text_of(value: Any) -> str:
    """Return a value in the letters that a name can have; "" when there are none."""
    if isinstance(value, dict):
        return "-".join(f"{_text_of(key)}-{_text_of(each)}" for key, each in value.items())
    if isinstance(value, list):
        return "-".join(map(_text_of, value))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > _LONGEST_VALUE:
        return ""
    if isinstance(value, str):
        return re.sub(r"[^A-Za-z0-9_.+-]+", "-", value).strip("-")
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", str(value))
