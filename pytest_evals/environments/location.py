"""Where an environment is: found by its id or its path, without importing anything."""

from __future__ import annotations

import difflib
import importlib.machinery
import importlib.metadata
import keyword
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..errors import EnvironmentLoadError, SetupError
from .source import LOADER, Misnamed, holds_environment, misnamed_loader

_TEST_FILE: Final = re.compile(r"test_.*|.*_test|conftest")

# Folders put on sys.path for local environments. What is found through them is not installed:
# otherwise the answer would depend on what was loaded before. In the order they were put there.
search_paths: Final[dict[str, None]] = {}


@dataclass(frozen=True, slots=True)
class EnvironmentLocation:
    """Where an environment's module is.

    Attributes:
        module: the name to import.
        path: its file, or the folder of its package; None when Python does not say.
        search_path: the folder to put on `sys.path`; None when the module is installed.
    """

    module: str
    path: Path | None
    search_path: Path | None


def find_environment(
    env_id: str, *, env_dir: Path, config_dir: Path | None, neighbours: Sequence[Path] = ()
) -> EnvironmentLocation:
    """Return where the environment `env_id` is.

    Looks, in this order, for an installed module, in `env_dir` and beside the config file, and
    takes the first one that `holds_environment`. So an installed environment wins over a local one
    of its name, but a module that is no environment (`code` of the standard library) does not.

    Args:
        env_id: `my-env` or `owner/my-env`; the module is the last part, with `_` for `-`.
        env_dir: the folder of environments.
        config_dir: the folder of the config file, if there is one.
        neighbours: further folders, for when it is nowhere else.

    Raises:
        EnvironmentLoadError: the id names no module, or none of the places holds one; names them.
    """
    module = module_name(env_id)
    without_loader: list[str] = []
    misnamed: Misnamed | None = None
    installed = _installed(module)
    if installed is not None:
        if installed.path is not None and holds_environment(installed.path):
            return installed
        without_loader.append(f"module {module} ({installed.path or 'built in'})")
    roots = list(dict.fromkeys([env_dir, config_dir or env_dir, *neighbours]))
    for root in roots:
        for candidate, search_path in _forms(root, module):
            if not candidate.is_file():
                continue
            if holds_environment(candidate):
                return _local(module, candidate, search_path)
            misnamed = misnamed or misnamed_loader(candidate)
            without_loader.append(str(candidate))
    if misnamed is not None:
        raise EnvironmentLoadError(
            f"environment {env_id!r}: {misnamed.path}:{misnamed.line} {misnamed}"
        ).of_keys("env_id")
    found = f"found without a {LOADER}(): {', '.join(without_loader)}; " if without_loader else ""
    raise EnvironmentLoadError(
        f"environment {env_id!r} was not found: {found}"
        f"looked for an installed module {module!r}, then for {module}.py or {module}/ in "
        f"{' and '.join(str(root) for root in roots)}{_did_you_mean(module, roots)}."
        " Install it, or put it there"
    ).of_keys("env_id")


def neighbourhood() -> list[Path]:
    """Return the folders in which environments lie beside those that were loaded locally."""
    folders: dict[Path, None] = {}
    for search_path in map(Path, search_paths):
        project = search_path.parent if search_path.name == "src" else search_path
        folders |= {search_path: None, project.parent: None}
    return list(folders)


def _did_you_mean(module: str, roots: list[Path]) -> str:
    """Name what lies in the folders and is called nearly like the module."""
    present = {path.stem for root in roots if root.is_dir() for path in root.iterdir()} - {module}
    near = difflib.get_close_matches(module, present, n=1)
    return f" (did you mean {near[0].replace('_', '-')!r}?)" if near else ""


def module_name(env_id: str) -> str:
    """Return the module of an environment: the last part of its id, with `_` for `-`.

    Raises:
        EnvironmentLoadError: that is no name of a module.
    """
    *owners, last = env_id.split("/")
    name = last.replace("-", "_")
    if all(re.fullmatch(r"\w[\w.-]*", owner) for owner in owners) and _is_module_name(name):
        return name
    hint = ""
    if "@" in last:
        hint = "; install that version and leave out the part from '@'"
    elif "." in env_id or env_id.startswith("/"):
        hint = "; a path is given on the command line, not as an id"
    raise EnvironmentLoadError(
        f"environment id {env_id!r} does not name a Python module: use letters, digits, '-' and "
        f"'_', as in 'my-env' or 'owner/my-env'{hint}"
    ).of_keys("env_id")


