"""Showing: a resolved eval as TOML, each value with where it is from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

from .spec import EvalSpec

_KEYS = (
    "env_id",
    "name",
    "env_args",
    "extra_env_kwargs",
    "env_dir_path",
    "num_examples",
    "rollouts_per_example",
    "shuffle",
    "shuffle_seed",
    "model",
    "endpoint_id",
    "endpoints_path",
    "provider",
    "api_base_url",
    "api_key_var",
    "api_client_type",
    "headers",
    "headers_from_state",
    "sampling_args",
    "max_concurrent",
    "pass_threshold",
    "pass_reward",
    "reward_errors",
    "rollout_seed",
    "timeout",
    "max_retries",
    "independent_scoring",
    "output_dir",
    "save_results",
    "state_columns",
    "num_workers",
    "resume",
    "verbose",
    "disable_tui",
    "save_to_hf_hub",
    "hf_hub_dataset_name",
    "markers",
)
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def eval_as_toml(spec: EvalSpec) -> list[str]:
    """Return an eval as the lines of an `[[eval]]` block that, in a file, would mean the same.

    What has no form in TOML, a null, is a comment.
    """
    lines = [_line("[[eval]]", f"{spec.path.name}:{spec.line}")]
    for key in _KEYS:
        value = getattr(spec, key)
        if value in (None, ()) or (isinstance(value, bool) and key not in spec.origins):
            continue
        if isinstance(value, Mapping):
            for inner, each in value.items():
                name = f"{key}.{_key(inner)}"
                lines += _assignment(name, each, spec.origins.get(f"{key}.{inner}", ""))
        else:
            shown = list(value) if isinstance(value, tuple) else value
            lines += _assignment(key, shown, spec.origins.get(key, ""))
    lines.append("gates = [")
    for number, gate in enumerate(spec.gates):
        lines.append("  " + _line(f"{value_as_toml(gate.written)},", _gate_origin(spec, number)))
    return [*lines, "]"]


def value_as_toml(value: Any) -> str:
    """Return a value as TOML writes it, on one line.

    Raises:
        ValueError: it has no form in TOML: it is, or holds, a null.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | Path):
        return f'"{"".join(_characters(str(value)))}"'
    if isinstance(value, int):
        # Python refuses to write very long ones in decimal.
        return str(value) if value.bit_length() < 10_000 else _hexadecimal(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {value_as_toml(each)}" for key, each in value.items())
        inside = ", ".join(pairs)
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_as_toml, value))}]"
    raise ValueError(f"{value!r} has no form in TOML")


def _assignment(key: str, value: Any, origin: str) -> list[str]:
    try:
        text = value_as_toml(value)
    except ValueError:
        return [f"# {key} = {value!r}  # {origin}; has no form in TOML"]
    return [_line(f"{key} = {text}", origin)]


def _line(text: str, origin: str) -> str:
    return f"{text}  # {origin}" if origin else text


def _gate_origin(spec: EvalSpec, number: int) -> str:
    return spec.origins.get(f"gates.{number}", "")


def _key(key: str) -> str:
    return key if key and set(key) <= _BARE else value_as_toml(key)


def _characters(text: str) -> Iterator[str]:
    for character in text:
        if character in _ESCAPES:
            yield _ESCAPES[character]
        elif character.isprintable():
            yield character
        elif "\ud800" <= character <= "\udfff":  # half a character, which no TOML file can hold
            yield "\\uFFFD"
        else:
            code = ord(character)
            yield f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"


def _float(value: float) -> str:
    if math.isnan(value):
        return "nan"
    return repr(value) if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def _hexadecimal(value: int) -> str:
    if value < 0:  # TOML has hexadecimal numbers without a sign only
        raise ValueError("a negative number of this size has no form in TOML")
    return hex(value)
