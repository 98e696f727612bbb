"""Gates that every example has to meet, in sessions."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from .conftest import Project
from .test_slices import EVAL, TASKS


def gated(project: Project, url: str, gate: str, *args: str) -> pytest.RunResult:
    project.environment("tasks", TASKS)
    project.evals(EVAL.format(gate=gate), url=url)
    return project.run("bench.toml", "--junitxml=report.xml", *args)


@pytest.mark.workers
def test_the_examples_below_are_named(project: Project, url: str) -> None:
    gate = '{ metric = "reward", each_min = 0.5, quarantine = ["0", "1", "77"] }'
    result = gated(project, url, gate)
    assert result.ret == 1, result.stdout.str()
    line = "each reward: 5 of 10 examples < 0.5, lowest 4 (0.000) (1 rollout each, 12 of 12 scored,"
    line += " 2 in quarantine, of which 1 passes and could leave it: 1, 1 in its list is no example"
    line += " of this run: 77)"
    assert line in " ".join(result.stdout.str().split())
    result.stdout.fnmatch_lines(
        ["examples below 0.5: 4 (0.000), 8 (0.000), 9 (0.000), 10 (0.000), 11 (0.000)"]
    )
    (case,) = [
        each
        for each in ET.parse(project.path / "report.xml").iter("testcase")
        if each.get("name") == "gate-each-reward"
    ]
    properties = {str(p.get("name")): p.get("value") for p in case.iter("property")}
    assert properties["evals.verdict"] == "failed"
    assert properties["evals.quarantine"] == "0, 1, 77"
    assert str(properties["evals.worst"]).startswith("examples below 0.5: 4 (0.000)")
    (figures, _) = project.metadata()["gates"]
    assert (figures["each"], figures["quarantine"]) == (True, ["0", "1", "77"])
    assert (figures["value"], figures["lower"], figures["upper"]) == (0.0, None, None)


@pytest.mark.workers
def test_those_in_quarantine_decide_nothing(project: Project, url: str) -> None:
    gate = '{ metric = "quality", each_min = 1, quarantine = [0, 4, 8, 9, 10, 11] }'
    result = gated(project, url, gate)
    assert result.ret == 0, result.stdout.str()
    assert "passed each quality: all of 6 examples >= 1, lowest 1 (1.000)" in " ".join(
        result.stdout.str().split()
    )
    assert project.metadata()["verdict"] == "passed"


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        (
            '{ metric = "reward", each_min = 0.5, rule = "evidence" }',
            "bench.toml:9: gates[0]: each_min has rule = 'point'",
        ),
        (
            '{ metric = "reward", each_mni = 0.5 }',
            "bench.toml:9: gates[0]: a gate has no key 'each_mni'; did you mean 'each_min'?",
        ),
        (
            f'{{ metric = "reward", each_min = 0.5, quarantine = {[*range(12)]} }}',
            "bench.toml:9: gate 'each reward >= 0.5': every example is in quarantine",
        ),
    ],
)
def test_mistakes_cost_nothing(project: Project, url: str, gate: str, message: str) -> None:
    result = gated(project, url, gate)
    assert result.ret == 1
    assert message in result.stdout.str()
    assert not project.runs()


def test_it_is_shown_as_it_was_written(project: Project, url: str) -> None:
    gate = '{ metric = "reward", each_min = 0.5, quarantine = ["17", "4"] }'
    result = gated(project, url, gate, "--evals-show-config", "--collect-only")
    assert f"  {gate},  # bench.toml:9" in result.stdout.str()


def test_a_selftest_says_that_it_is_not_tried(project: Project, url: str) -> None:
    result = gated(project, url, '{ metric = "reward", each_min = 0.5 }', "--evals-gate-selftest")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["  each reward >= 0.5 (point): not tried: *examples differ"])


def test_a_gate_on_each_reward_gates_an_eval(project: Project, url: str) -> None:
    result = gated(project, url, '{ metric = "reward", each_min = 0 }')
    assert result.ret == 0
    assert "not gated" not in result.stdout.str()
