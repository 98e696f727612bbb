"""Origins: which level each value of an eval is from, in words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..gates.grammar import Gate
from .asked_gates import DEFAULT_GATE, AskedGate
from .assignments import Assignment
from .merging import SHORT_SAMPLING
from .settings import OPTION_SET, ini_of, option_of
from .spec import EvalSpec
from .values import merged_headers

_TABLES = ("env_args", "extra_env_kwargs", "sampling_args", "headers", "headers_from_state")
# By a table of headers, the key of the same as lines.
_LINES = {"headers": "header", "headers_from_state": "header_from_state"}
_ENVIRONMENT = "[tool.verifiers.eval] of the environment"


def origins_of(
    spec: EvalSpec,
    values: Mapping[str, Any],
    levels: Sequence[Mapping[str, Any]],
    assignments: tuple[Assignment, ...],
) -> dict[str, str]:
    """Return where the values of an eval are from: `bench.toml:4`, `--evals-model`, `built in`.

    By key, and for a table by the keys inside it: `env_args.difficulty`.

    Args:
        spec: the eval.
        values: what was merged, by key of the file.
        levels: those that were merged: the file, the command line, the ini file, the environment,
            what is built in.
        assignments: those of `--evals-set`.
    """
    named: tuple[Callable[[str], str], ...] = (
        lambda key: _place(spec, key),
        lambda key: option_of(key.partition(".")[0]),
        lambda key: ini_of(key.partition(".")[0]),
        lambda key: _ENVIRONMENT,
        lambda key: "built in",
    )
    search = _Search(list(zip(levels, named, strict=True)), assignments)
    origins = {key: search.of(key) for key in values}
    origins["name"] = search.of("name") or "made of env_id"
    lines = {table: merged_headers({}, values.get(key, ())) for table, key in _LINES.items()}
    for table in _TABLES:
        for key in getattr(spec, table):
            path = [table, key]
            if table == "sampling_args" and key in SHORT_SAMPLING:
                path = path if key in values.get("sampling_args", {}) else [key]
            elif table in lines and key in lines[table]:
                path = [_LINES[table]]
            origins[f"{table}.{key}"] = search.of(*path)
    return origins


def gate_origins(gates: Sequence[Gate], asked: Sequence[AskedGate]) -> dict[str, str]:
    """Return where each gate is from, by `gates.0`; the last of `gates` may be the default one."""
    known = [*(gate.origin for gate in asked), DEFAULT_GATE]
    return {f"gates.{number}": known[number] for number in range(len(gates))}


@dataclass(frozen=True, slots=True)
class _Search:
    """The levels, the strongest first, each with how it names a key."""

    levels: list[tuple[Mapping[str, Any], Callable[[str], str]]]
    assignments: tuple[Assignment, ...]

    def of(self, *path: str) -> str:
        for assignment in reversed(self.assignments):
            common = min(len(path), len(assignment.path))
            if assignment.path[:common] == path[:common]:
                return f"{OPTION_SET} {'.'.join(assignment.path)}"
        for table, named in self.levels:
            if path[0] in table:
                return named(".".join(path))
        return ""


def _place(spec: EvalSpec, key: str) -> str:
    known = (key, key.partition(".")[0])
    line = next((spec.lines[each] for each in known if each in spec.lines), None)
    return spec.path.name if line is None else f"{spec.path.name}:{line}"
