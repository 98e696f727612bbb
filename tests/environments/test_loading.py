from __future__ import annotations

import os
import signal
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_evals
from pytest_evals.environments.environment import Environment
from pytest_evals.environments.loading import load_environment
from pytest_evals.environments.location import find_environment, search_paths
from pytest_evals.errors import EnvironmentLoadError, MissingKeyError

GOOD = """
    import pytest_evals as vf

    def load_environment(size=1, difficulty="easy", **kwargs):
        rows = [{"question": difficulty}] * size
        return vf.SingleTurnEnv(dataset=rows, **kwargs)
"""


@pytest.fixture(autouse=True)
def imports_undone() -> Iterator[None]:
    modules, path, ours = set(sys.modules), list(sys.path), dict(search_paths)
    yield
    for name in set(sys.modules) - modules:
        if not name.startswith("pytest_evals"):
            del sys.modules[name]
    sys.path[:] = path
    search_paths.clear()
    search_paths.update(ours)


def write(root: Path, file: str, source: str) -> None:
    path = root / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source), encoding="utf-8")


def load(root: Path, env_id: str = "my-env", **env_args: Any) -> Environment:
    location = find_environment(env_id, env_dir=root, config_dir=None)
    return load_environment(env_id, location, **env_args)


def refused(root: Path, source: str, **env_args: Any) -> EnvironmentLoadError:
    write(root, "my_env/my_env.py", source)
    with pytest.raises(EnvironmentLoadError) as caught:
        load(root, **env_args)
    message = str(caught.value)
    label = f"environment 'my-env' ({root / 'my_env' / 'my_env.py'})"
    assert message.startswith(label)
    assert "\n" not in message
    return caught.value


def test_an_environment_knows_its_id_and_arguments(tmp_path: Path) -> None:
    write(tmp_path, "my_env/my_env.py", GOOD)

    environment = load(tmp_path, "owner/my-env", size=3, difficulty="hard")

    assert isinstance(environment, pytest_evals.SingleTurnEnv)
    assert environment.env_id == "owner/my-env"
    assert environment.env_args == {"size": 3, "difficulty": "hard"}
    assert len(environment.get_eval_dataset()) == 3


def test_an_id_of_its_own_is_kept(tmp_path: Path) -> None:
    write(tmp_path, "my_env/my_env.py", GOOD)

    location = find_environment("my-env", env_dir=tmp_path, config_dir=None)
    own: Any = load_environment("my-env", location, env_id="own", location="Paris")

    assert own.env_id == "own"
    assert own.location == "Paris"


@pytest.mark.parametrize(
    ("files", "imported"),
    [
        (("my_env/my_env.py",), "helper"),
        (("my_env/my_env/__init__.py",), ".helper"),
        (("my_env/my_env/__init__.py",), "my_env.helper"),
        (("my_env/src/my_env/__init__.py",), ".helper"),
        (("my_env/__init__.py",), ".helper"),
    ],
)
def test_what_stands_beside_the_module_can_be_imported(
    tmp_path: Path, files: tuple[str], imported: str
) -> None:
    source = (
        f"from {imported} import ROWS\nimport pytest_evals as vf\n"
        "def load_environment():\n"
        f"    from {imported} import SYSTEM\n"
        "    return vf.SingleTurnEnv(dataset=ROWS, system_prompt=SYSTEM)\n"
    )
    write(tmp_path, files[0], source)
    helper = (tmp_path / files[0]).parent / "helper.py"
    helper.write_text("ROWS = [{'question': 'q'}]\nSYSTEM = 's'\n", encoding="utf-8")

    environment = load(tmp_path)

    assert environment.get_dataset()[0]["prompt"][0]["content"] == "s"


def test_the_module_is_imported_once(tmp_path: Path) -> None:
    write(tmp_path, "my_env/my_env.py", GOOD + "\n    imports = []\n    imports.append(1)\n")

    load(tmp_path)
    load(tmp_path, difficulty="hard")

    assert sys.modules["my_env"].imports == [1]


def test_another_environment_of_the_same_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "one/my_env.py", GOOD)
    write(tmp_path, "two/my_env.py", GOOD)
    load(tmp_path / "one")

    with pytest.raises(EnvironmentLoadError) as caught:
        load(tmp_path / "two")

    assert str(caught.value).startswith(
        f"environment 'my-env' ({tmp_path / 'two' / 'my_env.py'}): the module name 'my_env' is "
        f"already taken in this process by {tmp_path / 'one' / 'my_env.py'}"
    )


def test_the_name_of_a_loaded_library_is_refused(tmp_path: Path) -> None:
    for name in ("json", "time"):
        write(tmp_path, f"{name}/{name}.py", GOOD)
        with pytest.raises(EnvironmentLoadError, match=f"name '{name}' is already taken"):
            load(tmp_path, name)


def test_the_right_file_is_loaded_whatever_is_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "first/my_env.py", "x = 1\n")
    write(tmp_path, "envs/my_env.py", GOOD)
    monkeypatch.syspath_prepend(tmp_path / "envs")
    monkeypatch.syspath_prepend(tmp_path / "first")

    assert load(tmp_path / "envs").env_id == "my-env"


def test_an_installed_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "installed_env/__init__.py", GOOD)
    monkeypatch.syspath_prepend(tmp_path)

    environment = load(tmp_path / "nowhere", "installed-env", size=2)

    assert len(environment.get_dataset()) == 2
    assert load(tmp_path / "nowhere", "installed-env").env_id == "installed-env"


