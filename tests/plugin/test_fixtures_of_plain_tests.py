"""When fixtures of plain tests end that have evals after them."""

from __future__ import annotations

import pytest

from .conftest import Project

# Sums whose scoring takes as long as it is told to.
TAKING = """
    import asyncio
    import pytest_evals as vf

    async def correct(seconds):
        await asyncio.sleep(seconds)
        return 1.0

    def load_environment(seconds=0.0):
        rubric = vf.Rubric(funcs=[correct])
        rubric.class_objects = {"seconds": seconds}
        return vf.SingleTurnEnv(dataset=[{"question": "What is 1 + 1?"}], rubric=rubric)
"""

PACKAGE = """
    import pytest

    @pytest.fixture(scope="{scope}")
    def wide():
        yield
        with open("log", "a") as file:
            print("down", file=file)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(item):
        if "toml" in item.nodeid:
            with open("log", "a") as file:
                print(item.nodeid, file=file)
        return (yield)
"""


@pytest.fixture
def folders(project: Project, url: str) -> Project:
    """Two folders with an eval file each; a plain test lies in the first one's."""
    project.environment("taking", TAKING)
    for name in ("one", "two"):
        (project.path / name).mkdir()
        (project.path / name / "__init__.py").touch()
        seconds = 0.3 if name == "one" else 0.0
        project.evals(
            f'[[eval]]\nname = "{name}"\nenv_id = "taking"\nenv_args = {{ seconds = {seconds} }}',
            url=url,
            name=f"{name}/bench.toml",
        )
    (project.path / "one" / "test_plain.py").write_text("def test_plain(wide): ...\n")
    return project


@pytest.mark.parametrize("scope", ["package", "module"])
def test_they_end_with_the_last_plain_test(folders: Project, scope: str) -> None:
    folders.pytester.makeconftest("")
    path = folders.path / "one" / "conftest.py"
    folders.pytester.makepyfile(conftest=PACKAGE.format(scope=scope)).rename(path)
    # Its neighbour in the folder is first in order, and the other one's rollout ends first.
    result = folders.run("one/test_plain.py", "one/bench.toml", "two/bench.toml")
    result.assert_outcomes(passed=1 + 2 * (3 + 1))
    log = (folders.path / "log").read_text().splitlines()
    assert log[0] == "down"
