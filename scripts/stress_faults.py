"""Run evals against a provider that fails, and one that takes few requests at once.

    python scripts/stress_faults.py              # the tables of docs/reliability.md
    python scripts/stress_faults.py --quick      # a short form

Every run is a pytest session in a process of its own, on the deterministic demo model. In the first
table requests fail at random; what is left is compared with an undisturbed run:

    every rollout has one row, and no more
    a row that is scored says what it said there: nothing is scored from a failed call
    no more requests are in flight than rollouts may be
    the server had as many requests as the rows say, where none of them is unmeasured

In the second the server answers a number of requests at once and all others with 429. The limit on
requests in flight is that of a server on this machine (`found`), that of any other server (`low`),
or there is none (`without`).

It exits with 1 when a check failed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pytest_evals.demo.server import DemoServer

LIMIT_SECONDS = 300.0
LATENCY = 0.02
RETRY_AFTER = 0.05
KINDS: dict[str, tuple[str, ...]] = {
    "429, Retry-After": ("429",),
    "500": ("500",),
    "connection reset": ("reset",),
    "no answer": ("hang",),
    "truncated JSON": ("truncated",),
    "all of them": ("429", "500", "reset", "hang", "truncated"),
}
ENVIRONMENT = """\
import pytest_evals as vf


def correct(completion, answer):
    return float(bool(completion) and answer in completion[-1]["content"])


def load_environment(examples):
    rows = [{"question": f"What is {n} + {n}?", "answer": str(n + n)} for n in range(examples)]
    return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[correct]))
"""
# Requests that get no answer are given up sooner than anybody would in earnest, and tried again.
CONFTEST = """\
import os

from pytest_evals.clients.adaptive_limit import START, AdaptiveLimit
from pytest_evals.clients.openai_chat_completions import OpenAIChatCompletionsClient
from pytest_evals.clients.request_slots import own_slots
from pytest_evals.clients.retries import Retries, RetryPolicy


class Without(AdaptiveLimit):
    def refused(self, *args, **kwargs):
        pass


LIMITS = {"low": AdaptiveLimit(START), "found": AdaptiveLimit(None), "without": Without(None)}


def pytest_evals_make_client(endpoint, key):
    slots = own_slots(LIMITS[os.environ["LIMIT"]])
    retries = Retries(RetryPolicy(first_wait=float(os.environ["FIRST_WAIT"])), slots)
    return OpenAIChatCompletionsClient(endpoint, key, timeout=1.0, retries=retries)
"""
EVAL = """\
model = "demo-small"
api_base_url = "{url}"
rollout_seed = 7
max_concurrent = {width}

[[eval]]
env_id = "sums"
env_args = {{ examples = {examples} }}
num_examples = -1
rollouts_per_example = 2
gates = ["error_rate <= 1"]
"""
# What differs between two runs of the same rollout.
VOLATILE = ("timing", "trajectory_id", "attempts")

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Session:
    """What a session left.

    Attributes:
        rows: as they are on disk.
        seconds: it took.
        requests, refused, peak: as the server counted them.
    """

    rows: list[Row]
    seconds: float
    requests: int
    refused: int
    peak: int

    @property
    def scored(self) -> list[Row]:
        """The rows with a reward."""
        return [row for row in self.rows if row["state"] == "scored"]


def run(server: DemoServer, *, examples: int, width: int, limit: str, first_wait: float) -> Session:
    """Run a session against a server.

    Raises:
        RuntimeError: it left no results.
    """
    with tempfile.TemporaryDirectory(prefix="stress-faults-") as folder:
        root = Path(folder)
        (root / "environments").mkdir()
        (root / "environments" / "sums.py").write_text(ENVIRONMENT)
        (root / "conftest.py").write_text(CONFTEST)
        (root / "bench.toml").write_text(
            EVAL.format(url=server.url, width=width, examples=examples)
        )
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "bench.toml", "-q", "-p", "no:cacheprovider"],
            cwd=root,
            env={**os.environ, "LIMIT": limit, "FIRST_WAIT": str(first_wait)},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )
        seconds = time.monotonic() - began
        paths = list(root.glob("outputs/evals/*/*/results.jsonl"))
        if len(paths) != 1:
            raise RuntimeError(f"the session left {len(paths)} runs:\n{done.stdout}{done.stderr}")
        rows = [json.loads(line) for line in paths[0].read_text().splitlines()]
    return Session(rows, seconds, server.requests, server.refused, server.peak)


def problems(found: Session, expected: Session, width: int) -> list[str]:
    """Return what is wrong with a session."""
    known = {key_of(row): row for row in expected.rows}
    counts = Counter(key_of(row) for row in found.rows)
    said = [f"{key} has {count} rows" for key, count in counts.items() if count != 1]
    said += [f"{key} is lost" for key in known if key not in counts]
    for row in found.scored:
        other = known[key_of(row)]
        if {**row, **dict.fromkeys(VOLATILE)} != {**other, **dict.fromkeys(VOLATILE)}:
            said.append(f"{key_of(row)} was scored from something else than the model's answer")
    if found.peak > width:
        said.append(f"{found.peak} requests were in flight, of {width}")
    told = sum(row["attempts"] for row in found.scored)
    if len(found.scored) == len(known) and told != found.requests:
        said.append(f"{found.requests} requests came, the rows say {told}")
    return said


def key_of(row: Row) -> tuple[int, int]:
    """Return what identifies a rollout."""
    return (row["example_id"], row["rollout"])


def faults(examples: int, rates: tuple[float, ...]) -> int:
    """Print the first table; return how many runs failed a check."""
    width, failed = 32, 0
    with DemoServer(latency=LATENCY) as server:
        expected = run(server, examples=examples, width=width, limit="found", first_wait=0.1)
    print(
        f"| fault, {2 * examples} rollouts | share | rows | scored | requests | seconds | wrong |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, kinds in KINDS.items():
        for rate in rates:
            with DemoServer(
                latency=LATENCY,
                fault_rate=rate,
                fault_kinds=kinds,
                fault_seed=3,
                retry_after=RETRY_AFTER if "429" in kinds else None,
            ) as server:
                found = run(server, examples=examples, width=width, limit="found", first_wait=0.1)
            wrong = problems(found, expected, width)
            failed += bool(wrong)
            print(
                f"| {name} | {rate:.0%} | {len(found.rows)} | {len(found.scored)}"
                f" | {found.requests} | {found.seconds:.1f} | {len(wrong)} |",
                flush=True,
            )
            for text in wrong[:5]:
                print(text, file=sys.stderr)
    return failed


def capacity(examples: int, at_once: int, width: int) -> None:
    """Print the second table."""
    print(
        f"\n| limit, {2 * examples} rollouts, {width} in flight, {at_once} taken at once |", end=""
    )
    print(" Retry-After | requests | refused | scored | seconds |\n|---|---|---|---|---|---|")
    for pause in (None, 1.0):
        for limit in ("low", "found", "without"):
            with DemoServer(latency=0.1, capacity=at_once, retry_after=pause) as server:
                found = run(server, examples=examples, width=width, limit=limit, first_wait=0.5)
            print(
                f"| {limit} | {'no' if pause is None else f'{pause:g} s'} | {found.requests}"
                f" | {found.refused} | {len(found.scored)} | {found.seconds:.1f} |",
                flush=True,
            )


def main() -> int:
    """Run both; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs")
    options = parser.parse_args()
    if options.quick:
        failed = faults(30, (0.2,))
        capacity(60, 8, 64)
    else:
        failed = faults(250, (0.05, 0.1, 0.2))
        capacity(1000, 32, 256)
    print(f"\n{failed} runs failed a check")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
