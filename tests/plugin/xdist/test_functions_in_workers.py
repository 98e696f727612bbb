"""Evals that are test functions come to the same in workers as in one process."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter
from typing import Any

import pytest

from pytest_evals.demo.server import DemoServer

from ..conftest import SUMS
from ..function_project import FunctionProject
from .conftest import lines_of, steady

# What tests of fixtures and of the flight begin with.
LOG = """
    import os

    def log(*words):
        with open("log", "a") as file:
            print(*words, file=file)
"""

CITIES = """
    @evals(rollouts=4, gates=["reward >= 0.8", "pass@2 >= 0.1"])
    @pytest.mark.parametrize("city", ["Rome", "Oslo", "a::b[", 4])
    async def test_it(city, evals_rollout):
        print("of", city)
        assert city != "Oslo", "not it"
        assert evals_rollout or city == 4, "never at first"

    class TestClass:
        @evals(rollouts=3, gates=["reward >= 0.5"], max_concurrent=1)
        @pytest.mark.parametrize("share", [0.5, 1.0])
        def test_share(self, share, monkeypatch):
            monkeypatch.setenv("SHARE", str(share))
            return share

    @evals(rollouts=2, gates=["error_rate <= 0.6"])
    @pytest.mark.parametrize("n", [1, 2])
    async def test_odd(n):
        if n == 2:
            raise ConnectionError("no answer")

    @pytest.mark.skip(reason="today")
    @evals(rollouts=2)
    async def test_skipped(): ...

    def test_plain(): ...
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> FunctionProject:
    """An empty project and a wide terminal."""
    monkeypatch.setenv("COLUMNS", "500")
    return FunctionProject(pytester)


def _results(project: FunctionProject) -> dict[str, tuple[Any, Any, list[str]]]:
    return {
        folder.parent.name: (
            steady(project.rows(folder.parent.name.rpartition("--")[0])),
            steady(project.metadata(folder.parent.name.rpartition("--")[0])),
            sorted(path.name for path in folder.iterdir() if path.name != "run.log"),
        )
        for folder in project.path.glob("outputs/evals/*/*")
    }


def _table(result: pytest.RunResult) -> list[str]:
    """Return the table without times, and without the names of the folders."""
    text = result.stdout.str().rpartition("= evals =")[2]
    lines = [re.sub(r" +\d+\.\ds| (?=[|])", " ", line) for line in text.splitlines()]
    return [line for line in lines if not line.startswith(("results of", "==", "FAILED", "first"))]


def _outcomes(result: pytest.RunResult) -> dict[str, int]:
    return {name: count for name, count in result.parseoutcomes().items() if "second" not in name}


WAYS = ("load", "worksteal", "loadscope", "loadfile", "each")


def test_every_way_to_distribute(project: FunctionProject, url: str) -> None:
    project.write(CITIES)
    project.write(SUMS, "environments/sums.py")
    bench = f'model = "demo-small"\napi_base_url = "{url}"\nrollout_seed = 7\n'
    (project.path / "bench.toml").write_text(bench + '[[eval]]\nenv_id = "sums"\n')
    alone = project.run("test_it.py", "bench.toml")
    expected = _results(project)
    assert alone.ret == 1
    assert len(expected) == 4
    for dist in WAYS:
        project.forget()
        result = project.run("test_it.py", "bench.toml", "-p", "xdist", "-n2", f"--dist={dist}")
        assert result.ret == 1, dist
        counts = _outcomes(alone)
        counts["passed"] += dist == "each"  # the plain test, once more
        assert _outcomes(result) == counts, dist
        assert _table(result) == _table(alone), dist
        assert _results(project) == expected, dist
        result.stdout.fnmatch_lines(["test_it[[]Oslo-r0[]] and 3 more:", "  test_it.py:*: not it"])
        result.stdout.fnmatch_lines(["test_it[[]Rome-r0[]]:", "  test_it.py:*: never at first"])


def test_the_rollouts_of_an_example_stay_together(project: FunctionProject) -> None:
    project.write(
        LOG
        + """
    @evals(rollouts=6)
    @pytest.mark.parametrize("n", range(20))
    async def test_it(n, worker_id):
        log(n, worker_id)
    """
    )
    result = project.run("-p", "xdist", "-n2", "--evals-max-concurrent=4")
    assert result.ret == 0
    pairs = {*project.log()}
    assert len(project.log()) == 120
    assert len(pairs) == 20
    assert len({pair.split()[1] for pair in pairs}) == 2


