"""A short run of the stress script: a session whose workers are killed, and one undisturbed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "stress_workers.py"


def stress(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_run_leaves_the_rows_of_an_undisturbed_one() -> None:
    done = stress("--runs", "1", "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 processes killed, 90 rollouts: 0 runs failed" in done.stdout


@pytest.mark.slow
def test_twenty_runs() -> None:
    done = stress("--runs", "20", "--seed", "2")
    assert done.returncode == 0, done.stdout + done.stderr
