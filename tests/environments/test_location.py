from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_evals.environments.location import (
    EnvironmentLocation,
    environment_defaults,
    find_environment,
    location_of_path,
    module_name,
)
from pytest_evals.environments.source import holds_environment
from pytest_evals.errors import EnvironmentLoadError, SetupError

LOADER = "def load_environment():\n    return None\n"


def write(root: Path, *files: str, text: str = LOADER) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def find(env_id: str, env_dir: Path, config_dir: Path | None = None) -> EnvironmentLocation:
    return find_environment(env_id, env_dir=env_dir, config_dir=config_dir)


@pytest.mark.parametrize(
    ("file", "path", "search_path"),
    [
        ("my_env/my_env.py", "my_env/my_env.py", "my_env"),
        ("my_env/my_env/__init__.py", "my_env/my_env", "my_env"),
        ("my_env/src/my_env/__init__.py", "my_env/src/my_env", "my_env/src"),
        ("my_env/__init__.py", "my_env", ""),
        ("my_env.py", "my_env.py", ""),
    ],
)
@pytest.mark.parametrize("env_id", ["my-env", "my_env", "owner/my-env", "the.owner/my-env"])
@pytest.mark.parametrize("beside_config", [False, True])
def test_each_form(
    tmp_path: Path, file: str, path: str, search_path: str, env_id: str, beside_config: bool
) -> None:
    write(tmp_path, file)
    nowhere = tmp_path / "nowhere"

    location = find(env_id, nowhere, tmp_path) if beside_config else find(env_id, tmp_path)

    assert location == EnvironmentLocation("my_env", tmp_path / path, tmp_path / search_path)


def test_the_folder_of_environments_comes_before_the_config_file(tmp_path: Path) -> None:
    write(tmp_path, "envs/my_env.py", "conf/my_env.py")

    location = find("my-env", tmp_path / "envs", tmp_path / "conf")

    assert location.path == tmp_path / "envs" / "my_env.py"


def test_an_installed_environment_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "site/installed_env/__init__.py", "envs/installed_env.py")
    monkeypatch.syspath_prepend(tmp_path / "site")

    location = find("installed-env", tmp_path / "envs")

    assert location == EnvironmentLocation(
        "installed_env", tmp_path / "site" / "installed_env", None
    )
    assert "installed_env" not in sys.modules


@pytest.mark.parametrize("name", ["code", "time", "json", "pytest"])
def test_a_module_that_is_no_environment_does_not_hide_one(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"{name}/{name}.py")

    assert find(name, tmp_path).path == tmp_path / name / f"{name}.py"


def test_a_folder_on_the_path_is_no_installed_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "my_env/my_env.py")
    monkeypatch.syspath_prepend(tmp_path)  # my_env is now importable as a namespace

    assert find("my-env", tmp_path).search_path == tmp_path / "my_env"


def test_a_form_without_the_loader_is_passed_over(tmp_path: Path) -> None:
    write(tmp_path, "my_env/my_env.py", text="x = 1\n")
    write(tmp_path, "my_env/my_env/__init__.py")

    assert find("my-env", tmp_path).path == tmp_path / "my_env" / "my_env"


def test_nothing_found_names_every_place(tmp_path: Path) -> None:
    envs, conf = tmp_path / "envs", tmp_path / "conf"
    write(envs, "my_env.py", text="x = 1\n")

    with pytest.raises(EnvironmentLoadError) as caught:
        find("owner/my-env", envs, conf)

    message = str(caught.value)
    assert message.startswith(
        "environment 'owner/my-env' was not found: "
        f"found without a load_environment(): {envs / 'my_env.py'}; "
        "looked for an installed module 'my_env', then for my_env.py or my_env/ in "
        f"{envs} and {conf}"
    )


