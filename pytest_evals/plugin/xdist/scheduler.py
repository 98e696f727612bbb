"""EvalScheduling: which worker runs which rollouts and gates, beside xdist's own scheduler."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from . import surface
from .plain_node import PlainNode
from .protocol import EvalWork, Unit
from .unsent_rollouts import UnsentRollouts
from .waiting_gates import WaitingGates


class EvalScheduling:
    """Sends rollouts in whole groups, gates when their eval is complete, and leaves the rest.

    Plain tests go their way through the scheduler that xdist or another plugin made. A session
    without evals, or one whose workers cannot run rollouts ahead, is left to it altogether.

    Args:
        config: of the controller.
        inner: the scheduler for plain tests.
        work: the evals.
        workers: how many collect before anything is sent.
    """

    def __init__(self, config: pytest.Config, inner: Any, work: EvalWork, workers: int) -> None:
        self.config = config
        self.inner = inner
        self.numnodes = workers
        self.collection: list[str] | None = None
        self.is_stopping = False
        self._work = work
        self._collections: dict[Any, list[str]] = {}
        self._proxies: dict[Any, PlainNode] = {}
        # None while nothing is known, and where every item is for the inner scheduler.
        self._plain: list[int] | None = None
        self._place: dict[int, int] = {}
        self._has_failed = False
        self._unsent = UnsentRollouts({})
        self._pending: dict[Any, dict[int, Unit]] = {}
        self._decided: set[int] = set()
        self._gates = WaitingGates({}, {})

    @property
    def nodes(self) -> list[Any]:
        """The workers, in order of their arrival."""
        return list(self._proxies)

    @property
    def collection_is_completed(self) -> bool:
        """Whether as many workers as were asked for have collected."""
        if self._plain is None:
            return bool(self.inner.collection_is_completed)
        return len(self._collections) >= self.numnodes

    @property
    def has_pending(self) -> bool:
        """Whether anything is left to run."""
        return bool(self.inner.has_pending or self._has_evals_left())

    @property
    def tests_finished(self) -> bool:
        """Whether nothing is left to send; xdist asks after every event."""
        if self._work.is_stopping():
            self.is_stopping = self._plain is not None
        if self._has_failed:
            return True
        if self._plain is None:
            return bool(self.inner.tests_finished)
        if self.collection is None:
            return False
        if self._plain and not self.inner.tests_finished:
            return False
        for proxy in self._proxies.values():
            proxy.shutdown()
        return not self._has_evals_left()

    def _has_evals_left(self) -> bool:
        return bool(self._unsent.are_left or self._gates.are_left or any(self._pending.values()))

    def in_flight(self) -> int:
        """Return about how many rollouts are in flight."""
        total = 0
        for node, pending in self._pending.items():
            share = self._work.share(node)
            total += min(len(pending), share) if share > 0 else len(pending)
        return total

    def add_node(self, node: Any) -> None:
        """Take a worker that is up."""
        self._proxies[node] = PlainNode(
            node, lambda: self._plain, lambda: self._work.tell(node, "plain_over")
        )
        self._pending[node] = {}
        self.inner.add_node(self._proxies[node])

    def add_node_collection(self, node: Any, collection: Sequence[str]) -> None:
        """Take the node ids that a worker collected."""
        ids = list(collection)
        if not self._collections:
            self._divide(ids)
        if self._plain is None:
            self._collections[node] = []
            self.inner.add_node_collection(self._proxies[node], ids)
            return
        if self.collection is not None and self._is_refused(node, ids):
            return
        first = next(iter(self._collections.values()), ids)
        self._collections[node] = first if ids == first else ids  # a hundred thousand ids, once
        if self._plain and ids == first:
            self.inner.add_node_collection(
                self._proxies[node], [ids[index] for index in self._plain]
            )

    def _divide(self, ids: list[str]) -> None:
        layout = self._work.layout()
        if layout is None:
            return
        self._unsent = UnsentRollouts(layout.eval_of)
        self._unsent.add(layout.units)
        self._gates = WaitingGates(layout.gates, layout.eval_of)
        ours = {
            *layout.eval_of,
            *(index for each in layout.gates.values() for index in each.values()),
        }
        self._plain = [index for index in range(len(ids)) if index not in ours]
        self._place = {index: place for place, index in enumerate(self._plain)}

    def schedule(self) -> None:
        """Send what there is to send, now that a worker has collected."""
        is_late = self.collection is not None
        if self.collection is None:
            if self._differ() or not self._work.begin():
                self._has_failed = True
                return
            self.collection = next(iter(self._collections.values()))
        if self._plain is None:
            self.inner.schedule()
            return
        for node in self.nodes:  # first, so that plain tests run during the first flights
            self._refill(node)
        if self._plain:
            self.inner.schedule()
            if is_late:
                # loadscope and its kin give a late worker one scope, whose last test then waits
                # for a successor that may never come (xdist 3.8); the others do nothing more.
                self.inner.schedule()
        self._release_gates()

    def _is_refused(self, node: Any, ids: list[str]) -> bool:
        """Whether a worker that comes late cannot take part; it is shut down then."""
        if ids == self.collection and not self._work.is_gone(node):
            return False
        if not self._work.is_gone(node):
            first = next(iter(self._collections))
            self._report_difference(first, node, ids)
        if not self._work.refuse(node):
            self._has_failed = True  # nobody is left, nor will be: a refused one is not replaced
        node.shutdown()
        return True

    def _differ(self) -> bool:
        (first, ids), *others = self._collections.items()
        has_differed = False
        for node, theirs in others:
            if theirs is ids or self._plain is None:
                continue
            self._report_difference(first, node, theirs)
            has_differed = True
        return has_differed

    def _report_difference(self, first: Any, node: Any, theirs: list[str]) -> None:
        text = surface.collection_difference(
            self._collections[first], theirs, first.gateway.id, node.gateway.id
        )
        report = pytest.CollectReport(
            nodeid=node.gateway.id, outcome="failed", longrepr=text, result=[]
        )
        self.config.hook.pytest_collectreport(report=report)

    def _refill(self, node: Any, *, is_at_last: bool = False) -> None:
        if not self._takes_items(node) or self.is_stopping:
            return
        pending = self._pending[node]
        have = 1 if is_at_last else len(pending)
        share, without = self._work.share(node), self._work.given_up_by(node)
        units = self._unsent.take(share, have, len(self._pending), without)
        if units:
            pending.update((index, unit) for unit in units for index in unit)
            send = [index for unit in units for index in unit]
            self._work.replay(node, send)
            surface.send_items(node, send)

    def _takes_items(self, node: Any) -> bool:
        """Whether a worker has collected, and is neither gone nor about to go."""
        is_up = node in self._collections and node in self._proxies
        return is_up and not node.shutting_down and not self._work.is_gone(node)

    def refill(self, asking: Any = None) -> None:
        """Send more where there is room; to be called when the limit was divided anew.

        Args:
            asking: a worker that is at its last item. It may have said so before the ends of the
                items before it are heard of here, and goes by what it is sent now.
        """
        for node in self.nodes:
            self._refill(node, is_at_last=node is asking)

    def take_back(self, node: Any, indices: Sequence[int]) -> None:
        """Take rollouts back that a worker has not started and others can run."""
        pending = self._pending.get(node, {})
        self._unsent.take_back({i: pending.pop(i) for i in indices if i in pending})
        self.refill()

    def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
        """Note that a worker has run an item, and send it more."""
        if self._plain is None:
            self.inner.mark_test_complete(self._proxies[node], item_index, duration)
        elif item_index in self._place:
            place = self._place[item_index]
            self.inner.mark_test_complete(self._proxies[node], place, duration)
        elif self._pending[node].pop(item_index, None) is not None:
            self._ended(item_index)
            self._refill(node)
            self._release_gates()

    def note_decided(self, node: Any, index: int) -> None:
        """Note that a worker has reported what became of an item.

        It dies between that and the item's end, or it does not: the item is not run again.
        """
        if index in self._pending.get(node, ()):
            self._decided.add(index)

    def _ended(self, index: int) -> None:
        self._decided.discard(index)
        if self._gates.is_rollout(index):
            self._work.reported(index)
            self._gates.count(index)

    def _release_gates(self) -> None:
        if self.collection is None or self.is_stopping:
            return
        live = [node for node in self._collections if self._takes_items(node)]
        if not live:
            return
        for nodeid in self._gates.due():
            node = min(live, key=lambda each: len(self._pending[each]))
            indices = self._gates.take(nodeid)
            self._work.judge(node, nodeid)
            for index in indices:
                self._pending[node][index] = [index]
            surface.send_items(node, indices)

    def remove_node(self, node: Any) -> str | None:
        """Take back what a worker had to run; return the item that made it die, if one did."""
        proxy = self._proxies.pop(node)
        crashed: str | None = None
        if proxy in self.inner.nodes:
            crashed = self.inner.remove_node(proxy)
        lost = self._pending.pop(node)
        for index in self._decided & lost.keys():
            del lost[index]
            self._ended(index)
        if self.is_stopping:
            return None
        if lost and self.collection is not None:
            blamed = self._blamed(node, lost)
            if blamed is not None and crashed is not None:
                # Blamed for want of a better culprit: it was the next in the queue.
                with contextlib.suppress(NotImplementedError):  # it is run again anyway
                    self.inner.mark_test_pending(crashed)
            crashed = blamed or crashed
            self._take_back(lost)
        self._release_gates()
        return crashed

    def _blamed(self, node: Any, lost: dict[int, Unit]) -> str | None:
        index = self._work.blamed(node, [index for index in lost if self._gates.is_rollout(index)])
        if index is None:
            return None
        del lost[index]
        self._ended(index)
        assert self.collection is not None
        return self.collection[index]

    def _take_back(self, lost: dict[int, Unit]) -> None:
        is_rollout = self._gates.is_rollout
        self._unsent.take_back({index: lost[index] for index in lost if is_rollout(index)})
        self._gates.take_back([index for index in lost if not is_rollout(index)])
        self.refill()

    def mark_test_pending(self, item: str) -> None:
        """Let an item that made a worker die run again; asked for by other plugins."""
        if self._plain is None:
            self.inner.mark_test_pending(item)
            return
        assert self.collection is not None
        index = self.collection.index(item)
        if index in self._place:
            self.inner.mark_test_pending(item)
        # A rollout that was blamed has reported: asked again, it would be paid for twice.

    def remove_pending_tests_from_node(self, node: Any, indices: Sequence[int]) -> None:
        """Take plain tests back that a worker gave up on request."""
        places = [self._place[index] for index in indices] if self._plain is not None else indices
        self.inner.remove_pending_tests_from_node(self._proxies[node], places)
