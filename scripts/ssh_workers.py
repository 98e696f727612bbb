"""Run evals in workers that are reached over ssh, and check that nothing of the run is lost.

    apt-get install openssh-server openssh-client
    python scripts/ssh_workers.py

It starts an sshd of its own on 127.0.0.1, with its own host key, its own user key and a high port,
all in a temporary folder, and ends it again. Then it runs the same evals in one process and with

    pytest --dist load --tx 2*ssh=...//python=...//chdir=REMOTE --rsyncdir=PROJECT PROJECT/...

and checks that both wrote the same rows, that the gates were judged with exit code 0, and that the
folder of the workers holds what was copied there, with no results beside it. With --kill, the
connection of one worker is cut in the middle, which must make no difference. It exits with 1 when
something is wrong, and keeps the folder.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 180.0

SSHD_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile {folder}/sshd.pid
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
"""

EVALS = """\
model = "demo-small"
api_base_url = "{url}"
rollout_seed = 7
max_concurrent = 8

[[eval]]
env_id = "arithmetic"
num_examples = 20
rollouts_per_example = 3
gates = ["reward >= 0.7", "pass@2 >= 0.8"]

[[eval]]
env_id = "best-of"
num_examples = 10
rollouts_per_example = 4
gates = ["reward >= 0.2"]
"""
ENVIRONMENTS = ("arithmetic", "best_of")

Rows: TypeAlias = dict[tuple[str, int, int], dict[str, Any]]
INCIDENTAL = ("timing", "trajectory_id", "attempts")


@dataclass(frozen=True, slots=True)
class Sshd:
    """A running sshd, and how ssh reaches it."""

    process: subprocess.Popen[bytes]
    port: int
    folder: Path

    @property
    def arguments(self) -> str:
        """What follows `ssh` on a command line."""
        known = f"-o UserKnownHostsFile={self.folder}/known_hosts -o StrictHostKeyChecking=yes"
        return (
            f"-p {self.port} -i {self.folder}/user_key -o IdentitiesOnly=yes -o BatchMode=yes"
            f" -F none {known} {getpass.getuser()}@127.0.0.1"
        )


@contextlib.contextmanager
def sshd_running(folder: Path) -> Iterator[Sshd]:
    """Run an sshd on 127.0.0.1 for as long as the block runs."""
    if SSHD is None:
        sys.exit("sshd: not found; install openssh-server")
    for name in ("host_key", "user_key"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True
        )
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    port = free_port()
    host_key = " ".join((folder / "host_key.pub").read_text().split()[:2])
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}\n")
    (folder / "sshd_config").write_text(SSHD_CONFIG.format(port=port, folder=folder))
    if os.geteuid() == 0:
        # Where sshd, run by root, keeps the part of itself that reads from the network.
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    with (folder / "sshd.log").open("wb") as log:
        process = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", str(folder / "sshd_config")], stdout=log, stderr=log
        )
    try:
        wait_for_port(port, process, folder / "sshd.log")
        yield Sshd(process, port, folder)
    finally:
        process.terminate()
        process.wait(10)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    sys.exit(f"sshd does not listen:\n{log.read_text()}")


@contextlib.contextmanager
def demo_server() -> Iterator[str]:
    """Run the demo server and yield its base URL."""
    command = [sys.executable, "-m", "pytest_evals.demo", "--port", "0", "--latency", "0.1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server.stdout.readline().strip() if server.stdout else ""
        finally:
            server.terminate()


def write_project(folder: Path, url: str) -> Path:
    """Write a project with two environments and an eval file; return the file's path."""
    project = folder / "project"
    for name in ENVIRONMENTS:
        shutil.copytree(ROOT / "example_envs" / name, project / name)
    (project / "pytest.ini").write_text("[pytest]\n")
    path = project / "remote.toml"
    path.write_text(EVALS.format(url=url))
    return path


def run_pytest(
    arguments: list[str], project: Path, outputs: Path, sshd: Sshd | None = None
) -> tuple[int, str]:
    """Run pytest in the project; return its exit code and what it printed.

    Args:
        sshd: cut one of its connections once rows are on disk.
    """
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]
    command += [f"--evals-output-dir={outputs}", *arguments]
    print("$", shlex.join(["pytest", *command[3:]]), flush=True)
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command, cwd=project, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )
        until = time.monotonic() + LIMIT_SECONDS
        while process.poll() is None and time.monotonic() < until:
            if sshd is not None and len(read_rows(outputs)) >= 10:
                cut_connection(sshd)
                sshd = None
            time.sleep(0.02)
        if process.poll() is None:
            process.kill()
        code = process.wait()
        output.seek(0)
        return code, output.read()


def cut_connection(sshd: Sshd) -> None:
    """Kill one of the processes that sshd has for its connections, and with it the connection."""
    for entry in sorted(Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(OSError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == sshd.process.pid:
                print(f"(cut a connection: killed {entry.name}, a child of this script's sshd)")
                os.kill(int(entry.name), signal.SIGKILL)
                return


def read_rows(outputs: Path) -> Rows:
    """Return the scored rows in a folder of results, whole lines only."""
    rows: Rows = {}
    for path in sorted(outputs.glob("evals/*/*/results.jsonl")):
        name = path.parent.parent.name.partition("--")[0]
        for line in path.read_bytes().split(b"\n")[:-1]:
            row = json.loads(line)
            if row["state"] == "scored":
                kept = {key: value for key, value in row.items() if key not in INCIDENTAL}
                rows[name, row["example_id"], row["rollout"]] = kept
    return rows


def check(code: int, output: str, rows: Rows, expected: Rows, remote: Path) -> list[str]:
    """Return what is wrong."""
    problems = []
    if code:
        problems.append(f"exit code {code}")
    if rows != expected:
        differing = [key for key in {**rows, **expected} if rows.get(key) != expected.get(key)]
        problems.append(f"{len(differing)} rows differ, {differing[:3]} among them")
    if "NOT JUDGED" in output or output.count("passed  reward") != 2:
        problems.append("not every gate was judged")
    results = [path for path in remote.rglob("*.jsonl*") if path.name.startswith("results")]
    problems += [f"results where the workers ran: {path}" for path in results]
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kill", action="store_true", help="cut a connection in the middle")
    parser.add_argument("--verbose", action="store_true", help="print what pytest printed")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ssh-workers-"))
    remote = folder / "remote"
    remote.mkdir()
    with sshd_running(folder) as sshd, demo_server() as url:
        path = write_project(folder, url)
        project = path.parent
        code, output = run_pytest([str(path)], project, folder / "local")
        expected = read_rows(folder / "local")
        if code or len(expected) != 100:
            sys.exit(f"{output}\nthe run in one process failed")
        spec = f"ssh={sshd.arguments}//python={sys.executable}//chdir={remote}"
        code, output = run_pytest(
            ["--dist", "load", "--tx", f"2*{spec}", f"--rsyncdir={project}", str(path)],
            project,
            folder / "distributed",
            sshd if options.kill else None,
        )
    rows = read_rows(folder / "distributed")
    problems = check(code, output, rows, expected, remote)
    if options.verbose or problems:
        print(output)
    for problem in problems:
        print(f"WRONG: {problem}")
    if problems:
        print(f"kept: {folder}")
        return 1
    print(f"{len(rows)} rows over ssh, the same as in one process; gates judged; exit code 0")
    copied = ", ".join(sorted(entry.name for entry in remote.iterdir()))
    print(f"in the workers' folder: {copied}; no results")
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
