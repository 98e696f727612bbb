"""Workers that die at awkward moments: what was reported is not reported again."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer

from ..conftest import Project
from .conftest import DEADLY, die

# Ends a worker once, after the report of a phase of an item has gone to the controller.
ENDING = """
    import os, pathlib, signal
    import pytest

    def pytest_configure(config):
        global is_worker
        is_worker = hasattr(config, "workerinput")  # the variable may be of a session around this

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(report):
        mark = pathlib.Path("ended")
        if not is_worker or mark.exists():
            return
        if report.nodeid.endswith("{item}") and report.when == "{when}":
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""

EVALS = """
    max_concurrent = 4

    [[eval]]
    env_id = "sums"
    env_args = { examples = 10 }
    num_examples = -1
    rollouts_per_example = 2
    gates = ["reward >= 0.1", "pass@2 >= 0.1"]
"""


@pytest.mark.parametrize(
    ("item", "when"),
    [("::4-r1", "call"), ("::gate-reward", "setup"), ("::gate-pass-at-2", "teardown")],
)
def test_an_item_that_has_reported_is_not_run_again(project: Project, item: str, when: str) -> None:
    project.pytester.makeconftest(ENDING.replace("{item}", item).replace("{when}", when))
    with DemoServer() as server:
        project.evals(EVALS, url=server.url)
        result = project.run("bench.toml", "-n2")

    assert result.ret == 0, result.stdout.str()
    assert (project.path / "ended").exists()
    result.assert_outcomes(passed=20 + 3)
    assert len(project.rows()) == 20
    assert server.requests <= 20 + 4


def test_a_worker_that_is_still_collecting_is_sent_nothing(project: Project) -> None:
    # It would run what it has before it knows how: one rollout at a time, and no group as a whole.
    project.environment("deadly", DEADLY)
    project.pytester.makeconftest(
        """
        import time

        def pytest_collection_modifyitems(config):
            worker = getattr(config, "workerinput", {"workerid": None})["workerid"]
            if worker not in (None, "gw0", "gw1"):
                time.sleep(1)
        """
    )
    die(project, example=2, times=1)
    with DemoServer(latency=0.1) as server:
        project.evals(
            """
            max_concurrent = 4

            [[eval]]
            env_id = "deadly"
            env_args = { examples = 16, by = "kill", groups = true }
            num_examples = -1
            rollouts_per_example = 3
            """,
            url=server.url,
        )
        result = project.run("bench.toml", "-n2")

    assert result.ret == 0, result.stdout.str()
    assert {row["state"] for row in project.rows()} == {"scored"}
    assert len(project.rows()) == 48


# In the controller: a worker dies as it is sent something once every rollout has reported. Its
# connection says so at once, the event that it is down comes later.
ENDING_AS_IT_IS_SENT = """
    import os, pathlib, signal

    reported = 0

    def pytest_runtest_logreport(report):
        global reported
        reported += report.when == "teardown"

    def pytest_testnodeready(node):
        send = node.send_runtest_some

        def send_or_end(indices):
            if reported == 20 and not pathlib.Path("ended").exists():
                pathlib.Path("ended").touch()
                os.kill(node.gateway._io.popen.pid, signal.SIGKILL)
                raise OSError("cannot send (already closed?)")
            send(indices)

        node.send_runtest_some = send_or_end
"""


def test_gates_for_a_worker_that_has_just_died_go_to_another(project: Project) -> None:
    project.pytester.makeconftest(ENDING_AS_IT_IS_SENT)
    with DemoServer() as server:
        project.evals(EVALS, url=server.url)
        result = project.run("bench.toml", "-n2")
        assert server.requests == 20

    assert result.ret == 0, result.stdout.str()
    assert (project.path / "ended").exists()
    result.assert_outcomes(passed=20 + 3)
    assert len(project.rows()) == 20