def test_signal_handlers_are_put_back(tmp_path: Path) -> None:
    source = """
        import signal
        import pytest_evals as vf

        def load_environment(fail=False):
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: None)
            if fail:
                raise OSError
            return vf.SingleTurnEnv(dataset=[{"question": "q"}])
    """
    write(tmp_path, "my_env.py", source)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    load(tmp_path)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(EnvironmentLoadError):
        load(tmp_path, fail=True)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_another_thread_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "my_env.py", GOOD)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            load(tmp_path)
        except EnvironmentLoadError as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()

    assert "must be loaded in the main thread" in str(errors[0])


@pytest.mark.parametrize(
    ("source", "reason", "cause"),
    [
        (
            "import no_such_module_\ndef load_environment(): ...",
            "ModuleNotFoundError: No module named 'no_such_module_'; is everything",
            ModuleNotFoundError,
        ),
        ("def load_environment(:\n", "SyntaxError: ", SyntaxError),
        ("def load_environment(): ...\n1 / 0\n", "ZeroDivisionError: division by zero", Exception),
        ("def load_environment(): ...\nraise SystemExit(3)\n", "SystemExit: 3", SystemExit),
        (
            "def load_environment(): ...\nimport pytest\npytest.skip('x', allow_module_level=True)",
            "Skipped: ",
            BaseException,
        ),
        ("def load_environment(): ...\ndel load_environment", "has no load_environment()", None),
        (
            "def load_environment():\n    raise ValueError('two\\nlines')",
            "load_environment() raised ValueError: two lines",
            ValueError,
        ),
        ("def load_environment():\n    exit(4)", "raised SystemExit: 4", SystemExit),
        (
            "def load_environment():\n    raise TypeError('inside')",
            "load_environment() raised TypeError: inside",
            TypeError,
        ),
        (
            "import pytest_evals as vf\ndef load_environment():\n"
            "    return vf.SingleTurnEnv(dataset=[])",
            ": dataset: the dataset has no rows",
            pytest_evals.SetupError,
        ),
        (
            "def load_environment():\n    return None",
            "returned NoneType, not an Environment (no 'get_eval_dataset')",
            None,
        ),
        ("async def load_environment(): ...", "is async; make it a plain function", None),
    ],
)
def test_each_failure_has_one_line(
    tmp_path: Path, source: str, reason: str, cause: type[BaseException] | None
) -> None:
    error = refused(tmp_path, source)

    assert reason in str(error)
    assert (
        type(error.__cause__) is type(None) if cause is None else isinstance(error.__cause__, cause)
    )


def test_a_failed_import_can_be_repeated(tmp_path: Path) -> None:
    refused(tmp_path, "def load_environment(): ...\n1 / 0\n")
    path = tmp_path / "my_env" / "my_env.py"
    path.write_text(textwrap.dedent(GOOD), encoding="utf-8")
    os.utime(path, (1, 1))  # otherwise the bytecode of the same second may be taken

    assert load(tmp_path).env_id == "my-env"


def test_arguments_are_checked_by_name(tmp_path: Path) -> None:
    source = "def load_environment(path, *, num_examples=3, difficulty='easy'): ...\n"

    assert str(refused(tmp_path, source, path="x", dificulty="hard")).endswith(
        "load_environment() takes no argument 'dificulty': it takes path, num_examples, "
        "difficulty; did you mean 'difficulty'?"
    )
    assert str(refused(tmp_path, source, num_examples=1)).endswith(
        "load_environment() needs 'path': give it in env_args"
    )


def test_arguments_of_a_loader_without_any(tmp_path: Path) -> None:
    assert str(refused(tmp_path, "def load_environment(): ...", x=1)).endswith(
        "takes no argument 'x': it takes none"
    )


def test_a_missing_key_passes_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    source = """
        import pytest_evals as vf

        def load_environment():
            vf.ensure_keys(["NO_SUCH_KEY"])
    """
    write(tmp_path, "my_env.py", source)

    with pytest.raises(MissingKeyError, match=r"^the environment needs NO_SUCH_KEY"):
        load(tmp_path)


def test_anything_with_the_interface_is_an_environment(tmp_path: Path) -> None:
    source = """
        class Other:
            rubric = None
            env_id = ""
            def get_eval_dataset(self, n=-1, seed=None): return []
            async def rollout(self, *args): ...

        def load_environment(**kwargs):
            return Other()
    """
    write(tmp_path, "my_env.py", source)

    environment = load(tmp_path, a=1)

    assert (environment.env_id, environment.env_args) == ("my-env", {"a": 1})


def test_loading_by_id_in_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "environments/my_env/my_env.py", GOOD)
    write(tmp_path, "here.py", GOOD)
    monkeypatch.chdir(tmp_path)

    assert pytest_evals.load_environment("my-env", size=2).env_args == {"size": 2}
    assert pytest_evals.load_environment("here").env_id == "here"
    with pytest.raises(EnvironmentLoadError, match="environment 'gone' was not found"):
        pytest_evals.load_environment("gone")


def test_an_environment_finds_those_beside_it_wherever_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "envs/sibling/src/sibling/__init__.py", GOOD)
    write(tmp_path, "envs/flat.py", GOOD)
    write(
        tmp_path,
        "envs/my_env/my_env.py",
        """
        import pytest_evals as vf

        def load_environment():
            return vf.EnvGroup([vf.load_environment("sibling"), vf.load_environment("flat")])
        """,
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    assert len(load(tmp_path / "envs").get_dataset()) == 2
    with pytest.raises(EnvironmentLoadError, match=r"'nowhere' was not found.*envs"):
        pytest_evals.load_environment("nowhere")