def location_of_path(path: Path) -> tuple[str, EnvironmentLocation] | None:
    """Return the id and the location of the environment that `path` holds, or None.

    A folder holds one when a module or package in it is named like the folder, or like the project
    in its pyproject.toml, and `holds_environment`; a `.py` file when it does so itself and is not
    named like a test. To import it from another package is to call it, and does not count. A module
    with a `misnamed_loader` counts, if nothing else does: loading it reports the mistake.
    """
    path = path.resolve()
    if path.is_dir():
        return _location_of_folder(path)
    if path.suffix != ".py" or not path.is_file():
        return None
    if (path.parent / "__init__.py").is_file():  # a part of a package cannot be imported alone
        return _location_of_folder(path.parent)
    if not _is_module_name(path.stem) or _TEST_FILE.fullmatch(path.stem):
        return None
    if not holds_environment(path) and misnamed_loader(path) is None:
        return None
    return path.stem, _local(path.stem, path, path.parent)


def environment_defaults(location: EnvironmentLocation) -> dict[str, Any]:
    """Return the environment's `[tool.verifiers.eval]` table, {} when it has none.

    It is read from the pyproject.toml beside the module; for a package from the one inside it or
    one folder up (two where that is `src`).

    Raises:
        SetupError: the file is not TOML, or the table is something else; names the file.
    """
    for folder in _project_folders(location):
        table = _pyproject(folder / "pyproject.toml")
        for key in ("tool", "verifiers", "eval"):
            table = table.get(key, {})
            if not isinstance(table, dict):
                raise SetupError(
                    f"{folder / 'pyproject.toml'}: {key!r} in [tool.verifiers.eval] is not a table"
                )
        if table:
            return table
    return {}


def environment_version(location: EnvironmentLocation) -> str | None:
    """Return the version of what an environment is distributed as; None where nothing says one.

    That is `[project] version` of the pyproject.toml that `environment_defaults` reads, or else
    the version of the installed distribution of the module's name.
    """
    for folder in _project_folders(location):
        try:
            project = _pyproject(folder / "pyproject.toml").get("project")
        except SetupError:
            continue
        if isinstance(project, dict) and isinstance(project.get("version"), str):
            version: str = project["version"]
            return version
    if location.search_path is not None:
        return None  # a file of the project, whatever else is installed under its name
    try:
        return importlib.metadata.version(location.module)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None


def _project_folders(location: EnvironmentLocation) -> list[Path]:
    """Return where an environment's pyproject.toml may be, the nearest first."""
    if location.path is None:
        return []
    folders = [location.path.parent]
    if location.path.is_dir():
        folders.insert(0, location.path)
        if location.path.parent.name == "src":
            folders.append(location.path.parent.parent)
    return folders


def _forms(root: Path, module: str) -> Iterator[tuple[Path, Path]]:
    """Yield (file, folder to put on sys.path) for each form a local environment may have."""
    yield root / module / "__init__.py", root
    yield from _forms_inside(root / module, module)
    yield root / f"{module}.py", root


def _forms_inside(folder: Path, module: str) -> Iterator[tuple[Path, Path]]:
    yield folder / f"{module}.py", folder
    yield folder / module / "__init__.py", folder
    yield folder / "src" / module / "__init__.py", folder / "src"


def _local(module: str, file: Path, search_path: Path) -> EnvironmentLocation:
    path = file.parent if file.name == "__init__.py" else file
    return EnvironmentLocation(module, path.absolute(), search_path.absolute())


def _installed(module: str) -> EnvironmentLocation | None:
    path_without_ours = [entry for entry in sys.path if entry not in search_paths]
    for finder in sys.meta_path:
        try:
            if finder is importlib.machinery.PathFinder:
                spec = importlib.machinery.PathFinder.find_spec(module, path_without_ours)
            else:
                spec = finder.find_spec(module, None)
        except (AttributeError, ImportError, ValueError):  # a finder of the old protocol
            continue
        if spec is None:
            continue
        if spec.submodule_search_locations and not spec.has_location:
            continue  # a folder without __init__.py: importable, but holds no code
        origin = Path(spec.origin) if spec.has_location and spec.origin else None
        if origin is not None and origin.name == "__init__.py":
            origin = origin.parent
        return EnvironmentLocation(module, origin, None)
    return None


def _location_of_folder(folder: Path) -> tuple[str, EnvironmentLocation] | None:
    found = _module_in(folder, holds_environment)
    return found or _module_in(folder, lambda file: misnamed_loader(file) is not None)


def _module_in(
    folder: Path, holds: Callable[[Path], bool]
) -> tuple[str, EnvironmentLocation] | None:
    init = folder / "__init__.py"
    if _is_module_name(folder.name) and holds(init):
        return folder.name, _local(folder.name, init, folder.parent)
    for name in (folder.name, _project_name(folder)):
        module = name.replace("-", "_") if name else ""
        if not name or not _is_module_name(module):
            continue
        for file, search_path in _forms_inside(folder, module):
            if holds(file):
                return name, _local(module, file, search_path)
    return None


def _project_name(folder: Path) -> str | None:
    try:
        project = _pyproject(folder / "pyproject.toml").get("project")
    except SetupError:
        return None
    name = project.get("name") if isinstance(project, dict) else None
    return name if isinstance(name, str) else None


def _pyproject(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(f"{path}: not readable as TOML: {error}") from error


def _is_module_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)
