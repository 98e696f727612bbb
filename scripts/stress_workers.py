"""Kill workers of xdist at random while evals run, many times over, and check what is left.

    python scripts/stress_workers.py --runs 200 --seed 1
    python scripts/stress_workers.py --seed 1 --only 17        # run 17 once more, and keep it

Every run is a pytest session with -n 2 or -n 4, or in one process, on the deterministic demo model.
Under -n, up to three workers are killed (SIGKILL), each once a random number of rows is on disk;
without, pytest itself is, in half of the runs. Only processes whose parent is the pytest that was
started here are ever killed. Checked is, against the rows of an undisturbed run:

    no row is lost, doubled or torn, and each says what it said there, times apart
    no more was asked of the model than what had to be asked again because of the kills
    the exit code is 0 (all gates pass on whole, equal rows), and the gates were judged
    no process that the session started is left

It exits with 1 when a run failed; what a failed run left stays on disk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pytest_evals.demo.server import DemoServer

# A session that takes this long hangs.
LIMIT_SECONDS = 120.0
MAX_CONCURRENT = 8
LATENCY = 0.06

ENVIRONMENT = """\
import time

import pytest_evals as vf


def load_environment(examples, grouped=False):
    def correct(completion, answer):
        until = time.perf_counter() + 0.002  # on the CPU, where a kill may find it
        while time.perf_counter() < until:
            pass
        return float(bool(completion) and answer in completion[-1]["content"])

    def above_average(completions):
        lengths = [len(completion[-1]["content"]) for completion in completions]
        return [float(length >= sum(lengths) / len(lengths)) for length in lengths]

    sums = [(f"What is {n} + {n * n}?", str(n + n * n)) for n in range(examples)]
    return vf.SingleTurnEnv(
        dataset=[{"question": question, "answer": answer} for question, answer in sums],
        rubric=vf.Rubric(funcs=[correct, above_average] if grouped else [correct]),
    )
"""

EVALS = """\
max_concurrent = {limit}
rollout_seed = 7
num_examples = -1
{model}

[[eval]]
name = "alone"
env_id = "stress"
env_args = {{ examples = 30 }}
rollouts_per_example = 2
gates = ["reward >= 0.3"]

[[eval]]
name = "together"
env_id = "stress"
env_args = {{ examples = 10, grouped = true }}
rollouts_per_example = 3
max_concurrent = 5
gates = ["reward >= 0.3", "above_average >= 0.2"]
"""
GATES = 3 + 2  # with an error_rate gate for each
ROLLOUTS = 30 * 2 + 10 * 3

REGISTRY = """\
[[endpoint]]
endpoint_id = "managed"
model = "demo-small"
serve = "{{python}} -m pytest_evals.demo --port {{port}} --latency {latency}"
"""

# (eval, example id, rollout) -> its row.
Rows: TypeAlias = dict[tuple[str, int, int], dict[str, Any]]
# What differs between two runs of the same rollout.
INCIDENTAL = ("timing", "trajectory_id", "attempts")


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does.

    Attributes:
        number: of the run.
        workers: 0 for one process.
        is_managed: the plugin starts the server; else the script does, and counts the requests.
        kills: after how many rows a process is killed, rising.
    """

    number: int
    workers: int
    is_managed: bool
    kills: tuple[int, ...]

    @property
    def text(self) -> str:
        """The run in words."""
        where = f"-n {self.workers}" if self.workers else "in-process"
        server = "managed server" if self.is_managed else "server outside"
        kills = ", ".join(map(str, self.kills)) or "none"
        return f"{where}, {server}, kills after rows: {kills}"


@dataclass(slots=True)
class Outcome:
    """What came of one run."""

    exit_code: int = 0
    output: str = ""
    killed: int = 0
    requests: int | None = None
    seconds: float = 0.0
    problems: list[str] = field(default_factory=list)


def plan_of(seed: int, number: int) -> Plan:
    """Return what run `number` does; the same for the same seed."""
    rng = random.Random(f"{seed}/{number}")
    workers = rng.choice((2, 4, 2, 4, 2, 4, 0))
    count = rng.choice((1, 1, 2, 3)) if workers else rng.choice((0, 1))
    kills = sorted(rng.randrange(ROLLOUTS) for _ in range(count))
    return Plan(number, workers, rng.random() < 0.5, tuple(kills))


