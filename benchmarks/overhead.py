"""What a rollout costs: the plugin against bare loops over the same requests, in one run.

    python benchmarks/overhead.py                  # CPU seconds per 1,000 rollouts
    python benchmarks/overhead.py --latency 1      # and the wall time against the ideal
    python benchmarks/overhead.py --straggler 5    # and the time until the first report

Each mode runs as a process of its own against the demo server, which runs in a third one.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PLUGIN = "plugin"
BASE = "openai"
MODES = {
    PLUGIN: "pytest bench.evals.toml",
    BASE: "AsyncOpenAI, gather",
    "openai-aiohttp": "AsyncOpenAI on aiohttp",
    "openai-untyped": "the same, post(cast_to=object)",
    "aiohttp": "aiohttp alone",
}

# Variables that the measured processes do not inherit: options of pytest, and what makes Python
# compile every module anew or write each character of output by itself.
SKEWING = ("PYTEST_", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")

EVAL_FILE = """\
max_concurrent = {concurrency}

[[eval]]
name = "bench"
env_id = "bench-env"
env_args = {{ number = {rollouts} }}
model = "demo-small"
api_base_url = "{url}"
api_key_var = "BENCH_KEY"
num_examples = {rollouts}
rollouts_per_example = 1
"""

# Loaded with `-p`: writes the epoch second of the first report of a rollout to a file.
REPORT_CLOCK = """\
import time
from pathlib import Path

clock = Path(__file__).with_name("first_report")
clock.unlink(missing_ok=True)


def pytest_runtest_logreport(report):
    if not clock.exists():
        clock.write_text(str(time.time()))
"""


@dataclass(frozen=True, slots=True)
class Work:
    """What every mode has to do.

    Attributes:
        rollouts: questions to ask.
        concurrency: requests in flight.
        latency: seconds until the server replies.
        straggler: seconds until its first reply; when not 0, the plugin's mode notes the time of
            its first report.
        folder: where the plugin's mode runs and writes.
    """

    rollouts: int
    concurrency: int
    latency: float
    straggler: float
    folder: Path


@dataclass(frozen=True, slots=True)
class Process:
    """A process that ended well.

    Attributes:
        cpu: seconds of CPU, user and system, of it and its children, imports included.
        end: epoch second of its exit.
        output: what it printed.
    """

    cpu: float
    end: float
    output: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one mode.

    Attributes:
        cpu: CPU seconds per 1,000 rollouts.
        wall: seconds from the first request to the exit of the process.
        first_report: seconds from the first request to the first report, or None.
        reward: the mean over all rollouts; equal in all modes, as the work is.
    """

    cpu: float
    wall: float
    first_report: float | None
    reward: float


def run_process(command: Sequence[str], folder: Path) -> Process:
    """Run a command to its end and return what it used.

    Raises:
        SystemExit: it failed; the message ends with what it printed.
    """
    environment = {name: v for name, v in os.environ.items() if not name.startswith(SKEWING)}
    environment["BENCH_KEY"] = "none"
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        _, status, usage = os.wait4(process.pid, 0)
        end = time.time()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        sys.exit(f"{text[-4000:]}\n{' '.join(command)}: exit code {process.returncode}")
    return Process(usage.ru_utime + usage.ru_stime, end, text)


def measure_loop(mode: str, work: Work, url: str) -> Measurement:
    """Run one of the bare loops."""
    command = [
        sys.executable, "-m", "benchmarks.bare_loops", mode, "--url", url,
        "--rollouts", str(work.rollouts), "--concurrency", str(work.concurrency),
    ]  # fmt: skip
    process = run_process(command, ROOT)
    figures = json.loads(process.output.splitlines()[-1])
    return Measurement(
        cpu=process.cpu / work.rollouts * 1000,
        wall=process.end - figures["first_request"],
        first_report=None,
        reward=figures["reward"],
    )


def measure_plugin(work: Work, url: str) -> Measurement:
    """Run the eval file with pytest and read the rows it wrote."""
    shutil.rmtree(work.folder / "outputs", ignore_errors=True)
    write_eval(work, url)
    command = [sys.executable, "-m", "pytest", "-q", "bench.evals.toml", "-p", "no:cacheprovider"]
    if work.straggler:
        command += ["-p", "report_clock"]
    process = run_process(command, work.folder)
    results = list(work.folder.glob("outputs/evals/*/*/results.jsonl"))
    if len(results) != 1:
        sys.exit(f"{process.output[-4000:]}\nexpected one results.jsonl, found {results}")
    rows = [json.loads(line) for line in results[0].read_text("utf-8").splitlines()]
    if len(rows) != work.rollouts:
        sys.exit(f"{results[0]}: {len(rows)} rows, expected {work.rollouts}")
    first_request: float = min(row["timing"]["generation"]["start"] for row in rows)
    first_report = None
    if work.straggler:
        first_report = float((work.folder / "first_report").read_text()) - first_request
    return Measurement(
        cpu=process.cpu / work.rollouts * 1000,
        wall=process.end - first_request,
        first_report=first_report,
        reward=statistics.mean(row["reward"] for row in rows),
    )


