"""`--evals-compare` reads two runs and runs nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from .conftest import Project


def write_run(
    folder: Path, rewards: dict[int | str, list[float | None]], **metadata: object
) -> str:
    """Write a run's folder and return how a command line names it."""
    folder.mkdir(parents=True)
    lines = [
        {
            "example_id": name,
            "rollout": rollout,
            "prompt": [{"role": "user", "content": f"What is {name}?"}],
            "answer": "a",
            "task": "default",
            "info": {"kind": "even" if place % 2 == 0 else "odd", "place": place},
            "reward": reward,
            "metrics": {},
            "state": "unmeasured" if reward is None else "scored",
            "error": None,
        }
        for place, (name, group) in enumerate(rewards.items())
        for rollout, reward in enumerate(group)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "results.jsonl").write_text(text)
    given = {"name": "sums", "model": folder.name, "env_id": "sums", **metadata}
    (folder / "metadata.json").write_text(json.dumps(given))
    return folder.name


def compare(project: Project, *names: str) -> pytest.RunResult:
    return project.run("--evals-compare", *names)


@pytest.mark.workers
def test_two_runs_of_which_nothing_else_is_left(project: Project) -> None:
    shutil.rmtree(project.path / "environments")
    old = write_run(project.path / "old", {n: [1.0 if n < 8 else 0.0] for n in range(10)})
    new = write_run(project.path / "new", {n: [1.0 if n < 5 or n == 9 else 0.0] for n in range(11)})
    result = compare(project, old, f"{new}/results.jsonl")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "before  old: sums of old, 10 examples, 10 rollouts, reward 0.800",
            "after   new/results.jsonl: sums of new, 11 examples, 11 rollouts, reward 0.545",
            "examples of one run alone: 1 only after: 10",
            "reward 0.800 -> 0.600, a drop of 0.200 (se 0.200, 10 pairs, 95 % bounds * and *,"
            " p 0.31 by McNemar, *",
            "right -> wrong  3: 5, 6, 7",
            "wrong -> right  1: 9",
            "info.kind  pairs  before  after*drop  p (Holm)",
            "even           5 * 0.800  0.600  0.200 *",
            "odd            5 * 0.800  0.600  0.200 *",
        ]
    )
    assert "info.place" not in result.stdout.str()
    assert "test session starts" not in result.stdout.str()
    assert sorted(path.name for path in project.path.iterdir() if path.is_dir()) == ["new", "old"]


def test_a_baseline_by_its_name_and_a_run_of_this_package(project: Project, url: str) -> None:
    both = '[[eval]]\nenv_id = "sums"\nname = "{}"\nrollouts_per_example = 2\n'
    project.evals(both.format("one") + both.format("two"), url=url)
    assert project.run("bench.toml", "--evals-save-baseline", "main").ret == 0
    (run,) = project.path.glob("outputs/evals/one--*/*")
    path = str(run.relative_to(project.path))
    result = compare(project, "main", path)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "before  baselines/bench/one.main.jsonl: one of demo-small, 4 examples, 8 rollouts*",
            f"after   {path}: one of demo-small, 4 examples, 8 rollouts*",
            "reward * a drop of 0.000 (se n/a, 4 pairs, 95 % bounds *",
            "right -> wrong  0",
        ]
    )
    assert "differs" not in result.stdout.str()
    result = compare(project, "main", "main")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*several evals have a baseline 'main'; name its file: *one.main*"]
    )
    assert compare(project, "baselines/bench/two.main.jsonl", path).ret == 0


def test_what_else_differs_is_told(project: Project) -> None:
    fingerprint = {"env_id": "sums", "env_version": "1", "sampling_args": {"temperature": 0}}
    one = write_run(project.path / "one", {0: [1.0], 1: [0.0]}, fingerprint=fingerprint)
    fingerprint |= {"env_version": "2", "sampling_args": {"temperature": 1, "top_p": 0.5}}
    two = write_run(project.path / "two", {0: [1.0], 1: [0.0]}, fingerprint=fingerprint)
    rows = project.path / "two" / "results.jsonl"
    rows.write_text(rows.read_text().replace("What is 1?", "Say 1!"))
    result = compare(project, one, two)
    result.stdout.fnmatch_lines(
        [
            "environment version differs: env_version 1 -> 2",
            "sampling differs: temperature 0 -> 1",
            "sampling differs: top_p not set -> 0.5",
            "prompts of 1 examples changed: 1",
        ]
    )


