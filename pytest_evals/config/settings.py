"""Settings: what the command line or the ini file says about every eval."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .budget import BUDGET_KEYS

OPTION_SET = "--evals-set"

# They are no default for the key of an eval of that name.
_OF_THE_SESSION = ("max_concurrent", *BUDGET_KEYS, "gates", "assignments")


@dataclass(frozen=True, slots=True)
class Settings:
    """What one level gives, the command line or the ini file; None where it says nothing.

    Attributes:
        model: model id or alias of the registry.
        provider: a provider's name.
        endpoints_path: the registry, absolute.
        api_base_url, api_key_var, api_client_type: where requests go, and how.
        header: `Name: Value` lines, sent with every request.
        env_args, extra_env_kwargs: tables, as in the file.
        env_dir_path: the folder of environments, absolute.
        max_tokens, temperature, sampling_args: what every request says.
        header_from_state: `Name: state_key` lines.
        max_retries, independent_scoring: as in the file.
        num_examples: examples of each eval; 0 or less takes all.
        rollouts_per_example: attempts at each example, at least 1.
        output_dir: the folder that holds `evals/`.
        save_results: whether results are kept.
        state_columns: keys of states that rows have as well.
        num_workers: how many processes evals ask for.
        resume: the folder of a run, True for the newest incomplete one, or False.
        max_concurrent: rollouts in flight in the whole session; 0 or less is unlimited.
        max_cost_usd, max_tokens_total, max_duration: the session's budget.
        verbose, disable_tui, save_to_hf_hub, hf_hub_dataset_name: what is logged, shown and pushed.
        gates: conditions added to those of every eval.
        assignments: `key=value` texts that beat every level, the file too.
    """

    model: str | None = None
    provider: str | None = None
    endpoints_path: str | None = None
    api_base_url: str | None = None
    api_key_var: str | None = None
    api_client_type: str | None = None
    header: tuple[str, ...] | None = None
    env_args: Mapping[str, Any] | None = None
    extra_env_kwargs: Mapping[str, Any] | None = None
    env_dir_path: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    sampling_args: Mapping[str, Any] | None = None
    num_examples: int | None = None
    rollouts_per_example: int | None = None
    header_from_state: tuple[str, ...] | None = None
    max_retries: int | None = None
    independent_scoring: bool | None = None
    output_dir: str | None = None
    save_results: bool | None = None
    state_columns: tuple[str, ...] | None = None
    num_workers: int | str | None = None
    resume: bool | str | None = None
    max_concurrent: int | None = None
    max_cost_usd: float | None = None
    max_tokens_total: int | None = None
    max_duration: float | None = None
    verbose: bool | None = None
    disable_tui: bool | None = None
    save_to_hf_hub: bool | None = None
    hf_hub_dataset_name: str | None = None
    gates: tuple[str, ...] = ()
    assignments: tuple[str, ...] = ()

    def table(self) -> dict[str, Any]:
        """Return the values that were given and that an eval can have, by key of the file."""
        given = {key: getattr(self, key) for key in SETTING_KEYS}
        return {key: value for key, value in given.items() if value is not None}


SETTING_KEYS = tuple(
    field.name for field in dataclasses.fields(Settings) if field.name not in _OF_THE_SESSION
)


def option_of(key: str) -> str:
    """Return the command-line option of a key of the file: `--evals-num-examples`."""
    return f"--evals-{key.replace('_', '-')}"


def ini_of(key: str) -> str:
    """Return how messages name the ini setting of a key: `ini evals_num_examples`."""
    return f"ini evals_{key}"
