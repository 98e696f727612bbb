"""Baselines in sessions: saved by one, compared with in the next."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.gates.grammar import parse_gate
from pytest_evals.gates.verdicts import judge
from pytest_evals.plugin.baseline_values import compared_with, contents_of
from pytest_evals.stats.measurements import Measurements, Plan
from pytest_evals.store.baselines import read_baseline

from .conftest import Project

BENCH = """
[[eval]]
env_id = "sums"
num_examples = 4
rollouts_per_example = 1
"""
GATE = '{{ metric = "reward", baseline = "main", max_drop = 0.02{} }}'

# The reward is what the environment's file says, whatever the model answers.
TOLD = """
    import json
    from pathlib import Path

    import pytest_evals as vf

    TOLD = json.loads((Path(__file__).parent / "told.json").read_text())

    def told(info):
        return TOLD["rewards"][info["place"] % len(TOLD["rewards"])]

    def load_environment():
        rows = [
            {
                "example_id": n,
                "question": TOLD.get("prompt", "What is {n}?").format(n=n),
                "answer": TOLD.get("answer", "{n}").format(n=n),
                "info": {"place": n},
            }
            for n in TOLD.get("ids", range(20))
        ]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[told]))
"""


def gated(more: str = "", bench: str = BENCH) -> str:
    return f"{bench}gates = [{GATE.format(more)}]\n"


class Told:
    """An eval whose rewards the test says, and its baseline."""

    def __init__(self, project: Project, url: str) -> None:
        self.project, self.url = project, url
        project.environment("told", TOLD)
        self.bench = BENCH.replace("sums", "told").replace("= 4", "= 20")

    def run(self, *args: str, gate: str | None = "", **told: Any) -> pytest.RunResult:
        path = self.project.path / "environments" / "told.json"
        path.write_text(json.dumps(told))
        text = self.bench if gate is None else gated(gate, self.bench)
        self.project.evals(text, url=self.url)
        return self.project.run("bench.toml", *args)

    def save(self, name: str = "main", **told: Any) -> None:
        assert self.run("--evals-save-baseline", name, gate=None, **told).ret == 0


@pytest.fixture
def told(project: Project, url: str) -> Told:
    return Told(project, url)


def saved(project: Project, name: str = "main", eval_name: str = "sums") -> Path:
    return project.path / "baselines" / "bench" / f"{eval_name}.{name}.jsonl"


@pytest.mark.workers
def test_a_run_is_saved_and_the_next_one_compared_with_it(project: Project, url: str) -> None:
    project.evals(BENCH, url=url)
    result = project.run("bench.toml", "--evals-save-baseline", "main")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["baseline 'main' of sums: baselines/bench/sums.main.jsonl (4 *"])
    lines = [json.loads(line) for line in saved(project).read_text().splitlines()]
    assert [line["id"] for line in lines[1:]] == [0, 1, 2, 3]
    assert lines[0]["model"] == "demo-small"
    project.evals(gated(', rule = "evidence"'), url=url)
    result = project.run("bench.toml", "--junitxml=evals.xml")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*inconclusive  reward drop 0.000, not shown to be > 0.02 from main (*4 pairs:*bounds*"]
    )
    (gate,) = [each for each in project.metadata(project.runs()[-1])["gates"] if "baseline" in each]
    assert (gate["baseline"], gate["n_examples"], gate["value"]) == (["main"], 4, 0.0)
    assert 'name="evals.baseline" value="main"' in (project.path / "evals.xml").read_text()


@pytest.mark.workers
def test_a_red_gate_names_what_moved_most(told: Told) -> None:
    told.save(rewards=[1.0])
    result = told.run("--junitxml=evals.xml", gate=', rule = "evidence"', rewards=[0.0, 0.5, 1.0])
    assert result.ret == 1
    moved = "moved most: 0 1 -> 0, 3 1 -> 0, 6 1 -> 0, 9 1 -> 0, 12 1 -> 0"
    result.stdout.fnmatch_lines([moved, "*FAILED  reward drop 0.525 > 0.02 from main, shown*"])
    tree = ElementTree.parse(told.project.path / "evals.xml")
    (failure,) = tree.iter("failure")
    assert moved in (failure.text or "")


def test_saving_again_replaces_and_is_the_same_text(told: Told) -> None:
    told.save(rewards=[1.0, 0.25])
    path = saved(told.project, eval_name="told")
    before = path.read_text()
    told.save(rewards=[1.0, 0.25])
    assert path.read_text() == before
    told.save(rewards=[1.0, 0.5])
    assert '"reward": [0.5]' in path.read_text()


def test_several_baselines_pool(told: Told) -> None:
    told.save("main", rewards=[1.0])
    told.save("main-2", rewards=[0.0])
    told.bench = told.bench + 'gates = [{ metric = "told", baseline = ["main", "main-2"],'
    told.bench += ' max_drop = 0.1 }, { metric = "reward", baseline = "main", max_drop = 0.1 }]\n'
    result = told.run(gate=None, rewards=[0.5])
    result.stdout.fnmatch_lines(
        [
            "*passed  told drop 0.000 <= 0.1 from main and main-2 (0.500 -> 0.500*",
            "*FAILED  reward drop 0.500 > 0.1 from main (1.000 -> 0.500*",
        ]
    )


def test_a_session_that_saves_compares_with_what_was_there_before(told: Told) -> None:
    told.save(rewards=[1.0])
    result = told.run("--evals-save-baseline", "main", rewards=[0.0])
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*drop 1.000 > 0.02 from main*", "baseline 'main' of told*"])
    assert told.run(rewards=[0.0]).ret == 0


@pytest.mark.workers
def test_the_first_session_that_saves_has_nothing_to_compare_with(told: Told) -> None:
    result = told.run("--evals-save-baseline", "main", rewards=[1.0])
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*INCONCLUSIVE  reward drop*there is no baseline 'main'*yet, and this run is to*",
            "baseline 'main' of told: *",
        ]
    )
    assert told.run(rewards=[1.0]).ret == 0


@pytest.mark.workers
def test_a_missing_baseline_is_an_error_before_anything_is_asked(project: Project) -> None:
    with DemoServer() as server:
        project.evals(gated(), url=server.url)
        result = project.run("bench.toml")
        assert server.requests == 0
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*bench.toml:9: gate 'reward drop <= 0.02 from main': there is no baseline 'main'"
            " (baselines/bench/sums.main.jsonl); pytest bench.toml::sums --evals-save-baseline main"
            " makes it*"
        ]
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("<<<<<<< HEAD\n", "line 1: a merge conflict that was not resolved"),
        ('{"format": "pytest-evals baseline", "version": 7}\n', "line 1: a baseline of version 7"),
        ("\x1b[31m", "line 1: not JSON"),
    ],
)
def test_a_broken_baseline_is_an_error_too(
    project: Project, url: str, text: str, problem: str
) -> None:
    project.evals(gated(), url=url)
    saved(project).parent.mkdir(parents=True)
    saved(project).write_text(text)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*bench.toml:9: gate*is broken: {problem}*makes it anew*"])


def test_a_baseline_that_is_a_folder(project: Project, url: str) -> None:
    project.evals(gated(), url=url)
    saved(project).mkdir(parents=True)
    result = project.run("bench.toml", "--evals-save-baseline", "main")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*is broken: *directory*"])


def test_a_metric_that_the_baseline_lacks(told: Told) -> None:
    told.save(rewards=[1.0])
    path = saved(told.project, eval_name="told")
    path.write_text(path.read_text().replace('"told": ', '"tone": '))
    told.bench += 'gates = [{ metric = "told", baseline = "main", max_drop = 0.1 }]\n'
    result = told.run(gate=None, rewards=[1.0])
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*baseline 'main' has no metric 'told'; its metrics are *tone'*"])


def test_a_proof_that_needs_more_examples(told: Told) -> None:
    told.save(rewards=[1.0])
    result = told.run(gate=', rule = "proof"', rewards=[1.0])
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*bench.toml:9: gate *cannot be proved with 20 examples: where none of them changes, a"
            " drop of 0.139 is still possible; it takes at least 149*"
        ]
    )
    told.save(rewards=[0.3, 0.6])
    assert "cannot be proved" not in told.run(gate=', rule = "proof"', rewards=[1.0]).stdout.str()


@pytest.mark.workers
def test_another_sampling_is_not_comparable(told: Told) -> None:
    told.save(rewards=[1.0])
    told.bench += "temperature = 0.5\n"
    result = told.run(rewards=[1.0])
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*INCONCLUSIVE: reward drop <= 0.02 from main undecided: not comparable with main:"
            " sampling differs: temperature is not set there and 0.5 here"
        ]
    )
    assert told.run(gate=', on_inconclusive = "warn"', rewards=[1.0]).ret == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"prompt": "Say {n}!"}, "prompts differ in 20 of 20 examples (0, 1, 2 and 17 more)"),
        ({"answer": "x{n}"}, "dataset differs in 20 of 20 examples"),
    ],
)
def test_other_examples_of_the_same_ids_are_not_comparable(
    told: Told, change: dict[str, str], words: str
) -> None:
    told.save(rewards=[1.0])
    result = told.run(rewards=[1.0], **change)
    assert result.ret == 1
    assert words in result.stdout.str()


def test_another_model_is_what_is_compared(told: Told) -> None:
    told.save(rewards=[1.0])
    told.bench += 'model = "demo-large"\n'
    assert told.run(rewards=[1.0]).ret == 0


def test_other_ids_are_counted_and_too_few_pairs_decide_nothing(told: Told) -> None:
    told.save(rewards=[1.0])
    result = told.run(rewards=[1.0], ids=[*range(3, 22), 30])
    assert result.ret == 0
    assert "17 pairs" in result.stdout.str()
    assert "3 only here: 20, 21, 30, 3 only in main: 0, 1, 2" in result.stdout.str()
    result = told.run(rewards=[1.0], ids=[*range(15, 35)])
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*INCONCLUSIVE*only 5 of 20 examples can be compared (*"])


JUDGED = """
    import pytest_evals as vf

    class Judge:
        async def get_response(self, *args, **kwargs):
            raise AssertionError("nobody asks")

    def good():
        return 1.0

    def load_environment(judge="j"):
        rows = [{"question": f"What is {n}?", "answer": str(n)} for n in range(4)]
        rubric = vf.JudgeRubric(judge_client=Judge(), judge_model=judge)
        rubric.add_reward_func(good)
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.RubricGroup([rubric]))
"""


@pytest.mark.workers
def test_another_judge_is_not_comparable(project: Project, url: str) -> None:
    bench = BENCH.replace("sums", "judged")
    project.environment("judged", JUDGED)
    project.evals(bench, url=url)
    assert project.run("bench.toml", "--evals-save-baseline", "main").ret == 0
    project.environment("judged", JUDGED.replace('judge="j"', 'judge="k"'))
    project.evals(gated(bench=bench), url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(['*judge differs: judge is *"j"*there and *"k"*here*'])


UNMEASURED = """
    import pytest_evals as vf

    class Env(vf.SingleTurnEnv):
        async def setup_state(self, state):
            if state["example_id"] == 1:
                raise vf.InfraError("the sandbox is gone")
            return state

    def load_environment():
        rows = [{"question": f"What is {n}?", "answer": str(n)} for n in range(4)]
        return Env(dataset=rows, rubric=vf.Rubric(funcs=[lambda: 1.0]))
