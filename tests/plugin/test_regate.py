"""--evals-regate: stored rows get the verdict that their own session gave them, or a new one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

# Rewards and failures by example: an environment for every outcome that a rollout can have.
MIXED = """
    import pytest_evals as vf
    from pytest_evals.errors import InfraError

    class Env(vf.SingleTurnEnv):
        async def rollout(self, *args, **kwargs):
            state = await super().rollout(*args, **kwargs)
            if state["example_id"] < self.unmeasured:
                state["error"] = InfraError("no box")
            return state

    def load_environment(examples=8, unmeasured=0, broken=0, graded=False, scored=True):
        def quality(state, answer):
            number = int(answer)
            if number >= examples - broken:
                raise RuntimeError("reward at fault")
            return number / examples if graded else float(number % 4 != 0)

        rows = [
            {
                "question": f"What is {n} + {n}?",
                "answer": str(n),
                "info": {"half": n >= examples / 2},
                "third": n * 3 // examples,
            }
            for n in range(examples)
        ]
        env = Env(dataset=rows, rubric=vf.Rubric(funcs=[quality]), score_rollouts=scored)
        env.unmeasured = unmeasured
        return env
"""

EVAL = '[[eval]]\nenv_id = "mixed"\nnum_examples = 8\n'
WORDS = ("passed", "failed", "FAILED", "inconclusive", "INCONCLUSIVE", "advisory")


def verdicts(result: pytest.RunResult) -> list[str]:
    """Return the lines of gates in the table, and what was not judged."""
    lines = result.outlines[result.outlines.index(next(_headings(result))) :]
    return [
        # Why it was not judged is told in other words.
        line.rpartition(": ")[0] if line.startswith("NOT JUDGED") else line
        for line in lines
        if line.strip().startswith(WORDS) or line.startswith("NOT JUDGED")
    ]


def _headings(result: pytest.RunResult) -> Any:
    return (line for line in result.outlines if re.fullmatch(r"=+ evals =+", line))


OUTCOMES = {
    "passing": 'gates = ["reward >= 0.5", "quality <= 0.9"]',
    "failing": 'gates = ["reward >= 0.9"]',
    "evidence and proof": """
        gates = [
            { metric = "reward", min = 0.9, rule = "evidence" },
            { metric = "reward", min = 0.99, rule = "evidence", confidence = 0.8 },
            { metric = "reward", min = 0.5, rule = "proof" },
            { metric = "reward", max = 0.9, tier = "advisory" },
        ]
    """,
    "pass@k": """
        rollouts_per_example = 3
        gates = ["pass@2 >= 0.8", "pass^3 >= 0.5", { metric = "pass@1", min = 0.5, rule = "proof" }]
    """,
    "graded": """
        env_args = { graded = true }
        pass_threshold = 0.25
        rollouts_per_example = 2
        gates = [
            "reward >= 0.4375",
            { metric = "quality", max = 1.5, rule = "proof", range = [0, 2] },
            "pass@2 >= 0.7",
        ]
    """,
    "out of range": """
        env_args = { graded = true }
        gates = [{ metric = "quality", max = 0.1, range = [0, 0.5], on_inconclusive = "warn" }]
    """,
    "unmeasured": 'env_args = { unmeasured = 2 }\ngates = ["reward >= 0.5"]',
    "unmeasured and tolerated": """
        env_args = { unmeasured = 2 }
        gates = ["reward >= 0.5", "reward >= 0.7", "reward <= 0.4", "error_rate <= 0.5"]
    """,
    "unmeasured and no matter": """
        env_args = { unmeasured = 3 }
        gates = [{ metric = "reward", min = 0.7, on_inconclusive = "warn" }, "error_rate <= 0.5"]
    """,
    "all unmeasured": 'env_args = { unmeasured = 8 }\ngates = ["error_rate <= 1"]',
    "broken": 'env_args = { broken = 3 }\ngates = ["reward >= 0.1", "error_rate <= 0.5"]',
    "reward errors": """
        env_args = { broken = 3 }
        reward_errors = "zero"
        gates = ["reward >= 0.1", "reward >= 0.7"]
    """,
    "not scored": 'env_args = { scored = false }\ngates = ["reward >= 0.1"]',
    "pass_reward": 'pass_reward = 0.5\ngates = ["reward >= 0.1"]',
    "unknown": 'gates = ["latency.p50 <= 100", "turns <= 1", "truncated_rate <= 0"]',
    "no such metric": 'gates = ["answer_rate >= 0.5"]',
    "slices": """
        rollouts_per_example = 2
        env_args = { graded = true }
        gates = [
            { metric = "reward", min = 0.4, by = "info.half" },
            { metric = "reward", min = 0.2, by = "third", rule = "evidence" },
            { metric = "pass@2", min = 0.3, by = "third", rule = "proof", confidence = 0.6 },
        ]
    """,
    "slices of some that are unmeasured": """
        env_args = { unmeasured = 2, broken = 1 }
        gates = [
            { metric = "reward", min = 0.5, by = "info.half", on_inconclusive = "warn" },
            { metric = "error_rate", max = 0.5, by = "third" },
        ]
    """,
    "a slice that is unmeasured": """
        env_args = { unmeasured = 4 }
        gates = [{ metric = "reward", min = 0.5, by = "info.half" }, "error_rate <= 0.5"]
    """,
    "each": """
        rollouts_per_example = 2
        env_args = { graded = true }
        gates = [
            { metric = "reward", each_min = 0.25, quarantine = ["0", 1, "5", "gone"] },
            { metric = "quality", each_min = 0.5, tier = "advisory" },
        ]
    """,
    "each of some that are unmeasured": """
        env_args = { unmeasured = 2 }
        gates = [
            { metric = "reward", each_min = 0.5, quarantine = ["4"], on_inconclusive = "warn" },
            { metric = "reward", each_min = 0.5, quarantine = [4] },
            "error_rate <= 0.5",
        ]
    """,
    "hook": 'gates = ["own >= 0.5", "own >= 0.8"]',
}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_a_session_and_its_rows_have_one_verdict(project: Project, url: str, outcome: str) -> None:
    project.environment("mixed", MIXED)
    if outcome == "hook":
        project.pytester.makeconftest(
            """
            def pytest_evals_metric(metric, rows):
                return sum(row["reward"] for row in rows()) / 8
            """
        )
    project.evals(EVAL + OUTCOMES[outcome], url=url)
    session = project.run("bench.toml", "-p", "no:cacheprovider")
    (folder,) = project.runs()
    before = _content(folder)
    _forget_environments(project)
    judged = project.run("bench.toml", f"--evals-regate={folder}")
    assert verdicts(session)
    assert (judged.ret, verdicts(judged)) == (session.ret, verdicts(session))
    assert _content(folder) == before
    assert project.runs() == [folder]


@pytest.mark.workers
@pytest.mark.parametrize("accepted", [False, True])
def test_a_part_of_a_run(project: Project, url: str, accepted: bool) -> None:
    project.environment("mixed", MIXED)
    project.evals(EVAL + 'gates = ["reward >= 0.1"]', url=url)
    partial = ["--evals-partial"] * accepted
    session = project.run("bench.toml", "-k", "1-r0 or gate", *partial)
    judged = project.run("bench.toml", "--evals-regate=outputs", *partial)
    assert (judged.ret, verdicts(judged)) == (session.ret, verdicts(session))
    assert judged.ret == (0 if accepted else 1)
    judged.stdout.fnmatch_lines(["NOT JUDGED: mixed: *: the run is a part of its eval, 1 of 24*"])


@pytest.mark.workers
def test_a_spent_budget(project: Project, url: str) -> None:
    project.environment("mixed", MIXED)
    project.evals(EVAL + 'gates = ["reward >= 0.1", "error_rate <= 0.5"]', url=url)
    session = project.run("bench.toml", "--evals-max-tokens-total=20", "--evals-max-concurrent=1")
    judged = project.run("bench.toml", "--evals-regate=outputs")
    assert (judged.ret, verdicts(judged)) == (session.ret, verdicts(session)) and session.ret == 1
    judged.stdout.fnmatch_lines(["budget: max_tokens_total = 20 is spent*not started"])


def test_a_budget_that_was_spent_while_all_was_in_flight(project: Project, url: str) -> None:
    project.environment("mixed", MIXED)
    project.evals(EVAL + 'gates = ["reward >= 0.1"]', url=url)
    session = project.run("bench.toml", "--evals-max-tokens-total=20")
    judged = project.run("bench.toml", "--evals-regate=outputs")
    assert (judged.ret, verdicts(judged)) == (session.ret, verdicts(session)) and session.ret == 1
    judged.stdout.fnmatch_lines(["FAILED bench.toml::budget of the session - *"])


@pytest.mark.workers
def test_a_group_that_lacks_members(project: Project, url: str) -> None:
    from pytest_evals.engine.rollouts import seed_of

    from .test_exit_code import GROUP

    project.environment("grouped", GROUP.replace("FIRST", str(seed_of(7, 0, 0))))
    project.evals(
        '[[eval]]\nenv_id = "grouped"\nrollouts_per_example = 2\n'
        'gates = ["error_rate <= 0.4", "reward >= 0.5"]',
        url=url,
    )
    session = project.run("bench.toml")
    judged = project.run("bench.toml", "--evals-regate=outputs")
    assert (judged.ret, verdicts(judged)) == (session.ret, verdicts(session))


def test_a_dead_endpoint_although_errors_are_tolerated(project: Project, impatient: None) -> None:
    project.evals(
        '[[eval]]\nenv_id = "sums"\ngates = ["error_rate <= 0.99"]', url="http://127.0.0.1:1/v1"
    )
    session = project.run("bench.toml")
    judged = project.run("bench.toml", "--evals-regate=outputs")
    assert (judged.ret, verdicts(judged)) == (session.ret, verdicts(session)) and session.ret == 1


def test_an_interrupted_run_is_incomplete(project: Project, url: str) -> None:
    project.environment("mixed", MIXED)
    project.evals(EVAL + 'env_args = { broken = 2 }\ngates = ["reward >= 0.1"]', url=url)
    assert project.run("bench.toml", "-x", "--evals-sequential").ret != 0
    judged = project.run("bench.toml", "--evals-regate=outputs", "--evals-sequential")
    assert judged.ret == 1
    judged.stdout.fnmatch_lines(["  INCONCLUSIVE  reward >= 0.1 undecided: incomplete: *"])


def test_other_gates_than_those_of_the_session(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 1.5"]', url=url)
    assert project.run("bench.toml").ret == 1
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 0.1"]', url=url)
    judged = project.run("bench.toml", "--evals-regate=outputs")
    assert judged.ret == 0
    judged.assert_outcomes(passed=2)
    strict = project.run("bench.toml", "--evals-regate=outputs", "--evals-gate=pass@1 >= 1.0")
    assert strict.ret == 1


def test_nothing_is_asked_imported_started_or_needed(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    with DemoServer() as server:
        project.evals('[[eval]]\nenv_id = "sums"\n', url=server.url)
        assert project.run("bench.toml").ret == 0
        project.environment("sums", "raise SystemExit('imported')\ndef load_environment(): ...")
        project.pytester.makepyfile(test_plain="raise SystemExit('imported too')")
        project.evals(
            '[[endpoint]]\nendpoint_id = "m"\nmodel = "demo-small"\nkey = "NO_SUCH_KEY"\n'
            'url = "http://127.0.0.1:{port}/v1"\nserve = "exit 1"\n',
            name="endpoints.toml",
        )
        project.evals(
            'endpoints_path = "endpoints.toml"\n[[eval]]\nenv_id = "sums"\nmodel = "m"\n'
            "save_to_hf_hub = true\n"
        )
        asked = server.requests
        judged = project.run("bench.toml", "test_plain.py", "--evals-regate=outputs", "-v")
        assert server.requests == asked
    assert judged.ret == 0, judged.stdout.str()
    judged.assert_outcomes(passed=1)
    # An environment that is named by its path is not imported either, nor are its tests.
    named = project.run("environments/sums.py", "--evals-regate=outputs")
    assert named.ret == 0, named.stdout.str()


def test_hooks_do_not_hear_of_a_run_twice(project: Project, url: str) -> None:
    project.pytester.makeconftest(
        "def pytest_evals_run_complete(folder): open('told', 'a').write('x')"
    )
    project.evals('[[eval]]\nenv_id = "sums"\n', url=url)
    project.run("bench.toml")
    project.run("bench.toml", "--evals-regate=outputs")
    assert (project.path / "told").read_text() == "x"


TWO = '[[eval]]\nenv_id = "sums"\nnum_examples = 2\n[[eval]]\nenv_id = "sums"\nname = "again"\n'


def test_each_eval_has_the_newest_run_of_its_name(project: Project, url: str) -> None:
    project.evals(TWO, url=url)
    project.run("bench.toml")
    first = project.runs()
    project.run("bench.toml::again")
    (newest,) = set(project.runs()) - {*first}
    judged = project.run("bench.toml", "--evals-regate=outputs")
    assert judged.ret == 0
    judged.stdout.fnmatch_lines(
        [
            "evals: the stored rows of 2 evals are judged*",
            f"*again: *{newest.name}*",
            "*one session*",
        ]
    )
    # Named one by one; a run of an eval that was not collected is told.
    named = [f"--evals-regate={folder}" for folder in first]
    assert project.run("bench.toml", *named).ret == 0
    alone = project.run("bench.toml::again", *named)
    assert alone.ret == 0
    alone.stdout.fnmatch_lines(["evals: not judged, as no eval that was collected*'sums'*"])
    assert project.run("bench.toml", f"--evals-regate={first[0]}").ret == 1


def test_a_partial_run_is_passed_over_for_an_older_whole_one(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\n', url=url)
    project.run("bench.toml")
    project.run("bench.toml", "-k", "0-r0", "--evals-partial")
    assert project.run("bench.toml", "--evals-regate=outputs").ret == 0


def test_a_run_that_is_named_may_be_of_an_eval_that_is_called_otherwise(
    project: Project, url: str
) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\n', url=url)
    project.run("bench.toml")
    (folder,) = project.runs()
    project.evals(
        '[[eval]]\nenv_id = "sums"\nname = "strict"\nrollouts_per_example = 5', name="b.toml"
    )
    judged = project.run("b.toml", f"--evals-regate={folder / 'results.jsonl'}")
    assert judged.ret == 0
    judged.stdout.fnmatch_lines(["*strict: rollouts_per_example is 3 in the run and 5 now; *"])
    assert project.run("b.toml", "--evals-regate=outputs").ret == 1  # it is not sought


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no results", "has no results.jsonl"),
        ("empty", "there is no row in the results of *which is empty"),
        ("foreign", "there is no row in the results of *1: skipped, its example_id is neither"),
        ("binary", "there is no row in the results of *1: skipped, not JSON"),
        ("no metadata", "has rows and no metadata.json"),
        ("torn metadata", "metadata.json: not JSON"),
        ("list", "metadata.json: not a JSON object"),
        ("no plan", "its metadata.json does not say rollouts_per_example"),
        ("other environment", "no run of it (environment 'sums') is there"),
        ("gone", "is not there: name the folder of a run"),
        ("nothing", "is no run and holds none"),
    ],
)
def test_what_cannot_be_judged_says_why(
    project: Project, url: str, damage: str, message: str
) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\n', url=url)
    project.run("bench.toml")
    (folder,) = project.runs()
    _damage(folder, damage)
    judged = project.run("bench.toml", f"--evals-regate={folder}", "--junitxml=report.xml")
    assert judged.ret == 1
    assert "INTERNALERROR" not in judged.stdout.str()
    judged.stdout.fnmatch_lines([f"*{message.replace('[', '[[]')}*"])
    assert "no tests ran" not in judged.stdout.str()


def _damage(folder: Path, damage: str) -> None:
    results, metadata = folder / "results.jsonl", folder / "metadata.json"
    known = json.loads(metadata.read_text())
    match damage:
        case "no results":
            results.unlink()
        case "empty":
            results.write_text("")
        case "foreign":
            results.write_text('{"name": "x", "score": 1}\n')
        case "binary":
            results.write_bytes(b"\x00\xff\n")
        case "no metadata":
            metadata.unlink()
        case "torn metadata":
            metadata.write_text('{"env_id": "su')
        case "list":
            metadata.write_text("[]")
        case "no plan":
            metadata.write_text(
                json.dumps({k: v for k, v in known.items() if k[:9] != "rollouts_"})
            )
        case "other environment":
            metadata.write_text(json.dumps(known | {"env_id": "other"}))
        case "gone":
            shutil.rmtree(folder)
        case "nothing":
            shutil.rmtree(folder)
            folder.mkdir()


def test_a_torn_line_leaves_the_run_incomplete(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\n', url=url)
    project.run("bench.toml")
    (folder,) = project.runs()
    results = folder / "results.jsonl"
    results.write_bytes(results.read_bytes()[:-40])
    judged = project.run("bench.toml", f"--evals-regate={folder}")
    assert judged.ret == 1
    judged.stdout.fnmatch_lines(["  INCONCLUSIVE  *incomplete: 11 of 12 rollouts have a result"])
    lines = results.read_bytes().splitlines(keepends=True)
    results.write_bytes(b"".join([*lines[:3], b"\x1b[31m{}\n", *lines[4:]]))
    judged = project.run("bench.toml", f"--evals-regate={folder}", "--color=no")
    assert judged.ret == 1
    judged.stdout.fnmatch_lines(["evals: sums: *results.jsonl:4: skipped, not JSON*"])
    assert "\x1b" not in judged.stdout.str()


@pytest.mark.parametrize("key", ["tool_runs", "metrics", "timing", "token_usage", "completion"])
@pytest.mark.parametrize("value", [5, "x", [1], {"a": 5}, {"a": {"calls": "x"}}, None])
def test_rows_of_another_form(project: Project, url: str, key: str, value: Any) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\ngates = ["reward >= 0.1"]', url=url)
    project.run("bench.toml")
    (folder,) = project.runs()
    rows = [row | {key: value} for row in project.rows()]
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    judged = project.run("bench.toml", f"--evals-regate={folder}")
    assert "INTERNALERROR" not in judged.stdout.str()
    assert judged.ret == 0, judged.stdout.str()


def test_rows_of_verifiers(project: Project) -> None:
    folder = project.path / "outputs" / "evals" / "mixed--m" / "ab"
    folder.mkdir(parents=True)
    rows: list[dict[str, Any]] = [
        {"example_id": n, "reward": float(n % 2), "error": None, "quality": float(n % 2)}
        for n in range(4)
        for _ in range(2)
    ]
    rows[0] |= {"error": "the provider failed", "reward": 0.0}
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    known = {"env": "mixed", "model": "m", "num_examples": -1, "rollouts_per_example": 2}
    (folder / "metadata.json").write_text(json.dumps(known))
    project.evals('[[eval]]\nenv_id = "mixed"\ngates = ["reward >= 0.5", "error_rate <= 0.2"]\n')
    judged = project.run("bench.toml", "--evals-regate=outputs")
    judged.stdout.fnmatch_lines(["  passed  reward 0.500 >= 0.5 (0.500 to *, 7 of 8 scored*"])
    assert judged.ret == 0


def test_a_run_that_is_being_written(project: Project, url: str) -> None:
    from pytest_evals.store.lock import FolderLock

    project.evals('[[eval]]\nenv_id = "sums"\n', url=url)
    project.run("bench.toml")
    (folder,) = project.runs()
    lock = FolderLock(folder)
    try:
        judged = project.run("bench.toml", "--evals-regate=outputs")
    finally:
        lock.release()
    assert judged.ret == 1
    judged.stdout.fnmatch_lines(["*is still writing into *"])


def test_where_no_eval_is_named(project: Project) -> None:
    project.pytester.makepyfile(test_plain="def test_it(): pass")
    result = project.run("test_plain.py", "--evals-regate=outputs")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["evals: gates are those of eval files, and none is named"])


def test_what_is_collected_is_shown(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\n', url=url)
    project.run("bench.toml")
    result = project.run("bench.toml", "--evals-regate=outputs", "--collect-only", "-q")
    assert result.outlines[0] == "bench.toml::sums::gate-error_rate"
    assert result.ret == 0


def _forget_environments(project: Project) -> None:
    shutil.rmtree(project.path / "environments")


def _content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_gates_with_a_baseline(project: Project, url: str) -> None:
    project.environment("mixed", MIXED)
    gates = 'gates = [{ metric = "reward", baseline = "main", max_drop = 0.1 }]\n'
    project.evals(EVAL, url=url)
    assert project.run("bench.toml", "--evals-save-baseline", "main").ret == 0
    project.evals(EVAL + "env_args = { graded = true }\n" + gates, url=url)
    differs = project.run("bench.toml")
    (folder,) = set(project.runs()[1:])
    again = project.run("bench.toml", f"--evals-regate={folder}")
    assert (again.ret, verdicts(again)) == (differs.ret, verdicts(differs))

    project.evals(EVAL + gates, url=url)
    red = project.run("bench.toml", "--evals-set", "env_args={}", "--evals-set", "shuffle=false")
    (folder,) = set(project.runs()[2:])
    again = project.run("bench.toml", f"--evals-regate={folder}")
    assert (again.ret, verdicts(again)) == (red.ret, verdicts(red)) != (0, [])

    refused = project.run("bench.toml", f"--evals-regate={folder}", "--evals-save-baseline", "new")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["*--evals-save-baseline*leave out --evals-regate"])