def test_the_limit_holds_over_all_workers(project: FunctionProject) -> None:
    project.write(
        LOG
        + """
    @pytest.fixture
    async def counted():
        log("up")
        yield
        log("down")

    @evals(rollouts=5)
    @pytest.mark.parametrize("n", range(8))
    async def test_it(n, counted):
        log("+")
        await asyncio.sleep(0.01)
        log("-")
    """
    )
    assert project.run("-p", "xdist", "-n2", "--evals-max-concurrent=4").ret == 0
    flying = standing = most_flying = most_standing = 0
    for word in project.log():
        flying += {"+": 1, "-": -1}.get(word, 0)
        standing += {"up": 1, "down": -1}.get(word, 0)
        most_flying, most_standing = max(most_flying, flying), max(most_standing, standing)
    assert flying == standing == 0
    assert 2 <= most_flying <= 4
    # A rollout that is set up waits for its slot: one more at most than the worker has slots.
    assert most_standing <= 4 + 2


def test_fixtures_last_as_long_as_in_any_worker(project: FunctionProject) -> None:
    project.write(
        LOG
        + """
    @pytest.fixture(scope="session")
    def whole(worker_id):
        log(worker_id, "session up")
        yield worker_id
        log(worker_id, "session down")

    @pytest.fixture(scope="module")
    async def wide(whole):
        log(whole, "module up")
        yield whole
        log(whole, "module down")

    @pytest.fixture
    def narrow(wide):
        log(wide, "up")
        yield
        log(wide, "down")

    @evals(rollouts=3)
    @pytest.mark.parametrize("n", range(6))
    async def test_it(n, narrow):
        await asyncio.sleep(0.001)

    @evals(rollouts=2)
    @pytest.mark.parametrize("n", range(4))
    async def test_alone(n, narrow, monkeypatch): ...
    """
    )
    result = project.run("-p", "xdist", "-n2", "--evals-max-concurrent=4")
    assert result.ret == 0, result.stdout.str()
    of_workers: dict[str, list[str]] = {}
    for line in project.log():
        worker, _, what = line.partition(" ")
        of_workers.setdefault(worker, []).append(what)
    assert len(of_workers) == 2
    for lines in of_workers.values():
        assert lines[:2] == ["session up", "module up"]
        assert lines[-2:] == ["module down", "session down"]
        assert {*lines[2:-2]} == {"up", "down"}
    assert Counter(word for lines in of_workers.values() for word in lines)["up"] == 18 + 8


def test_a_wide_fixture_whose_teardown_fails_is_reported(project: FunctionProject) -> None:
    project.write(
        """
    @pytest.fixture(scope="module")
    def wide():
        yield
        raise ValueError("cannot end")

    @evals(rollouts=3)
    @pytest.mark.parametrize("n", range(20))
    async def test_it(n, wide):
        await asyncio.sleep(0.005)
    """
    )
    result = project.run("-p", "xdist", "-n2", "--evals-max-concurrent=2", "-rE")
    assert result.ret == 1
    assert result.parseoutcomes()["errors"] == 2  # one for each worker
    assert "INTERNALERROR" not in result.stdout.str()


def test_what_patches_the_process_runs_alone_in_its_worker(project: FunctionProject) -> None:
    project.write(
        LOG
        + """
    @evals(rollouts=4)
    @pytest.mark.parametrize("n", range(4))
    async def test_patched(n, worker_id, monkeypatch):
        log(worker_id, "+")
        await asyncio.sleep(0.002)
        log(worker_id, "-")

    @evals(rollouts=4)
    @pytest.mark.parametrize("n", range(4))
    async def test_free(n, worker_id):
        log(worker_id, "(")
        await asyncio.sleep(0.002)
        log(worker_id, ")")

    def test_plain(worker_id):
        log(worker_id, "plain")
    """
    )
    assert project.run("-p", "xdist", "-n2").ret == 0
    for worker in ("gw0", "gw1"):
        told = "".join(line.split()[1] for line in project.log() if line.startswith(worker))
        assert re.fullmatch(r"(plain)?((\+-)|[()])+", told), told
        assert all(part.count("(") == part.count(")") for part in re.split(r"\+-", told)), told


def test_the_first_failure_ends_every_worker(project: FunctionProject) -> None:
    project.write(
        """
    @evals(pass_reward=1)
    @pytest.mark.parametrize("n", range(40))
    async def test_it(n):
        if n != 3:
            await asyncio.sleep(60)
        assert n != 3

    @evals
    @pytest.mark.parametrize("n", range(4))
    async def test_alone(n, monkeypatch):
        await asyncio.sleep(60)
    """
    )
    result = project.run("-p", "xdist", "-n2", "-x")
    assert result.ret == 2
    assert result.parseoutcomes() == {"failed": 1}
    assert [row["state"] for row in project.rows()] == ["scored"]


