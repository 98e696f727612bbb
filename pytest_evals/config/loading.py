"""Loading: an eval file, or an environment named alone, becomes EvalSpecs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, SetupError
from ..gates.grammar import Gate, GateSyntaxError, impossible, parse_gates
from .blocks import Block, lines_of_keys, own_and_inherited, read_blocks
from .document import Document, Mistake, is_eval_file, raise_mistakes, read_document
from .merging import merge_block, merge_levels, merge_sampling_args
from .overriding import overridden
from .schema import check_env_id, check_number, is_name
from .settings import Settings, ini_of, option_of
from .spec import EvalSpec

__all__ = ["EvalConfig", "eval_of_environment", "is_eval_file", "read_eval_file"]

EnvironmentDefaults = Callable[[str], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """The evals of one file.

    Attributes:
        evals: in file order.
        max_concurrent: the session's limit, as the top level of the file gives it; 0 is unlimited,
            None when it gives none.
        overridden: a phrase for each command-line value that the file overrides:
            `--evals-model=gpt-x (bench.toml:2 says demo-small)`.
    """

    evals: tuple[EvalSpec, ...]
    max_concurrent: int | None
    overridden: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where values come from that a file does not give."""

    command_line: Settings
    ini: Settings
    environment_defaults: EnvironmentDefaults

    def check(self) -> None:
        """Raise SetupError for a bad value or gate of the command line or the ini file."""
        self.command_line.check(option_of("rollouts_per_example"))
        self.ini.check(ini_of("rollouts_per_example"))
        for asked in self.gates():
            try:
                parse_gates([asked.text])
            except GateSyntaxError as error:
                raise SetupError(f"{asked.prefix}{error}") from None

    def gates(self) -> list[_AskedGate]:
        """Return the gates that are added to those of every eval."""
        levels = ((option_of("gate"), self.command_line), (ini_of("gate"), self.ini))
        return [
            _AskedGate(text, None, f"{where}: ")
            for where, settings in levels
            for text in settings.gates
        ]


@dataclass(frozen=True, slots=True)
class _AskedGate:
    """A gate as written: its text, its line in the file, and what a message begins with."""

    text: str
    line: int | None
    prefix: str


def read_eval_file(
    path: Path,
    *,
    command_line: Settings,
    ini: Settings,
    environment_defaults: EnvironmentDefaults,
) -> EvalConfig:
    """Read an eval file and resolve its evals; no environment is imported.

    Args:
        path: the TOML file.
        command_line: what the options give.
        ini: what the ini file gives.
        environment_defaults: returns the `[tool.verifiers.eval]` table of an environment, by its
            `env_id`; called for an eval whose numbers no stronger level gives.

    Raises:
        ConfigError: for mistakes in the file, one line each.
        SetupError: for a value of the command line or the ini file that no eval can have.
    """
    sources = _Sources(command_line, ini, environment_defaults)
    sources.check()
    document = read_document(path)
    top_level, blocks, mistakes = read_blocks(document)
    raise_mistakes(path, mistakes)
    names = _names(blocks)
    merged = [merge_block(block.table, top_level.table) for block in blocks]
    lines = lines_of_keys(document)
    evals = [
        _resolve(
            name,
            block,
            table,
            _file_gates(block, top_level),
            sources,
            mistakes,
            own_and_inherited(lines, block),
        )
        for name, block, table in zip(names, blocks, merged, strict=True)
    ]
    raise_mistakes(path, mistakes)
    limit = top_level.table.get("max_concurrent")
    return EvalConfig(
        evals=tuple(evals),
        max_concurrent=None if limit is None else max(0, limit),
        overridden=overridden(command_line, top_level, list(zip(blocks, merged, strict=True))),
    )


def eval_of_environment(
    env_id: str,
    path: Path,
    *,
    command_line: Settings,
    ini: Settings,
    environment_defaults: EnvironmentDefaults,
) -> EvalConfig:
    """Return the one eval of an environment that was named without a file.

    Args:
        env_id: the environment.
        path: where it was found; messages and the spec name it.
        command_line, ini, environment_defaults: as for `read_eval_file`.

    Raises:
        ConfigError: the environment's defaults or its name cannot be used.
        SetupError: for a value of the command line or the ini file that no eval can have.
    """
    sources = _Sources(command_line, ini, environment_defaults)
    sources.check()
    try:
        check_env_id(env_id)
    except ValueError as error:
        raise ConfigError(path, None, f"env_id {error}") from None
    block = Block({"env_id": env_id}, (), Document(path, {}, {}))
    mistakes: list[Mistake] = []
    (name,) = _names([block])
    spec = _resolve(name, block, block.table, [], sources, mistakes, {})
    raise_mistakes(path, mistakes)
    return EvalConfig(evals=(spec,), max_concurrent=None, overridden=())


