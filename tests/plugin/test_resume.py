"""`--evals-resume`: a run goes on in its folder, and nothing that was paid for is asked again."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from pytest_evals.demo.server import DemoServer
from pytest_evals.store.lock import FolderLock, this_process

from .conftest import Project

ONE = """
    [[eval]]
    env_id = "sums"
    num_examples = 4
    rollouts_per_example = 3
    gates = ["reward >= 0.1"]
"""
JUDGED = """
    import os
    import pytest_evals as vf

    def correct(completion, answer):
        if os.path.exists("judge-is-down"):
            raise ConnectionError("the judge is down")
        return float(answer in completion[-1]["content"])

    def above_average(completions):
        lengths = [len(completion[-1]["content"]) for completion in completions]
        return [float(length >= sum(lengths) / len(lengths)) for length in lengths]

    def load_environment(grouped=False):
        rows = [{"question": f"What is {n} + {n}?", "answer": str(n + n)} for n in range(4)]
        funcs = [correct, above_average] if grouped else [correct]
        return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=funcs))
"""
# Its first rollout of example 1 to be scored is broken.
BREAKS_ONCE = JUDGED.replace(
    'if os.path.exists("judge-is-down"):\n            raise Conn',
    'if os.path.exists("judge-is-down") and answer == "2" and not seen:\n'
    "            seen.append(1)\n            raise Conn",
)
BREAKS_ONCE = BREAKS_ONCE.replace("ConnectionError", "KeyError")
BREAKS_ONCE = BREAKS_ONCE.replace("    def correct", "    seen = []\n\n    def correct")
Edit = Callable[[dict[str, Any]], "dict[str, Any] | None"]


class Counting(DemoServer):
    """A demo server whose count of requests can begin anew."""

    before = 0

    @property
    def requests(self) -> int:
        return super().requests - self.before

    def forget(self) -> None:
        self.before = super().requests


@pytest.fixture
def server() -> Iterator[Counting]:
    with Counting() as server:
        yield server


def edit(folder: Path, change: Edit) -> None:
    """Change the rows of a run; None leaves one out."""
    path = folder / "results.jsonl"
    rows = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows if row is not None))


def edit_metadata(folder: Path, **values: Any) -> None:
    path = folder / "metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def first_only(row: dict[str, Any]) -> dict[str, Any] | None:
    return row if row["example_id"] < 2 else None


def failed_first(row: dict[str, Any]) -> dict[str, Any]:
    if row["rollout"] != 0:
        return row
    state = "broken" if row["example_id"] else "unmeasured"
    return row | {"state": state, "reward": None, "error": {"error": "Lost", "message": "gone"}}


def keys(rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(row["example_id"], row["rollout"]) for row in rows]


ALL = [(example, rollout) for example in range(4) for rollout in range(3)]


def incomplete(project: Project, server: Counting, change: Edit = first_only) -> Path:
    """Make a run of which some rows are gone or other; return its folder."""
    project.evals(ONE, url=server.url)
    assert project.run("bench.toml").ret == 0
    (folder,) = project.runs()
    edit(folder, change)
    server.forget()
    return folder


def test_quiet_sessions_say_what_they_continue(project: Project, server: Counting) -> None:
    project.evals(ONE, url=server.url)
    result = project.run("bench.toml", "-q", "--evals-resume")
    result.stdout.fnmatch_lines(["evals: sums: a new run begins: no run of it is incomplete"])
    result.stdout.no_fnmatch_line("go on: *")
    edit(project.runs()[0], first_only)
    result = project.run("bench.toml", "-q", "--evals-resume")
    result.stdout.fnmatch_lines(["evals: sums: continuing *: 6 of 12 rollouts are done"])


@pytest.mark.workers
def test_only_what_is_missing_is_asked(project: Project, server: Counting) -> None:
    folder = incomplete(project, server)
    rows = project.rows()
    before = dict(zip(keys(rows), rows, strict=True))
    result = project.run("bench.toml", "--evals-resume", "-v")
    assert result.ret == 0
    assert server.requests == 6
    result.assert_outcomes(passed=14)
    assert result.stdout.str().count("(earlier)") == 6
    result.stdout.fnmatch_lines(
        ["evals: sums: continuing outputs/evals/sums--demo-small/*: 6 of 12 rollouts are done"]
    )
    assert keys(project.rows(folder)) == ALL
    assert all(row == before[key] for row in project.rows() if (key := keys([row])[0]) in before)
    metadata = project.metadata()
    assert (metadata["complete"], metadata["verdict"]) == (True, "passed")
    assert (metadata["partial"], metadata["writer"]) == (False, None)


@pytest.mark.workers
def test_unmeasured_and_broken_rollouts_are_redone(project: Project, server: Counting) -> None:
    incomplete(project, server, failed_first)
    assert project.run("bench.toml", "--evals-resume").ret == 0
    assert server.requests == 4
    assert [row["state"] for row in project.rows()] == ["scored"] * 12


@pytest.mark.workers
@pytest.mark.parametrize("grouped", ["false", "true"])
def test_what_was_generated_is_only_scored(
    project: Project, server: Counting, grouped: str
) -> None:
    project.environment("judged", JUDGED)
    text = f'[[eval]]\nenv_id = "judged"\nenv_args = {{ grouped = {grouped} }}\n'
    project.evals(text + 'gates = ["reward >= 0.1"]', url=server.url)
    (project.path / "judge-is-down").touch()
    assert project.run("bench.toml").ret == 1
    assert server.requests == 12
    (project.path / "judge-is-down").unlink()
    (folder,) = project.runs()
    edit(folder, lambda row: failed_first(row) if row["example_id"] == 1 else row)
    result = project.run("bench.toml", "--evals-resume")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*: 0 of 12 rollouts are done, 11 more only to be scored"])
    assert server.requests == 13
    assert [row["state"] for row in project.rows()] == ["scored"] * 12


@pytest.mark.workers
def test_of_a_group_that_is_scored_together_nothing_stays_scored_alone(
    project: Project, server: Counting
) -> None:
    project.environment("judged", JUDGED)
    text = '[[eval]]\nenv_id = "judged"\nenv_args = { grouped = true }\ngates = ["reward >= 0.1"]'
    project.evals(text, url=server.url)
    assert project.run("bench.toml").ret == 0
    (folder,) = project.runs()
    edit(folder, lambda row: failed_first(row) if row["example_id"] == 1 else row)
    result = project.run("bench.toml", "--evals-resume")
    assert result.ret == 0
    assert server.requests == 12 + 3  # rows that were scored do not hold what scoring needs
    result.stdout.fnmatch_lines(["*2 rows are not of this eval, or of groups that must be redone"])
    assert all("above_average" in row["metrics"] for row in project.rows())


def test_a_group_of_which_one_was_broken_is_scored_again_as_a_whole(
    project: Project, server: Counting
) -> None:
    project.environment("judged", BREAKS_ONCE)
    project.evals(
        '[[eval]]\nenv_id = "judged"\nenv_args = { grouped = true }\ngates = ["reward >= 0.1"]',
        url=server.url,
    )
    (project.path / "judge-is-down").touch()
    assert project.run("bench.toml").ret == 1
    states = [row["state"] for row in project.rows()]
    assert states.count("broken") == 1
    kept = [row["rollout"] for row in project.rows() if "unscored" in row]
    assert len(kept) == 2
    (project.path / "judge-is-down").unlink()
    assert project.run("bench.toml", "--evals-resume").ret == 0
    assert server.requests == 12 + 1
    assert not any("unscored" in row for row in project.rows())


@pytest.mark.workers
def test_a_mismatch_is_named_and_nothing_is_asked(project: Project, server: Counting) -> None:
    folder = incomplete(project, server)
    changed = ONE + 'env_args = { examples = 9 }\ntemperature = 0.5\nmodel = "demo-large"\n'
    project.evals(changed, url=server.url)
    result = project.run("bench.toml", f"--evals-resume={folder}")
    assert result.ret == 1
    assert server.requests == 0
    text = result.stdout.str()
    for phrase in (
        "is not continued: env_args.examples is not set there and 9 here",
        "model is demo-small there and demo-large here",
        "sampling_args.temperature is not set there and 0.5 here",
    ):
        assert phrase in text
    assert "content of" not in text  # the first four examples are the same
    assert len(project.rows(folder)) == 6


def test_without_a_path_only_what_matches_is_continued(project: Project, server: Counting) -> None:
    first = incomplete(project, server)
    second = shutil.copytree(first, first.with_name("second"))
    partial = shutil.copytree(first, first.with_name("partial"))
    torn = shutil.copytree(first, first.with_name("torn"))
    edit_metadata(partial, partial=True)
    (torn / "metadata.json").write_text("{")
    (first.with_name("file")).touch()
    for number, path in enumerate((first, second, partial, torn)):
        for file in path.iterdir():
            os.utime(file, (1e9 + number, 1e9 + number))
    assert project.run("bench.toml", "--evals-resume").ret == 0
    assert [len(project.rows(path)) for path in (first, second, partial)] == [6, 12, 6]
    edit_metadata(first, fingerprint=project.metadata(first)["fingerprint"] | {"timeout": 3})
    result = project.run("bench.toml", "--evals-resume")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["evals: sums: a new run begins: *is not continued: timeout is 3 there and null here"]
    )
    assert len(project.runs()) == 5 + 1


def test_a_complete_run_is_not_continued_unless_it_is_named(
    project: Project, server: Counting
) -> None:
    folder = incomplete(project, server, lambda row: row)
    result = project.run("bench.toml", f"--evals-resume={folder}")
    assert (result.ret, server.requests) == (0, 0)
    result = project.run("bench.toml", "--evals-resume")
    assert (result.ret, server.requests) == (0, 12)
    result.stdout.fnmatch_lines(["evals: sums: a new run begins: no run of it is incomplete"])


@pytest.mark.workers
def test_more_examples(project: Project, server: Counting) -> None:
    incomplete(project, server, lambda row: row)
    project.evals(ONE.replace("num_examples = 4", "num_examples = 2"), url=server.url)
    result = project.run("bench.toml", f"--evals-resume={project.runs()[0]}")
    assert (result.ret, server.requests) == (1, 0)
    result.stdout.fnmatch_lines(["*is not continued: num_examples is 4 there and 2 here"])
    assert project.run("bench.toml").ret == 0
    (folder,) = [run for run in project.runs() if len(project.rows(run)) == 6]
    server.forget()
    project.evals(ONE, url=server.url)
    assert project.run("bench.toml", f"--evals-resume={folder}").ret == 0
    assert (server.requests, len(project.rows(folder))) == (6, 12)
    assert project.metadata(folder)["num_examples"] == 4


def test_another_version_of_the_environment(project: Project, server: Counting) -> None:
    pyproject = project.path / "environments" / "pyproject.toml"
    pyproject.write_text('[project]\nname = "sums"\nversion = "1.0"')
    folder = incomplete(project, server)
    pyproject.write_text('[project]\nname = "sums"\nversion = "1.1"')
    result = project.run("bench.toml", f"--evals-resume={folder}")
    assert (result.ret, server.requests) == (1, 0)
    result.stdout.fnmatch_lines(
        ["*env_version is 1.0 there and 1.1 here; --evals-resume-anyway continues it in spite*"]
    )
    assert project.run("bench.toml", f"--evals-resume={folder}", "--evals-resume-anyway").ret == 0
    assert (server.requests, project.metadata()["fingerprint"]["env_version"]) == (6, "1.1")


@pytest.mark.workers
def test_the_rule_of_verifiers(project: Project, server: Counting) -> None:
    incomplete(project, server, failed_first)
    project.evals(ONE + "temperature = 0.5", url=server.url)
    result = project.run("bench.toml", "--evals-resume", "--evals-resume-legacy")
    assert (result.ret, server.requests) == (0, 12)  # nothing is left to do
    (folder,) = [run for run in project.runs() if project.metadata(run)["verdict"] != "passed" or
                 any(row["state"] != "scored" for row in project.rows(run))]  # fmt: skip
    server.forget()
    edit(folder, lambda row: None if row["example_id"] == 3 else row)
    result = project.run("bench.toml", f"--evals-resume={folder}", "--evals-resume-legacy")
    assert (result.ret, server.requests) == (1, 3)
    result.assert_outcomes(passed=9 + 1, errors=3, failed=1)
    result.stdout.fnmatch_lines_random(["*unmeasured: *Lost: gone*", "*broken*Lost: gone*"])


@pytest.mark.workers
def test_rows_and_metadata_of_verifiers(project: Project, server: Counting) -> None:
    folder = project.path / "outputs" / "evals" / "sums--demo-small" / "12345678"
    folder.mkdir(parents=True)
    metadata = {
        "env_id": "sums", "env_args": {}, "model": "demo-small", "base_url": server.url,
        "num_examples": 4, "rollouts_per_example": 3, "shuffle": False, "shuffle_seed": None,
        "sampling_args": {"n": 1, "extra_body": {}, "max_tokens": None}, "state_columns": [],
    }  # fmt: skip
    (folder / "metadata.json").write_text(json.dumps(metadata))
    row = {"prompt": [], "completion": [], "answer": "0", "reward": 1.0, "is_completed": True,
           "timing": {"generation_ms": 1.0, "scoring_ms": 1.0, "total_ms": 2.0, "start_time": 9.0},
           "metrics": {"correct": 1.0}, "correct": 1.0}  # fmt: skip
    rows = [
        {"example_id": 0, **row, "error": None},
        {"example_id": 0, **row, "error": {"error": "ModelError"}},
        {"example_id": 2, **row, "error": None},
    ]
    text = "".join(json.dumps(each) + "\n" for each in rows) + '{"example_id": 3, "rew'
    (folder / "results.jsonl").write_text(text)
    project.evals(ONE, url=server.url)
    result = project.run("bench.toml", "--evals-resume")
    assert (result.ret, server.requests) == (0, 10)
    result.stdout.fnmatch_lines(["sums: 12345678: 3 rows of another program were taken over"])
    written = project.rows()
    assert keys(written) == ALL
    assert [row["state"] for row in written] == ["scored"] * 12
    assert (folder / "results.jsonl.bak").read_text() == text
    assert project.metadata()["fingerprint"]["num_examples"] == 4


TWO_NAMES = ONE.replace("[[eval]]\n", '[[eval]]\n    name = "full"\n') + ONE.replace("= 4", "= 2")


@pytest.mark.workers
def test_the_run_of_another_eval_is_not_taken_over(project: Project, server: Counting) -> None:
    project.evals(TWO_NAMES, url=server.url)
    assert project.run("bench.toml").ret == 0
    (full,) = project.path.glob("outputs/evals/full--*/*")
    (sums,) = project.path.glob("outputs/evals/sums--*/*")
    edit(sums, lambda row: row if row["example_id"] else None)
    server.forget()
    result = project.run("bench.toml", "--evals-resume")
    assert (result.ret, server.requests, len(project.runs())) == (0, 3, 2)
    assert (len(project.rows(full)), len(project.rows(sums))) == (12, 6)
    assert [project.metadata(folder)["name"] for folder in (full, sums)] == ["full", "sums"]


def test_no_two_evals_continue_one_run(project: Project, server: Counting) -> None:
    folder = incomplete(project, server)
    again = f"outputs/../{folder.relative_to(project.path)}"
    project.evals(f'{ONE}resume = "{again}"\n', url=server.url)
    project.evals(f'{ONE}resume = "{folder}"\n', url=server.url, name="other.toml")
    result = project.run("bench.toml", "other.toml")
    assert (result.ret, server.requests) == (1, 0)
    result.stdout.fnmatch_lines(["*two evals of this session are to continue outputs/evals/*"])
    # The one that names it is before the one that takes the newest there is.
    project.evals(f"{ONE}resume = true\n", url=server.url)
    result = project.run("bench.toml", "other.toml")
    assert (result.ret, server.requests, len(project.runs())) == (0, 6 + 12, 2)


@pytest.mark.workers
def test_a_folder_that_another_process_writes_into(project: Project, server: Counting) -> None:
    folder = incomplete(project, server)
    lock = FolderLock(folder)
    try:
        for told, writer in (
            ("another process", None),
            ("another process", this_process() | {"pid": 2**22 + 1}),  # of an earlier holder
            (f"process {os.getpid()}", this_process()),
        ):
            edit_metadata(folder, writer=writer)
            result = project.run("bench.toml", "--evals-resume")
            assert (result.ret, server.requests) == (1, 0)
            result.stdout.fnmatch_lines([f"*{told} is still writing into outputs/evals/*"])
    finally:
        lock.release()
    assert project.run("bench.toml", "--evals-resume").ret == 0


@pytest.mark.workers
def test_who_writes_is_known_while_a_managed_server_starts(project: Project) -> None:
    (project.path / "slow.py").write_text(
        "import os, runpy, sys\n"
        "if os.path.exists('hold'):\n"
        "    open('starting', 'w').close()\n"
        "    open('hold').close()\n"
        "sys.argv = ['demo', '--port', sys.argv[1]]\n"
        "runpy.run_module('pytest_evals.demo', run_name='__main__')\n"
    )
    (project.path / "endpoints.toml").write_text(
        '[[endpoint]]\nendpoint_id = "m"\nmodel = "demo-small"\nserve = "{python} slow.py {port}"'
    )
    project.evals('endpoint_id = "m"\nendpoints_path = "endpoints.toml"\n' + ONE)
    assert project.run("bench.toml").ret == 0
    (folder,) = project.runs()
    edit(folder, first_only)
    edit_metadata(folder, writer=this_process() | {"pid": 2**22 + 1})  # as kill -9 leaves it
    starting, hold = project.path / "starting", project.path / "hold"
    os.mkfifo(starting)
    os.mkfifo(hold)
    with project.start("bench.toml", "--evals-resume") as first:
        starting.open().close()  # when the server opens it
        result = project.run("bench.toml", "--evals-resume")
        assert result.ret == 1
        result.stdout.fnmatch_lines([f"*process {first.pid} is still writing into outputs/*"])
        hold.open("w").close()
        first.communicate()
    assert first.returncode == 0
    assert keys(project.rows()) == ALL


def test_a_run_that_is_not_continued_after_all_stays_complete(
    project: Project, server: Counting
) -> None:
    folder = incomplete(project, server, lambda row: row)
    before = project.metadata()
    locked = project.path / "outputs" / "evals" / "locked"
    shutil.copytree(folder, locked)
    edit_metadata(locked, name="c")
    other = ONE.replace("[[eval]]\n", '[[eval]]\n    name = "c"\n')
    text = f'{ONE}resume = "{folder}"\n{other}resume = "{locked}"\n'
    lock = FolderLock(locked)
    try:
        project.evals(text, url=server.url)
        result = project.run("bench.toml")
        assert (result.ret, server.requests) == (1, 0)
        result.stdout.fnmatch_lines(["*is still writing into outputs/evals/locked*"])
    finally:
        lock.release()
    assert project.metadata(folder) == before


def test_a_path_that_is_no_run(project: Project, server: Counting) -> None:
    folder = incomplete(project, server)
    for path, message in (
        ("nowhere", "nowhere is no run: it has no metadata.json that can be read"),
        ("outputs", "outputs is no run"),
    ):
        result = project.run("bench.toml", f"--evals-resume={path}")
        assert (result.ret, server.requests) == (1, 0)
        result.stdout.fnmatch_lines([f"*{message}*"])
    for text, message in (("[]", "not a JSON object"), ("{", "not JSON"), ("", "not JSON")):
        (folder / "metadata.json").write_text(text)
        result = project.run("bench.toml", f"--evals-resume={folder}")
        assert (result.ret, server.requests) == (1, 0)
        result.stdout.fnmatch_lines([f"*the run cannot be continued: *{message}*"])
    (folder / "metadata.json").unlink()
    assert project.run("bench.toml", f"--evals-resume={folder}").ret == 1
    assert server.requests == 0


@pytest.mark.workers
@pytest.mark.parametrize("named", ["bench.toml", "bench.toml::sums"])
def test_the_eval_file_behind_the_option_is_not_the_run(
    project: Project, server: Counting, named: str
) -> None:
    incomplete(project, server)
    assert project.run("--evals-resume", named).ret == 0
    assert (server.requests, len(project.runs())) == (6, 1)


def test_another_file_behind_the_option_is_refused(project: Project, server: Counting) -> None:
    incomplete(project, server)
    for file in ("environments/sums.py", "environments/sums.py::test_a"):
        result = project.run("--evals-resume", file)
        assert (result.ret, server.requests) == (pytest.ExitCode.USAGE_ERROR, 0)
        result.stderr.fnmatch_lines([f"*{file} is not the folder of a run*"])


def test_one_path_and_several_evals(project: Project, server: Counting) -> None:
    folder = incomplete(project, server)
    other = '\n    [[eval]]\n    env_id = "sums"\n    name = "{}"\n    num_examples = 1\n'
    project.evals(ONE + other.format("again"), url=server.url)
    result = project.run("bench.toml", f"--evals-resume={folder}")
    assert (result.ret, server.requests) == (0, 6 + 3)
    project.evals((ONE + other.format("b")).replace("[[eval]]\n", '[[eval]]\nname = "a"\n', 1),
                  url=server.url)  # fmt: skip
    result = project.run("bench.toml", f"--evals-resume={folder}")
    assert (result.ret, server.requests) == (1, 9)
    result.stdout.fnmatch_lines(["*is the run of none of the 2 evals*name 'sums'*"])


def test_in_the_file_and_in_a_sequential_session(project: Project, server: Counting) -> None:
    incomplete(project, server)
    project.evals(ONE + "resume = true", url=server.url)
    assert project.run("bench.toml", "--evals-sequential").ret == 0
    assert (server.requests, len(project.runs())) == (6, 1)


@pytest.mark.workers
def test_a_stored_reward_fails_its_item_again(project: Project, server: Counting) -> None:
    incomplete(project, server, lambda row: row | {"reward": 0.25} if row["rollout"] else row)
    project.evals(ONE + "pass_reward = 0.5", url=server.url)
    result = project.run("bench.toml", f"--evals-resume={project.runs()[0]}", "--junitxml=j.xml")
    assert (result.ret, server.requests) == (1, 0)
    result.assert_outcomes(passed=3 + 2, failed=9)
    found = ".//property[@name='evals.earlier']"
    cases = ElementTree.parse(project.path / "j.xml").iter("testcase")
    earlier = [case for case in cases if case.find(found) is not None]
    assert len(earlier) == 12
    assert {case.get("time") for case in earlier} == {"0.000"}


def test_a_part_of_a_run(project: Project, server: Counting) -> None:
    project.evals(ONE, url=server.url)
    assert project.run("bench.toml", "-k", "0-r0 or gate").ret == 1
    (part,) = project.runs()
    assert project.metadata(part)["partial"] is True
    result = project.run("bench.toml", "--evals-resume")
    assert (result.ret, server.requests) == (0, 1 + 12)
    assert project.run("bench.toml", f"--evals-resume={part}").ret == 0
    assert server.requests == 13 + 11
    assert project.metadata(part)["partial"] is False


def test_a_selection_that_leaves_out_what_is_done(project: Project, server: Counting) -> None:
    folder = incomplete(project, server)
    chosen = ["-k", "2-r or 3-r or gate", f"--evals-resume={folder}"]
    result = project.run("bench.toml", *chosen)
    assert (result.ret, server.requests) == (0, 6)
    result.assert_outcomes(passed=6 + 2, deselected=6)
    edit(folder, first_only)
    result = project.run("bench.toml", "-k", "2-r or gate", f"--evals-resume={folder}")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*NOT JUDGED*3 of 12 rollouts are neither done nor selected*"])
    assert len(project.rows(folder)) == 9
    # It is a whole run, which still lacks something.
    assert project.run("bench.toml", "--evals-resume").ret == 0
    assert len(project.rows(folder)) == 12


@pytest.mark.workers
def test_hooks_are_told_what_is_of_an_earlier_session(project: Project, server: Counting) -> None:
    incomplete(project, server)
    project.pytester.makeconftest(
        """
        def pytest_evals_rollout_complete(result):
            with open("told.txt", "a") as file:
                print(*result.key, result.outcome, result.is_earlier, file=file)
        """
    )
    assert project.run("bench.toml", "--evals-resume").ret == 0
    told = sorted((project.path / "told.txt").read_text().splitlines())
    assert told == [f"{e} {r} scored {e < 2}" for e, r in ALL]


def test_functions_begin_anew(project: Project) -> None:
    project.pytester.makepyfile("import pytest\n@pytest.mark.evals\ndef test_a():\n    pass\n")
    for _ in range(2):
        assert project.run("--evals-resume").ret == 0
    assert len(project.runs()) == 2


@pytest.mark.workers
def test_a_managed_server_is_not_started_for_what_is_done(project: Project) -> None:
    (project.path / "endpoints.toml").write_text(
        '[[endpoint]]\nendpoint_id = "m"\nmodel = "demo-small"\n'
        'serve = "{python} -m pytest_evals.demo --port {port}"'
    )
    project.evals('endpoint_id = "m"\nendpoints_path = "endpoints.toml"\n' + ONE)
    assert project.run("bench.toml").ret == 0
    (folder,) = project.runs()
    result = project.run("bench.toml", f"--evals-resume={folder}")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*starting*")
    registry = project.path / "endpoints.toml"
    registry.write_text(registry.read_text().replace("--port {port}", "--port {port} --latency 0"))
    result = project.run("bench.toml", f"--evals-resume={folder}")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*is not continued: serve is * there and * --latency 0 here*"])


@pytest.mark.workers
def test_what_the_interrupted_session_had_completed_is_not_paid_for_again(
    project: Project, server: Counting
) -> None:
    first, second = ONE, ONE.replace("[[eval]]\n", '[[eval]]\n    name = "again"\n')
    project.evals(first + second, url=server.url)
    assert project.run("bench.toml").ret == 0
    (folder,) = project.path.glob("outputs/evals/again--*/*")
    edit(folder, first_only)
    server.forget()
    result = project.run("bench.toml", "--evals-resume")
    assert (result.ret, server.requests, len(project.runs())) == (0, 6, 2)
    # Nobody was interrupted now: that is a new measurement.
    assert project.run("bench.toml", "--evals-resume").ret == 0
    assert (server.requests, len(project.runs())) == (6 + 24, 4)


def test_a_complete_run_that_nobody_judged(project: Project, server: Counting) -> None:
    folder = incomplete(project, server, lambda row: row)
    edit_metadata(folder, writer={"pid": 2**22 + 1, "host": "gone"})  # as kill -9 leaves it
    assert project.run("bench.toml", "--evals-resume").ret == 0
    assert (server.requests, project.metadata()["writer"]) == (0, None)
