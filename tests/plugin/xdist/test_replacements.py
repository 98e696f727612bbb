"""Workers that die before they have begun, and those that come in their place."""

from __future__ import annotations

import os

import pytest

from ..conftest import SUMS, Project
from ..function_project import FunctionProject


@pytest.mark.parametrize(
    "workers",
    [("-n2", "--max-worker-restart=0"), ("--dist=load", "--tx", "popen")],
    ids=["none-replaced", "tx"],
)
def test_functions_that_end_every_worker_fail_the_build(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    project = FunctionProject(pytester)
    project.write(
        """
        import os

        @pytest.fixture
        def deadly():
            os._exit(3)

        @evals(rollouts=2, gates=["reward >= 0.5"])
        async def test_it(deadly): ...
        """
    )
    result = project.run("-p", "xdist", *workers)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["FAILED test_it.py::test_it::incomplete - incomplete: 2 of 2 rollouts never ran, *"]
    )


# gw0 dies once it has collected. gw1 has collected once that is known: the pipe opens for both.
DYING_EARLY = """
    import os
    import pytest

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(config):
        if worker_of(config) == "gw1":
            open("down").close()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(session):
        if worker_of(session.config) == "gw0":
            os._exit(1)

    def pytest_testnodedown(node):
        if node.gateway.id == "gw0":
            open("down", "w").close()

    def worker_of(config):
        return getattr(config, "workerinput", {}).get("workerid")
"""


def test_nothing_is_lent_to_a_worker_that_died_before_all_had_collected(
    project: Project, url: str
) -> None:
    os.mkfifo(project.path / "down")
    project.pytester.makeconftest(DYING_EARLY)
    project.evals('max_concurrent = 1\n[[eval]]\nenv_id = "sums"\n', url=url)
    result = project.run("bench.toml", "-n2")
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=12 + 1)
    result.stdout.fnmatch_lines(["*node down*", "*12 rollouts*at most 1 in flight over 1 worker*"])


# What the worker that comes in the place of the first one makes of the environment.
CANNOT_BE_COLLECTED = "raise OSError('the dataset is gone')"
HAS_OTHER_EXAMPLES = "return load(examples=5)"
IS_THE_SAME = "return load()"

HAS_OTHER_SETTINGS = """
    import dataclasses, pathlib

    def pytest_evals_modify_evals(evals):
        if pathlib.Path("died").exists():
            evals[:] = [dataclasses.replace(evals[0], sampling_args={"temperature": 0.5})]
"""
HAS_OTHER_TESTS = """
    import pathlib

    def pytest_collection_modifyitems(items):
        if pathlib.Path("died").exists():
            items[:] = [item for item in items if "plain" not in item.nodeid]
"""


@pytest.mark.parametrize(
    ("second", "conftest", "why"),
    [
        (CANNOT_BE_COLLECTED, "", "*OSError: the dataset is gone*"),
        (HAS_OTHER_EXAMPLES, "", "*by gw0 and gw1: the examples of *sums differ"),
        (IS_THE_SAME, HAS_OTHER_SETTINGS, "*by gw0 and gw1: sampling_args of *"),
        (IS_THE_SAME, HAS_OTHER_TESTS, "Different tests were collected between gw0 and gw1*"),
    ],
    ids=["nothing", "examples", "settings", "tests"],
)
def test_a_replacement_that_cannot_take_part_ends_the_session(
    project: Project, url: str, second: str, conftest: str, why: str
) -> None:
    source = SUMS.replace("def load_environment", "def load").replace(
        "    def correct(completion, answer):",
        """    import os, pathlib

    def load_environment():
        if pathlib.Path("died").exists():
            SECOND
        return load()

    def correct(completion, answer):
        pathlib.Path("died").touch()
        os._exit(3)""".replace("SECOND", second),
    )
    project.environment("sums", source)
    project.pytester.makeconftest(conftest)
    project.pytester.makepyfile(test_plain="def test_plain(): ...")
    project.evals('[[eval]]\nenv_id = "sums"\n', url=url)
    result = project.run("bench.toml", "test_plain.py", "-n1")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [why, "FAILED bench.toml::sums::incomplete - incomplete: 11 of 12 rollouts never ran, *"]
    )