def _names(blocks: list[Block]) -> list[str]:
    """Return the blocks' names, given or made of `env_id`.

    Raises:
        ConfigError: one cannot be a name, or two are the same.
    """
    names: dict[str, Block] = {}
    mistakes: list[Mistake] = []
    for block in blocks:
        env_id: str = block.table["env_id"]
        name = block.table.get("name") or env_id.rpartition("/")[2].partition("@")[0]
        if not is_name(name):
            message = f"{name!r} cannot name an eval; set name, of letters, digits and _ . + -"
            mistakes.append(Mistake(block.line("env_id"), message))
        elif name in names:
            message = (
                f"this eval is named {name!r} like the one in line {names[name].line()};"
                f' set name = "..." in one of them'
            )
            mistakes.append(Mistake(block.line(), message))
        names.setdefault(name, block)
    raise_mistakes(blocks[0].document.path, mistakes)
    return list(names)


def _resolve(
    name: str,
    block: Block,
    file: Mapping[str, Any],
    file_gates: list[_AskedGate],
    sources: _Sources,
    mistakes: list[Mistake],
    lines: Mapping[str, int],
) -> EvalSpec:
    """Return the eval of a block whose `file` table is merged with the top level."""
    settings = [sources.command_line.table(), sources.ini.table()]
    stronger = {key for table in (file, *settings) for key in table}
    environment = _environment_numbers(block, stronger, sources, mistakes)
    values = merge_levels(file, settings, environment)
    gates = _gates([*file_gates, *sources.gates()], name, values, block, mistakes)
    path = block.document.path
    optional = {key: values[key] for key in _COPIED if key in values}
    if "endpoints_path" in values:
        optional["endpoints_path"] = (path.parent / values["endpoints_path"]).resolve()
    # Only of the block itself: at top level the key is the session's limit.
    cap = block.table.get("max_concurrent", 0)
    return EvalSpec(
        name=name,
        path=path,
        line=block.line() or 1,
        sampling_args=merge_sampling_args(values),
        max_concurrent=cap if cap > 0 else None,
        markers=tuple(dict.fromkeys(values.get("markers", ()))),
        gates=gates,
        lines=lines,
        **optional,
    )


_COPIED = (
    "env_id",
    "env_args",
    "extra_env_kwargs",
    "num_examples",
    "rollouts_per_example",
    "model",
    "endpoint_id",
    "provider",
    "api_base_url",
    "api_key_var",
    "pass_threshold",
    "pass_reward",
    "reward_errors",
    "rollout_seed",
    "timeout",
)


def _environment_numbers(
    block: Block, stronger: set[str], sources: _Sources, mistakes: list[Mistake]
) -> dict[str, int]:
    """Return the numbers that the environment itself proposes and no stronger level gives."""
    wanted = {"num_examples", "rollouts_per_example"} - stronger
    if not wanted:
        return {}
    env_id = block.table["env_id"]
    numbers: dict[str, int] = {}
    defaults = sources.environment_defaults(env_id)
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


def _file_gates(block: Block, top_level: Block) -> list[_AskedGate]:
    """Return the gates that the file asks of a block's eval: its own, else those at top level."""
    source = block if "gates" in block.table else top_level
    return [
        _AskedGate(text, source.line("gates", index), f"gates[{index}]: ")
        for index, text in enumerate(source.table.get("gates", ()))
    ]


def _gates(
    asked: list[_AskedGate],
    name: str,
    values: Mapping[str, Any],
    block: Block,
    mistakes: list[Mistake],
) -> tuple[Gate, ...]:
    """Return the gates of an eval, the default one last; note those that could never pass."""
    gates = parse_gates([gate.text for gate in asked])
    for gate, origin in zip(gates, asked, strict=False):  # the default one has no origin
        why = impossible(
            gate,
            num_examples=values["num_examples"],
            rollouts_per_example=values["rollouts_per_example"],
        )
        if why is not None:
            message = f"eval {name!r}: {origin.prefix}{why}"
            mistakes.append(Mistake(origin.line or block.line(), message))
    return gates