def write_project(folder: Path, *, url: str | None) -> None:
    (folder / "environments").mkdir(parents=True)
    (folder / "environments" / "stress.py").write_text(ENVIRONMENT)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "endpoints.toml").write_text(REGISTRY.format(latency=LATENCY))
    model = f'model = "demo-small"\napi_base_url = "{url}"'
    if url is None:
        model = 'endpoints_path = "endpoints.toml"\nendpoint_id = "managed"'
    (folder / "stress.toml").write_text(EVALS.format(limit=MAX_CONCURRENT, model=model))


def run(plan: Plan, folder: Path) -> Outcome:
    """Run one session, kill what is to be killed, and return what came of it."""
    with contextlib.ExitStack() as stack:
        server = None if plan.is_managed else stack.enter_context(DemoServer(latency=LATENCY))
        write_project(folder, url=None if server is None else server.url)
        begun = time.monotonic()
        outcome = run_pytest(plan, folder)
        outcome.seconds = time.monotonic() - begun
        outcome.requests = None if server is None else server.requests
    (folder / "output.txt").write_text(outcome.output)
    return outcome


def run_pytest(plan: Plan, folder: Path) -> Outcome:
    command = [sys.executable, "-m", "pytest", "stress.toml", "-p", "no:cacheprovider"]
    command += ["-p", "no:asyncio"]  # which has something to say about every project without tests
    if plan.workers:
        command += ["-n", str(plan.workers)]
    outcome = Outcome()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        rng = random.Random(plan.number)
        until = time.monotonic() + LIMIT_SECONDS
        kills = list(plan.kills)
        while process.poll() is None and time.monotonic() < until:
            if kills and rows_on_disk(folder) >= kills[0]:
                kills.pop(0)
                outcome.killed += kill_one(process.pid, bool(plan.workers), rng)
            time.sleep(0.005)
        if process.poll() is None:
            outcome.problems.append(f"it did not end within {LIMIT_SECONDS:g} s")
            process.kill()
        outcome.exit_code = process.wait()
        output.seek(0)
        outcome.output = output.read()
    return outcome