"""


class TestNotSaved:
    """An asked-for baseline that cannot be saved is told, and turns nothing red by itself."""

    def told(self, project: Project, result: pytest.RunResult, why: str) -> None:
        result.stdout.fnmatch_lines([f"BASELINE NOT SAVED: 'main' of sums: {why}"])
        assert not saved(project).exists()

    @pytest.mark.workers
    def test_under_a_selection(self, project: Project, url: str) -> None:
        project.evals(BENCH, url=url)
        save = ("--evals-save-baseline", "main", "--evals-partial")
        result = project.run("bench.toml::sums::1-r0", *save)
        assert result.ret == 0
        self.told(project, result, "only a part of the run is there: 1 of 4 rollouts")
        result = project.run("bench.toml", "-k", "sums", *save)
        assert result.ret == 0
        self.told(project, result, "under -k, *")

    def test_after_a_stop(self, project: Project, url: str) -> None:
        project.evals(BENCH.replace("1\n", "1\npass_reward = 2\n"), url=url)
        result = project.run("bench.toml", "-x", "--evals-save-baseline", "main")
        assert result.ret == 1
        self.told(project, result, "only a part of the run is there: *")

    @pytest.mark.workers
    def test_with_unmeasured_rollouts(self, project: Project, url: str) -> None:
        project.environment("sums", UNMEASURED)
        project.evals(BENCH + 'gates = ["error_rate <= 0.9"]\n', url=url)
        result = project.run("bench.toml", "--evals-save-baseline", "main")
        assert result.ret == 0
        self.told(project, result, "1 of 4 rollouts have no reward")

    def test_where_nothing_can_be_written(self, project: Project, url: str) -> None:
        project.evals(BENCH, url=url)
        (project.path / "baselines").write_text("a file")
        result = project.run("bench.toml", "--evals-save-baseline", "main")
        assert result.ret == 0
        self.told(project, result, "*baselines*")

    @pytest.mark.parametrize("name", ["../main", "release/1.2", "", "a b", "main.jsonl"])
    def test_under_what_is_no_name(self, project: Project, url: str, name: str) -> None:
        project.evals(BENCH, url=url)
        result = project.run("bench.toml", f"--evals-save-baseline={name}")
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["*a baseline is named with letters, digits and _ + -*"])


FUNCTION = """
    import pytest

    @pytest.mark.evals(rollouts=2, gates=[%s])
    @pytest.mark.parametrize("n", [1, 2, 3])
    def test_number(n):
        return %s
