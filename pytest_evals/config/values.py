"""Values: what the value of a key must be, besides its type."""

from __future__ import annotations

import json
import keyword
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..gates.grammar import parse_gates

# Marks by which pytest itself decides whether and how an item runs: `xfail` on a gate would turn a
# red build green.
_MARKS_WITH_EFFECT = frozenset(
    {"skip", "skipif", "xfail", "parametrize", "usefixtures", "filterwarnings"}
)
# They say where a request ends or goes.
_NOT_FROM_STATE = frozenset({"connection", "content-length", "host", "transfer-encoding"})
# What openai's own client takes beside the fields of a request. Here they would be sent as fields,
# and kept with the results; and a header may be a key.
_NO_FIELDS = {
    "extra_headers": "the keys 'header' and 'headers' send headers",
    "extra_query": "a query belongs in the URL: api_base_url, or url of the endpoint's row",
    "timeout": "the key 'timeout' limits a rollout",
}
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def is_name(name: str) -> bool:
    """Say whether a node id can hold `name` and `-k` and `--lf` find it again."""
    return re.fullmatch(r"[A-Za-z0-9_.+-]+", name) is not None


def check_name(name: str) -> str:
    """Return `name`, or raise ValueError when no eval can have it."""
    if not is_name(name):
        raise ValueError(f"{shown(name)} may hold only letters, digits and _ . + -")
    return name


def check_env_id(env_id: str) -> str:
    """Return `env_id`, or raise ValueError when no module can have that name."""
    if not re.fullmatch(r"[\w.-]+(@[\w.+-]+)?", env_id.rpartition("/")[2]):
        raise ValueError(f'must name an environment, like "my-env", not {shown(env_id)}')
    return env_id


def check_url(url: str) -> str:
    """Return `url`, or raise ValueError when it is none."""
    if not re.match(r"https?://[^\s/]", url):
        raise ValueError(f"must begin with http:// or https://, not {shown(url)}")
    return url


def check_dataset_name(name: str) -> str:
    """Return `name`, or raise ValueError when no dataset of the Hugging Face Hub can have it."""
    segment = r"(?![.-])(?!.*(?:--|\.\.))[\w.-]{1,96}(?<![.-])"
    if not re.fullmatch(rf"(?a:{segment}/)?(?a:{segment})", name):
        raise ValueError(f'must be a dataset, like "my-org/my-results", not {shown(name)}')
    return name


def check_key_var(name: str) -> str:
    """Return `name`, or raise ValueError when no variable of the process can have it."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        # Never shown: what stands here instead of a name is most likely the key itself.
        raise ValueError("must be the name of an environment variable, not the key itself")
    return name


def check_marker(name: str) -> str:
    """Return `name`, or raise ValueError when it cannot be a mark of an eval."""
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ValueError(f"{shown(name)} cannot be a pytest mark: use letters, digits and _")
    if name in _MARKS_WITH_EFFECT:
        raise ValueError(f"{shown(name)} means something else to pytest; choose another name")
    return name


def check_gate(written: Any) -> Any:
    """Return `written`, or raise ValueError when it is no gate."""
    parse_gates([written])
    return written


def check_sampling_args(table: dict[str, Any]) -> dict[str, Any]:
    """Return `table`, or raise ValueError when a request cannot hold it."""
    for key, value in table.items():
        if key in ("model", "messages"):
            raise ValueError(f"{key!r} is no sampling argument; the eval sets it")
        if key in _NO_FIELDS:
            raise ValueError(f"{key!r} is no sampling argument; {_NO_FIELDS[key]}")
        if (key == "stream" and value is not False) or (key == "n" and value != 1):
            raise ValueError(
                f"{key!r} must be left out; rollouts_per_example asks for more answers"
            )
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise ValueError(f"{key!r} cannot be sent as JSON (a date, nan or inf)") from None
    return table


def check_extra_env_kwargs(table: dict[str, Any]) -> dict[str, Any]:
    """Return `table`, or raise ValueError when no environment has such attributes."""
    for key in table:
        if not key.isidentifier() or keyword.iskeyword(key):
            raise ValueError(f"{shown(key)} cannot be an attribute of an environment")
    return table


def check_text(text: str) -> str:
    """Return `text`, or raise ValueError when it is empty or cannot be shown."""
    if not text.strip() or not text.isprintable():
        raise ValueError(f"must be printable text that is not empty, not {shown(text)}")
    return text


def check_headers(table: dict[str, str]) -> dict[str, str]:
    """Return `table`, or raise ValueError when a request cannot have such headers."""
    for name, value in table.items():
        _check_header(name, value)
    return table


def check_header(line: str) -> str:
    """Return `line`, or raise ValueError unless it is `Name: Value`."""
    if ":" not in line:
        raise ValueError('must be written "Name: Value"')  # never shown: it may be a key
    _check_header(*_split(line))
    return line


def check_headers_from_state(table: dict[str, str]) -> dict[str, str]:
    """Return `table`, or raise ValueError unless it maps names of headers to keys of the state."""
    for name, key in table.items():
        _check_header_from_state(name, key)
    return table


def check_header_from_state(line: str) -> str:
    """Return `line`, or raise ValueError unless it is `Name: state_key`."""
    if ":" not in line:
        raise ValueError(f'must be written "Name: state_key", not {shown(line)}')
    _check_header_from_state(*_split(line))
    return line


def _check_header_from_state(name: str, key: str) -> None:
    _check_header(name, "")
    if not key.strip():
        raise ValueError(f"header {shown(name)} names no key of the state")
    if name.lower() in _NOT_FROM_STATE:
        raise ValueError(f"header {shown(name)} cannot come from the state of a rollout")


def merged_headers(table: Mapping[str, str], lines: Iterable[str]) -> dict[str, str]:
    """Return the headers of a table and of `Name: Value` lines.

    Of one name, however it is written, the last one counts.
    """
    merged: dict[str, tuple[str, str]] = {}
    for name, value in [*table.items(), *map(_split, lines)]:
        merged.pop(name.lower(), None)
        merged[name.lower()] = (name, value)
    return dict(merged.values())


def header_name(line: str) -> str:
    """Return the name in a `Name: Value` line."""
    return _split(line)[0]


def shown(value: object) -> str:
    """Return a value as it looks in TOML, short."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        short = value if len(value) <= 60 else f"{value[:57]}..."
        return json.dumps(short, ensure_ascii=True)
    if isinstance(value, int | float):
        return "one so large" if 1e60 < abs(value) < math.inf else str(value)
    if isinstance(value, dict):
        return "a table"
    if value is None:
        return "null"
    return "a list" if isinstance(value, list) else "a date or a time"


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _check_header(name: str, value: str) -> None:
    if not _HEADER_NAME.fullmatch(name):
        raise ValueError(f"{shown(name)} is not the name of an HTTP header")
    if not (value.isascii() and value.isprintable()):
        raise ValueError(f"the value of {name!r} must be a line of ASCII text")


def check_resume(value: Any) -> bool | str:
    """Return which run to continue.

    Raises:
        ValueError: it is neither a boolean nor the path of a folder.
    """
    if isinstance(value, bool) or (isinstance(value, str) and value.strip()):
        return value
    raise ValueError(f"must be true, false or the path of a run's folder, not {shown(value)}")


def check_num_workers(value: Any) -> int | str:
    """Return how many processes an eval asks for.

    Raises:
        ValueError: it is neither `"auto"` nor a positive number.
    """
    if value == "auto" or (type(value) is int and value >= 1):
        result: int | str = value
        return result
    raise ValueError(f'must be "auto" or at least 1, not {shown(value)}')
