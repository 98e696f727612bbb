"""The benchmark runs; what it measures is no test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_benchmark(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "overhead.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_it_prints_a_row_for_each_mode_with_the_same_reward() -> None:
    done = run_benchmark(
        "--rollouts", "8", "--concurrency", "4", "--repeat", "1", "--straggler", "0.1",
        "--only", "plugin", "aiohttp",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    plugin, loop = re.findall(r"^(?:pytest bench|aiohttp alone).*$", done.stdout, re.MULTILINE)
    assert plugin.split()[-1] == loop.split()[-1]
    assert float(plugin.split()[-2]) < float(plugin.split()[-3]), "first report after the end"


def test_a_mode_it_does_not_know_is_refused() -> None:
    done = run_benchmark("--only", "teletype")
    assert done.returncode == 2
    assert "teletype" in done.stderr
