"""Source: whether a module's source makes an environment, read without importing it."""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOADER: Final = "load_environment"

# `load_enviroment`, `load_environments`, `make_environment`; not `load_dataset`.
_NEAR = 0.7
_ALSO_MEANT = frozenset({"load_env", "get_env", "make_env"})
_PACKAGES = (b"pytest_evals", b"verifiers")


@dataclass(frozen=True, slots=True)
class Misnamed:
    """A function that is nearly named `load_environment`.

    Attributes:
        name: its name.
        path, line: where it is defined; line is counted from 1.
    """

    name: str
    path: Path
    line: int

    def __str__(self) -> str:
        return f"defines {self.name}(); an environment is made by {LOADER}()"


def holds_environment(path: Path) -> bool:
    """Say whether a module's source provides `load_environment` at its top level.

    `path` is a file, or the folder of a package, which may import it from its own modules. Source
    that cannot be parsed counts when it contains the definition: loading it reports the mistake.
    """
    file = path / "__init__.py" if path.is_dir() else path
    if file.suffix != ".py":
        return False
    try:
        source = file.read_bytes()
    except OSError:
        return False
    if LOADER.encode() not in source and b"import *" not in source:
        return False
    tree = _parsed(file)
    if tree is None:
        return f"def {LOADER}".encode() in source
    package = file.parent.name if file.name == "__init__.py" else ""
    return any(_provides_loader(statement, package) for statement in _top_level(tree.body))


def misnamed_loader(path: Path) -> Misnamed | None:
    """Return the function of a module that was probably meant to be `load_environment`.

    None where there is one of that name, and where the module has tests or does not mention the
    package that environments are made of.

    Args:
        path: a file, or the folder of a package.
    """
    path = path / "__init__.py" if path.is_dir() else path
    tree = _parsed(path) if path.suffix == ".py" else None
    if tree is None or holds_environment(path):
        return None
    if not any(package in path.read_bytes() for package in _PACKAGES):
        return None
    found: dict[str, int] = {}
    for statement in _top_level(tree.body):
        match statement:
            case ast.ClassDef(name=name) if name.startswith("Test"):
                return None
            case ast.ImportFrom(names=names) if LOADER in {
                part.asname or part.name for part in names
            }:
                return None
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                if name.startswith("test"):
                    return None
                found[name] = statement.lineno
    near = difflib.get_close_matches(LOADER, found, n=1, cutoff=_NEAR)
    near += [name for name in found if name in _ALSO_MEANT]
    return Misnamed(near[0], path, found[near[0]]) if near else None


def _parsed(file: Path) -> ast.Module | None:
    """Return the tree of a module's source; None for what cannot be read or parsed."""
    try:
        source = file.read_bytes()
        with warnings.catch_warnings():  # about escapes in the source: not ours to show here
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _top_level(statements: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements that run on import, also those inside `if`, `try` and `with`."""
    for statement in statements:
        yield statement
        for block in ("body", "orelse", "finalbody"):
            if isinstance(statement, ast.If | ast.Try | ast.With):
                yield from _top_level(getattr(statement, block, []))
        for handler in getattr(statement, "handlers", []):
            yield from _top_level(handler.body)


def _provides_loader(statement: ast.stmt, package: str) -> bool:
    match statement:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name in (LOADER, "__getattr__")
        case ast.Assign(targets=targets):
            return any(isinstance(target, ast.Name) and target.id == LOADER for target in targets)
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            return name == LOADER and value is not None
        case ast.ImportFrom(module=module, names=names, level=level):
            if level == 0 and (module or "").partition(".")[0] != package:
                return False  # a test or a script imports it in order to call it
            bound = {alias.asname or alias.name for alias in names}
            return LOADER in bound or (level > 0 and "*" in bound)
    return False
