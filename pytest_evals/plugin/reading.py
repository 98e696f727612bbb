"""EvalReader: reads eval files and named environments, with what the options say of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ..config.budget import Budget, budget_in, smallest
from ..config.loading import EvalConfig, env_dir_of, eval_of_environment, read_eval_file
from ..config.sidecar import lost_gates
from ..config.spec import EvalSpec
from ..config.values import merged_headers
from ..endpoints.endpoint import Endpoint
from ..endpoints.secrets import Secrets, secrets_of
from ..environments.loading import check_name
from ..environments.location import EnvironmentLocation, environment_defaults
from ..errors import ConfigError
from . import settings
from .environments import SessionEnvironments

_DEFAULT_MAX_CONCURRENT = 32


class EvalReader:
    """Reads the evals of a session.

    Attributes:
        overridden: command-line values that a file overrides, a phrase each.

    Args:
        environments: knows where environments are.
        secrets: takes what is secret in the URLs and headers of evals, also of those that are not
            collected: they may be shown.
    """

    def __init__(
        self, config: pytest.Config, environments: SessionEnvironments, secrets: Secrets
    ) -> None:
        self.overridden: list[str] = []
        self._folder = config.invocation_params.dir
        self._environments = environments
        self._secrets = secrets
        self._command_line = settings.command_line_settings(config)
        self._ini = settings.ini_settings(config)
        self._searched: set[Path] = set()
        self._file_limits: list[int] = []
        self._budgets: list[Budget] = []
        for level in (self._command_line, self._ini):
            self._hide(level.api_base_url, merged_headers({}, level.header or ()))

    @property
    def assigns(self) -> bool:
        """Whether `--evals-set` was given."""
        return bool(self._command_line.assignments)

    @property
    def max_concurrent(self) -> int:
        """Rollouts in flight over the whole session; 0 or less for no limit.

        The files' top level beats the command line, and that the ini file; of several files that
        state one, the smallest holds.
        """
        bounded = [limit for limit in self._file_limits if limit > 0]
        if bounded:
            return min(bounded)
        stated = (*self._file_limits, self._command_line.max_concurrent, self._ini.max_concurrent)
        return next((limit for limit in stated if limit is not None), _DEFAULT_MAX_CONCURRENT)

    @property
    def budget(self) -> Budget:
        """What the whole session may use: of several files, the smallest limits hold."""
        own = [budget_in(self._command_line), budget_in(self._ini)]
        return smallest(self._budgets or own)

    def read_file(self, path: Path) -> list[EvalSpec]:
        """Return the evals of a TOML file.

        Raises:
            SetupError: the file cannot be used, or its folder holds gates that nothing would be
                judged by.
        """
        self._refuse_lost_gates(path.parent)
        return self._noted(
            read_eval_file(
                path,
                command_line=self._command_line,
                ini=self._ini,
                environment_defaults=lambda env_id, env_dir: self._environments.defaults(
                    env_id, path.parent, env_dir
                ),
            )
        )

    def _refuse_lost_gates(self, folder: Path) -> None:
        """Stop, once, where gates of a folder belong to no eval file: they may be this one's."""
        if folder in self._searched:
            return
        self._searched.add(folder)
        for path, text in lost_gates(folder):
            raise ConfigError(path, None, text)

    def read_environment(
        self, path: Path, env_id: str, location: EnvironmentLocation
    ) -> list[EvalSpec]:
        """Return the one eval of an environment that was named by its path.

        Raises:
            SetupError: a setting of the command line or the ini file cannot be used, or what makes
                the environment has another name.
        """
        self._environments.name(path, location)
        check_name(location)
        return self._eval_of(env_id, path, location)

    def read_environment_id(self, env_id: str) -> list[EvalSpec]:
        """Return the one eval of an environment that was named by its id.

        Raises:
            SetupError: it is not found, or a setting cannot be used.
        """
        location = self._environments.find(env_id, env_dir_of(self._command_line, self._ini))
        path = None if location is None else location.path
        if path is None:
            path = self._folder
        self._environments.name(path, location)
        return self._eval_of(env_id, path, location)

    def _eval_of(
        self, env_id: str, path: Path, location: EnvironmentLocation | None
    ) -> list[EvalSpec]:
        return self._noted(
            eval_of_environment(
                env_id,
                path,
                command_line=self._command_line,
                ini=self._ini,
                environment_defaults=lambda _, env_dir: (
                    {} if location is None else environment_defaults(location)
                ),
            )
        )

    def _noted(self, read: EvalConfig) -> list[EvalSpec]:
        for spec in read.evals:
            self._hide(spec.api_base_url, spec.headers)
        self.overridden.extend(map(self._secrets.mask, read.overridden))
        self._budgets.append(read.budget)
        if read.max_concurrent is not None:
            self._file_limits.append(read.max_concurrent)
        return list(read.evals)

    def _hide(self, url: str | None, headers: Mapping[str, str]) -> None:
        endpoint = Endpoint(model="", url=url or "", key_var=None, label="", headers=headers)
        for secret in secrets_of(endpoint):
            self._secrets.add(secret)
