"""VerifiersImports: what the environments of a session get when they import verifiers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

from .alias import VerifiersAlias, is_imported
from .choice import Kind, Mode, choose, installed_version

if TYPE_CHECKING:
    from ..environments.environment import Environment
    from .package import PackageEnvironment


class VerifiersImports:
    """What the environments of a session get when they import verifiers.

    Args:
        mode: what the user asked for.
    """

    _in_force: ClassVar[VerifiersImports | None] = None

    def __init__(self, mode: Mode = "auto") -> None:
        self.mode = mode
        self._alias = VerifiersAlias()
        self._kind: Kind | None = None
        self._was_imported_before = False
        self._driven: str | None = None
        self._adapted: dict[int, PackageEnvironment] = {}

    @classmethod
    def in_force(cls) -> VerifiersImports | None:
        """Return those inside whose `importable` the caller is: an environment may load others."""
        return cls._in_force

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Load an environment inside: what it imports as verifiers is what the mode says.

        A verifiers that somebody imported before stays what it is: others hold on to its classes.

        Raises:
            SetupError: the package was asked for, and there is none that can be driven.
        """
        if self._kind is None:
            self._kind = choose(self.mode)
            self._was_imported_before = is_imported()
        outer, VerifiersImports._in_force = self._in_force, self
        try:
            if self._kind == "package" or is_imported():
                yield
                return
            with self._alias.importable():
                yield
        finally:
            VerifiersImports._in_force = outer

    def adapted(self, environment: Environment) -> Environment:
        """Return an environment that the engine can run.

        One that the real verifiers made is wrapped; every other is returned as it is.

        Raises:
            SetupError: it is of a release that cannot be driven.
        """
        if not is_packages_own(environment):
            return environment
        # Imported here: every session with evals imports this module.
        from .package import adapt

        if id(environment) not in self._adapted:
            self._adapted[id(environment)], self._driven = adapt(environment)
        return self._adapted[id(environment)]

    @property
    def notices(self) -> list[str]:
        """What environments that import verifiers get, a line each; nothing while none has."""
        if self._kind == "native" and self._was_imported_before:
            return [
                "verifiers: it was imported before the first environment, so environments"
                " importing it get that and not pytest_evals"
            ]
        if self._driven is not None:
            return [
                f"verifiers: environments importing it run on the installed {self._driven}",
                *self._shortcomings(),
            ]
        if not self._alias.is_used:
            return []
        installed = installed_version()
        instead = "" if installed is None else f" in place of the installed {installed}"
        return [f"verifiers: environments importing it get pytest_evals{instead}"]

    def _shortcomings(self) -> list[str]:
        asking = [env.env_id for env in self._adapted.values() if env.asks_judge_without_question]
        if not asking:
            return []
        return [
            f"verifiers: {', '.join(asking)}: JudgeRubric of the package leaves {{question}} in its"
            " prompt empty; --evals-verifiers=native fills it in"
        ]

    def close(self) -> None:
        """Let `import verifiers` mean again what it meant before."""
        self._alias.remove()


def is_packages_own(environment: object) -> bool:
    """Whether the real verifiers made an environment; does not import it."""
    return any(
        kind.__name__ == "Environment" and kind.__module__.startswith("verifiers.")
        for kind in type(environment).__mro__
    )
