"""Kill pytest at random moments of a run, continue the run each time, and check what is left.

    python scripts/stress_resume.py --kills 20 --rollouts 500 --seed 1
    python scripts/stress_resume.py --kills 20 --rollouts 500 --seed 1 --workers 2

Every session is a pytest process of its own with --evals-resume, on the deterministic demo model.
It is killed (SIGKILL) once a random number of rollouts is on disk, or a random time after it began;
with workers, either pytest alone, whose workers then go on for a moment, or all of its processes.
One eval scores rollouts by themselves, the other in groups. The last session is left to end.
Checked is, against the rows of an undisturbed run:

    there is exactly one row for each (example, rollout), scored, and it says what it said there
    no session began a run anew: the rows are in one folder for each eval
    the model was asked once for each rollout, and again for no more than was in flight at the kills
    the last session judged the gates on all of it and is green

It exits with 1 when anything else is the case; what is on disk then stays there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from pytest_evals.demo.server import DemoServer

# A session that takes this long hangs.
LIMIT_SECONDS = 180.0
MAX_CONCURRENT = 8
LATENCY = 0.02
GROUP = 4

ENVIRONMENT = """\
import asyncio

import pytest_evals as vf


def load_environment(examples, grouped=False):
    async def correct(completion, answer):
        await asyncio.sleep(0.01)  # a judge, so that kills meet rollouts that wait for a score
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
model = "demo-small"
api_base_url = "{url}"

[[eval]]
name = "alone"
env_id = "stress"
env_args = {{ examples = {alone} }}
rollouts_per_example = 1
gates = ["reward >= 0.3"]

