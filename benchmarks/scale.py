"""How a run grows: 1,000, 10,000 and 100,000 rollouts in one process.

    python -m benchmarks.scale
    python -m benchmarks.scale --examples 100 1000

Every example has 10 rollouts. The demo server runs in a process of its own and replies at once;
`--latency` makes it as slow as a model.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness import (
    PYTEST,
    demo_server,
    results_of,
    run_process,
    setting,
    write_eval,
)

ROLLOUTS_PER_EXAMPLE = 10


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one size.

    Attributes:
        rollouts: how many there were.
        collection: CPU seconds of `--collect-only`, imports included.
        cpu: CPU seconds of the run, imports included.
        wall: seconds from its start to its exit.
        peak: the most memory it had, in bytes.
        results: size of results.jsonl, in bytes.
    """

    rollouts: int
    collection: float
    cpu: float
    wall: float
    peak: int
    results: int


def measure(folder: Path, url: str, examples: int, concurrency: int) -> Measurement:
    """Collect and run an eval of `examples` examples."""
    write_eval(
        folder,
        url,
        examples=examples,
        rollouts_per_example=ROLLOUTS_PER_EXAMPLE,
        concurrency=concurrency,
    )
    collected = run_process([*PYTEST, "-qq", "--collect-only"], folder)
    run = run_process([*PYTEST, "-q"], folder)
    rollouts = examples * ROLLOUTS_PER_EXAMPLE
    results = results_of(folder)
    with results.open("rb") as file:
        rows = sum(1 for _ in file)
    if rows != rollouts:
        sys.exit(f"{results}: {rows} rows, expected {rollouts}")
    return Measurement(rollouts, collected.cpu, run.cpu, run.wall, run.peak, results.stat().st_size)


def print_table(measured: list[Measurement]) -> None:
    """Print a row for each size; what a rollout costs is the difference to the smallest size."""
    columns = (
        "rollouts",
        "collect",
        "CPU s",
        "/1,000",
        "wall s",
        "/1,000",
        "peak MB",
        "KB more",
        "rows MB",
    )
    print("".join(f"{name:>10}" for name in columns))
    first = measured[0]
    for run in measured:
        more = run.rollouts - first.rollouts
        memory = f"{(run.peak - first.peak) / more / 1024:.1f}" if more else "-"
        thousands = run.rollouts / 1000
        print(
            f"{run.rollouts:10,}{run.collection:10.2f}{run.cpu:10.2f}{run.cpu / thousands:10.2f}"
            f"{run.wall:10.1f}{run.wall / thousands:10.2f}{run.peak / 2**20:10.0f}{memory:>10}"
            f"{run.results / 2**20:10.1f}"
        )


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--examples", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--concurrency", type=int, default=256, help="requests in flight")
    parser.add_argument("--latency", type=float, default=0, help="seconds to each reply")
    options = parser.parse_args()
    measured = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for examples in options.examples:
            print(f"{examples} examples", file=sys.stderr)
            with demo_server(options.latency) as url:
                measured.append(measure(Path(folder), url, examples, options.concurrency))
    print(setting())
    print(
        f"{ROLLOUTS_PER_EXAMPLE} rollouts per example, {options.concurrency} in flight,"
        f" latency {options.latency:g} s\n"
    )
    print_table(measured)


if __name__ == "__main__":
    main()
