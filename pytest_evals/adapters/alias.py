"""Modules of verifiers that are this package's: `import verifiers`, `pytest_evals.types`."""

from __future__ import annotations

import importlib
import importlib.abc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from ..names import MODULES, STARRED, find, why_missing

_ROOT = "verifiers"
_FORMER = "verifiers.legacy"  # where 0.2 to 0.3.1 keep the same modules
_OWN = __name__.partition(".")[0]


class AliasModule(ModuleType):
    """A module of verifiers whose attributes are this package's, each found when first used.

    It is named as it was imported: below `verifiers`, or below this package.
    """

    def __getattr__(self, name: str) -> Any:
        inner = _inner(self.__name__)
        target = MODULES[inner].get(name)
        if target is not None:
            value = find(target)
            setattr(self, name, value)  # the next use does not come here
            return value
        below = f"{inner}.{name}" if inner else name
        if below in MODULES:
            return importlib.import_module(f"{self.__name__}.{name}")
        if name.startswith("__"):  # asked for by Python itself, as a rule
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        raise AttributeError(why_missing(_root(self.__name__), inner, name))

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *MODULES[_inner(self.__name__)]})


class _AliasLoader(importlib.abc.Loader):
    """Makes `AliasModule`s."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return an empty module."""
        return AliasModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Say what `import *` binds; everything else is found when it is used."""
        inner = _inner(module.__name__)
        module.__all__ = list(MODULES[inner] if inner else STARRED)  # type: ignore[attr-defined]


class VerifiersAlias(_AliasLoader, importlib.abc.MetaPathFinder):
    """Resolves `verifiers` and the submodules that environments use to this package.

    Attributes:
        is_used: whether anything imported verifiers while it could.
    """

    def __init__(self) -> None:
        self.is_used = False

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Let `import verifiers` find this package.

        It stays so afterwards if anything did import it: functions may import more of it when they
        are called.
        """
        if self in sys.meta_path:
            yield
            return
        sys.meta_path.insert(0, self)
        try:
            yield
        finally:
            if not self.is_used:
                self.remove()

    def remove(self) -> None:
        """Let `import verifiers` mean again what it meant before."""
        self.is_used = False
        if self in sys.meta_path:
            sys.meta_path.remove(self)
        for name, module in list(sys.modules.items()):
            if isinstance(module, AliasModule) and module.__loader__ is self:
                del sys.modules[name]

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec of a module of verifiers; None for every other.

        Raises:
            ImportError: this package does not provide it; says what does.
        """
        if fullname.partition(".")[0] != _ROOT:
            return None
        inner = _inner(fullname)
        if inner not in MODULES:
            # Not ModuleNotFoundError: Python swallows that for `from verifiers import name`, which
            # comes here as well, and would say no more than that it cannot import the name.
            module, _, name = inner.rpartition(".")
            raise ImportError(why_missing(_ROOT, module, name), name=fullname)
        # A package, or its submodules could not be imported.
        return ModuleSpec(fullname, self, origin=_OWN, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Note that it was imported, and say what `import *` binds."""
        self.is_used = True
        super().exec_module(module)


class OwnModules(_AliasLoader):
    """Makes the modules of verifiers that this package has only by name, as `pytest_evals.types`.

    `pytest_evals` asks it for what is not found otherwise.
    """

    def find_spec(self, fullname: str) -> ModuleSpec | None:
        """Return the spec of a module below this package; None where it is for Python to say.

        Raises:
            ImportError: there is no such module, nor a name of the module that it was asked of.
        """
        inner = _inner(fullname)
        if inner in MODULES:
            return ModuleSpec(fullname, self, origin=_OWN, is_package=True)
        module, _, name = inner.rpartition(".")
        if module not in MODULES or name.startswith("__"):
            return None
        raise ImportError(why_missing(_OWN, module, name), name=fullname)


OWN_MODULES = OwnModules()


def is_imported() -> bool:
    """Whether the real verifiers has been imported in this process."""
    return _ROOT in sys.modules and not isinstance(sys.modules[_ROOT], AliasModule)


def _root(fullname: str) -> str:
    return fullname.partition(".")[0]


def _inner(fullname: str) -> str:
    """Return the name of a module below `verifiers` or this package; "" for themselves."""
    former = f"{fullname}.".startswith(f"{_FORMER}.")
    return fullname.removeprefix(_FORMER if former else _root(fullname)).removeprefix(".")
