"""The guard: the process between pytest and a server it started, which outlives neither.

Run as `python -I -S guard.py command...`, it starts the command in a session of its own and ends
all of its processes when standard input reaches its end. pytest holds the other end of that pipe,
and the kernel closes it however pytest dies. Where a process forked from pytest still holds it
then, the change of the guard's own parent tells the same a little later.

It imports the standard library only and nothing of the package, so that it starts at once and runs
without the package on its path.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

# Seconds between asking the processes to end and ending them.
GRACE = 5.0
# Seconds between two looks at who the parent is.
LOOK_EVERY = 1.0
# What a shell returns when a command cannot be run, and adds to the number of a fatal signal.
CANNOT_RUN = 127
SIGNALLED = 128

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PR_SET_CHILD_SUBREAPER = 36


def main(command: list[str]) -> int:
    """Run `command` until it ends, standard input ends or a signal comes; return its exit code."""
    parent = os.getppid()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    # A signal that comes at any time, also before the first wait, leaves its number in the pipe.
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    for number in (*_STOP_SIGNALS, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    _adopt_orphans()
    try:
        server = subprocess.Popen(  # noqa: S603 -- its whole purpose
            command, stdin=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        print(f"cannot start {command[0]!r}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return CANNOT_RUN
    while server.poll() is None and not _must_stop(parent, woken):
        pass
    code = server.poll()
    _end_group(server)
    if code is None:
        return 0
    return code if code >= 0 else SIGNALLED - code


def _adopt_orphans() -> None:
    """Become the parent of processes whose own has ended (Linux), so that they can be reaped.

    Otherwise they would be left to process 1, and in many containers that reaps nothing: each
    stop would wait out `GRACE` for processes that have long ended.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _must_stop(parent: int, woken: int) -> bool:
    """Wait for something to happen; say whether it means the end."""
    standard_input = sys.stdin.fileno()
    readable, _, _ = select.select([standard_input, woken], [], [], LOOK_EVERY)
    if standard_input in readable and not os.read(standard_input, 4096):
        return True
    if os.getppid() != parent:
        return True
    return woken in readable and any(number in _STOP_SIGNALS for number in os.read(woken, 4096))


def _end_group(server: subprocess.Popen[bytes]) -> None:
    """End every process of the server's group: ask, wait up to `GRACE`, then kill."""
    deadline = time.monotonic() + GRACE
    running = _signal_group(server, signal.SIGTERM)
    while running and time.monotonic() < deadline:
        time.sleep(0.02)
        running = _signal_group(server, 0)
    if running:
        _signal_group(server, signal.SIGKILL)
        # Reaped for a clean process table; one that the kernel holds on to is not waited for.
        deadline = time.monotonic() + 1
        while server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)


def _signal_group(server: subprocess.Popen[bytes], number: int) -> bool:
    """Send a signal to the group, 0 to ask only; say whether any process is left in it."""
    # What has ended counts as left until it is reaped: the server, then what it left behind.
    if server.poll() is not None:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-server.pid, os.WNOHANG)[0]:
                pass
    try:
        os.killpg(server.pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
