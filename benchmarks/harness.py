"""What the benchmarks share: the eval file, the demo server, and processes that are measured."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EVALS = "bench.evals.toml"
PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", EVALS)

# Variables that the measured processes do not inherit: options of pytest, and what makes Python
# compile every module anew or write each character of output by itself.
_SKEWING = ("PYTEST_", "PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED")

_EVAL_FILE = """\
max_concurrent = {concurrency}

[[eval]]
name = "bench"
env_id = "bench-env"
env_args = {{ number = {examples} }}
model = "demo-small"
api_base_url = "{url}"
api_key_var = "BENCH_KEY"
num_examples = {examples}
rollouts_per_example = {rollouts_per_example}
"""


@dataclass(frozen=True, slots=True)
class Process:
    """A process that ended well.

    Attributes:
        cpu: seconds of CPU, user and system, of it and its children, imports included.
        wall: seconds from its start to its exit.
        end: epoch second of its exit.
        peak: the most memory it had, in bytes.
        output: what it printed.
    """

    cpu: float
    wall: float
    end: float
    peak: int
    output: str


def run_process(command: Sequence[str], folder: Path) -> Process:
    """Run a command to its end and return what it used.

    Raises:
        SystemExit: it failed; the message ends with what it printed.
    """
    environment = {name: v for name, v in os.environ.items() if not name.startswith(_SKEWING)}
    environment["BENCH_KEY"] = environment["OPENAI_API_KEY"] = "none"
    with tempfile.TemporaryFile("w+") as output:
        start = time.time()
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
    unit = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    return Process(cpu, end - start, end, usage.ru_maxrss * unit, text)


def write_eval(
    folder: Path, url: str, *, examples: int, rollouts_per_example: int, concurrency: int
) -> None:
    """Write the eval file and its environment into a folder without results of an earlier run."""
    shutil.rmtree(folder / "outputs", ignore_errors=True)
    shutil.copy(ROOT / "benchmarks" / "bench_env.py", folder)
    text = _EVAL_FILE.format(
        url=url,
        examples=examples,
        rollouts_per_example=rollouts_per_example,
        concurrency=concurrency,
    )
    (folder / EVALS).write_text(text)


def results_of(folder: Path) -> Path:
    """Return the results.jsonl of the one run in a folder."""
    (results,) = folder.glob("outputs/evals/*/*/results.jsonl")
    return results


@contextlib.contextmanager
def demo_server(latency: float = 0, straggler: float = 0) -> Iterator[str]:
    """Run the demo server in a process of its own and yield the base URL that it prints.

    Args:
        latency: seconds until it replies.
        straggler: seconds until its first reply.
    """
    command = [
        sys.executable, "-m", "pytest_evals.demo", "--port", "0",
        "--latency", str(latency), "--straggler", str(straggler),
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            url = server.stdout.readline().strip() if server.stdout else ""
            if not url.startswith("http://"):
                sys.exit(f"the demo server did not print its URL but {url!r}")
            yield url
        finally:
            server.terminate()


def setting() -> str:
    """Return on what was measured: versions, plugins of pytest, the machine."""
    version = importlib.metadata.version
    plugins = {
        entry.dist.name
        for entry in importlib.metadata.entry_points(group="pytest11")
        if entry.dist is not None
    }
    return (
        f"Python {platform.python_version()}, pytest {version('pytest')}, "
        f"openai {version('openai')}, aiohttp {version('aiohttp')}\n"
        f"pytest plugins: {', '.join(sorted(plugins))}\n"
        f"{os.cpu_count()} cores: {_processor()}"
    )


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(": ")[2]
    return platform.processor() or platform.machine()
