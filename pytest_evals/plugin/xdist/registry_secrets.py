"""RegistrySecrets: what is secret in endpoints, read by the controller where workers read it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from ...config.loading import read_eval_file
from ...config.spec import EvalSpec
from ...endpoints.secrets import Secrets
from ...errors import SetupError
from .. import settings
from ..endpoints import SessionEndpoints


class RegistrySecrets:
    """Masks the headers and URLs of the endpoints of evals that workers collected.

    What workers send is masked, and must be: it goes through pipes and to other machines. So the
    controller reads registries and eval files itself. Of an environment that was named by its path
    it knows the endpoint without what is masked in the spec.

    Args:
        config: of the controller.
        secrets: takes them.
    """

    def __init__(self, config: pytest.Config, secrets: Secrets) -> None:
        self._config = config
        self._endpoints = SessionEndpoints(config.invocation_params.dir, secrets, lambda: True)
        self._read: set[Path] = set()
        self._resolved: set[tuple[object, ...]] = set()

    def hide(self, spec: EvalSpec) -> None:
        """Mask what is secret in the endpoint of an eval, and of those of the same file."""
        if spec.path not in self._read:
            self._read.add(spec.path)
            if spec.path.suffix == ".toml":
                self._hide_all(self._evals_in(spec.path))
        self._hide_all([spec])

    def _hide_all(self, specs: Iterable[EvalSpec]) -> None:
        for spec in specs:
            served = (
                spec.model, spec.endpoint_id, spec.endpoints_path,
                spec.provider, spec.api_base_url, spec.api_key_var,
            )  # fmt: skip
            if served not in self._resolved:
                self._resolved.add(served)
                with contextlib.suppress(SetupError, OSError):  # of a worker on another machine
                    self._endpoints.of(spec)

    def _evals_in(self, path: Path) -> Iterable[EvalSpec]:
        with contextlib.suppress(SetupError, OSError):
            return read_eval_file(
                path,
                command_line=settings.command_line_settings(self._config),
                ini=settings.ini_settings(self._config),
                environment_defaults=_no_defaults,
            ).evals
        return ()


def _no_defaults(_: str, __: str | None) -> Mapping[str, Any]:
    return {}
