"""A short run of the script that kills and continues a run: four kills in one process."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "stress_resume.py"


def stress(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_four_kills_lose_no_row_and_ask_for_none_twice() -> None:
    done = stress("--kills", "4", "--rollouts", "120", "--seed", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.match(r"4 kills, 120 rollouts, \d+ requests: .*; 0 problems", done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_twenty_kills(workers: str) -> None:
    done = stress("--kills", "20", "--rollouts", "500", "--seed", "1", "--workers", workers)
    assert done.returncode == 0, done.stdout + done.stderr
