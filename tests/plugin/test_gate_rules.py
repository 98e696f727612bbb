"""Gates by evidence and proof: exit code, screen, JUnit file and metadata agree."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from .conftest import Project

# Some of its answers are wrong: 17 of 20 are right with this seed.
EVAL = """
[[eval]]
env_id = "sums"
env_args = {{ examples = 20 }}
num_examples = 20
rollouts_per_example = 1
gates = [{gate}]
"""


def gated(project: Project, url: str, gate: str) -> pytest.RunResult:
    project.evals(EVAL.format(gate=gate), url=url)
    return project.run("bench.toml", "--junitxml=report.xml")


def properties(project: Project) -> dict[str, str | None]:
    """Return the properties of the gate on the reward."""
    for case in ET.parse(project.path / "report.xml").iter("testcase"):
        if case.get("name") == "gate-reward":
            return {str(p.get("name")): p.get("value") for p in case.iter("property")}
    raise AssertionError("no gate in the JUnit file")


@pytest.mark.workers
@pytest.mark.parametrize(
    ("gate", "code", "outcome", "word"),
    [
        ('"reward >= 0.9"', 1, "failed", "FAILED"),
        ('{ metric = "reward", min = 0.9 }', 1, "failed", "FAILED"),
        ('{ metric = "reward", min = 0.9, rule = "evidence" }', 0, "inconclusive", "inconclusive"),
        ('{ metric = "reward", min = 0.8, rule = "proof" }', 1, "inconclusive", "INCONCLUSIVE"),
        ('{ metric = "reward", min = 0.5, rule = "proof" }', 0, "passed", "passed"),
        ('{ metric = "reward", min = 0.99, rule = "evidence" }', 1, "failed", "FAILED"),
        ('{ metric = "reward", min = 0.9, tier = "advisory" }', 0, "failed", "advisory, failed"),
    ],
)
def test_rules(project: Project, url: str, gate: str, code: int, outcome: str, word: str) -> None:
    result = gated(project, url, gate)
    assert result.ret == code, result.stdout.str()
    result.stdout.fnmatch_lines([f"  {word}  reward 0.850*bounds 0.6*0.9*"])
    assert properties(project)["evals.verdict"] == outcome
    metadata = project.metadata()
    assert metadata["verdict"] == ("passed" if code == 0 else outcome)
    (reward, _) = metadata["gates"]
    assert (reward["outcome"], reward["is_red"]) == (outcome, code == 1)


def test_what_a_gate_is_worth_is_said_once(project: Project, url: str) -> None:
    result = gated(project, url, '"reward >= 0.5", "reward >= 0.6"')
    assert result.ret == 0
    lines = [line for line in result.outlines if "a model exactly at the limit fails" in line]
    assert len(lines) == 1
    assert 'rule = "evidence" fails it' in result.stdout.str()


def test_a_gate_that_decides_nothing_leaves_the_eval_ungated(project: Project, url: str) -> None:
    result = gated(project, url, '{ metric = "reward", min = 0.9, tier = "advisory" }')
    result.stdout.fnmatch_lines(["sums *passed, not gated"])


def test_a_proof_out_of_reach_costs_nothing(project: Project, url: str) -> None:
    result = gated(project, url, '{ metric = "reward", min = 0.9, rule = "proof" }')
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*bench.toml:10: eval 'sums': gates[[]0[]]: 'reward >= 0.9' cannot be proved with 20"
         " examples*at least 29"]
    )  # fmt: skip
    assert not project.runs()


def test_an_unmeasured_rollout_warns_where_the_gate_says_so(project: Project, url: str) -> None:
    gate = '{ metric = "correct", min = 0.84, on_inconclusive = "warn" }, "error_rate <= 0.5"'
    project.environment(
        "sums",
        """
        import pytest_evals as vf
        from pytest_evals.errors import InfraError

        def correct(completion, state):
            return float(state["example_id"] != 1)

        class Env(vf.SingleTurnEnv):
            async def rollout(self, *args, **kwargs):
                state = await super().rollout(*args, **kwargs)
                if state["example_id"] < 4:
                    state["error"] = InfraError("no box")
                return state

        def load_environment(examples):
            rows = [{"question": str(n), "answer": "0"} for n in range(examples)]
            return Env(dataset=rows, rubric=vf.Rubric(funcs=[correct]))
        """,
    )
    result = gated(project, url, gate)
    assert result.ret == 0, result.stdout.str()
    result.stdout.fnmatch_lines(["  inconclusive  correct >= 0.84 undecided: between 0.800 and*"])
    assert gated(project, url, gate.replace("warn", "fail")).ret == 1


@pytest.mark.parametrize(
    ("gate", "message"),
    [
        ('{ metric = "reward" }', "gates[0]: a gate on 'reward' needs 'min' or 'max'"),
        ('{ metric = "reward", min = 0.8, rule = "sure" }', "gates[0]: rule must be one of point"),
        ('"reward >= 0.8", { min = 0.8 }', "gates[1]: a gate needs a metric"),
    ],
)
def test_mistakes_are_named(project: Project, url: str, gate: str, message: str) -> None:
    result = gated(project, url, gate)
    assert result.ret == 1
    assert f"bench.toml:10: {message}" in result.stdout.str()


def test_gates_of_the_long_form_are_shown_as_they_were_written(project: Project, url: str) -> None:
    gate = '{ metric = "reward", min = 0.5, rule = "proof" }'
    project.evals(EVAL.format(gate=gate), url=url)
    result = project.run("bench.toml", "--evals-show-config", "--collect-only")
    assert f"  {gate},  # bench.toml:10" in result.stdout.str()


@pytest.mark.workers
def test_a_red_gate_names_the_worst_examples(project: Project, url: str) -> None:
    result = gated(project, url, '"reward >= 0.9"')
    result.stdout.fnmatch_lines(["lowest examples: * (0.000), * (0.000), * (0.000)"])
    failure = next(ET.parse(project.path / "report.xml").iter("failure"))
    assert "lowest examples: " in str(failure.text)
    assert "lowest" not in str(failure.get("message"))
    (reward, _) = project.metadata()["gates"]
    assert reward["worst"].startswith("lowest examples: ")
