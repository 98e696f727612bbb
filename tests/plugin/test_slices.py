"""Gates by slices: what a session says of them, and what it refuses before anything is asked."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import pytest

from .conftest import Project

# Right where the number is not a multiple of 4: of the sums 6 of 8, of the proofs 0 of 4.
TASKS = """
    import pytest_evals as vf

    def load_environment(tasks=True, hostile=False):
        rows = []
        for n in range(12):
            row = {"question": f"What is {n} + {n}?", "answer": str(n)}
            row["info"] = {"level": "hard" if n >= 8 else "easy", "plain": None, "list": [n]}
            row["origin"] = "\\x1b[31m::error::" + "z" * 300 if hostile and n >= 8 else f"o{n // 8}"
            if tasks:
                row["task"] = "proof" if n >= 8 else "sums"
            rows.append(row)

        def quality(answer):
            return float(int(answer) < 8 and int(answer) % 4 != 0)

        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[quality]))
"""
EVAL = """
[[eval]]
env_id = "tasks"
num_examples = 12
rollouts_per_example = 1
gates = [{gate}]
"""


def gated(project: Project, url: str, gate: str, *args: str, more: str = "") -> pytest.RunResult:
    project.environment("tasks", TASKS)
    project.evals(EVAL.format(gate=gate) + more, url=url)
    return project.run("bench.toml", "--junitxml=report.xml", *args)


def case(project: Project, name: str) -> ET.Element:
    """Return the test case of a gate."""
    cases = ET.parse(project.path / "report.xml").iter("testcase")
    return next(each for each in cases if each.get("name") == name)


@pytest.mark.workers
@pytest.mark.parametrize("by", ["task", "info.level", "origin"])
def test_a_red_slice_is_named_everywhere(project: Project, url: str, by: str) -> None:
    gate = f'{{ metric = "reward", min = 0.5, by = "{by}" }}, "reward >= 0.5"'
    result = gated(project, url, gate, "--evals-report-json=report.json")
    assert result.ret == 1, result.stdout.str()
    names = {"task": ["proof", "sums"], "info.level": ["hard", "easy"], "origin": ["o1", "o0"]}
    bad, good = names[by]
    line = f"reward by {by}: 1 of 2 slices failed; worst {bad}: reward 0.000 < 0.5 (se *"
    text = result.stdout.str()
    flat = " ".join(text.split())
    assert f"FAILED reward by {by}: 1 of 2 slices failed; worst {bad}: reward 0.000 < 0.5" in flat
    result.stdout.fnmatch_lines(
        [
            line,
            "  slice *",
            f"  {bad} * 4  0.000  0.000 to 0.* failed",
            f"  {good} * 8  0.750 *passed",
        ]
    )
    result.stdout.fnmatch_lines(["lowest examples: 8 (0.000), 9 (0.000)*"])
    name = f"gate-reward-by-{by}"
    properties = {
        str(each.get("name")): str(each.get("value"))
        for each in case(project, name).iter("property")
    }
    assert properties["evals.verdict"] == "failed"
    assert properties["evals.by"] == by
    assert [line.split()[0] for line in properties["evals.slices"].splitlines()] == [
        "slice", bad, good,
    ]  # fmt: skip
    (figures,) = [each for each in project.metadata()["gates"] if each["name"] == name]
    assert [each["name"] for each in figures["slices"]] == [bad, good]
    assert (figures["slices"][0]["value"], figures["slices"][0]["n_examples"]) == (0.0, 4)
    document = json.loads((project.path / "report.json").read_text())
    assert document["evals"][0]["gates"] == project.metadata()["gates"]


def test_what_is_green(project: Project, url: str) -> None:
    gate = (
        '{ metric = "reward", min = 0.5, by = "task", tier = "advisory" },'
        ' { metric = "reward", min = 0.0, by = "task" },'
        ' { metric = "reward", min = 0.9, by = "info.level", rule = "evidence",'
        " confidence = 0.9999 }"
    )
    result = gated(project, url, gate)
    assert result.ret == 0, result.stdout.str()
    flat = " ".join(result.stdout.str().split())
    assert "advisory, failed reward by task: 1 of 2 slices failed" in flat
    assert "passed reward by task: all of 2 slices passed; worst proof: reward 0.000" in flat
    assert "inconclusive reward by info.level: 2 of 2 slices inconclusive" in flat


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (
            "info.levle",
            "no example has a text or a number in 'info.levle' (did you mean 'info.level'?)",
        ),
        ("info.plain", "no example has a text or a number in 'info.plain'"),
        ("info.list", "; they have 'task', 'origin', 'info.level'"),
        ("color", "no example has a text or a number in 'color'"),
        ("answer", "by = 'answer' is a column of every result"),
        ("quality", "by = 'quality' is the name of a metric, which rows hold under it"),
        ("reward", "by = 'reward' is a column of every result"),
    ],
)
def test_a_column_that_is_not_there_costs_nothing(
    project: Project, url: str, by: str, message: str
) -> None:
    result = gated(
        project, url, f'"reward >= 0.1", {{ metric = "reward", min = 0.5, by = "{by}" }}'
    )
    assert result.ret == 1
    assert message in result.stdout.str()
    assert f"bench.toml:9: gate 'reward by {by} >= 0.5': " in result.stdout.str()
    assert not project.runs()


def test_a_column_that_some_examples_lack(project: Project, url: str) -> None:
    project.environment("tasks", TASKS.replace("if tasks:", "if n > 2:"))
    project.evals(EVAL.format(gate='{ metric = "reward", min = 0.5, by = "task" }'), url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*: 3 of 12 examples have no text or number in 'task' (0, 1, 2)*"])
    assert not project.runs()


def test_a_slice_too_small_for_a_proof_costs_nothing(project: Project, url: str) -> None:
    gate = '{ metric = "reward", min = 0.6, by = "task", rule = "proof" }'
    result = gated(project, url, gate)
    assert result.ret == 1
    assert (
        "gate 'reward by task >= 0.6': proof has 4 examples, which prove nothing, whatever"
        " the model does: among 2 slices it takes at least 6"
    ) in result.stdout.str()
    assert not project.runs()


def test_a_baseline_has_no_slices(project: Project, url: str) -> None:
    gate = '{ metric = "reward", baseline = "main", max_drop = 0.1, by = "task" }'
    result = gated(project, url, gate)
    assert result.ret == 1
    assert "bench.toml:9: gates[0]: a gate with a baseline compares all" in result.stdout.str()
    assert not project.runs()


@pytest.mark.workers
def test_hostile_names(project: Project, url: str) -> None:
    gate = '{ metric = "reward", min = 0.5, by = "origin" }'
    result = gated(project, url, gate, "--color=no", more="env_args = { hostile = true }\n")
    assert result.ret == 1
    text = result.stdout.str() + (project.path / "report.xml").read_text()
    assert "\x1b" not in text
    assert not any(line.strip().startswith("::error") for line in text.splitlines())
    assert "z" * 100 not in text
    assert "\\x1b[31m::error::zz" in result.stdout.str()


def test_test_functions_are_parted_by_their_parameters(project: Project) -> None:
    project.pytester.makepyfile(
        test_it="""
        import pytest

        gates = [{"metric": "reward", "min": 0.5, "by": "info.word"}]

        @pytest.mark.evals(rollouts=2, gates=gates)
        @pytest.mark.parametrize("number", [1, 2])
        @pytest.mark.parametrize("word", ["good", "bad"])
        def test_words(word, number):
            return float(word == "good")
        """
    )
    result = project.run("test_it.py")
    assert result.ret == 1
    assert "reward by info.word: 1 of 2 slices failed; worst bad: reward 0.000 < 0.5" in " ".join(
        result.stdout.str().split()
    )


def test_stored_rows_without_the_column(project: Project, url: str) -> None:
    assert gated(project, url, '"reward >= 0.5"').ret == 0
    project.evals(EVAL.format(gate='{ metric = "reward", min = 0.5, by = "origin" }'), url=url)
    judged = project.run("bench.toml", "--evals-regate=outputs")
    assert judged.ret == 1
    assert "the rows of 12 examples (0, 1, 2 and 9 more) do not say one origin" in " ".join(
        judged.stdout.str().split()
    )
    # What an example says in its task or info is in every row.
    project.evals(EVAL.format(gate='{ metric = "reward", min = 0.0, by = "task" }'), url=url)
    assert project.run("bench.toml", "--evals-regate=outputs").ret == 0


def test_a_selftest_says_that_it_is_not_tried(project: Project, url: str) -> None:
    gate = '{ metric = "reward", min = 0.5, by = "task" }'
    result = gated(project, url, gate, "--evals-gate-selftest")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["  reward by task >= 0.5 (point): not tried: *each slice has"])