def test_the_first_failure_ends_what_runs_alone(project: FunctionProject) -> None:
    project.write(
        """
    @evals(pass_reward=1)
    @pytest.mark.parametrize("n", range(6))
    async def test_it(n, monkeypatch):
        if n:
            await asyncio.sleep(60)
        assert n
    """
    )
    result = project.run("-p", "xdist", "-n2", "-x")
    assert result.ret == 2
    assert result.parseoutcomes() == {"failed": 1}


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 2), (signal.SIGTERM, 143)])
def test_signals_tear_down_what_was_set_up(
    project: FunctionProject, alone: bool, number: signal.Signals, code: int
) -> None:
    count = 1 if alone else 3
    os.mkfifo(project.path / "begun")
    project.write(
        LOG
        + f"""
    @pytest.fixture
    async def resource():
        yield
        log("down")

    @evals(rollouts={count}, alone={alone})
    async def test_it(resource, evals_rollout):
        if evals_rollout == {count} - 1:
            open("begun", "w").close()
        await asyncio.sleep(60)
    """
    )
    process = project.start("-p", "xdist", "-n1")
    try:
        (project.path / "begun").read_text()
        os.killpg(process.pid, number)
        told, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == code, told
    assert project.log() == ["down"] * count
    assert "INTERNALERROR" not in told


DEADLY = (
    LOG
    + """
    import signal

    @pytest.fixture(scope="session")
    def whole():
        return 1

    @evals(rollouts=2, gates=["reward >= 0.1"])
    @pytest.mark.parametrize("n", range(12))
    async def test_it(n, whole, evals_rollout):
        log(f"{n}-{evals_rollout}")
        await asyncio.sleep(0.005)
        if n == 7 and evals_rollout == 1 and not os.path.exists("died"):
            open("died", "w").close()
            {die}
        assert n != 5, "not it"
"""
)


def test_the_rollout_that_ends_its_worker_is_blamed(project: FunctionProject) -> None:
    project.write(DEADLY.format_map(_Die("os._exit(3)")))
    result = project.run("-p", "xdist", "-n2", "--evals-max-concurrent=4")
    assert result.ret == 1
    assert "crashed while running 'test_it.py::test_it[7-r1]'" in result.stdout.str()
    rows = {(row["example_id"], row["rollout"]): row for row in project.rows()}
    assert len(rows) == 24
    assert rows["7", 1]["state"] == "broken"
    assert Counter(row["state"] for row in rows.values())["scored"] == 23
    asked = Counter(project.log())
    # Called again: at most what else was in flight in the worker that died.
    assert asked.total() <= 24 + 3
    assert asked["7-1"] == 1
    result.stdout.fnmatch_lines(["  FAILED  error_rate * 1 broken of 24 *"])


class _Die(dict[str, str]):
    """Fills in how a worker dies, and leaves other braces as they are."""

    def __init__(self, how: str) -> None:
        super().__init__(die=how)

    def __missing__(self, key: str) -> str:
        return f"{{{key}}}"


def test_a_killed_worker_costs_what_was_in_flight(project: FunctionProject) -> None:
    project.write(DEADLY.format_map(_Die("pass")))
    assert project.run().ret == 0
    expected = _results(project)
    project.forget()
    (project.path / "died").unlink()
    project.write(DEADLY.format_map(_Die("os.kill(os.getpid(), signal.SIGKILL)")))
    result = project.run("-p", "xdist", "-n2", "--evals-max-concurrent=4")
    assert result.ret == 0, result.stdout.str()
    assert "replacing crashed worker" in result.stdout.str()
    assert _results(project) == expected
    assert len(project.log()) <= 24 + 4


def test_what_had_ended_unreported_is_not_called_again(project: FunctionProject) -> None:
    """Its row is on disk; the worker dies before the item has had its turn."""
    project.write(
        LOG
        + """
    import pathlib
    import time

    @pytest.fixture
    def turn(worker_id, evals_rollout):
        yield
        if worker_id == "gw0" and evals_rollout == 0:
            (rows,) = pathlib.Path().glob("outputs/**/results.gw0.jsonl")
            while rows.read_text().count('"scored"') < 4:
                time.sleep(0.01)
            os._exit(3)

    @evals(rollouts=4, gates=["reward >= 0.5"])
    async def test_it(turn, evals_rollout):
        log(evals_rollout)
        await asyncio.sleep(0.2 if evals_rollout else 0.1)  # all are under way when one ends
        assert evals_rollout != 2, "not it"
    """
    )
    result = project.run("-p", "xdist", "-n1")
    assert "replacing crashed worker" in result.stdout.str()
    assert sorted(project.log()) == ["0", "1", "2", "3"]
    rows = project.rows()
    assert [row.get("failure", "").partition(": ")[2][:6] for row in rows] == ["", "", "not it", ""]
    assert result.ret == 0, result.stdout.str()


