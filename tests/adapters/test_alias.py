from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

import pytest_evals
from pytest_evals import names
from pytest_evals.adapters.alias import AliasModule, VerifiersAlias, is_imported
from tests.adapters.conftest import HAS_REAL

pytestmark = pytest.mark.skipif(HAS_REAL, reason="other tests import the real one, which stays")


@pytest.fixture
def alias() -> Iterator[VerifiersAlias]:
    alias = VerifiersAlias()
    with alias.importable():
        yield alias
    alias.remove()


def run(source: str) -> dict[str, Any]:
    """Run code as a module of its own would."""
    scope: dict[str, Any] = {"__name__": "somebodys_environment"}
    exec(inspect.cleandoc(source), scope)
    return scope


def test_the_classes_are_the_packages_own(alias: VerifiersAlias) -> None:
    scope = run(
        """
        import verifiers as vf
        from verifiers.types import Messages, State, ToolMessage
        from verifiers.envs.multiturn_env import MultiTurnEnv
        from verifiers.utils.data_utils import extract_boxed_answer
        from verifiers.parsers.parser import Parser
        import verifiers.errors
        class Mine(vf.Rubric):
            pass
        """
    )

    assert scope["State"] is pytest_evals.State
    assert scope["MultiTurnEnv"] is scope["vf"].MultiTurnEnv is pytest_evals.MultiTurnEnv
    assert scope["extract_boxed_answer"] is pytest_evals.extract_boxed_answer
    assert scope["verifiers"].errors.InfraError is pytest_evals.InfraError
    assert isinstance(scope["Mine"](), pytest_evals.Rubric)
    assert issubclass(scope["Parser"], scope["vf"].Parser)
    assert isinstance(scope["ToolMessage"](tool_call_id="1", content="x"), dict)


def test_the_modules_are_real_ones(alias: VerifiersAlias) -> None:
    vf = importlib.import_module("verifiers")

    assert isinstance(vf, ModuleType)
    assert sys.modules["verifiers"] is vf
    assert vf.__version__ == "0.3.1"
    assert vf.__name__ == "verifiers"
    assert "SingleTurnEnv" in dir(vf)
    assert vf.utils.data_utils.BOXED_SYSTEM_PROMPT.endswith("\\boxed{}.")
    assert sys.modules["verifiers.utils.data_utils"] is vf.utils.data_utils
    assert importlib.util.find_spec("verifiers.types") is not None


@pytest.mark.parametrize("module", sorted(names.MODULES))
@pytest.mark.parametrize("root", ["verifiers", "verifiers.legacy"])
def test_every_name_of_the_table_resolves(alias: VerifiersAlias, module: str, root: str) -> None:
    imported = importlib.import_module(f"{root}.{module}" if module else root)

    for name in names.MODULES[module]:
        assert getattr(imported, name) is names.find(names.MODULES[module][name]), name
        assert name in dir(imported)


def test_star_binds_the_usual_names(alias: VerifiersAlias) -> None:
    scope = run("from verifiers import *")

    assert scope["SingleTurnEnv"] is pytest_evals.SingleTurnEnv
    assert {"load_environment", "stop", "State", "JudgeRubric", "ensure_keys"} <= set(scope)
    assert not {"Error", "Message", "Info"} & set(scope)


def test_all_that_is_starred_can_be_found() -> None:
    assert set(names.STARRED) <= set(names.MODULES[""])


@pytest.mark.parametrize(
    "name", ["SandboxEnv", "PythonEnv", "MCPEnv", "RendererClient", "ReasoningGymEnv"]
)
def test_what_only_the_package_has(alias: VerifiersAlias, name: str) -> None:
    vf = importlib.import_module("verifiers")
    says = rf"verifiers\.{name} is not provided.*pytest-rollouts\[verifiers\].*=package"

    assert not hasattr(vf, name)
    with pytest.raises(AttributeError, match=says):
        getattr(vf, name)
    with pytest.raises(ImportError, match=says):
        run(f"from verifiers import {name}")