def test_what_has_no_loader_is_not_suggested_instead_of_itself(tmp_path: Path) -> None:
    write(tmp_path, "my_env.py", text="x = 1\n")

    with pytest.raises(EnvironmentLoadError) as caught:
        find("my-env", tmp_path)

    assert "did you mean" not in str(caught.value)


def test_a_misnamed_loader_is_all_that_is_told_of_an_id(tmp_path: Path) -> None:
    text = "import pytest_evals\n\ndef load_enviroment(): ...\n"
    write(tmp_path, "typo.py", text=text)
    write(tmp_path / "beside", "typo.py", text="x = 1\n")

    with pytest.raises(EnvironmentLoadError) as caught:
        find("typo", tmp_path, tmp_path / "beside")

    assert str(caught.value) == (
        f"environment 'typo': {tmp_path / 'typo.py'}:3 defines load_enviroment();"
        " an environment is made by load_environment()"
    )
    write(tmp_path / "beside", "typo.py")
    assert find("typo", tmp_path, tmp_path / "beside").search_path == tmp_path / "beside"


def test_a_module_of_the_standard_library_is_named_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentLoadError, match=r"without a load_environment\(\): module code"):
        find("code", tmp_path)
    with pytest.raises(EnvironmentLoadError, match=r"module time \(built in\)"):
        find("time", tmp_path)


@pytest.mark.parametrize(
    ("env_id", "hint"),
    [
        ("my env", "use letters"),
        ("../x", "a path is given on the command line"),
        ("/abs/x", "a path is given on the command line"),
        ("./x", "a path is given on the command line"),
        ("a.b", "a path is given on the command line"),
        ("owner/name@1.0", "leave out the part from '@'"),
        ("", "use letters"),
        ("owner/", "use letters"),
        ("class", "use letters"),
        ("1st", "use letters"),
        ("a\x00b", "use letters"),
        ("a\n", "use letters"),
    ],
)
def test_ids_that_name_no_module(tmp_path: Path, env_id: str, hint: str) -> None:
    with pytest.raises(EnvironmentLoadError) as caught:
        find(env_id, tmp_path)

    assert repr(env_id) in str(caught.value)
    assert hint in str(caught.value)


def test_module_names() -> None:
    assert module_name("owner/my-great-env") == "my_great_env"


@pytest.mark.parametrize(
    ("source", "holds"),
    [
        (LOADER, True),
        ("async def load_environment(): ...", True),
        ("load_environment = make()", True),
        ("load_environment: object = make()", True),
        ("load_environment: object", False),
        ("try:\n    import x\nexcept ImportError:\n    def load_environment(): ...", True),
        ("if True:\n    pass\nelse:\n    def load_environment(): ...", True),
        ("with a:\n    def load_environment(): ...", True),
        ("from .impl import load_environment", True),
        ("from .impl import make as load_environment", True),
        ("from .impl import *", True),
        ("from pkg.impl import load_environment", True),
        ("from pytest_evals import load_environment", False),
        ("from verifiers import load_environment", False),
        ("from other import *", False),
        ("from .impl import load_environment as load", False),
        ("class A:\n    def load_environment(self): ...", False),
        ("def f():\n    def load_environment(): ...", False),
        ("# load_environment\n'load_environment'", False),
        ("vf.load_environment('x')", False),
        ("def load_environment(:", True),
        ("load_environment(:", False),
        ("", False),
        ("\x00", False),
        ("x = '\\d'  # load_environment", False),
    ],
)
def test_what_holds_an_environment_is_read_from_the_source(
    tmp_path: Path, source: str, holds: bool
) -> None:
    write(tmp_path, "pkg/__init__.py", text=source)

    assert holds_environment(tmp_path / "pkg") is holds


def test_a_file_that_cannot_be_read_holds_nothing(tmp_path: Path) -> None:
    (tmp_path / "dir.py").mkdir()

    assert not holds_environment(tmp_path / "missing.py")
    assert not holds_environment(tmp_path / "dir.py")
    assert not holds_environment(tmp_path / "x.so")


