"""Loading an environment: importing its module and calling `load_environment()`."""

from __future__ import annotations

import difflib
import importlib
import importlib.machinery
import importlib.util
import inspect
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from ..errors import EnvironmentLoadError, MissingKeyError, SetupError, one_line
from .environment import Environment
from .location import EnvironmentLocation, find_environment, neighbourhood, search_paths
from .source import LOADER, misnamed_loader

# Packages that environments often need, and what this one is installed with to get them.
_EXTRAS = {"datasets": "datasets", "math_verify": "math"}
_PASS_ON = (KeyboardInterrupt, GeneratorExit, MissingKeyError)


def load_environment(env_id: str, location: EnvironmentLocation, /, **env_args: Any) -> Environment:
    """Import the environment at `location` and return what its `load_environment` makes.

    Some environments install handlers of SIGINT and SIGTERM: those from before are put back. The
    folder of a local environment stays on `sys.path`, for what it imports later.

    Args:
        env_id: how messages name it; becomes `env.env_id` where that is empty.
        location: where its module is.
        **env_args: arguments of its `load_environment`; become `env.env_args` where that is empty.

    Raises:
        MissingKeyError: as the environment raised it.
        EnvironmentLoadError: anything else that went wrong, on one line; an exception of the
            environment's code is its `__cause__`.
    """
    label = f"environment {env_id!r} ({location.path or location.module})"
    if threading.current_thread() is not threading.main_thread():
        raise EnvironmentLoadError(f"{label} must be loaded in the main thread")
    with _signal_handlers_kept():
        module = _import(label, location)
        load = getattr(module, LOADER, None)
        if not callable(load):
            check_name(location)
            raise EnvironmentLoadError(
                f"{label} has no {LOADER}(): define it at the top level of the module"
            )
        _check_arguments(label, load, env_args)
        try:
            environment = load(**env_args)
        except _PASS_ON:
            raise
        except BaseException as error:  # sys.exit() or a skip would end or excuse the whole run
            _fail(label, f"{LOADER}() raised ", error)
    return _checked(label, environment, env_id, env_args)


def load_by_id(env_id: str, **env_args: Any) -> Environment:
    """Load the environment `env_id` for use in a script or a notebook.

    It is looked for as an installed module, in `./environments`, in the current folder, and beside
    the local environments that were loaded before.

    Args:
        env_id: `my-env` or `owner/my-env`.
        **env_args: arguments of its `load_environment`.

    Raises:
        MissingKeyError: the environment needs a key that is not set.
        EnvironmentLoadError: it was not found, or did not load.
    """
    location = find_environment(
        env_id, env_dir=Path("environments"), config_dir=Path(), neighbours=neighbourhood()
    )
    return load_environment(env_id, location, **env_args)


def check_name(location: EnvironmentLocation) -> None:
    """Refuse a module whose `load_environment` has another name, without importing it.

    Raises:
        EnvironmentLoadError: that of a function is nearly it; says which and where.
    """
    misnamed = None if location.path is None else misnamed_loader(location.path)
    if misnamed is not None:
        raise EnvironmentLoadError(f"{misnamed.path}:{misnamed.line}: {misnamed}")


@contextmanager
def _signal_handlers_kept() -> Iterator[None]:
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [(number, signal.getsignal(number)) for number in numbers]
    try:
        yield
    finally:
        for number, handler in before:
            if handler is not None:  # None: not installed from Python, and cannot be put back
                signal.signal(number, handler)


def _import(label: str, location: EnvironmentLocation) -> ModuleType:
    loaded = sys.modules.get(location.module)
    if loaded is not None:
        _check_same(label, location, loaded)
        return loaded
    try:
        if location.search_path is None:
            return importlib.import_module(location.module)
        return _import_local(location.module, str(location.search_path))
    except _PASS_ON:
        raise
    except BaseException as error:
        _fail(label, "", error, is_local=location.search_path is not None)


