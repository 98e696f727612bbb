"""Starting runs: their folders, and the servers of managed endpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..endpoints.endpoint import Endpoint, ServeCommand
from ..endpoints.managed import ManagedServer, start_server, wait_until_ready, with_port
from ..endpoints.urls import PORT
from ..engine.engine import Engine
from ..errors import ModelError, SetupError
from ..store.run_folder import RunFolder
from . import options
from .owned_run import OwnedRun
from .resuming import ResumeError, Resumer
from .runs import Run

if TYPE_CHECKING:
    from .owner import EvalOwner
    from .session import EvalSession


class ResultsError(Exception):
    """A run's folder cannot be made, or not be written into."""

    def __init__(self, run: OwnedRun, message: str) -> None:
        super().__init__(message)
        self.run = run


@dataclass(frozen=True, slots=True)
class Started:
    """What a run was given by its owner.

    Attributes:
        folder: where its rows go.
        port: where the server of its managed endpoint listens; None for any other endpoint.
        failure: why that server did not come up; None when it did.
    """

    folder: RunFolder
    port: int | None = None
    failure: str | None = None


def provide(owner: EvalOwner, runs: Iterable[OwnedRun]) -> dict[OwnedRun, Started]:
    """Make every run's folder, and start every managed endpoint's server, one for the session.

    Servers start together; this returns when each is ready or has failed. The output of one that
    several runs share goes to the log of the first.

    Raises:
        ResultsError: a folder cannot be made, or a run not be continued.
    """
    runs = list(runs)
    try:
        folders = Resumer(owner, runs).folders()
    except ResumeError as error:
        raise ResultsError(error.run, str(error)) from None
    folders |= {run: _folder(owner, run) for run in runs if run not in folders}
    for run in runs:
        run.session = owner.session_id
    servers: dict[ServeCommand, ManagedServer | str] = {}
    for run, folder in folders.items():
        serve = _served(owner, run)
        if serve is not None and serve not in servers and run.has_work:
            servers[serve] = _started(owner, run, serve, folder)
    for serve, server in servers.items():
        if isinstance(server, ManagedServer):
            servers[serve] = _ready(server)
    started = {}
    for run, folder in folders.items():
        serve = _served(owner, run)
        reached = None if serve is None else servers.get(serve, "nothing is to be asked of it")
        if isinstance(reached, str):
            started[run] = Started(folder, failure=reached)
        else:
            started[run] = Started(folder, port=None if reached is None else reached.port)
    return started


def own(started: Mapping[OwnedRun, Started]) -> None:
    """Begin the runs that this process owns and others execute."""
    for run, given in started.items():
        url = run.facts.base_url
        run.take_folder(given.folder, url.replace(PORT, str(given.port or PORT)))
        run.write_metadata()


def execute(session: EvalSession, started: Mapping[Run, Started], engine: Engine) -> None:
    """Begin the runs that this process executes.

    The rollouts of an endpoint whose server did not come up are delivered unmeasured, with the
    reason.
    """
    reached = _reached(session, started, engine)
    for run, given in started.items():
        endpoint = reached.get(id(run.endpoint), run.endpoint)
        cache, price = session.cache.of(run.endpoint), session.prices.of(run.endpoint)
        run.open(given.folder, endpoint, cache, price, session.count_of(run))
    for endpoint in {id(run.endpoint): run.engine_run.endpoint for run in started}.values():
        if endpoint.serve is None:
            engine.connect(endpoint)


def _served(owner: EvalOwner, run: OwnedRun) -> ServeCommand | None:
    """Return the server that a run needs; a replay of kept answers needs none."""
    return None if options.cache_mode(owner.config) == "read" else run.facts.serve


def _folder(owner: EvalOwner, run: OwnedRun) -> RunFolder:
    base = owner.outputs.writable_base_of(run.spec)
    try:
        return RunFolder.create(
            base, name=run.spec.name, model=run.facts.model, mask=owner.secrets.mask
        )
    except OSError as error:
        raise ResultsError(
            run,
            f"the results of {run.nodeid} cannot be kept, so nothing was asked: {error};"
            " --evals-output-dir names another folder",
        ) from None


def _reached(
    session: EvalSession, started: Mapping[Run, Started], engine: Engine
) -> dict[int, Endpoint]:
    """Return by identity each managed endpoint with its port filled in; give up the others."""
    reached: dict[int, Endpoint] = {}
    given_up: set[int] = set()
    for run, given in started.items():
        key = id(run.endpoint)
        if session.cache.replays or run.endpoint.serve is None:
            continue
        if key in reached or key in given_up:
            continue
        if given.port is None:
            given_up.add(key)
            engine.give_up(run.endpoint, ModelError(given.failure or "its server did not start"))
        else:
            served = with_port(run.endpoint, given.port)
            reached[key] = session.endpoints.reached(run.endpoint, served)
    return reached


def _started(
    owner: EvalOwner, run: OwnedRun, serve: ServeCommand, folder: RunFolder
) -> ManagedServer | str:
    owner.terminal.tell(f"starting {run.facts.label}: {serve.command}")
    try:
        server = start_server(
            serve, label=run.facts.label, log=folder.log_path, mask=owner.secrets.mask
        )
    except SetupError as error:
        return str(error)
    owner.servers.append(server)
    return server


def _ready(server: ManagedServer) -> ManagedServer | str:
    try:
        wait_until_ready(server)
    except SetupError as error:
        return str(error)
    return server