@pytest.mark.parametrize(
    ("file", "named", "env_id", "search_path"),
    [
        ("gsm8k/gsm8k.py", "gsm8k", "gsm8k", "gsm8k"),
        ("my-env/my_env.py", "my-env", "my-env", "my-env"),
        ("my_env/my_env/__init__.py", "my_env", "my_env", "my_env"),
        ("my_env/src/my_env/__init__.py", "my_env", "my_env", "my_env/src"),
        ("my_env/__init__.py", "my_env", "my_env", ""),
        ("some/env.py", "some/env.py", "env", "some"),
        ("my_env/__init__.py", "my_env/__init__.py", "my_env", ""),
    ],
)
def test_a_path_that_holds_an_environment(
    tmp_path: Path, file: str, named: str, env_id: str, search_path: str
) -> None:
    write(tmp_path, file)
    module = tmp_path / file
    path = module.parent if module.name == "__init__.py" else module

    found = location_of_path(tmp_path / named)

    assert found == (
        env_id,
        EnvironmentLocation(env_id.replace("-", "_"), path, tmp_path / search_path),
    )


def test_a_checkout_whose_folder_is_named_otherwise(tmp_path: Path) -> None:
    write(tmp_path, "checkout-main/my_env.py")
    write(tmp_path, "checkout-main/pyproject.toml", text='[project]\nname = "my-env"\n')

    found = location_of_path(tmp_path / "checkout-main")

    assert found is not None
    assert (found[0], found[1].module) == ("my-env", "my_env")


def test_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "my_env/my_env.py")
    monkeypatch.chdir(tmp_path / "my_env")

    found = location_of_path(Path())

    assert found is not None
    assert found[1].path == tmp_path / "my_env" / "my_env.py"


@pytest.mark.parametrize(
    "file",
    ["test_my_env.py", "my_env_test.py", "conftest.py", "not-a-name.py", "notes.txt"],
)
def test_files_that_are_not_taken_for_an_environment(tmp_path: Path, file: str) -> None:
    write(tmp_path, file)

    assert location_of_path(tmp_path / file) is None


def test_a_script_that_calls_an_environment_is_none(tmp_path: Path) -> None:
    write(tmp_path, "script.py", text="from my_env import load_environment\nload_environment()\n")

    assert location_of_path(tmp_path / "script.py") is None


def test_folders_that_are_not_taken_for_an_environment(tmp_path: Path) -> None:
    write(tmp_path, "environments/a/a.py", "tests/test_a.py")
    write(tmp_path, "tests/__init__.py", text="")
    write(tmp_path, "broken/pyproject.toml", text="[")
    write(tmp_path, "odd/pyproject.toml", text="project = 3")

    for folder in ("environments", "tests", "broken", "odd", "missing"):
        assert location_of_path(tmp_path / folder) is None
    assert location_of_path(tmp_path / "tests" / "test_a.py") is None
    assert location_of_path(Path("/")) is None


def test_a_broken_environment_is_still_taken(tmp_path: Path) -> None:
    write(tmp_path, "my_env/my_env.py", text="def load_environment(:\n")

    assert location_of_path(tmp_path / "my_env") is not None


DEFAULTS = "[tool.verifiers.eval]\nnum_examples = 7\nrollouts_per_example = 2\n"


@pytest.mark.parametrize(
    ("module", "pyproject"),
    [
        ("my_env/my_env.py", "my_env/pyproject.toml"),
        ("my_env/my_env/__init__.py", "my_env/pyproject.toml"),
        ("my_env/my_env/__init__.py", "my_env/my_env/pyproject.toml"),
        ("my_env/src/my_env/__init__.py", "my_env/pyproject.toml"),
        ("my_env.py", "pyproject.toml"),
    ],
)
def test_defaults_of_the_environment(tmp_path: Path, module: str, pyproject: str) -> None:
    write(tmp_path, module)
    write(tmp_path, pyproject, text=DEFAULTS)

    defaults = environment_defaults(find("my-env", tmp_path))

    assert defaults == {"num_examples": 7, "rollouts_per_example": 2}


