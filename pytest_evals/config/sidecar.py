"""Sidecar: `NAME.gates.toml` holds the gates of the evals in `NAME.toml`, by eval name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ..gates.grammar import GateSyntaxError, parse_gates
from ..nearest import did_you_mean
from .asked_gates import AskedGate
from .document import Document, Mistake, raise_mistakes, read_document

_ENDING = ".gates.toml"


def is_sidecar(path: Path) -> bool:
    """Whether a file holds the gates of another one, which lies beside it."""
    return path.name.endswith(_ENDING) and owner_of(path).is_file()


def owner_of(path: Path) -> Path:
    """Return the eval file that a sidecar belongs to."""
    return path.with_name(path.name.removesuffix(_ENDING) + ".toml")


def read_sidecar(path: Path, names: Sequence[str]) -> dict[str, list[AskedGate]]:
    """Return the gates that stand beside an eval file, by eval; {} when there is no such file.

    Args:
        path: the eval file.
        names: of its evals. In a key of the sidecar `*` stands for any part of a name; an eval has
            the gates of every key that means it.

    Raises:
        ConfigError: the sidecar cannot be read, means no eval of the file, or holds what is
            no gate.
    """
    beside = path.with_name(path.name.removesuffix(".toml") + _ENDING)
    if not beside.exists():
        return {}
    document = read_document(beside)
    mistakes: list[Mistake] = []
    found: dict[str, list[AskedGate]] = {}
    for key in document.table:
        gates = _gates(document, key, mistakes)
        pattern = key.replace("[", "[[]").replace("?", "[?]")
        meant = [name for name in names if fnmatchcase(name, pattern)]
        if not meant:
            message = f"{path.name} has no eval {key!r}{did_you_mean(key, names)}"
            mistakes.append(Mistake(document.line(key), message))
        for name in meant:
            found.setdefault(name, []).extend(gates)
    raise_mistakes(beside, mistakes)
    return found


def clashes(
    gates: Mapping[str, Sequence[AskedGate]], own: Mapping[str, Sequence[AskedGate]]
) -> list[Mistake]:
    """Return a mistake for each eval that has gates in both files.

    Args:
        gates: those of the sidecar, by eval.
        own: those of the eval file, by eval.
    """
    return [
        Mistake(
            own[name][0].line,
            f"eval {name!r} has gates here and at {gates[name][0].origin}; keep them in one file",
        )
        for name in gates
        if own.get(name) and gates[name]
    ]


def _gates(document: Document, key: str, mistakes: list[Mistake]) -> list[AskedGate]:
    value = document.table[key]
    if not isinstance(value, list):
        message = f'{key}: write the gates of an eval as a list: "{key}" = ["reward >= 0.8"]'
        mistakes.append(Mistake(document.line(key), message))
        return []
    asked = []
    for index, written in enumerate(value):
        line = document.line(key, index)
        try:
            parse_gates([written])
        except GateSyntaxError as error:
            mistakes.append(Mistake(line, f"{key}[{index}]: {error}"))
            continue
        origin = f"{document.path.name}:{line}"
        asked.append(AskedGate(written, origin, f"{key}[{index}]: ", line, document.path))
    return asked
