"""Lending: the controller lends slots to its workers, each of which holds its engine to them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...config.spec import EvalSpec
from ...engine.engine import Engine
from ...engine.slots import Demand, Limits
from .leases import SESSION, Grant, Key, Leases, Need
from .link import Link


class Lender:
    """The controller's side: hears of every worker's demand, and tells each what it may do.

    Args:
        limits: what there is to lend, by key.
        tell: sends a message to a worker.
    """

    def __init__(self, limits: Mapping[Key, int], tell: Callable[..., None]) -> None:
        self._leases = Leases(limits)
        self._tell = tell
        self._nodes: dict[str, Any] = {}

    def join(self, nodes: Iterable[Any]) -> None:
        """Lend to workers that are about to begin."""
        joined = {node.gateway.id: node for node in nodes}
        self._nodes.update(joined)
        self._send(self._leases.join(joined))

    def leave(self, node: Any) -> bool:
        """Take back all that was lent to a worker that has ended; whether shares changed."""
        self._nodes.pop(node.gateway.id, None)
        return self._send(self._leases.leave(node.gateway.id))

    def heard(self, node: Any, demand: Mapping[str, Any]) -> bool:
        """Take what a worker says it has to do; whether shares changed."""
        return self._send(self._leases.told(node.gateway.id, *decode_demand(demand)))

    def share(self, node: Any) -> int:
        """Return how many rollouts a worker may have in flight, 1 at least; 0 for no limit.

        One that has been lent nothing is sent work all the same: without any it would ask for
        nothing.
        """
        if node.gateway.id not in self._nodes:
            return 1
        granted = self._leases.granted(node.gateway.id)
        return 0 if granted is None else max(1, granted)

    def _send(self, grants: Mapping[str, Grant]) -> bool:
        for name, grant in grants.items():
            self._tell(self._nodes[name], "limits", **encode_grant(grant))
        return bool(grants)


class Borrower:
    """A worker's side: until the controller grants it anything, its engine starts nothing.

    Args:
        link: to the controller.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._lock = threading.Lock()
        self._limits = Limits(0)
        self._engine: Engine | None = None
        self._spent: str | None = None

    def govern(self, engine: Engine) -> None:
        """Hold an engine to what is granted, from now on."""
        with self._lock:
            self._engine = engine
            engine.resize(self._limits)
            if self._spent is not None:
                engine.spend(self._spent)

    def spent(self, reason: str) -> None:
        """Have nothing more started, in the thread that receives."""
        with self._lock:
            self._spent = reason
            if self._engine is not None:
                with contextlib.suppress(RuntimeError):  # closed by now
                    self._engine.spend(reason)

    @property
    def limits(self) -> Limits:
        """What is granted now."""
        return self._limits

    def granted(self, grant: Mapping[str, Any]) -> None:
        """Take a grant, in the thread that receives."""
        with self._lock:
            self._limits = decode_grant(grant)
            if self._engine is not None:
                with contextlib.suppress(RuntimeError):  # closed by now
                    self._engine.resize(self._limits)

    def tell(self, demand: Demand) -> None:
        """Tell the controller what there is to do, in the thread of the engine."""
        self._link.send("demand", demand=encode_demand(demand))


def limits_of(max_concurrent: int, evals: Mapping[str, EvalSpec]) -> dict[Key, int]:
    """Return what there is to lend: the session's limit, and those that evals have of their own.

    Args:
        max_concurrent: of the session; 0 or less for no limit.
        evals: by node id.
    """
    limits = {SESSION: max_concurrent}
    for nodeid, spec in evals.items():
        if spec.max_concurrent is not None:
            limits[nodeid,] = spec.max_concurrent
    return limits


def encode_grant(grant: Grant) -> dict[str, Any]:
    """Return a grant as builtins."""
    return {
        "number": grant.number,
        "total": grant.slots.get(SESSION),
        "evals": {key[-1]: count for key, count in grant.slots.items() if key},
    }


def decode_grant(data: Mapping[str, Any]) -> Limits:
    """Return the limits of an engine that a grant means."""
    return Limits(data["total"], data["evals"], data["number"])


def encode_demand(demand: Demand) -> dict[str, Any]:
    """Return a demand as builtins."""
    return {"number": demand.number, "evals": dict(demand.evals)}


def decode_demand(data: Mapping[str, Any]) -> tuple[int, dict[Key, Need]]:
    """Return what `Leases.told` takes besides the worker."""
    return data["number"], {(name,): Need(*counts) for name, counts in data["evals"].items()}
