"""Command line options and ini keys, and what they ask for."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from . import judging_options, settings
from .option_values import baseline_name

if TYPE_CHECKING:
    from ..adapters.choice import Mode

# Those of `adapters.choice`.
VERIFIERS_MODES = ("auto", "native", "package")
CACHE_MODES = ("read-write", "read", "off")

# How many eval files were not asked for.
_LEFT_OUT: pytest.StashKey[int] = pytest.StashKey()

# Options that stand without a value, and have no ini key.
_SWITCHES = {
    "--evals": "Collect the eval files inside the folders named on the command line",
    "--evals-show-config": (
        "Print each eval as it was resolved, in TOML, with the source of each value; with"
        " --collect-only nothing runs"
    ),
    "--evals-partial": "Let a selection (-k, node ids) leave gates unjudged without a failure",
    "--evals-resume-anyway": "Continue a run although the version of its environment has changed",
    "--evals-resume-legacy": (
        "Continue runs by the rule of verifiers: only env_id, model and numbers are compared,"
        " and rollouts that ended in an error are done"
    ),
    "--evals-sequential": (
        "Run one rollout at a time, in the main thread, so that breakpoint() works in it;"
        " --pdb and --trace imply it"
    ),
}


def add_options(parser: pytest.Parser) -> None:
    """Declare every option and ini key of the plugin."""
    group = parser.getgroup("evals", "evals: language models on environments")
    for name, text in _SWITCHES.items():
        dest = name.removeprefix("--").replace("-", "_")
        group.addoption(name, action="store_true", dest=dest, help=text)
    group.addoption(
        "--evals-env-id",
        action="append",
        default=[],
        metavar="ID",
        dest="evals_env_id",
        help="Evaluate an environment by its id, without a file; repeatable",
    )
    settings.add_settings(parser, group)
    judging_options.add_judging_options(group)
    group.addoption(
        "--evals-save-baseline",
        type=baseline_name,
        metavar="NAME",
        dest="evals_save_baseline",
        help="Save each eval's run, if it is whole, as a baseline that gates can name",
    )
    group.addoption(
        "--evals-compare",
        nargs=2,
        metavar=("RUN", "RUN"),
        dest="evals_compare",
        help="Say in what two runs differ (folders, results.jsonl or baselines), and run nothing",
    )
    group.addoption(
        "--evals-verifiers",
        choices=VERIFIERS_MODES,
        dest="evals_verifiers",
        help="What environments that import verifiers get: pytest_evals (native), the installed"
        " verifiers 0.1.11 to 0.3.1 (package), or that if there is one (auto, the default)",
    )
    parser.addini("evals_verifiers", "auto, native or package; --evals-verifiers beats it")
    group.addoption(
        "--evals-cache",
        choices=CACHE_MODES,
        dest="evals_cache",
        help="Keep what models answer, and ask only for what is not known (read-write), or ask"
        " nothing: a replay without keys and servers (read)",
    )
    parser.addini("evals_cache", "read-write, read or off (default); --evals-cache beats it")
    parser.addini(
        "evals_files",
        "Patterns of eval files to collect inside named folders, such as *.evals.toml",
        type="args",
        default=[],
    )


def leave_file_behind_resume(args: list[str], files: list[str]) -> None:
    """Leave to pytest the eval file behind `--evals-resume`, which is never a run's folder.

    Args:
        args: the command line, changed in place.
        files: what it names, as far as the first conftest files are looked for beside that.
    """
    option = "--evals-resume"
    for place, (given, behind) in enumerate(itertools.pairwise(args)):
        if given == option and behind.partition("::")[0].endswith(".toml"):
            args[place] = f"{option}=true"
            files.append(behind)


def refuse_file_as_run(config: pytest.Config) -> None:
    """Stop a session whose `--evals-resume` took the eval file behind it for the run to continue.

    Raises:
        pytest.UsageError: it did.
    """
    path = config.getoption("evals_resume")
    if isinstance(path, str) and ("::" in path or (config.invocation_params.dir / path).is_file()):
        raise pytest.UsageError(
            f"--evals-resume: {path} is not the folder of a run; write --evals-resume=FOLDER, or"
            " put the option behind the files"
        )


def cache_mode(config: pytest.Config) -> str:
    """Return what is done with the response cache, one of `CACHE_MODES`.

    Raises:
        pytest.UsageError: the ini file says something else.
    """
    return _chosen(config, "evals_cache", CACHE_MODES, "off")


def cache_dir(config: pytest.Config) -> Path:
    """Return the folder of the response cache, absolute."""
    chosen = settings.of_the_session(config, "cache_dir")
    return Path(chosen or config.invocation_params.dir / ".evals_cache")


def prices_path(config: pytest.Config) -> Path | None:
    """Return the table of prices, absolute; None where none is named."""
    chosen = settings.of_the_session(config, "prices")
    return Path(chosen) if chosen else None


def phase_limit(config: pytest.Config, phase: str) -> int | None:
    """Return how many rollouts may be in a phase at once, over all workers; None for any number.

    Args:
        phase: `generation` or `scoring`.
    """
    limit: int | None = settings.of_the_session(config, f"max_concurrent_{phase}")
    return limit if limit is not None and limit > 0 else None


def interleaves_scoring(config: pytest.Config) -> bool:
    """Whether rollouts are scored while others of their eval have not been generated."""
    return not settings.of_the_session(config, "no_interleave_scoring")


def is_sequential(config: pytest.Config) -> bool:
    """Whether rollouts run one at a time, where a debugger can be used."""
    return any(config.getoption(dest) for dest in ("evals_sequential", "usepdb", "trace"))


def is_dry(config: pytest.Config) -> bool:
    """Whether pytest was asked to show what would run (`--setup-plan`, `--setup-only`)."""
    return bool(config.getoption("setupplan") or config.getoption("setuponly"))


def verifiers_mode(config: pytest.Config) -> Mode:
    """Return what environments that import verifiers are to get.

    Raises:
        pytest.UsageError: the ini file says something else.
    """
    mode: Any = _chosen(config, "evals_verifiers", VERIFIERS_MODES, "auto")
    chosen: Mode = mode
    return chosen


def _chosen(config: pytest.Config, dest: str, choices: Sequence[str], default: str) -> str:
    """Return one of the choices: what the option says, or else the ini key, or else the default."""
    chosen = config.getoption(dest) or config.getini(dest) or default
    if chosen not in choices:
        raise pytest.UsageError(
            f"{config.inipath}: ini key {dest}: {chosen!r} is none of {', '.join(choices)}"
        )
    return str(chosen)


def is_named(path: Path, session: pytest.Session) -> bool:
    """Whether `path` itself was given on the command line.

    Neither `testpaths` nor `pytest .` counts: they mean whatever is there.
    """
    config = session.config
    return (
        config.args_source is config.ArgsSource.ARGS
        and path != config.invocation_params.dir
        and session.isinitpath(path)
    )


def is_environment_asked_for(path: Path, session: pytest.Session) -> bool:
    """Whether a file or folder is an environment and was named on the command line."""
    if not is_named(path, session):
        return False
    from ..environments.location import location_of_path

    return location_of_path(path) is not None


def is_eval_asked_for(path: Path, session: pytest.Session) -> bool:
    """Whether a file is to be collected as an eval file or an environment.

    Evals cost money: a file counts when it is named, or inside a named folder when `--evals` is
    given or a pattern of the ini key `evals_files` matches its name.
    """
    if path.suffix == ".py":
        return is_environment_asked_for(path, session)
    if path.suffix != ".toml":
        return False
    if is_named(path, session):
        return True
    config = session.config
    if config.args_source is not config.ArgsSource.ARGS:
        return False
    if config.getoption("evals"):
        from ..config.document import is_eval_file

        return is_eval_file(path)
    if not any(fnmatch.fnmatch(path.name, pattern) for pattern in config.getini("evals_files")):
        return False
    from ..config.sidecar import is_sidecar

    return not is_sidecar(path)


def note_left_out(path: Path, config: pytest.Config) -> None:
    """Count a file that by its name is an eval file and is not collected."""
    if path.name.endswith(".evals.toml"):
        config.stash[_LEFT_OUT] = config.stash.get(_LEFT_OUT, 0) + 1


def tell_left_out(config: pytest.Config, terminal: pytest.TerminalReporter) -> None:
    """Say how the eval files that were not collected are."""
    count = config.stash.get(_LEFT_OUT, 0)
    if count:
        files = "1 eval file was" if count == 1 else f"{count} eval files were"
        named = config.args_source is config.ArgsSource.ARGS
        folders = " ".join(config.args) if named else "."
        terminal.write_line(
            f"evals: {files} not collected; --evals collects them: pytest {folders} --evals"
        )


def holds_marked_functions(collector: pytest.Collector, nodes: Sequence[object] | None) -> bool:
    """Whether a module or class holds a function with the mark `evals`."""
    if not nodes or not isinstance(collector, pytest.Module | pytest.Class):
        return False
    is_marked = collector.get_closest_marker("evals") is not None
    return any(
        isinstance(node, pytest.Function)
        and (is_marked or any(mark.name == "evals" for mark in node.own_markers))
        for node in nodes
    )


def refuse_name_clash() -> None:
    """Stop when the distribution of the same import name is installed as well.

    Raises:
        pytest.UsageError: it is; either package would hide parts of the other.
    """
    try:
        importlib.metadata.distribution("pytest-evals")
    except importlib.metadata.PackageNotFoundError:
        return
    raise pytest.UsageError(
        "both pytest-rollouts and pytest-evals are installed, and both are imported as"
        " pytest_evals. Uninstall the two (pip uninstall pytest-evals pytest-rollouts), then"
        " install the one you want"
    )


def check_ini(config: pytest.Config) -> None:
    """Read every setting of the ini file.

    Raises:
        pytest.UsageError: one of them cannot be used.
    """
    for setting in settings.SETTINGS:
        settings.read_ini(config, setting)
    verifiers_mode(config)
    cache_mode(config)


def refuse_unnamed_folder(config: pytest.Config) -> None:
    """Stop a session that asks for the eval files of a folder and names none.

    Raises:
        pytest.UsageError: `--evals` stands alone.
    """
    if config.getoption("evals") and config.args_source is not config.ArgsSource.ARGS:
        raise pytest.UsageError(
            "--evals collects the eval files inside the folders named on the command line, and"
            " none is named; `pytest --evals .` means this one"
        )


def collect_named_environments_alone(config: pytest.Config) -> None:
    """Leave out the tests that pytest collects where nothing is named, if `--evals-env-id` is."""
    if config.getoption("evals_env_id") and config.args_source is not config.ArgsSource.ARGS:
        config.args[:] = []