@pytest.mark.parametrize(
    ("statement", "says"),
    [
        (
            "import verifiers.envs.sandbox_env",
            r"verifiers\.envs\.sandbox_env .*has it: pip",
        ),
        ("from verifiers.envs.sandbox_env import SandboxEnv", r"The package verifiers has it"),
        ("from verifiers.envs.experimental.mcp_env import MCPEnv", r"The package verifiers has it"),
        ("import verifiers.v1 as vf", r"verifiers\.v1 belongs to tasksets"),
        ("from verifiers import Taskset", r"verifiers\.Taskset belongs to tasksets"),
        ("from verifiers.types import Novelty", r"verifiers\.types\.Novelty is not provided"),
        ("from verifiers.utils import novelties", r"verifiers\.utils\.novelties is not provided"),
        (
            "import verifiers.novelties",
            r"verifiers\.novelties .*If a release of verifiers",
        ),
        ("from verifiers import SingelTurnEnv", r"did you mean 'SingleTurnEnv'\?\)\. If a release"),
        ("import verifiers.legacy.novelties", r"verifiers\.novelties is not provided"),
    ],
)
def test_a_name_that_is_not_provided(alias: VerifiersAlias, statement: str, says: str) -> None:
    with pytest.raises(ImportError, match=says):
        run(statement)


def test_names_that_look_alike_are_left_alone(alias: VerifiersAlias) -> None:
    with pytest.raises(ModuleNotFoundError, match="No module named 'verifiers_rl'"):
        run("import verifiers_rl")
    assert not alias.is_used


def test_it_stays_after_something_asked() -> None:
    alias = VerifiersAlias()
    with alias.importable():
        run("import verifiers")
    try:
        later = run("from verifiers.utils.async_utils import maybe_await")
    finally:
        alias.remove()

    assert alias not in sys.meta_path
    assert inspect.iscoroutinefunction(later["maybe_await"])


def test_it_goes_when_nothing_asked() -> None:
    alias = VerifiersAlias()
    with alias.importable():
        pass

    assert alias not in sys.meta_path
    assert not alias.is_used
    with pytest.raises(ModuleNotFoundError):
        run("import verifiers")


def test_an_inner_use_does_not_end_the_outer() -> None:
    alias = VerifiersAlias()
    with alias.importable():
        with alias.importable():
            pass
        run("import verifiers")
    alias.remove()

    assert "verifiers" not in sys.modules


def test_removing_leaves_nothing() -> None:
    before = set(sys.modules), list(sys.meta_path)
    alias = VerifiersAlias()
    with alias.importable():
        scope = run("import verifiers as vf\nimport verifiers.utils.logging_utils")
    alias.remove()
    alias.remove()

    assert not [name for name in set(sys.modules) - before[0] if name.startswith("verifiers")]
    assert sys.meta_path == before[1]
    assert scope["vf"].SingleTurnEnv is pytest_evals.SingleTurnEnv  # what was imported still works
    with pytest.raises(ModuleNotFoundError):
        run("import verifiers")


def test_removing_leaves_the_modules_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    real = ModuleType("verifiers.real")
    monkeypatch.setitem(sys.modules, "verifiers.real", real)
    alias = VerifiersAlias()
    with alias.importable():
        run("import verifiers")
    alias.remove()

    assert sys.modules["verifiers.real"] is real


def test_the_real_package_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    alias = VerifiersAlias()
    with alias.importable():
        run("import verifiers")
        assert isinstance(sys.modules["verifiers"], AliasModule)
        assert not is_imported()
    alias.remove()
    assert not is_imported()
    monkeypatch.setitem(sys.modules, "verifiers", ModuleType("verifiers"))
    assert is_imported()


def test_importing_it_loads_the_standard_library_only() -> None:
    script = (
        "import sys\nfrom pytest_evals.adapters.alias import VerifiersAlias\n"
        "before = set(sys.modules)\n"
        "with VerifiersAlias().importable():\n"
        "    import verifiers as vf\n"
        "    vf.SingleTurnEnv, vf.Rubric, vf.XMLParser, vf.State, vf.Messages, vf.stop\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)))\n"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "['pytest_evals', 'verifiers']"
