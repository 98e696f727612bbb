"""What workers of xdist are worth: one process, -n 1, -n 2 and -n 4, with light and heavy scoring.

    python -m benchmarks.xdist

Heavy scoring is 20 ms of pure Python for each rollout, the same work in every mode. The wall time
runs from the first request to the report of the last rollout: starting pytest and its workers is
left out, and shown for itself. The demo server runs in a process of its own.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import EVALS, PYTEST, ROOT, demo_server, results_of, run_process

IN_PROCESS = 0
MODES = (IN_PROCESS, 1, 2, 4)
HEAVY_SECONDS = 0.020

EVAL_FILE = """\
max_concurrent = {concurrency}

[[eval]]
name = "bench"
env_id = "cpu-env"
env_args = {{ number = {rollouts}, loops = {loops} }}
model = "demo-small"
api_base_url = "{url}"
api_key_var = "BENCH_KEY"
num_examples = {rollouts}
rollouts_per_example = 1
"""

# Loaded with `-p`: writes the epoch second of the last report of a rollout to a file.
REPORT_CLOCK = """\
import time
from pathlib import Path

last = 0.0


def pytest_runtest_logreport(report):
    global last
    if report.when == "call":
        last = time.time()


def pytest_sessionfinish(session):
    if not hasattr(session.config, "workerinput"):
        Path(__file__).with_name("last_report").write_text(str(last))
"""


@dataclass(frozen=True, slots=True)
class Scoring:
    """One kind of work.

    Attributes:
        name: in the table.
        rollouts: how many.
        loops: of pure Python for each score.
    """

    name: str
    rollouts: int
    loops: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one mode, in seconds.

    Attributes:
        wall: from the first request to the last report.
        startup: from the start of pytest to the first request.
        cpu: user and system, of all processes of the session, imports included.
    """

    wall: float
    startup: float
    cpu: float


def loops_for(seconds: float) -> int:
    """Return how many loops take so long on this machine."""
    command = [sys.executable, "-m", "benchmarks.cpu_env", str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def measure(workers: int, scoring: Scoring, concurrency: int, latency: float) -> Measurement:
    """Run the eval once.

    Raises:
        SystemExit: it failed, or did not write every row.
    """
    with tempfile.TemporaryDirectory(prefix="bench-") as name, demo_server(latency) as url:
        folder = Path(name)
        shutil.copy(ROOT / "benchmarks" / "cpu_env.py", folder)
        (folder / "report_clock.py").write_text(REPORT_CLOCK)
        (folder / EVALS).write_text(
            EVAL_FILE.format(
                concurrency=concurrency, rollouts=scoring.rollouts, loops=scoring.loops, url=url
            )
        )
        command = [*PYTEST, "-q", "-p", "report_clock"]
        if workers != IN_PROCESS:
            command += ["-n", str(workers)]
        begun = time.time()
        cpu = run_process(command, folder).cpu
        rows = read_rows(folder, scoring.rollouts)
        first: float = min(row["timing"]["generation"]["start"] for row in rows)
        last = float((folder / "last_report").read_text())
    return Measurement(wall=last - first, startup=first - begun, cpu=cpu)


def read_rows(folder: Path, expected: int) -> list[dict[str, dict[str, dict[str, float]]]]:
    """Return the rows of the one run in the folder."""
    path = results_of(folder)
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    if len(rows) != expected:
        sys.exit(f"{path}: {len(rows)} rows, expected {expected}")
    return rows


def measure_all(
    kinds: list[Scoring], modes: list[int], repeat: int, concurrency: int, latency: float
) -> dict[tuple[Scoring, int], list[Measurement]]:
    """Run every mode `repeat` times, in turns, every other round backwards."""
    measured: dict[tuple[Scoring, int], list[Measurement]] = {}
    for scoring in kinds:
        for turn in range(repeat):
            for workers in reversed(modes) if turn % 2 else modes:
                print(
                    f"{scoring.name}, round {turn + 1} of {repeat}: {mode_name(workers)}",
                    file=sys.stderr,
                )
                result = measure(workers, scoring, concurrency, latency)
                measured.setdefault((scoring, workers), []).append(result)
    return measured


def mode_name(workers: int) -> str:
    """Return how a mode is called."""
    return "in-process" if workers == IN_PROCESS else f"-n {workers}"


def print_table(measured: dict[tuple[Scoring, int], list[Measurement]]) -> None:
    """Print a row for each mode: medians, and how many times faster it is than one process."""
    print(
        f"{'scoring':10}{'mode':12}{'rollouts':>9}{'wall s':>9}{'speed-up':>10}{'rollouts/s':>12}"
        f"{'start-up s':>12}{'CPU s':>8}"
    )
    for scoring in dict.fromkeys(scoring for scoring, _ in measured):
        base = statistics.median(run.wall for run in measured[scoring, IN_PROCESS])
        for workers in [workers for kind, workers in measured if kind == scoring]:
            runs = measured[scoring, workers]
            wall = statistics.median(run.wall for run in runs)
            startup = statistics.median(run.startup for run in runs)
            cpu = statistics.median(run.cpu for run in runs)
            print(
                f"{scoring.name:10}{mode_name(workers):12}{scoring.rollouts:9}{wall:9.2f}"
                f"{base / wall:10.2f}{scoring.rollouts / wall:12.0f}{startup:12.2f}{cpu:8.2f}"
            )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--light", type=int, default=2000, help="rollouts with light scoring; 0 for none"
    )
    parser.add_argument(
        "--heavy", type=int, default=400, help="rollouts with heavy scoring; 0 for none"
    )
    parser.add_argument(
        "--workers", type=int, nargs="+", default=MODES[1:], metavar="N", help="besides one process"
    )
    parser.add_argument("--concurrency", type=int, default=64, help="rollouts in flight")
    parser.add_argument("--latency", type=float, default=0.05, help="seconds to each reply")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the table shows medians")
    options = parser.parse_args()
    kinds = [
        Scoring("light", options.light, 1),
        Scoring("heavy", options.heavy, loops_for(HEAVY_SECONDS)),
    ]
    measured = measure_all(
        [kind for kind in kinds if kind.rollouts],
        [IN_PROCESS, *options.workers],
        options.repeat,
        options.concurrency,
        options.latency,
    )
    version = importlib.metadata.version
    print(
        f"Python {platform.python_version()}, pytest {version('pytest')}, pytest-xdist"
        f" {version('pytest-xdist')}, {os.cpu_count()} cores\n"
        f"{options.concurrency} in flight, latency {options.latency:g} s, heavy scoring"
        f" {HEAVY_SECONDS * 1000:.0f} ms, medians of {options.repeat}\n"
    )
    print_table(measured)


if __name__ == "__main__":
    main()
