"""A short run of the stress script: two sessions whose workers are killed, and one undisturbed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "stress_workers.py"


def stress(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_two_runs_leave_the_rows_of_an_undisturbed_one() -> None:
    done = stress("--runs", "2", "--seed", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 processes killed, 180 rollouts: 0 runs failed" in done.stdout


@pytest.mark.slow
def test_twenty_runs() -> None:
    done = stress("--runs", "20", "--seed", "2")
    assert done.returncode == 0, done.stdout + done.stderr
