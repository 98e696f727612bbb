"""Sidecar: `NAME.gates.toml` holds the gates of the evals in `NAME.toml`, by eval name.

It may as well stand beside `NAME.evals.toml`, whose own name for it is `NAME.evals.gates.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from ..errors import ConfigError
from ..gates.grammar import GateSyntaxError, parse_gates
from ..nearest import did_you_mean
from .asked_gates import AskedGate
from .document import Document, Mistake, is_eval_file, raise_mistakes, read_document

_ENDING = ".gates.toml"
_EVALS = ".evals.toml"


def is_sidecar(path: Path) -> bool:
    """Whether a file holds the gates of another one, which lies beside it."""
    return owner_of(path) is not None


def owner_of(path: Path) -> Path | None:
    """Return the eval file that a sidecar belongs to; None when it is none, or has no owner.

    Where `bench.toml` holds evals, `bench.gates.toml` is its own and not that of
    `bench.evals.toml`.
    """
    if not path.name.endswith(_ENDING):
        return None
    by_name = [owner for owner in _owners(path) if owner.is_file()]
    return next(filter(is_eval_file, by_name), by_name[0] if by_name else None)


def without_owner(path: Path) -> str | None:
    """Say that a file holds gates of an eval file that is not there; None where it does not."""
    if not path.name.endswith(_ENDING) or is_sidecar(path) or is_eval_file(path):
        return None
    names = " nor ".join(owner.name for owner in _owners(path))
    return (
        "these gates belong to no eval file, so nothing would be judged by them: there is"
        f" neither {names} beside them; rename the file or remove it"
    )


def lost_gates(folder: Path) -> list[tuple[Path, str]]:
    """Return each file of a folder that holds gates of no eval file, with what to say of it."""
    found = [(path, without_owner(path)) for path in sorted(folder.glob(f"*{_ENDING}"))]
    return [(path, text) for path, text in found if text is not None and path.is_file()]


def _owners(path: Path) -> list[Path]:
    stem = path.name.removesuffix(_ENDING)
    return [path.with_name(f"{stem}.toml"), path.with_name(stem + _EVALS)]


def _beside(path: Path) -> list[Path]:
    """Return the sidecars of an eval file that are there."""
    names = [path.name.removesuffix(".toml") + _ENDING]
    if path.name.endswith(_EVALS):
        names.append(path.name.removesuffix(_EVALS) + _ENDING)
    sidecars = [path.with_name(name) for name in names]
    return [each for each in sidecars if each.exists() and owner_of(each) == path]


def read_sidecar(path: Path, names: Sequence[str]) -> dict[str, list[AskedGate]]:
    """Return the gates that stand beside an eval file, by eval; {} when there is no such file.

    Args:
        path: the eval file.
        names: of its evals. In a key of the sidecar `*` stands for any part of a name; an eval has
            the gates of every key that means it.

    Raises:
        ConfigError: the sidecar cannot be read, means no eval of the file, or holds what is
            no gate; or there are two.
    """
    sidecars = _beside(path)
    if not sidecars:
        return {}
    if len(sidecars) > 1:
        both = " and ".join(each.name for each in sidecars)
        raise ConfigError(path, None, f"its gates stand in both {both}; keep them in one file")
    (beside,) = sidecars
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
