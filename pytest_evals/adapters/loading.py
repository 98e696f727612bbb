"""Loading by id, for scripts and notebooks, also of environments that import verifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..environments.loading import load_by_id as load_own
from .importing import VerifiersImports

if TYPE_CHECKING:
    from ..environments.environment import Environment

# Until the process ends: functions of an environment may import more when they are called.
_imports = VerifiersImports()


def load_by_id(env_id: str, **env_args: object) -> Environment:
    """Load the environment `env_id` for use in a script or a notebook.

    It is looked for as an installed module, in `./environments`, in the current folder, and beside
    the local environments that were loaded before. Where it imports verifiers it gets the installed
    package, of 0.1.11 to 0.3.1, or else pytest_evals; inside another environment's
    `load_environment`, what that one gets.

    Args:
        env_id: `my-env` or `owner/my-env`.
        **env_args: arguments of its `load_environment`.

    Raises:
        MissingKeyError: the environment needs a key that is not set.
        EnvironmentLoadError: it was not found, or did not load.
    """
    imports = VerifiersImports.in_force() or _imports
    with imports.importable():
        return imports.adapted(load_own(env_id, **env_args))
