"""Resolving: a block of a file, and what other levels say of it, become one EvalSpec."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import SetupError
from ..gates.grammar import GateSyntaxError, parse_gates
from .asked_gates import AskedGate, gates_of_eval
from .assignments import Assignment, read_assignments
from .blocks import Block
from .document import Mistake
from .merging import (
    BUILT_IN,
    assign,
    merge_levels,
    merge_sampling_args,
)
from .origins import gate_origins, origins_of
from .schema import check_number, check_table
from .settings import OPTION_SET, Settings, ini_of, option_of
from .spec import EvalSpec
from .values import merged_headers

# Called with an `env_id` and the eval's own `env_dir_path`, None where it has none.
EnvironmentDefaults: TypeAlias = Callable[[str, str | None], Mapping[str, Any]]

_NUMBERS = ("num_examples", "rollouts_per_example")
_COPIED = (
    "env_id",
    "env_args",
    "env_dir_path",
    "extra_env_kwargs",
    "num_examples",
    "rollouts_per_example",
    "shuffle",
    "shuffle_seed",
    "model",
    "endpoint_id",
    "provider",
    "api_base_url",
    "api_key_var",
    "api_client_type",
    "pass_threshold",
    "pass_reward",
    "reward_errors",
    "rollout_seed",
    "timeout",
    "max_retries",
    "independent_scoring",
    "output_dir",
    "save_results",
    "num_workers",
    "resume",
    "verbose",
    "disable_tui",
    "save_to_hf_hub",
    "hf_hub_dataset_name",
)


@dataclass(frozen=True, slots=True)
class Sources:
    """Where values come from that a file does not give.

    Attributes:
        command_line, ini: what they give.
        environment_defaults: returns the `[tool.verifiers.eval]` table of an environment.
        assignments: those of `--evals-set`.
    """

    command_line: Settings
    ini: Settings
    environment_defaults: EnvironmentDefaults
    assignments: tuple[Assignment, ...]

    @classmethod
    def checked(
        cls, command_line: Settings, ini: Settings, environment_defaults: EnvironmentDefaults
    ) -> Sources:
        """Return the sources.

        Raises:
            SetupError: a value or gate of the command line or the ini file is none.
        """
        for settings, written in ((command_line, option_of), (ini, ini_of)):
            for path, message in check_table(_plain(settings.table()), "settings")[1]:
                key = str(path[0])
                raise SetupError(f"{written(key)}{message.removeprefix(key)}")
        assignments = read_assignments(command_line.assignments)
        sources = cls(command_line, ini, environment_defaults, assignments)
        for asked in sources.gates():
            try:
                parse_gates([asked.written])
            except GateSyntaxError as error:
                raise SetupError(f"{asked.prefix}{error}") from None
        return sources

    def gates(self) -> list[AskedGate]:
        """Return the gates that are added to those of every eval."""
        levels = ((option_of("gate"), self.command_line), (ini_of("gate"), self.ini))
        return [
            AskedGate(text, where, f"{where}: ")
            for where, settings in levels
            for text in settings.gates
        ]

    def env_dir_path(self, file: Mapping[str, Any]) -> str | None:
        """Return the folder of environments that an eval asks for, None for the default one.

        Args:
            file: what its file says.
        """
        stronger = (file, self.command_line.table(), self.ini.table())
        chosen: str | None = self.assigned("env_dir_path")
        levels = (table["env_dir_path"] for table in stronger if "env_dir_path" in table)
        return next(levels, None) if chosen is None else chosen

    def assigned(self, key: str) -> Any:
        """Return what `--evals-set` says of a key as a whole; None where it says nothing."""
        values = [each.value for each in self.assignments if each.path == (key,)]
        return values[-1] if values else None


def resolve(
    name: str,
    block: Block,
    file: Mapping[str, Any],
    file_gates: Sequence[AskedGate],
    sources: Sources,
    mistakes: list[Mistake],
    lines: Mapping[str, int],
) -> EvalSpec:
    """Return the eval of a block.

    Args:
        name: of the eval.
        block: where it stands.
        file: its table, merged with the top level.
        file_gates: those that the file or its sidecar asks of it.
        sources: of what the file does not say.
        mistakes: takes what is wrong.
        lines: those of its keys.
    """
    levels = [file, sources.command_line.table(), sources.ini.table()]
    assigned = {assignment.path[0] for assignment in sources.assignments}
    wanted = set(_NUMBERS) - assigned.union(*levels)
    environment = _environment_numbers(block, file, wanted, sources, mistakes)
    levels += [environment, BUILT_IN]
    values = assign(merge_levels(levels), sources.assignments)
    asked = list(file_gates)
    if "gates" in assigned:
        texts = values["gates"]
        asked = [AskedGate(text, OPTION_SET, f"{OPTION_SET} gates: ") for text in texts]
    asked += sources.gates()
    gates = gates_of_eval(asked, name, values, block, mistakes)
    path = block.document.path
    optional = {key: values[key] for key in _COPIED if values.get(key) is not None}
    if "endpoints_path" in values:
        optional["endpoints_path"] = (path.parent / values["endpoints_path"]).resolve()
    # Only of the block itself: at top level the key is the session's limit, as in --evals-set.
    cap = block.table.get("max_concurrent", 0)
    headers = merged_headers(values.get("headers", {}), values.get("header", ()))
    from_state = merged_headers(
        values.get("headers_from_state", {}), values.get("header_from_state", ())
    )
    sampling_args = merge_sampling_args(values)
    spec = EvalSpec(
        name=name,
        path=path,
        line=block.line() or 1,
        sampling_args=sampling_args,
        headers=headers,
        headers_from_state=from_state,
        max_concurrent=cap if cap > 0 else None,
        state_columns=tuple(dict.fromkeys(values.get("state_columns", ()))),
        markers=tuple(dict.fromkeys(values.get("markers", ()))),
        gates=gates,
        lines=lines,
        **optional,
    )
    spec.origins.update(origins_of(spec, values, levels, sources.assignments))
    spec.origins.update(gate_origins(gates, asked))
    return spec


def _environment_numbers(
    block: Block,
    file: Mapping[str, Any],
    wanted: set[str],
    sources: Sources,
    mistakes: list[Mistake],
) -> dict[str, int]:
    """Return the numbers that the environment itself proposes and no stronger level gives."""
    if not wanted:
        return {}
    env_id = file["env_id"]
    numbers: dict[str, int] = {}
    defaults = sources.environment_defaults(env_id, sources.env_dir_path(file))
    for key in sorted(wanted & defaults.keys()):
        try:
            numbers[key] = check_number(key, defaults[key])
        except ValueError as error:
            message = (
                f"environment {env_id!r}: {key} in [tool.verifiers.eval] of its pyproject.toml"
                f" {error}"
            )
            mistakes.append(Mistake(block.line("env_id"), message))
    return numbers


def _plain(table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: list(value) if isinstance(value, tuple) else value for key, value in table.items()}