def write_eval(work: Work, url: str) -> None:
    """Write the eval file, its environment and the clock into the work's folder."""
    shutil.copy(ROOT / "benchmarks" / "bench_env.py", work.folder)
    (work.folder / "report_clock.py").write_text(REPORT_CLOCK)
    (work.folder / "bench.evals.toml").write_text(
        EVAL_FILE.format(rollouts=work.rollouts, concurrency=work.concurrency, url=url)
    )


@contextlib.contextmanager
def demo_server(work: Work) -> Iterator[str]:
    """Run the demo server and yield the base URL that it prints.

    One for each measurement: only the first request that a server gets is the straggler.
    """
    command = [
        sys.executable, "-m", "pytest_evals.demo", "--port", "0",
        "--latency", str(work.latency), "--straggler", str(work.straggler),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip() if server.stdout else ""
            if not url.startswith("http://"):
                sys.exit(f"the demo server did not print its URL but {url!r}")
            yield url
        finally:
            server.terminate()


def measure_all(modes: Sequence[str], work: Work, repeat: int) -> dict[str, list[Measurement]]:
    """Run every mode `repeat` times, in turns, every other round backwards."""
    measured: dict[str, list[Measurement]] = {mode: [] for mode in modes}
    for turn in range(repeat):
        for mode in reversed(modes) if turn % 2 else modes:
            print(f"round {turn + 1} of {repeat}: {MODES[mode]}", file=sys.stderr)
            with demo_server(work) as url:
                is_plugin = mode == PLUGIN
                result = measure_plugin(work, url) if is_plugin else measure_loop(mode, work, url)
            measured[mode].append(result)
    return measured


def print_setting(work: Work, repeat: int) -> None:
    """Print what was measured and on what."""
    version = importlib.metadata.version
    plugins = {
        entry.dist.name
        for entry in importlib.metadata.entry_points(group="pytest11")
        if entry.dist is not None
    }
    print(
        f"Python {platform.python_version()}, pytest {version('pytest')}, "
        f"openai {version('openai')}, aiohttp {version('aiohttp')}, {os.cpu_count()} cores\n"
        f"pytest plugins: {', '.join(sorted(plugins))}\n"
        f"{work.rollouts} rollouts, {work.concurrency} in flight, latency {work.latency:g} s, "
        f"straggler {work.straggler:g} s, medians of {repeat}\n"
    )


def print_table(measured: dict[str, list[Measurement]], ideal: float | None) -> None:
    """Print a row for each mode: medians, and the ratio of its CPU time to the base's."""
    cpu = {mode: statistics.median(run.cpu for run in runs) for mode, runs in measured.items()}
    print(f"{'':32}{'CPU s':>8}{'ratio':>8}{'wall s':>8}{'first':>8}{'reward':>8}")
    print(f"{'':32}{'/1,000':>8}{'':>8}{'':>8}{'report':>8}")
    for mode, runs in measured.items():
        ratio = f"{cpu[mode] / cpu[BASE]:.2f}" if BASE in cpu else "-"
        wall = statistics.median(run.wall for run in runs)
        reports = [run.first_report for run in runs if run.first_report is not None]
        first = f"{statistics.median(reports):.2f}" if reports else "-"
        row = f"{cpu[mode]:8.2f}{ratio:>8}{wall:8.2f}{first:>8}{runs[0].reward:8.3f}"
        print(f"{MODES[mode]:32}{row}")
    if ideal:
        print(f"{'ideal wall time':32}{'':16}{ideal:8.2f}")


def read_options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, default=256, help="requests in flight")
    parser.add_argument("--latency", type=float, default=0, help="seconds to each reply")
    parser.add_argument("--straggler", type=float, default=0, help="seconds to the first one")
    parser.add_argument("--repeat", type=int, default=3, help="rounds; the table shows medians")
    parser.add_argument("--only", nargs="+", choices=MODES, default=list(MODES), metavar="MODE")
    return parser.parse_args()


def main() -> None:
    """Measure and print the table."""
    options = read_options()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Work(
            rollouts=options.rollouts,
            concurrency=options.concurrency,
            latency=options.latency,
            straggler=options.straggler,
            folder=Path(folder),
        )
        measured = measure_all(options.only, work, options.repeat)
    print_setting(work, options.repeat)
    print_table(measured, work.latency * math.ceil(work.rollouts / work.concurrency))


if __name__ == "__main__":
    main()
