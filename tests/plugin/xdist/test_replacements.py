"""Workers that die before they have begun, and those that come in their place."""

from __future__ import annotations

import pytest

from ..function_project import FunctionProject


def test_a_function_that_never_began_fails_the_build(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
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
    result = project.run("-p", "xdist", "-n2", "--max-worker-restart=0")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["FAILED test_it.py::test_it::incomplete - incomplete: 2 of 2 rollouts never ran, *"]
    )