[[eval]]
name = "together"
env_id = "stress"
env_args = {{ examples = {groups}, grouped = true }}
rollouts_per_example = {group}
gates = ["reward >= 0.3", "above_average >= 0.2"]
"""

# (eval, example id, rollout) -> its row.
Key: TypeAlias = tuple[str, int, int]
# What differs between two runs of the same rollout.
INCIDENTAL = ("timing", "trajectory_id", "attempts")


@dataclass(slots=True)
class Story:
    """What came of a run that was killed many times.

    Attributes:
        killed: how often it was.
        lost: answers of the model that no kill left on disk; counted where no worker outlived it.
        problems: what is not as it should be.
    """

    killed: int = 0
    lost: int = 0
    problems: list[str] = field(default_factory=list)


def write_project(folder: Path, url: str, rollouts: int) -> None:
    groups = rollouts // 2 // GROUP
    (folder / "environments").mkdir(parents=True)
    (folder / "environments" / "stress.py").write_text(ENVIRONMENT)
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "stress.toml").write_text(
        EVALS.format(
            limit=MAX_CONCURRENT,
            url=url,
            alone=rollouts - groups * GROUP,
            groups=groups,
            group=GROUP,
        )
    )


@contextlib.contextmanager
def session(folder: Path, workers: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start pytest in a process group of its own; nothing of it is left afterwards."""
    command = [sys.executable, "-m", "pytest", "stress.toml", "--evals-resume"]
    command += [
        "-p",
        "no:cacheprovider",
        "-p",
        "no:asyncio",
        *(["-n", str(workers)] * bool(workers)),
    ]
    with (folder / "output.txt").open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def kill_once(folder: Path, workers: int, rng: random.Random, goal: int, story: Story) -> bool:
    """Run a session and kill it at a random moment; False where it ended before that."""
    until = time.monotonic() + LIMIT_SECONDS
    # A fifth of the kills are early: while it collects, finds the run, or merges its files.
    at = time.monotonic() + rng.uniform(0.3, 2.0 + workers) if rng.random() < 0.2 else until
    with session(folder, workers) as process:
        while process.poll() is None:
            now = time.monotonic()
            if now >= at or len(on_disk(folder)) >= goal:
                break
            time.sleep(0.005)
        else:
            return False
        if time.monotonic() >= until:
            story.problems.append(f"a session did not end within {LIMIT_SECONDS:g} s")
            return False
        kills_all = not workers or rng.random() < 0.5
        (os.killpg if kills_all else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
        story.killed += 1
    return True


def on_disk(folder: Path) -> set[Key]:
    """Return the rollouts of which the model's answer is on disk."""
    found: set[Key] = set()
    for path in folder.glob("outputs/evals/*/*/results*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # merged into results.jsonl meanwhile
            for line in path.read_bytes().split(b"\n")[:-1]:
                with contextlib.suppress(ValueError):
                    row = json.loads(line[:60].split(b', "prompt"')[0] + b"}")
                    found.add((path.parent.parent.name, row["example_id"], row["rollout"]))
    return found


def rows_of(folder: Path, problems: list[str]) -> dict[Key, dict[str, Any]]:
    """Return the rows of all runs, noting those that are torn, doubled or in a second folder."""
    rows: dict[Key, dict[str, Any]] = {}
    folders: dict[str, Path] = {}
    for path in sorted(folder.glob("outputs/evals/*/*/results*.jsonl")):
        name = path.parent.parent.name.partition("--")[0]
        if folders.setdefault(name, path) != path:
            problems.append(f"{name} has rows in {folders[name]} and in {path}")
        for line in path.read_bytes().split(b"\n")[:-1]:
            try:
                row = json.loads(line)
            except ValueError:
                problems.append(f"{path}: torn: {line[:80]!r}")
                continue
            key = (name, row["example_id"], row["rollout"])
            if key in rows:
                problems.append(f"{key} is there twice")
            rows[key] = {name: value for name, value in row.items() if name not in INCIDENTAL}
    return rows


def finish(folder: Path, workers: int, story: Story) -> None:
    """Let a session run to its end."""
    with session(folder, workers) as process:
        try:
            code = process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            story.problems.append(f"the last session did not end within {LIMIT_SECONDS:g} s")
            return
    if code:
        story.problems.append(f"exit code {code} of the last session")


def reference(folder: Path, server: DemoServer, rollouts: int) -> dict[Key, dict[str, Any]]:
    """Return the rows of an undisturbed run."""
    story = Story()
    write_project(folder, server.url, rollouts)
    finish(folder, 0, story)
    rows = rows_of(folder, story.problems)
    if story.problems or len(rows) != rollouts:
        sys.exit(f"{story.problems}: the undisturbed run failed; {folder}")
    return rows


def disturbed(folder: Path, server: DemoServer, options: argparse.Namespace) -> Story:
    """Kill a run again and again, then let it end."""
    write_project(folder, server.url, options.rollouts)
    rng, story = random.Random(options.seed), Story()
    goals = sorted(rng.randrange(1, options.rollouts) for _ in range(options.kills))
    for goal in goals:
        if not kill_once(folder, options.workers, rng, goal, story):
            break
        if options.verbose:
            print(f"killed with {len(on_disk(folder))} answers on disk", flush=True)
    finish(folder, options.workers, story)
    return story


def check(
    folder: Path, story: Story, expected: dict[Key, dict[str, Any]], requests: int, kills: int
) -> None:
    problems = story.problems
    rows = rows_of(folder, problems)
    if missing := expected.keys() - rows.keys():
        problems.append(f"{len(missing)} rows are missing, {min(missing)} among them")
    for key, row in rows.items():
        if row != expected.get(key):
            differing = [name for name in row if row[name] != expected.get(key, {}).get(name)]
            problems.append(f"{key} differs in {', '.join(differing)}")
    for path in folder.glob("outputs/evals/*/*/metadata.json"):
        metadata = json.loads(path.read_bytes())
        if (metadata["verdict"], metadata["complete"]) != ("passed", True) and (
            path.with_name("results.jsonl").exists()
        ):
            problems.append(f"{path}: {metadata['verdict']}")
    most = len(expected) + story.killed * MAX_CONCURRENT
    if not len(expected) <= requests <= most:
        problems.append(f"{requests} requests, {most} at most were due")
    if story.killed < kills:
        problems.append(f"the run was over after {story.killed} of {kills} kills")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="(default: %(default)s)")
    parser.add_argument("--rollouts", type=int, default=500, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--workers", type=int, default=0, help="pytest -n (default: one process)")
    parser.add_argument("--verbose", action="store_true", help="a line for each kill")
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="stress-resume-"))
    with DemoServer() as server:
        expected = reference(work / "reference", server, options.rollouts)
    with DemoServer(latency=LATENCY) as server:
        story = disturbed(work / "run", server, options)
        requests = server.requests
    check(work / "run", story, expected, requests, options.kills)
    print(
        f"{story.killed} kills, {len(expected)} rollouts, {requests} requests:"
        f" {requests - len(expected)} asked again, {story.killed * MAX_CONCURRENT} at most were in"
        f" flight; {len(story.problems)} problems"
    )
    print("".join(f"    {problem}\n" for problem in story.problems[:20]), end="")
    if story.problems:
        print(f"see {work}")
        return 1
    shutil.rmtree(work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
