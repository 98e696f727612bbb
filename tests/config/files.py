"""Eval files for tests: written, read, and their errors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.config.loading import EvalConfig, read_eval_file
from pytest_evals.config.settings import Settings
from pytest_evals.errors import ConfigError

NOTHING = Settings()


def no_defaults(env_id: str, env_dir: str | None) -> Mapping[str, Any]:
    return {}


class Files:
    """Writes `bench.toml` and reads it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bench.toml"

    def read(
        self,
        text: str,
        command_line: Settings = NOTHING,
        ini: Settings = NOTHING,
        defaults: Mapping[str, Any] | None = None,
    ) -> EvalConfig:
        self.path.write_text(text, encoding="utf-8")
        return read_eval_file(
            self.path,
            command_line=command_line,
            ini=ini,
            environment_defaults=lambda env_id, env_dir: defaults or {},
        )

    def error(self, text: str, **levels: Any) -> str:
        with pytest.raises(ConfigError) as caught:
            self.read(text, **levels)
        return str(caught.value).replace(str(self.path.parent) + "/", "")

    def error_of_file(self) -> str:
        """Return the error of the file as it is."""
        return self.error(self.path.read_text(encoding="utf-8"))


def one(key_line: str) -> str:
    return f'[[eval]]\nenv_id = "a"\n{key_line}\n'