def test_rollouts_without_a_reward_and_broken_lines(project: Project) -> None:
    one = write_run(project.path / "one", {0: [1.0, None], 1: [None], 2: [0.5]})
    two = write_run(project.path / "two", {0: [float("nan"), 1.0], 1: [1.0], 2: [0.25]})
    with (project.path / "two" / "results.jsonl").open("a") as file:
        file.write("not a row\n")
    result = compare(project, one, two)
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "before  one: *2 examples, 2 rollouts, reward 0.750, 2 more without a reward",
            "after   two: *1 more without a reward",
            "*results.jsonl:5: skipped, not JSON*",
            "examples of one run alone: 1 only after: 1",
            "right -> wrong  1: 2",
        ]
    )


def test_runs_that_have_nothing_in_common(project: Project) -> None:
    one = write_run(project.path / "one", {0: [1.0]})
    two = write_run(project.path / "two", {"x": [1.0], "y": [None]})
    result = compare(project, one, two)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["no example is in both"])


def test_ids_and_slices_that_are_hostile(project: Project) -> None:
    ids: list[int | str] = [f"\x1b[31m\u202e::error::{n}\n" for n in range(40)]
    one = write_run(project.path / "one", {name: [1.0] for name in ids})
    two = write_run(project.path / "two", {name: [0.0] for name in ids})
    for run in (one, two):
        rows = project.path / run / "results.jsonl"
        rows.write_text(rows.read_text().replace('"even"', '"\\u001b[2Jeven\\n"'))
    result = compare(project, one, two)
    assert result.ret == 0
    text = result.stdout.str()
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "and 20 more" in text


def test_verifiers_rows_beside_no_metadata(project: Project) -> None:
    for name, reward in (("a.jsonl", 1.0), ("b.jsonl", 0.0)):
        lines = [json.dumps({"example_id": n, "reward": reward}) for n in (0, 0, 1)]
        (project.path / name).write_text("\n".join(lines) + "\n")
    result = compare(project, "a.jsonl", "b.jsonl")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["before  a.jsonl: 2 examples, 3 rollouts, reward 1.000", "right -> wrong  2: 0, 1"]
    )


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nowhere", "nowhere is neither the folder of a run*"),
        ("no/where", "no/where: no such file or folder"),
        ("empty", "empty: no run: it has no results.jsonl"),
        ("outputs", "outputs: no run: it has no results.jsonl; it holds runs, such as one"),
        ("blank.jsonl", "blank.jsonl: it holds no row of a rollout"),
        ("binary.jsonl", "binary.jsonl: it holds no row of a rollout"),
        ("broken.jsonl", "broken.jsonl: line 2: not JSON"),
    ],
)
def test_what_cannot_be_read_is_wrong_usage(project: Project, name: str, problem: str) -> None:
    one = write_run(project.path / "outputs" / "one", {0: [1.0]})
    (project.path / "empty").mkdir()
    (project.path / "blank.jsonl").write_text("\n")
    (project.path / "binary.jsonl").write_bytes(b"\xff\x00\n\xfe")
    head = '{"format": "pytest-evals baseline", "version": 1}\n{"id"'
    (project.path / "broken.jsonl").write_text(head)
    for names in ((f"outputs/{one}", name), (name, f"outputs/{one}")):
        result = compare(project, *names)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([f"ERROR: --evals-compare: {problem}"])


def test_one_run_is_too_few(project: Project) -> None:
    assert project.run("--evals-compare", "main").ret == pytest.ExitCode.USAGE_ERROR
