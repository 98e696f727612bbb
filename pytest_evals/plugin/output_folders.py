"""Output folders: where runs are kept, or are for as long as the session lasts."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from ..config.spec import EvalSpec
from ..environments.location import module_name
from ..errors import EnvironmentLoadError
from . import settings

_OUTPUTS = "outputs"


class OutputFolders:
    """Where the runs of a session are kept, each in `evals/...` below a base.

    That is the eval's `output_dir`, or else `outputs` in the folder that its environment has in
    `env_dir_path`, or else in the folder that pytest was called in.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._folder = config.invocation_params.dir
        # Also for test functions, whose spec is made of a mark.
        self._default = (
            settings.command_line_settings(config).output_dir
            or settings.ini_settings(config).output_dir
        )
        self._temporary: Path | None = None

    def base_of(self, spec: EvalSpec) -> Path:
        """Return the folder that holds `evals/` of an eval whose results are kept."""
        chosen = spec.output_dir or self._default
        if chosen is not None:
            return self._folder / chosen
        try:
            module = module_name(spec.env_id)
        except EnvironmentLoadError:  # of a test function
            return self._folder / _OUTPUTS
        own = self._folder / (spec.env_dir_path or "environments") / module
        return (own if own.is_dir() else self._folder) / _OUTPUTS

    def writable_base_of(self, spec: EvalSpec) -> Path:
        """Return the same, or a temporary folder where the results are not kept."""
        if spec.save_results:
            return self.base_of(spec)
        if self._temporary is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="pytest-evals-results-"))
        return self._temporary

    def keep_temporary(self) -> None:
        """Leave what was not to be kept where it is: nothing else holds it."""
        self._temporary = None

    def remove_temporary(self) -> None:
        """Remove what is not to be kept; again does nothing."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = None
