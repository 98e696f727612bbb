"""A project whose evals are test functions, for pytester."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

# What every test file of these begins with.
HEAD = """\
import asyncio
import pytest

evals = pytest.mark.evals
"""


class FunctionProject:
    """A folder with test files, and sessions of pytest in it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        pytester.makeini("[pytest]\n")

    def write(self, source: str, name: str = "test_it.py") -> Path:
        """Write a test file, or any other file as it is."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        head = HEAD if path.suffix == ".py" else ""
        path.write_text(head + textwrap.dedent(source))
        return path

    def run(self, *args: str, asyncio: bool = False) -> pytest.RunResult:
        """Run pytest in this process."""
        return self.pytester.runpytest_inprocess(*self._arguments(args, asyncio))

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start pytest in a process and a process group of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", *self._arguments(args, False)],
            cwd=self.path,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def _arguments(self, args: tuple[str, ...], asyncio: bool) -> list[str]:
        without = ["randomly", "xdist", "rerunfailures", "timeout", "cov"]
        without += [] if asyncio else ["asyncio", "anyio"]
        wanted = {args[i + 1] for i, arg in enumerate(args) if arg == "-p"}
        plugins = [f"no:{name}" for name in without if name not in wanted]
        return [part for plugin in plugins for part in ("-p", plugin)] + list(args)

    def folder(self, name: str = "test_it.test_it") -> Path:
        """Return the folder of the only run of an eval."""
        (folder,) = self.path.glob(f"outputs/evals/{name}--*/*")
        return folder

    def rows(self, name: str = "test_it.test_it") -> list[dict[str, Any]]:
        """Return the rows of the only run of an eval."""
        lines = (self.folder(name) / "results.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def metadata(self, name: str = "test_it.test_it") -> dict[str, Any]:
        """Return the metadata of the only run of an eval."""
        content: dict[str, Any] = json.loads((self.folder(name) / "metadata.json").read_text())
        return content

    def forget(self) -> None:
        """Remove the runs so far, and what the tests wrote into `log`."""
        shutil.rmtree(self.path / "outputs", ignore_errors=True)
        (self.path / "log").unlink(missing_ok=True)

    def log(self) -> list[str]:
        """Return the lines that the tests wrote into `log`."""
        path = self.path / "log"
        return path.read_text().splitlines() if path.exists() else []