def test_no_defaults(tmp_path: Path) -> None:
    write(tmp_path, "my_env/my_env.py")
    location = find("my-env", tmp_path)

    assert environment_defaults(location) == {}
    write(tmp_path, "my_env/pyproject.toml", text="[project]\nname = 'x'\n")
    assert environment_defaults(location) == {}
    assert environment_defaults(EnvironmentLocation("x", None, None)) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[tool.verifiers.eval\n", "not readable as TOML"),
        ("tool = 3\n", "'tool' in [tool.verifiers.eval] is not a table"),
        ("[tool]\nverifiers = 3\n", "'verifiers' in [tool.verifiers.eval] is not a table"),
        ("[tool.verifiers]\neval = 3\n", "'eval' in [tool.verifiers.eval] is not a table"),
    ],
)
def test_defaults_that_cannot_be_read_name_the_file(tmp_path: Path, text: str, reason: str) -> None:
    write(tmp_path, "my_env/my_env.py")
    write(tmp_path, "my_env/pyproject.toml", text=text)

    with pytest.raises(SetupError) as caught:
        environment_defaults(find("my-env", tmp_path))

    assert str(caught.value).startswith(f"{tmp_path / 'my_env' / 'pyproject.toml'}: ")
    assert reason in str(caught.value)


def test_defaults_that_are_not_text_name_the_file(tmp_path: Path) -> None:
    write(tmp_path, "my_env/my_env.py")
    (tmp_path / "my_env" / "pyproject.toml").write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SetupError, match="not readable as TOML"):
        environment_defaults(find("my-env", tmp_path))


def test_a_near_miss_is_named(tmp_path: Path) -> None:
    write(tmp_path, "capitals.py")
    with pytest.raises(EnvironmentLoadError, match=r"did you mean 'capitals'\?"):
        find("capitols", tmp_path)


NEAR_MISS = "import verifiers as vf\n\ndef load_enviroment():\n    return None\n"


def test_a_function_that_is_nearly_the_loader_is_named(tmp_path: Path) -> None:
    write(tmp_path, "my_env.py", text=NEAR_MISS)
    with pytest.raises(EnvironmentLoadError, match=r"my_env\.py:3 defines load_enviroment\(\);"):
        find("my-env", tmp_path)


@pytest.mark.parametrize("file", ["my_env.py", "my_env/my_env.py", "my_env/__init__.py"])
def test_a_misnamed_loader_is_taken_when_its_path_is_named(tmp_path: Path, file: str) -> None:
    write(tmp_path, file, text=NEAR_MISS)
    named = tmp_path / "my_env.py" if file == "my_env.py" else tmp_path / "my_env"
    assert location_of_path(named) is not None


@pytest.mark.parametrize(
    "text",
    [
        "def load_enviroment(): ...\n",
        NEAR_MISS + "def test_it(): ...\n",
        NEAR_MISS + "class TestIt: ...\n",
        NEAR_MISS + "from my_envs import load_environment\n",
        "import verifiers\ndef load_dataset(): ...\n",
        "import verifiers\ndef load_enviroment(:\n",
    ],
    ids=["no-import", "test", "test-class", "imported", "other", "broken"],
)
def test_what_is_no_misnamed_loader(tmp_path: Path, text: str) -> None:
    write(tmp_path, "script.py", text=text)
    assert location_of_path(tmp_path / "script.py") is None


def test_the_loader_of_a_folder_comes_before_a_misnamed_one(tmp_path: Path) -> None:
    write(tmp_path, "my_env/__init__.py", text=NEAR_MISS)
    write(tmp_path, "my_env/my_env.py")
    found = location_of_path(tmp_path / "my_env")
    assert found is not None
    assert found[1].path == tmp_path / "my_env" / "my_env.py"