"""


@pytest.mark.workers
def test_evals_that_are_test_functions(project: Project) -> None:
    project.pytester.makepyfile(test_numbers=FUNCTION % ("", "1.0"))
    save = ("test_numbers.py", "--evals-save-baseline", "main")
    assert project.run(*save).ret == 0
    assert (project.path / "baselines" / "test_numbers" / "test_number.main.jsonl").is_file()
    gate = '{"metric": "reward", "baseline": "main", "max_drop": 0.1}'
    project.pytester.makepyfile(test_numbers=FUNCTION % (gate, "0.0 if n == 2 else 1.0"))
    result = project.run("test_numbers.py")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*reward drop 0.333 > 0.1 from main*", "*moved most: * 1 -> 0*"])
    project.pytester.makepyfile(test_numbers=FUNCTION % (gate.replace("main", "mian"), "1.0"))
    result = project.run("test_numbers.py")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*there is no baseline 'mian'*test_numbers.py::test_number --*"])


def test_an_environment_without_a_file(project: Project, url: str) -> None:
    common = (
        "environments/sums.py",
        "--evals-num-examples=4",
        f"--evals-api-base-url={url}",
        "--evals-model=demo-small",
    )
    assert project.run(*common, "--evals-save-baseline", "main").ret == 0
    assert (project.path / "baselines" / "sums.main.jsonl").is_file()
    gates = "--evals-set=gates=[{metric='reward', baseline='main', max_drop=0.9}]"
    result = project.run(*common, gates)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*reward drop * <= 0.9 from main*"])


def test_no_secret_reaches_the_file(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_API_KEY", "sk-very-secret-0815")
    project.evals(BENCH + 'env_args = { answer = "sk-very-secret-0815" }\n', url=url)
    result = project.run("bench.toml", "--evals-save-baseline", "main")
    assert result.ret == 0
    assert "very-secret" not in saved(project).read_text()


def test_evals_that_would_save_to_one_file(project: Project, url: str) -> None:
    project.pytester.makepyfile(test_numbers=FUNCTION % ("", "1.0"))
    named = BENCH.replace("[[eval]]", '[[eval]]\nname = "test_number"')
    project.evals(named, url=url, name="test_numbers.toml")
    paths = ("test_numbers.py", "test_numbers.toml")
    result = project.run(*paths, "--evals-save-baseline", "main")
    result.stdout.fnmatch_lines(["BASELINE NOT SAVED: 'main' of *: * is also that of *"] * 2)
    assert not (project.path / "baselines").exists()


def test_show_config_has_the_gate_as_it_was_written(project: Project, url: str) -> None:
    relative = ", relative_below = { baseline = 0.2, max_relative_drop = 0.1 }"
    project.evals(gated(relative), url=url)
    result = project.run("bench.toml", "--evals-show-config", "--evals-save-baseline", "main")
    result.stdout.fnmatch_lines(
        ['*{*baseline = "main", max_drop = 0.02, relative_below = {*max_relative_drop = 0.1*']
    )


@pytest.mark.parametrize("sampling", ["", "temperature = 0.5\n"])
def test_stored_rows_are_judged_like_the_session(told: Told, sampling: str) -> None:
    told.save(rewards=[1.0, 0.5])
    told.bench += sampling
    told.run(gate=', rule = "evidence"', rewards=[0.75, 0.0, 1.0])
    folder = told.project.runs()[-1]
    metadata, rows = told.project.metadata(folder), told.project.rows(folder)
    (expected,) = [gate for gate in metadata["gates"] if "baseline" in gate]
    gate = parse_gate(
        {"metric": "reward", "baseline": "main", "max_drop": 0.02, "rule": "evidence"}
    )
    baselines = {"main": read_baseline(saved(told.project, eval_name="told"))}
    given = compared_with(gate, baselines, metadata["fingerprint"], contents_of(rows))
    measurements = Measurements.from_rows(rows, planned=Plan(20, 1))
    verdict = judge(gate, measurements, baseline=given)
    assert verdict.line == expected["line"]
    assert verdict.outcome == expected["outcome"]
    assert ("sampling differs" in verdict.line) is bool(sampling)