def rows_on_disk(folder: Path) -> int:
    """Return how many lines the processes of the session have written."""
    rows = 0
    for path in folder.glob("outputs/evals/*/*/results*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # merged into results.jsonl meanwhile
            rows += path.read_bytes().count(b'"state": "scored"')
    return rows


def kill_one(pytest_pid: int, is_distributed: bool, rng: random.Random) -> int:
    """Kill a worker of this pytest, or pytest itself where it has none; return how many were."""
    found = workers_of(pytest_pid) if is_distributed else [pytest_pid]
    if not found:
        return 0
    try:
        os.kill(rng.choice(found), signal.SIGKILL)
    except ProcessLookupError:  # it ended by itself
        return 0
    return 1


def workers_of(pytest_pid: int) -> list[int]:
    """Return the xdist workers among the children of a process that are beyond their start.

    xdist itself cannot go on when a process dies in the handshake that makes it a worker.
    """
    return [
        pid
        for pid, parent, command in processes()
        if parent == pytest_pid and b"sys.stdin.readline" in command and collects_evals(pid)
    ]


def collects_evals(pid: int) -> bool:
    """Whether a process has loaded what only evals need."""
    with contextlib.suppress(OSError):
        return "aiohttp" in Path(f"/proc/{pid}/maps").read_text()
    return False


def processes() -> Iterator[tuple[int, int, bytes]]:
    """Yield (pid, parent's pid, command line) of the processes of this machine."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        with contextlib.suppress(OSError, ValueError):
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            if status[0] != "Z":
                yield int(entry.name), int(status[1]), (entry / "cmdline").read_bytes()


def left_behind(folder: Path) -> list[str]:
    """Return the command lines of processes that run in the folder a moment after the session."""
    until = time.monotonic() + 10
    while True:
        left = []
        for pid, _, command in processes():
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/cwd").readlink().is_relative_to(folder):
                    left.append(f"{pid} {command.replace(bytes(1), b' ').decode(errors='replace')}")
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.05)


def read_rows(folder: Path, outcome: Outcome) -> Rows:
    """Return the rows of a session's runs, noting those that are torn or doubled."""
    rows: Rows = {}
    for path in sorted(folder.glob("outputs/evals/*/*/results.jsonl")):
        name = path.parent.parent.name.partition("--")[0]
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                row = json.loads(line)
            except ValueError:
                outcome.problems.append(f"{path}: torn: {line[:80]!r}")
                continue
            key = (name, row["example_id"], row["rollout"])
            # In the journal of one that was killed, `generated` comes before `scored`.
            if key in rows and (outcome.exit_code == 0 or rows[key]["state"] == "scored"):
                outcome.problems.append(f"{path}: {key} is there twice")
            rows[key] = {name: value for name, value in row.items() if name not in INCIDENTAL}
    return rows


def check(plan: Plan, folder: Path, outcome: Outcome, expected: Rows) -> None:
    """Note everything that is not as it should be."""
    problems = outcome.problems
    rows = read_rows(folder, outcome)
    was_cut_short = not plan.workers and outcome.killed > 0
    scored = {key: row for key, row in rows.items() if row["state"] == "scored"}
    for key, row in scored.items():
        if row != expected.get(key):
            differing = [name for name in row if row[name] != expected.get(key, {}).get(name)]
            problems.append(f"{key} differs in {', '.join(differing)}")
    if was_cut_short:
        if outcome.exit_code != -signal.SIGKILL:
            problems.append(f"exit code {outcome.exit_code} of a pytest that was killed")
    else:
        if missing := expected.keys() - scored.keys():
            problems.append(f"{len(missing)} rows are missing, {min(missing)} among them")
        if outcome.exit_code:
            problems.append(f"exit code {outcome.exit_code}")
        check_output(plan, outcome)
    if outcome.requests is not None:
        # A killed process takes with it what it had in flight, and there are no other faults.
        most = ROLLOUTS + outcome.killed * MAX_CONCURRENT
        if outcome.requests > most:
            problems.append(f"{outcome.requests} requests, {most} at most were due")
    problems.extend(f"left behind: {process}" for process in left_behind(folder))


def check_output(plan: Plan, outcome: Outcome) -> None:
    """Check what the user is told: every item passed, once."""
    found = re.search(r"^=+ (?:(\d+) failed, )?(\d+) passed", outcome.output, re.MULTILINE)
    passed = int(found[2]) if found else 0
    if passed != ROLLOUTS + GATES:
        outcome.problems.append(f"{passed} items passed, {ROLLOUTS + GATES} should have")


def reference(folder: Path) -> Rows:
    """Return the rows of an undisturbed run in one process."""
    plan = Plan(-1, workers=0, is_managed=True, kills=())
    outcome = run(plan, folder)
    rows = read_rows(folder, outcome)
    if outcome.exit_code or outcome.problems or len(rows) != ROLLOUTS:
        sys.exit(f"{outcome.output[-4000:]}\n{outcome.problems}\nthe undisturbed run failed")
    return rows


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--only", type=int, metavar="RUN", help="one run, whose folder is kept")
    parser.add_argument("--verbose", action="store_true", help="a line for each run")
    return parser.parse_args()


def main() -> int:
    options = read_options()
    work = Path(tempfile.mkdtemp(prefix="stress-"))
    expected = reference(work / "reference")
    numbers = range(options.runs) if options.only is None else [options.only]
    failed: list[int] = []
    modes: Counter[int] = Counter()
    killed = 0
    for number in numbers:
        plan = plan_of(options.seed, number)
        folder = work / f"run{number}"
        outcome = run(plan, folder)
        check(plan, folder, outcome, expected)
        modes[plan.workers] += 1
        killed += outcome.killed
        if outcome.problems:
            failed.append(number)
            print(f"run {number} ({plan.text}) failed; {folder}")
            print("".join(f"    {problem}\n" for problem in outcome.problems[:10]), end="")
        elif options.verbose:
            print(f"run {number} ({plan.text}): {outcome.killed} killed, {outcome.seconds:.1f} s")
        if not outcome.problems and options.only is None:
            shutil.rmtree(folder)
        sys.stdout.flush()
    print(
        f"{len(numbers)} runs (-n 2: {modes[2]}, -n 4: {modes[4]}, in-process: {modes[0]}),"
        f" {killed} processes killed, {len(numbers) * ROLLOUTS} rollouts: {len(failed)} runs failed"
    )
    if not failed and options.only is None:
        shutil.rmtree(work)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
