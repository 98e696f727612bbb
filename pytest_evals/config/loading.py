"""Loading: an eval file, or an environment named alone, becomes EvalSpecs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import ConfigError
from .asked_gates import gates_of_file
from .blocks import Block, lines_of_keys, own_and_inherited, read_blocks
from .budget import Budget, budget_of
from .document import Document, Mistake, is_eval_file, raise_mistakes, read_document
from .merging import merge_block
from .naming import names_of
from .overriding import overridden
from .resolving import EnvironmentDefaults, Sources, resolve
from .settings import Settings
from .sidecar import clashes, owner_of, read_sidecar, without_owner
from .spec import EvalSpec
from .values import check_env_id

__all__ = ["EvalConfig", "env_dir_of", "eval_of_environment", "is_eval_file", "read_eval_file"]


@dataclass(frozen=True, slots=True)
class EvalConfig:
    """The evals of one file.

    Attributes:
        evals: those of `[[eval]]` in file order, then the points of each `[[ablation]]`.
        max_concurrent: the session's limit, as the top level of the file gives it; 0 is unlimited,
            None when it gives none.
        budget: the session's, as all levels give it.
        overridden: a phrase for each command-line value that the file overrides:
            `--evals-model=gpt-x (bench.toml:2 says demo-small)`.
    """

    evals: tuple[EvalSpec, ...]
    max_concurrent: int | None
    budget: Budget
    overridden: tuple[str, ...]


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
            `env_id` and the eval's `env_dir_path`; called for an eval whose numbers no stronger
            level gives.

    Raises:
        ConfigError: for mistakes in the file or its sidecar, one line each.
        SetupError: for a value of the command line or the ini file that no eval can have.
    """
    owner = owner_of(path)
    if owner is not None:
        raise ConfigError(path, None, f"these are the gates of {owner.name}; run that file")
    problem = without_owner(path)
    if problem is not None:
        raise ConfigError(path, None, problem)
    sources = Sources.checked(command_line, ini, environment_defaults)
    document = read_document(path)
    top_level, blocks, mistakes = read_blocks(document)
    raise_mistakes(path, mistakes)
    names = names_of(blocks, top_level)
    beside = read_sidecar(path, names)
    asked = {
        name: gates_of_file(block, top_level) for name, block in zip(names, blocks, strict=True)
    }
    raise_mistakes(path, clashes(beside, asked))
    merged = [merge_block(block, top_level) for block in blocks]
    lines = lines_of_keys(document)
    evals = [
        resolve(
            name,
            block,
            table,
            asked[name] or beside.get(name, []),
            sources,
            mistakes,
            own_and_inherited(lines, block),
        )
        for name, block, table in zip(names, blocks, merged, strict=True)
    ]
    raise_mistakes(path, mistakes)
    limit = sources.assigned("max_concurrent")
    if limit is None:
        limit = top_level.table.get("max_concurrent")
    return EvalConfig(
        evals=tuple(evals),
        max_concurrent=None if limit is None else max(0, limit),
        budget=budget_of(top_level.table, sources),
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
    sources = Sources.checked(command_line, ini, environment_defaults)
    try:
        check_env_id(env_id)
    except ValueError as error:
        raise ConfigError(path, None, f"env_id {error}") from None
    block = Block({"env_id": env_id}, (), Document(path, {}, {}))
    mistakes: list[Mistake] = []
    (name,) = names_of([block], block)
    spec = resolve(name, block, block.table, [], sources, mistakes, {})
    raise_mistakes(path, mistakes)
    limit = sources.assigned("max_concurrent")
    return EvalConfig(
        evals=(spec,),
        max_concurrent=None if limit is None else max(0, limit),
        budget=budget_of({}, sources),
        overridden=(),
    )


def env_dir_of(command_line: Settings, ini: Settings) -> str | None:
    """Return the folder of environments that are named without a file, None for the default one.

    Raises:
        SetupError: for a value of the command line or the ini file that no eval can have.
    """
    return Sources.checked(command_line, ini, lambda env_id, env_dir: {}).env_dir_path({})
