"""What passes between the controller and its workers, and what is used of xdist for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.plugin.xdist import surface
from pytest_evals.plugin.xdist.inbox import Inbox
from pytest_evals.plugin.xdist.unsent_rollouts import UnsentRollouts
from pytest_evals.plugin.xdist.waiting_gates import WaitingGates

from ..conftest import Project


def test_message_that_is_not_known_ends_the_session(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    project.pytester.makeconftest(
        """
        import pytest
        from pytest_evals.plugin.session import EvalSession

        @pytest.hookimpl(trylast=True)
        def pytest_collection_finish(session):
            if hasattr(session.config, "workerinput"):
                EvalSession.of(session.config).link.send("novel", text="...")
        """
    )
    result = project.run("bench.toml", "-n1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: worker gw0 sent 'novel', which is not known here: install the same version of*"]
    )


@pytest.mark.parametrize(("args", "is_running"), [((), True), (("-q",), False)])
def test_clock_runs_where_a_status_line_is_shown(
    project: Project, slow_demo: DemoServer, args: tuple[str, ...], is_running: bool
) -> None:
    project.evals('[[eval]]\nenv_id = "sums"', url=slow_demo.url)
    project.pytester.makeconftest(
        """
        import threading
        from pathlib import Path

        def pytest_runtest_logreport():
            names = " ".join(thread.name for thread in threading.enumerate())
            with Path("threads").open("a") as file:  # the worker tells of its own as well
                print(names, file=file)
        """
    )
    assert project.run("bench.toml", "-n1", *args).ret == 0
    assert ("pytest-evals-clock" in (project.path / "threads").read_text()) is is_running


class Manager:
    EXIT_TIMEOUT = 10

    def __init__(self) -> None:
        self.seconds: list[Any] = []

    def teardown_nodes(self) -> None:
        self.seconds.append(getattr(self, "EXIT_TIMEOUT", None))


class LaterManager(Manager):
    def __init__(self) -> None:
        super().__init__()
        self.EXIT_SECONDS = 10  # what it may be called one day

    @property
    def EXIT_TIMEOUT(self) -> int:  # type: ignore[override]  # noqa: N802
        raise AttributeError("EXIT_TIMEOUT")


@pytest.mark.parametrize(("manager", "used"), [(Manager(), 15), (LaterManager(), None)])
def test_workers_get_more_time_to_end_just_then(manager: Manager, used: int | None) -> None:
    plugins = SimpleNamespace(getplugin=lambda name: SimpleNamespace(nodemanager=manager))
    config: Any = SimpleNamespace(pluginmanager=plugins)
    surface.end_workers(config)
    assert manager.seconds == [used]
    assert getattr(manager, "EXIT_TIMEOUT", 10) == 10


def test_gates_wait_for_the_rollouts_of_their_eval() -> None:
    gates = WaitingGates({"a": {"one": 2, "two": 3}, "b": {"one": 5}}, {0: "a", 1: "a", 4: "b"})
    assert gates.due() == []
    gates.count(4)
    gates.count(0)
    assert gates.due() == ["b"]
    assert gates.take("b") == [5]
    assert gates.due() == []
    gates.count(1)
    assert gates.take("a") == [2, 3]
    assert not gates.are_left
    gates.take_back([3])
    assert gates.are_left
    assert (gates.due(), gates.take("a")) == (["a"], [3])


def test_eval_without_gates_keeps_nobody_waiting() -> None:
    gates = WaitingGates({"a": {}}, {0: "a"})
    gates.count(0)
    assert not gates.are_left
    assert gates.due() == []


EVAL_OF = dict.fromkeys(range(10), "a") | {10: "b", 11: "b"}


def test_last_rollouts_are_divided_evenly_and_units_stay_together() -> None:
    unsent = UnsentRollouts(EVAL_OF)
    unsent.add([[0, 1, 2], [3, 4, 5], [6, 7], [8]])
    assert unsent.take(share=4, have=0, workers=2) == [[0, 1, 2], [3, 4, 5]]
    assert unsent.take(share=4, have=6, workers=2) == []
    assert unsent.take(share=0, have=0, workers=1) == [[6, 7], [8]]
    assert not unsent.are_left


def test_lost_rollouts_come_first_again() -> None:
    unsent = UnsentRollouts(EVAL_OF)
    first, second = [0, 1], [2, 3]
    unsent.add([[4]])
    unsent.take_back({0: first, 1: first, 3: second})
    assert unsent.take(share=0, have=0, workers=1) == [[0, 1], [3], [4]]


def test_no_limit_sends_each_worker_its_part() -> None:
    unsent = UnsentRollouts(EVAL_OF)
    unsent.add([[index] for index in range(10)])
    assert len(unsent.take(share=0, have=0, workers=2)) == 5


def test_a_worker_is_sent_nothing_of_what_it_has_given_up() -> None:
    unsent = UnsentRollouts(EVAL_OF)
    unsent.add([[0, 1], [2], [10], [11]])
    assert unsent.take(share=4, have=0, workers=1, without={"a"}) == [[10], [11]]
    unsent.take_back({11: [11]})
    assert unsent.take(share=4, have=0, workers=1, without={"a", "b"}) == []
    assert unsent.take(share=4, have=0, workers=1) == [[0, 1], [2], [11]]


class Index(int):
    """An index that counts how often it is compared."""

    comparisons = 0
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        Index.comparisons += 1
        return int(self) == other


def test_what_is_stolen_is_found_at_once() -> None:
    sent: list[list[int]] = []
    interactor: Any = SimpleNamespace(
        channel=SimpleNamespace(setcallback=lambda hear, endmarker: hears.append(hear)),
        sendevent=lambda name, indices: sent.append(indices),
    )
    hears: list[Any] = []
    link: Any = SimpleNamespace(listen=lambda hear: None)
    inbox = Inbox(link)
    inbox.follow(interactor, [object()] * 1000, lambda: None)  # type: ignore[list-item]
    hears[0](("runtests", {"indices": [Index(number) for number in range(1000)]}))
    hears[0](("steal", {"indices": list(range(1, 900))}))
    assert sent == [list(range(1, 900))]
    assert Index.comparisons < 5000
    assert inbox.take_plain() == (0, 900)
