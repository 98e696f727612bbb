"""What a rollout costs: the plugin against bare loops and other packages, in one run.

    python -m benchmarks.overhead                  # CPU seconds per 1,000 rollouts
    python -m benchmarks.overhead --latency 1      # and the wall time against the ideal
    python -m benchmarks.overhead --straggler 5    # and the time until the first report

Each mode is a process of its own, and so is the demo server. Peers that are installed beside this
package, or in one of the interpreters that are named, take part; their dependencies do not go
together with ours in every version, so give them environments of their own:

    python -m venv peers && peers/bin/pip install inspect-ai pydantic-evals pytest-asyncio openai
    python -m venv vf && vf/bin/pip install verifiers==0.3.1
    python -m benchmarks.overhead --peers-python peers/bin/python vf/bin/python
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import (
    PYTEST,
    ROOT,
    demo_server,
    results_of,
    run_process,
    setting,
    write_eval,
)
from benchmarks.peers import MODULES, PEERS

PLUGIN = "plugin"
BASE = "openai"
MODES = {
    PLUGIN: "pytest bench.evals.toml",
    BASE: "AsyncOpenAI, gather",
    "openai-aiohttp": "AsyncOpenAI on aiohttp",
    "openai-untyped": "the same, post(cast_to=object)",
    "aiohttp": "aiohttp alone",
    **{peer: peer for peer in PEERS},
}

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
class Measurement:
    """One run of one mode.

    Attributes:
        cpu: CPU seconds per 1,000 rollouts.
        wall: seconds from the first request to the exit of the process; of a peer, from the moment
            it is asked to run, its imports included.
        first_report: seconds from the first request to the first report, or None.
        reward: the mean over all rollouts; equal in all modes, as the work is.
    """

    cpu: float
    wall: float
    first_report: float | None
    reward: float


def measure_loop(command: Sequence[str], work: Work, url: str) -> Measurement:
    """Run one of the bare loops or peers."""
    options = ["--rollouts", str(work.rollouts), "--concurrency", str(work.concurrency)]
    process = run_process([*command, "--url", url, *options], ROOT)
    figures = json.loads(process.output.splitlines()[-1])
    return Measurement(
        cpu=process.cpu / work.rollouts * 1000,
        wall=process.end - figures["first_request"],
        first_report=None,
        reward=figures["reward"],
    )


def measure_plugin(work: Work, url: str) -> Measurement:
    """Run the eval file with pytest and read the rows it wrote."""
    write_eval(
        work.folder,
        url,
        examples=work.rollouts,
        rollouts_per_example=1,
        concurrency=work.concurrency,
    )
    (work.folder / "report_clock.py").write_text(REPORT_CLOCK)
    clock = ["-p", "report_clock"] if work.straggler else []
    process = run_process([*PYTEST, "-q", *clock], work.folder)
    results = results_of(work.folder)
    rows = [json.loads(line) for line in results.read_text("utf-8").splitlines()]
    if len(rows) != work.rollouts:
        sys.exit(f"{results}: {len(rows)} rows, expected {work.rollouts}")
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


def command_of(mode: str, pythons: Sequence[str]) -> list[str] | None:
    """Return what runs a mode that is not the plugin's; None for a peer that is not installed."""
    if mode not in PEERS:
        return [sys.executable, "-m", "benchmarks.bare_loops", mode]
    for python in pythons:
        known = [python, "-c", f"import importlib.util as u; u.find_spec({MODULES[mode]!r}).name"]
        if subprocess.run(known, capture_output=True, check=False).returncode == 0:
            return [python, "-m", "benchmarks.peers", mode]
    return None


def measure_all(
    modes: dict[str, list[str]], work: Work, repeat: int
) -> dict[str, list[Measurement]]:
    """Run every mode `repeat` times, in turns, every other round backwards.

    A server for each measurement: only the first request that a server gets is the straggler.
    """
    measured: dict[str, list[Measurement]] = {mode: [] for mode in modes}
    for turn in range(repeat):
        for mode in reversed(modes) if turn % 2 else modes:
            print(f"round {turn + 1} of {repeat}: {MODES[mode]}", file=sys.stderr)
            with demo_server(work.latency, work.straggler) as url:
                is_plugin = mode == PLUGIN
                measured[mode].append(
                    measure_plugin(work, url) if is_plugin else measure_loop(modes[mode], work, url)
                )
    return measured


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
    parser.add_argument(
        "--peers-python", nargs="+", default=[], metavar="PATH", help="interpreters that have peers"
    )
    return parser.parse_args()


def main() -> None:
    """Measure and print the table."""
    options = read_options()
    modes: dict[str, list[str]] = {}
    for mode in options.only:
        command = command_of(mode, [*options.peers_python, sys.executable])
        if command is None:
            print(f"{mode}: not installed", file=sys.stderr)
        else:
            modes[mode] = command
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        work = Work(
            rollouts=options.rollouts,
            concurrency=options.concurrency,
            latency=options.latency,
            straggler=options.straggler,
            folder=Path(folder),
        )
        measured = measure_all(modes, work, options.repeat)
    print(setting())
    print(
        f"{work.rollouts} rollouts, {work.concurrency} in flight, latency {work.latency:g} s, "
        f"straggler {work.straggler:g} s, medians of {options.repeat}\n"
    )
    print_table(measured, work.latency * math.ceil(work.rollouts / work.concurrency))


if __name__ == "__main__":
    main()
