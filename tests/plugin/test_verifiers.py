from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pytest_evals.adapters import choice, importing, package_client
from tests.adapters.conftest import HAS_REAL
from tests.plugin.conftest import Project

pytestmark = pytest.mark.skipif(HAS_REAL, reason="other tests import the real one, which stays")

# As it would be published: it does not know of this package.
SUMS = """
    import verifiers as vf
    from verifiers.types import Messages, State

    def correct(completion: Messages, answer: str, state: State) -> float:
        from verifiers.utils.data_utils import extract_boxed_answer

        return float(answer in extract_boxed_answer(completion[-1].content))

    def load_environment(examples: int = 2) -> vf.Environment:
        rows = [{"question": f"What is {n} + {n}?", "answer": str(n + n)} for n in range(examples)]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[correct]))
"""

EVAL = """
    [[eval]]
    env_id = "published"
    num_examples = 2
    rollouts_per_example = 1
"""

NATIVE = "--evals-verifiers=native"
LINE = "verifiers: environments importing it get pytest_evals*"


@pytest.fixture
def published(project: Project, url: str) -> Project:
    project.environment("published", SUMS)
    project.evals(EVAL, url=url)
    return project


def installed(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    monkeypatch.setattr(choice, "installed_version", lambda: version)
    monkeypatch.setattr(importing, "installed_version", lambda: version)


def leftovers() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == "verifiers"]


def test_an_environment_that_imports_verifiers(published: Project) -> None:
    finders, modules = list(sys.meta_path), leftovers()
    result = published.run("bench.toml", NATIVE)

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines([LINE])
    assert all(row["state"] == "scored" for row in published.rows())
    assert (sys.meta_path, leftovers()) == (finders, modules)


@pytest.mark.parametrize(
    ("version", "instead"), [(None, "pytest_evals"), ("0.4.0", "in place of the installed 0.4.0")]
)
def test_auto_stands_in(
    published: Project, monkeypatch: pytest.MonkeyPatch, version: str | None, instead: str
) -> None:
    installed(monkeypatch, version)
    result = published.run("bench.toml")

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines([f"verifiers: *{instead}"])


def test_nothing_is_said_where_nobody_asks(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\nnum_examples = 1', url=url)
    project.path.joinpath("test_plain.py").write_text(
        "import importlib.util\n"
        "def test_it_is_not_there():\n"
        "    assert importlib.util.find_spec('verifiers_that_nobody_has') is None\n"
    )
    result = project.run("bench.toml", "test_plain.py", NATIVE)

    assert result.ret == 0
    result.stdout.no_fnmatch_line("*verifiers:*")


def test_a_name_that_is_not_provided(published: Project, url: str) -> None:
    published.environment("published", "from verifiers import SandboxEnv\n" + SUMS.strip("\n"))
    path = published.environment(
        "published",
        """
        import verifiers as vf

        def load_environment():
            return vf.SandboxEnv()
        """,
    )
    result = published.run("bench.toml", NATIVE)

    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [f"*environment 'published' ({path})*verifiers.SandboxEnv is not provided*=package*"]
    )


def test_the_package_that_is_not_installed(
    published: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(monkeypatch, None)
    result = published.run("bench.toml", "--evals-verifiers=package")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*needs verifiers 0.1.11 to 0.3.1, and none is installed*"])


def test_the_ini_key(published: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, None)
    published.pytester.makeini("[pytest]\nevals_verifiers = package\n")

    assert published.run("bench.toml").ret == 1
    assert published.run("bench.toml", NATIVE).ret == 0


def test_an_ini_key_that_means_nothing(published: Project) -> None:
    published.pytester.makeini("[pytest]\nevals_verifiers = neither\n")
    result = published.run("bench.toml")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*evals_verifiers: 'neither' is none of auto, native, package*"])


def test_what_was_imported_before_stays(published: Project) -> None:
    published.pytester.makeconftest(
        """
        import sys
        from types import ModuleType

        sys.modules["verifiers"] = ModuleType("verifiers")
        """
    )
    result = published.run("bench.toml", NATIVE)

    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "verifiers: it was imported before the first environment, so environments importing it"
            " get that and not pytest_evals",
            "*'verifiers.types'*",
        ]
    )


# What the adapter does is tested in tests/adapters; here, that the session goes through it.
PACKAGE = """
    import verifiers as vf

    class Table(list):
        def to_list(self):
            return list(self)

    class Asking(vf.Environment):
        async def rollout(self, input, client, model, sampling_args=None):
            state = await self.init_state(input, client, model, sampling_args)
            response = await self.get_model_response(state, state["prompt"])
            state["completion"] = [response.message]
            step = {"prompt": state["prompt"], "completion": [response.message]}
            state["trajectory"].append({**step, "response": response})
            return state

    def correct(completion, answer):
        return float(answer in completion[-1].content)

    def half(completion):
        raise ValueError("no half")

    def load_environment(examples=2):
        rows = [{"question": f"What is {n} + {n}?", "answer": str(n + n)} for n in range(examples)]
        return Asking(dataset=Table(rows), rubric=vf.Rubric(funcs=[correct, half]))
"""


@pytest.fixture
def stand_in(published: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project where `verifiers` 0.3.1 seems to be installed."""
    installed(monkeypatch, "0.3.1")
    package_client._client_class.cache_clear()
    source = (
        "import sys\nfrom tests.adapters import fake_verifiers\n"
        "def pytest_collection():\n    sys.modules.update(fake_verifiers.modules())\n"
    )
    published.pytester.makeconftest(source)
    published.environment("published", PACKAGE)
    monkeypatch.syspath_prepend(Path(__file__).parents[2])
    return published


def test_the_installed_package_is_driven(stand_in: Project, url: str) -> None:
    stand_in.evals(EVAL + '    reward_errors = "zero"\n', url=url)
    result = stand_in.run("bench.toml")

    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["verifiers: environments importing it run on the installed 0.3.1"])
    rows = stand_in.rows()
    assert [row["metrics"]["half"] for row in rows] == [0.0, 0.0]
    assert [len(row["reward_errors"]) for row in rows] == [1, 1]
    assert all(row["served_model"] and row["token_usage"] for row in rows)


def test_a_reward_function_of_the_package_that_raises_is_broken(stand_in: Project) -> None:
    result = stand_in.run("bench.toml")

    assert result.ret == 1
    assert [row["state"] for row in stand_in.rows()] == ["broken", "broken"]
    result.stdout.fnmatch_lines(["*ValueError: no half*"])


def test_an_environment_that_loads_one_that_imports_verifiers(published: Project, url: str) -> None:
    published.environment(
        "outer",
        """
        import pytest_evals as vf

        def load_environment():
            return vf.load_environment("published")
        """,
    )
    published.evals(
        '[[eval]]\nenv_id = "outer"\nnum_examples = 1\nrollouts_per_example = 1', url=url
    )
    result = published.run("bench.toml", NATIVE)

    assert result.ret == 0
    result.stdout.fnmatch_lines([LINE])
    assert leftovers() == []
