"""Assertion rewriting: this package's modules do without, those of others have it."""

from __future__ import annotations

import subprocess
import sys

from .conftest import Project

CONFTEST = """
pytest_plugins = ["helping"]

def pytest_sessionfinish():
    import helping
    import pytest_evals.engine.engine as own
    print("LOADERS", type(own.__loader__).__name__, type(helping.__loader__).__name__)
"""
COMMAND = [sys.executable, "-m", "pytest", "-s", "-p", "no:cacheprovider", "bench.toml"]


def test_who_loads_modules(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\nmodel = "demo-small"\nnum_examples = 1', url=url)
    project.path.joinpath("conftest.py").write_text(CONFTEST)
    project.path.joinpath("helping.py").touch()
    done = subprocess.run(COMMAND, capture_output=True, text=True, cwd=project.path, check=False)
    assert "LOADERS SourceFileLoader AssertionRewritingHook" in done.stdout, done.stdout
