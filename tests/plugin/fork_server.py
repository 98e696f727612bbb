"""A process that has imported what a worker of xdist imports, and forks one whenever it is asked.

Run as a script, by `python -P` and with the number of a socket. Each message there is a JSON object
with `environ` and `cwd`, and brings four files: standard input, output and error of the worker, and
a pipe that is told its process id and, once it has ended, its exit code as `Popen.returncode` has
it. The process ends when the other side of the socket is closed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
import tempfile
import threading

import execnet.gateway_io
import pytest

# Between them they import all that a session with evals does.
_MODULES = (
    "hypothesis.strategies",
    "xdist.remote",
    "pytest_evals.clients.openai_chat_completions",
    "pytest_evals.config.loading",
    "pytest_evals.environments.single_turn",
    "pytest_evals.environments.tool_env",
    "pytest_evals.plugin.collection",
    "pytest_evals.plugin.functions.running",
    "pytest_evals.plugin.terminal",
    "pytest_evals.plugin.xdist.worker_functions",
    "pytest_evals.plugin.xdist.worker_session",
    "pytest_evals.reports.first_examples",
)


class _Imports:
    """Imports while pytest rewrites assertions, as it does in the session of a worker."""

    done = False

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self) -> int:
        """Import once all plugins are, and have no session: plugins start threads in theirs."""
        for name in _MODULES:
            importlib.import_module(name)
        self.done = True
        return 0


def _import_all() -> None:
    imports = _Imports()
    with tempfile.TemporaryDirectory() as folder:
        without = [part for name in ("cacheprovider", "randomly") for part in ("-p", f"no:{name}")]
        pytest.main([*without, "--rootdir", folder, folder], plugins=[imports])
    assert imports.done, "pytest did not get as far as the imports"
    assert threading.active_count() == 1, "a process with threads is not safe to fork"
    sys.path.insert(0, "")  # as `python -c` has it; the folder of this script must not be there
    gc.collect()
    gc.freeze()  # or each worker copies every page that the collector looks at


def _become_worker(message: bytes, files: list[int]) -> None:
    """Turn this process, just forked, into what `python -c` with execnet's line would be."""
    told = json.loads(message)
    os.environ.clear()
    os.environ.update(told["environ"])
    os.chdir(told["cwd"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    importlib.invalidate_caches()
    sys.argv = ["-c"]
    exec(execnet.gateway_io.popen_bootstrapline, {"__name__": "__main__"})


class _Workers:
    """The pipes to tell of workers that have not ended."""

    def __init__(self) -> None:
        self._pipes: dict[int, int] = {}

    def fork(self, pipe: int) -> bool:
        """Fork one; return whether this process is it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})  # until it can be found
        pid = os.fork()
        if pid:
            self._pipes[pid] = pipe
            os.write(pipe, f"{pid}\n".encode())
        else:
            for each in (pipe, *self._pipes.values()):
                os.close(each)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return pid == 0

    def reap(self, number: int, frame: object) -> None:
        """Tell of those that have ended; handles the signal about them."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:  # none is left
                return
            if not pid:
                return
            pipe = self._pipes.pop(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(pipe, f"{os.waitstatus_to_exitcode(status)}\n".encode())
            os.close(pipe)


def main() -> None:
    _import_all()
    workers = _Workers()
    signal.signal(signal.SIGCHLD, workers.reap)
    with socket.socket(fileno=int(sys.argv[1])) as asked:
        while True:
            message, files, _, _ = socket.recv_fds(asked, 1 << 20, 4)
            if not message:
                return
            if workers.fork(files.pop()):
                break
            for file in files:
                os.close(file)
    _become_worker(message, files)


if __name__ == "__main__":
    main()
