"""With workers, a session comes to the same rows, verdicts, counts and exit code."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from xml.etree import ElementTree

import pytest

from pytest_evals.demo.server import DemoServer

from ..conftest import Project
from .conftest import forget, results

GROUPED = """
    import pytest_evals as vf

    def correct(completion, answer):
        return float(answer in completion[-1]["content"])

    def longest(completions):
        lengths = [len(completion[-1]["content"]) for completion in completions]
        return [float(length == max(lengths)) for length in lengths]

    def load_environment():
        rows = [{"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(4)]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[correct, longest]))
"""

BENCH = """
    [[eval]]
    env_id = "sums"
    env_args = { examples = 8 }
    num_examples = -1
    gates = ["reward >= 0.1", "pass@2 >= 0.1", "reward >= 1.5", "turns <= 1"]

    [[eval]]
    env_id = "grouped"
    rollouts_per_example = 3
    gates = ["longest >= 0.1"]
"""

PLAIN = """
    import pytest

    @pytest.fixture(scope="module")
    def resource(worker_id):
        with open(f"setups-{worker_id}", "a") as file:
            file.write("up ")
        yield "up"
        with open(f"setups-{worker_id}", "a") as file:
            file.write("down ")

    @pytest.mark.parametrize("number", range(6))
    def test_one(resource, number):
        assert resource == "up"
"""


def _outcomes(result: pytest.RunResult) -> dict[str, int]:
    return {name: count for name, count in result.parseoutcomes().items() if "second" not in name}


def _table(result: pytest.RunResult) -> list[str]:
    """Return the table without times, and without the names of the folders."""
    text = result.stdout.str().rpartition("= evals =")[2]
    lines = [re.sub(r" +\d+\.\ds| (?=[|])", " ", line) for line in text.splitlines()]
    return [line for line in lines if not line.startswith(("results of", "==", "FAILED"))]


DISTS = ("load", "worksteal", "loadscope", "loadfile", "each")
# Each way once with two workers, then other numbers of them.
WAYS = (*((2, dist) for dist in DISTS), (4, "load"), (0, "load"))
ALL_WAYS = tuple(itertools.product((0, 2, 4), DISTS))


def test_every_way_to_distribute(project: Project, url: str) -> None:
    _check_ways(project, url, WAYS)


@pytest.mark.slow
def test_every_way_with_every_number_of_workers(project: Project, url: str) -> None:
    _check_ways(project, url, ALL_WAYS)


def _check_ways(project: Project, url: str, ways: Iterable[tuple[int, str]]) -> None:
    """Check that each way leaves what a session in one process leaves, row for row."""
    project.environment("grouped", GROUPED)
    project.evals(BENCH, url=url)
    project.pytester.makepyfile(test_plain=PLAIN)
    alone = project.run("bench.toml", "test_plain.py")
    expected = results(project)
    assert alone.ret == 1
    assert len(expected) == 2
    assert sorted(len(rows) for rows, _, _ in expected.values()) == [12, 24]
    for workers, dist in ways:
        way = f"-n{workers} --dist={dist}"
        forget(project)
        for path in project.path.glob("setups-*"):
            path.unlink()
        result = project.run("bench.toml", "test_plain.py", f"-n{workers}", f"--dist={dist}")
        assert result.ret == 1, way
        counts = _outcomes(alone)
        if dist == "each" and workers:  # plain tests in every worker; a rollout is run once
            counts["passed"] += 6 * (workers - 1)
        assert _outcomes(result) == counts, way
        assert _table(result) == _table(alone), way
        assert results(project) == expected, way
        setups = [path.read_text() for path in project.path.glob("setups-*")]
        assert set(setups) == {"up down "}, way  # never torn down between two of the tests
        flight = (
            f"at most 32 in flight over {workers} workers" if workers else "at most 32 in flight"
        )
        result.stdout.fnmatch_lines(
            [f"evals: 2 evals, 36 rollouts of demo-small, {flight}; results in *"]
        )


@pytest.mark.cold_workers
def test_nothing_is_asked_twice(project: Project, slow_demo: DemoServer) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\nenv_args = { examples = 30 }\nnum_examples = -1',
                  url=slow_demo.url)  # fmt: skip
    assert project.run("bench.toml", "-n2", "--evals-max-concurrent=6").ret == 0
    assert slow_demo.requests == 90
    assert slow_demo.peak <= 6


def test_junit_has_the_same_cases(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 1.5"]', url=url)

    def cases() -> dict[str | None, object]:
        return {
            case.get("name"): (
                case.get("classname"),
                sorted((p.get("name"), p.get("value")) for p in case.iter("property")),
                [failure.get("message") for failure in case.iter("failure")],
            )
            for case in ElementTree.parse(project.path / "evals.xml").iter("testcase")
        }

    assert project.run("bench.toml", "--junitxml=evals.xml").ret == 1
    expected = cases()
    assert project.run("bench.toml", "--junitxml=evals.xml", "-n2").ret == 1
    assert cases() == expected


def test_a_session_without_evals_is_left_to_xdist(project: Project) -> None:
    project.pytester.makepyfile(test_plain=PLAIN)
    project.pytester.makeconftest(
        """
        import sys

        def pytest_sessionfinish(session):
            if not hasattr(session.config, "workerinput"):
                assert "pytest_evals.plugin.xdist.evals" not in sys.modules
        """
    )
    result = project.pytester.runpytest_subprocess("test_plain.py", "-n2", "-p", "no:randomly")
    assert result.ret == 0
    result.assert_outcomes(passed=6)
    assert not (project.path / "outputs").exists()


def test_a_gate_whose_item_is_skipped_has_judged_nothing(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                if item.name.startswith("gate"):
                    item.add_marker(pytest.mark.skip)
        """
    )
    project.evals('[[eval]]\nenv_id = "sums"', url=url)
    result = project.run("bench.toml", "-n2")
    assert result.ret == 1
    result.assert_outcomes(passed=12, skipped=1, failed=1)
    result.stdout.fnmatch_lines(["NOT JUDGED: sums: error_rate <= 0: its item did not run"])


ONCE = """
    from pathlib import Path
    from pytest_evals.plugin.xdist import reports

    encode = reports.encode_result

    def note(name, word):
        with open(name, "a") as file:
            file.write(word + "\\n")

    def encode_result(result, mask):
        note("encoded", "one")
        return encode(result, mask)

    reports.encode_result = encode_result

    def pytest_evals_rollout_complete(result):
        note("shown", result.outcome)
"""


def test_a_rollout_travels_once_to_a_hook(project: Project, url: str) -> None:
    project.pytester.makeconftest(ONCE)
    project.environment(
        "odd",
        """
        import pytest_evals as vf

        def odd(info):
            if info["n"] == 0:
                raise vf.InfraError("the judge is down")
            if info["n"] == 1:
                raise ValueError("broken")
            return 1.0

        def load_environment():
            rows = [{"question": "?", "info": {"n": n}} for n in range(4)]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[odd]))
        """,
    )
    bench = '[[eval]]\nenv_id = "odd"\nrollouts_per_example = 1\ngates = ["error_rate <= 0.5"]'
    project.evals(bench, url=url)
    project.run("bench.toml", "-n2")
    encoded = (project.path / "encoded").read_text().split()
    shown = sorted((project.path / "shown").read_text().split())
    assert len(encoded) == 4
    assert len(shown) == 4
    assert {"scored", "unmeasured"} <= {*shown}
