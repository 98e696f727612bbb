"""Starting runs: their folders, and the servers of managed endpoints."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ..endpoints.endpoint import Endpoint, ServeCommand
from ..endpoints.managed import ManagedServer, start_server, wait_until_ready, with_port
from ..engine.engine import Engine
from ..errors import ModelError, SetupError
from ..store.run_folder import RunFolder
from . import options
from .runs import Run

if TYPE_CHECKING:
    from .session import EvalSession


class ResultsError(Exception):
    """A run's folder cannot be made."""

    def __init__(self, run: Run, message: str) -> None:
        super().__init__(message)
        self.run = run


def start_runs(session: EvalSession, runs: Iterable[Run], engine: Engine) -> None:
    """Give every run its folder, and every managed endpoint its server, one for the session.

    Servers start together. The rollouts of an endpoint whose server does not come up are
    delivered unmeasured, with the reason.
    """
    base = options.output_dir(session.config)
    folders = {run: _folder(session, base, run) for run in runs}
    reached = _reached(session, folders, engine)
    for run, folder in folders.items():
        run.open(folder, reached.get(id(run.endpoint), run.endpoint))
        run.write_metadata()
    for endpoint in {id(run.endpoint): run.engine_run.endpoint for run in folders}.values():
        if endpoint.serve is None:
            engine.connect(endpoint)
    for run in folders:
        run.started = time.time()


def _folder(session: EvalSession, base: Path, run: Run) -> RunFolder:
    try:
        return RunFolder.create(
            base, name=run.spec.name, model=run.endpoint.model, mask=session.secrets.mask
        )
    except OSError as error:
        raise ResultsError(
            run,
            f"the results of {run.nodeid} cannot be kept, so nothing was asked: {error};"
            " --evals-output-dir names another folder",
        ) from None


def _reached(
    session: EvalSession, folders: dict[Run, RunFolder], engine: Engine
) -> dict[int, Endpoint]:
    """Start the servers; return by identity each managed endpoint with its port filled in.

    Endpoints of one command share a server, whose output goes to the log of the first run.
    """
    servers: dict[ServeCommand, ManagedServer | ModelError] = {}
    managed: dict[int, Run] = {}
    for run in folders:
        if run.endpoint.serve is not None:
            managed.setdefault(id(run.endpoint), run)
    for run in managed.values():
        serve = run.endpoint.serve
        if serve is not None and serve not in servers:
            servers[serve] = _started(session, run.endpoint, serve, folders[run])
    for serve, server in servers.items():
        if isinstance(server, ManagedServer):
            servers[serve] = _ready(server)
    reached = {}
    for key, run in managed.items():
        assert run.endpoint.serve is not None
        server = servers[run.endpoint.serve]
        if isinstance(server, ModelError):
            engine.give_up(run.endpoint, server)
            continue
        reached[key] = session.endpoints.reached(run.endpoint, with_port(run.endpoint, server.port))
    return reached


def _started(
    session: EvalSession, endpoint: Endpoint, serve: ServeCommand, folder: RunFolder
) -> ManagedServer | ModelError:
    session.terminal.tell(f"starting {endpoint.label}: {serve.command}")
    try:
        server = start_server(serve, label=endpoint.label, log=folder.log_path)
    except SetupError as error:
        return ModelError(str(error))
    session.servers.append(server)
    return server


def _ready(server: ManagedServer) -> ManagedServer | ModelError:
    try:
        wait_until_ready(server)
    except SetupError as error:
        return ModelError(str(error))
    return server