def test_selection_counts_as_in_one_process(project: FunctionProject) -> None:
    project.write(CITIES)
    for more in ([], ["--evals-partial"]):
        alone = project.run(
            "test_it.py::test_it[Rome-r1]", "test_it.py::test_it::gate-reward", *more
        )
        result = project.run(
            "test_it.py::test_it[Rome-r1]", "test_it.py::test_it::gate-reward", *more,
            "-p", "xdist", "-n2",
        )  # fmt: skip
        assert result.ret == alone.ret
        assert _outcomes(result) == _outcomes(alone)
        assert _table(result) == _table(alone)


def test_a_rollout_that_its_parameter_skips_is_missing(project: FunctionProject) -> None:
    project.write(
        """
    @evals(rollouts=2)
    @pytest.mark.parametrize("n", [1, pytest.param(2, marks=pytest.mark.skip(reason="no")), 3])
    async def test_it(n): ...
    """
    )
    for more in ([], ["--evals-partial"]):
        alone = project.run(*more)
        result = project.run("-p", "xdist", "-n2", *more)
        assert (result.ret, alone.ret) == ((0, 0) if more else (1, 1))
        assert _outcomes(result) == _outcomes(alone)
        assert _table(result) == _table(alone)


def test_keys_are_masked_in_what_reaches_the_controller(
    project: FunctionProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret-key")
    project.write(
        """
    import os

    @evals(rollouts=2, gates=["reward >= 1"])
    async def test_it():
        assert not os.environ["OPENAI_API_KEY"]
    """
    )
    result = project.run("-p", "xdist", "-n2", "-rA")
    assert result.ret == 1
    assert "very-secret" not in result.stdout.str()
    assert all("very-secret" not in str(line) for line in lines_of(project.folder()))


def test_another_scheduler_runs_them_in_order(project: FunctionProject) -> None:
    project.write(
        """
    from xdist.scheduler import LoadScheduling

    @pytest.hookimpl(wrapper=True, tryfirst=True, optionalhook=True)
    def pytest_xdist_make_scheduler(config, log):
        yield
        return LoadScheduling(config, log)
    """,
        "conftest.py",
    )
    project.write(CITIES)
    alone = project.run("-p", "no:xdist")
    expected = _results(project)
    project.forget()
    result = project.run("-p", "xdist", "-n2")
    assert result.ret == alone.ret == 1
    assert {name: rows for name, (rows, *_) in _results(project).items()} == {
        name: rows for name, (rows, *_) in expected.items()
    }
    result.stdout.fnmatch_lines(["FAILED test_it.py::test_it::gate-reward - reward * < 0.8 *"])


def test_one_that_waits_for_a_model_beside_evals_of_a_file(
    project: FunctionProject, slow_demo: DemoServer
) -> None:
    project.write(SUMS, "environments/sums.py")
    bench = f'model = "demo-small"\napi_base_url = "{slow_demo.url}"\n'
    (project.path / "bench.toml").write_text(
        bench + '[[eval]]\nenv_id = "sums"\nenv_args = { examples = 20 }\nnum_examples = -1'
    )
    project.write(
        """
    @pytest.fixture(scope="module")
    def wide():
        yield

    @evals(rollouts=3)
    @pytest.mark.parametrize("n", range(20))
    async def test_it(n, wide):
        await asyncio.sleep(0.03)

    def test_plain(wide): ...
    """
    )
    result = project.run("bench.toml", "test_it.py", "-p", "xdist", "-n2")
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=60 + 60 + 2 + 1)
    assert slow_demo.requests == 60


def test_workers_with_an_unknown_pytest_run_functions_one_after_the_other(
    project: FunctionProject,
) -> None:
    project.write(
        """
        from pytest_evals.plugin.functions import running, setup_ahead

        def refuse(*args):
            raise AttributeError("_setupstate")

        running.why_not = lambda item: "Session._setupstate.stack"
        setup_ahead.SetupAhead.__init__ = refuse
        """,
        "conftest.py",
    )
    project.write(
        """
        running = 0

        @pytest.fixture(scope="module")
        def module(): ...

        @evals(rollouts=4, gates=["reward >= 1"])
        async def test_it(module, tmp_path):
            global running
            running += 1
            await asyncio.sleep(0.01)
            assert running == 1
            running -= 1

        def test_plain(module): ...
        """
    )
    result = project.run("-p", "xdist", "-n2")
    assert result.ret == 0, result.stdout.str()
    result.assert_outcomes(passed=4 + 2 + 1)