def _import_local(module: str, search_path: str) -> ModuleType:
    # By its own spec: on sys.path another module of this name might come first.
    if search_path not in sys.path:
        sys.path.insert(0, search_path)
        search_paths[search_path] = None
    importlib.invalidate_caches()
    spec = importlib.machinery.PathFinder.find_spec(module, [search_path])
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {module!r} in {search_path}", name=module)
    imported = importlib.util.module_from_spec(spec)
    sys.modules[module] = imported
    try:
        spec.loader.exec_module(imported)
    except BaseException:
        sys.modules.pop(module, None)
        raise
    return sys.modules[module]


def _check_same(label: str, location: EnvironmentLocation, loaded: ModuleType) -> None:
    """Refuse a module of the same name from elsewhere: it is another environment, or none."""
    if location.path is None:
        return
    file = getattr(loaded, "__file__", None)
    path = Path(file) if file else None
    if path is not None and path.name == "__init__.py":
        path = path.parent
    if path is None or path.resolve() != location.path.resolve():
        raise EnvironmentLoadError(
            f"{label}: the module name {location.module!r} is already taken in this process by "
            f"{path or 'a built-in module'}; rename one, or run each in a pytest of its own"
        )


def _check_arguments(label: str, load: Callable[..., Any], env_args: Mapping[str, Any]) -> None:
    try:
        signature = inspect.signature(load)
    except (TypeError, ValueError):  # not known to Python: the call itself will tell
        return
    parameters = [p for p in signature.parameters.values() if p.kind not in (p.VAR_POSITIONAL,)]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind is not p.VAR_KEYWORD]
    names = [p.name for p in named]
    unknown = [name for name in env_args if name not in names and not takes_any]
    if unknown:
        near = difflib.get_close_matches(unknown[0], names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        takes = f"it takes {', '.join(names)}" if names else "it takes none"
        raise EnvironmentLoadError(
            f"{label}: {LOADER}() takes no argument {unknown[0]!r}: {takes}{hint}"
        ).of_keys(f"env_args.{unknown[0]}", "env_args")
    missing = [p.name for p in named if p.default is p.empty and p.name not in env_args]
    if missing:
        raise EnvironmentLoadError(
            f"{label}: {LOADER}() needs {', '.join(map(repr, missing))}: give it in env_args"
        ).of_keys("env_args")


def _checked(label: str, environment: Any, env_id: str, env_args: Mapping[str, Any]) -> Environment:
    if inspect.iscoroutine(environment):
        environment.close()  # or Python warns that nobody awaited it
        raise EnvironmentLoadError(f"{label}: {LOADER}() is async; make it a plain function")
    for name in ("get_eval_dataset", "rollout", "rubric"):
        if not hasattr(environment, name):
            raise EnvironmentLoadError(
                f"{label}: {LOADER}() returned {type(environment).__name__}, not an Environment "
                f"(no {name!r})"
            )
    if not getattr(environment, "env_id", None):
        environment.env_id = env_id
    if not getattr(environment, "env_args", None):
        environment.env_args = dict(env_args)
    loaded: Environment = environment
    return loaded


def _fail(label: str, before: str, error: BaseException, *, is_local: bool = False) -> NoReturn:
    hint = _missing(error, is_local) if isinstance(error, ModuleNotFoundError) else ""
    if isinstance(error, SetupError):  # its text is meant for the user as it is
        raise EnvironmentLoadError(f"{label}: {error}{hint}") from error
    raise EnvironmentLoadError(f"{label}: {before}{one_line(error)}{hint}") from error


def _missing(error: ModuleNotFoundError, is_local: bool) -> str:
    """Say how to get a module; nothing checks the dependencies of a local environment."""
    extra = _EXTRAS.get((error.name or "").partition(".")[0])
    if extra is not None:
        return f"; pip install 'pytest-rollouts[{extra}]'"
    return "; is everything the environment depends on installed?" if is_local else ""
