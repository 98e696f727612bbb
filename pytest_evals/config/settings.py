"""Settings: what the command line or the ini file says about every eval."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import SetupError


@dataclass(frozen=True, slots=True)
class Settings:
    """What one level gives, the command line or the ini file; None where it says nothing.

    Attributes:
        model: model id or alias of the registry.
        provider: a provider's name.
        num_examples: examples of each eval; 0 or less takes all.
        rollouts_per_example: attempts at each example, at least 1.
        max_concurrent: rollouts in flight in the whole session; 0 or less is unlimited.
        gates: conditions added to those of every eval.
    """

    model: str | None = None
    provider: str | None = None
    num_examples: int | None = None
    rollouts_per_example: int | None = None
    max_concurrent: int | None = None
    gates: tuple[str, ...] = ()

    def table(self) -> dict[str, Any]:
        """Return the values that were given and that an eval can have, by key of the file."""
        keys = ("model", "provider", "num_examples", "rollouts_per_example")
        return {key: value for key in keys if (value := getattr(self, key)) is not None}

    def check(self, written: str) -> None:
        """Raise SetupError for a value that no eval can have.

        Args:
            written: how this level writes `rollouts_per_example`, for the message.
        """
        if self.rollouts_per_example is not None and self.rollouts_per_example < 1:
            raise SetupError(f"{written}={self.rollouts_per_example}: must be at least 1")


def option_of(key: str) -> str:
    """Return the command-line option of a key of the file: `--evals-num-examples`."""
    return f"--evals-{key.replace('_', '-')}"


def ini_of(key: str) -> str:
    """Return how messages name the ini setting of a key: `ini evals_num_examples`."""
    return f"ini evals_{key}"
