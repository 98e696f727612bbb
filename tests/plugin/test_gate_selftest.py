"""--evals-gate-selftest prints how often gates would be red, and runs nothing."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

EVAL = """
[[eval]]
env_id = "sums"
env_args = { examples = 20 }
num_examples = 20
rollouts_per_example = 1
gates = [
    "reward >= 0.8",
    { metric = "reward", min = 0.8, rule = "evidence" },
    { metric = "correct", min = 0.5, rule = "evidence" },
]
"""


@pytest.mark.workers
def test_gates_are_tried_without_anything_else(project: Project) -> None:
    project.environment("sums", "raise SystemExit('imported')")
    with DemoServer() as server:
        project.evals(EVAL, url=server.url)
        result = project.run("bench.toml", "--evals-gate-selftest", "--junitxml=report.xml")
        assert server.requests == 0
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "sums: 20 examples x 1 rollout",
            "  reward >= 0.8 (point): red *, 37.0 % at 0.8, *",
            "    (exact for values at either end of the range)",
            "  reward >= 0.8 (evidence): red *, 3.2 % at 0.8, *",
            "  correct >= 0.5 (evidence): red *",
            "  error_rate <= 0 (point): red * at 0.001, *",
            "evals: 2 gates go by evidence: *noise alone turns the session red up to 5% of the*",
        ]
    )
    assert not project.runs()


def test_all_examples_are_counted(project: Project, url: str) -> None:
    project.evals(EVAL.replace("num_examples = 20", "num_examples = -1"), url=url)
    result = project.run("bench.toml", "--evals-gate-selftest")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["sums: 20 examples x 1 rollout"])


def test_one_gate_of_a_file(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    result = project.run("bench.toml", "--evals-gate-selftest", "-k", "error_rate")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("  reward*")


def test_a_file_that_cannot_be_read(project: Project) -> None:
    project.evals("[[eval]]\nenv = 1\n")
    assert project.run("bench.toml", "--evals-gate-selftest").ret == 1


def test_stored_rows_are_not_looked_at(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    result = project.run("bench.toml", "--evals-gate-selftest", "--evals-regate=outputs")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.workers
def test_the_header_says_what_several_evidence_gates_come_to(project: Project, url: str) -> None:
    project.evals(EVAL, url=url)
    result = project.run("bench.toml")
    result.stdout.fnmatch_lines(["evals: 2 gates go by evidence: with every model exactly at *5%*"])
    again = project.run("bench.toml", "--evals-regate=outputs")
    again.stdout.fnmatch_lines(["evals: 2 gates go by evidence: with every model exactly at *"])
    one = EVAL.replace('min = 0.5, rule = "evidence"', "min = 0.5")
    project.evals(one, url=url)
    project.run("bench.toml").stdout.no_fnmatch_line("evals: * gates go by evidence*")
