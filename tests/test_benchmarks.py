"""The benchmarks run; what they measure is no test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run_benchmark(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"benchmarks.{name}", *options]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_it_prints_a_row_for_each_mode_with_the_same_reward() -> None:
    done = run_benchmark(
        "overhead", "--rollouts", "8", "--concurrency", "4", "--repeat", "1", "--straggler", "0.1",
        "--only", "plugin", "aiohttp",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    plugin, loop = re.findall(r"^(?:pytest bench|aiohttp alone).*$", done.stdout, re.MULTILINE)
    assert plugin.split()[-1] == loop.split()[-1]
    assert float(plugin.split()[-2]) < float(plugin.split()[-3]), "first report after the end"


def test_peers_answer_the_same_questions_where_they_are_installed() -> None:
    done = run_benchmark(
        "overhead", "--rollouts", "4", "--repeat", "1",
        "--only", "aiohttp", "pytest-asyncio", "inspect-ai",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    rewards = re.findall(r"^(?:aiohttp|pytest-asyncio|inspect-ai) .* (\S+)$", done.stdout, re.M)
    missing = re.findall(r"^(\S+): not installed$", done.stderr, re.M)
    assert len(rewards) + len(missing) == 3
    assert len(set(rewards)) == 1


def test_each_size_has_a_row() -> None:
    done = run_benchmark("scale", "--examples", "1", "3")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.splitlines()[-2:]]
    assert [row[0] for row in rows] == ["10", "30"]
    assert all(len(row) == 9 for row in rows)


def test_a_mode_it_does_not_know_is_refused() -> None:
    done = run_benchmark("overhead", "--only", "teletype")
    assert done.returncode == 2
    assert "teletype" in done.stderr
