"""The benchmark of workers runs; what it measures is no test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "xdist.py"


def test_it_prints_a_row_for_each_mode() -> None:
    command = [sys.executable, str(SCRIPT), "--light", "8", "--heavy", "0", "--repeat", "1"]
    done = subprocess.run([*command, "--workers", "2"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = re.findall(r"^light +(in-process|-n 2) .*$", done.stdout, re.MULTILINE)
    assert rows == ["in-process", "-n 2"]
