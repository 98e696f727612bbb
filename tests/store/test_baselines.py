"""Baselines on disk: what is written is read back, and what is broken is told by its line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from pytest_evals.store.baselines import (
    Baseline,
    changed_contents,
    content_of,
    examples_of,
    head_of,
    is_baseline,
    mismatches,
    read_baseline,
    write_baseline,
)

FINGERPRINT: dict[str, Any] = {
    "env_id": "sums",
    "env_version": "1.0",
    "env_args": {"level": 3},
    "extra_env_kwargs": {},
    "model": "m",
    "url": "http://127.0.0.1:1/v1",
    "sampling_args": {"temperature": 0.5, "top_p": None, "n": 1},
    "num_examples": 2,
    "rollouts_per_example": 2,
    "timeout": None,
    "judge": [{"model": "j", "prompt": "abc", "sampling_args": {}}],
}


def row(example: int | str, rollout: int, reward: Any = 1.0, **more: Any) -> dict[str, Any]:
    return {
        "example_id": example,
        "rollout": rollout,
        "state": "scored",
        "reward": reward,
        "metrics": {"tone": reward, "note": None},
        "prompt": [{"role": "user", "content": f"What is {example}?"}],
        "answer": str(example),
        "info": {"kind": "even"},
        "task": "default",
        **more,
    }


ROWS = [row(2, 0), row(2, 1, 0.25), row(10, 0, 0.0), row("x", 0, 1e-7)]


def baseline(rows: list[dict[str, Any]] = ROWS) -> Baseline:
    examples = examples_of(rows)
    return Baseline(head_of(FINGERPRINT, examples, name="sums"), examples)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "baselines" / "bench" / "sums.main.jsonl"


def test_what_is_written_is_read_back(path: Path) -> None:
    write_baseline(path, baseline())
    found = read_baseline(path)
    assert found.examples == baseline().examples
    assert found.examples[2].rewards == (1.0, 0.25)
    assert found.examples["x"].metrics == {"tone": (1e-7,)}
    assert found.head["environment"]["env_version"] == "1.0"
    assert found.head["sampling"] == {"temperature": 0.5}
    assert found.head["model"] == "m"
    assert is_baseline(path)
    assert [*path.parent.iterdir()] == [path]


def test_a_line_for_each_example_and_only_those_that_changed_change(path: Path) -> None:
    write_baseline(path, baseline())
    before = path.read_text().splitlines()
    assert len(before) == 4
    assert json.loads(before[1])["reward"] == [1, 0.25]
    write_baseline(path, baseline())
    assert path.read_text().splitlines() == before
    write_baseline(path, baseline([*ROWS[:2], row(10, 0, 1.0), ROWS[3]]))
    after = path.read_text().splitlines()
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False, True]


def test_nothing_in_it_says_when_or_where(path: Path) -> None:
    write_baseline(path, baseline())
    assert "127.0.0.1" not in path.read_text()


def test_secrets_are_masked(path: Path) -> None:
    secret = {**FINGERPRINT, "env_args": {"password": "tops3cret"}}
    examples = examples_of(ROWS)
    made = Baseline(head_of(secret, examples, name="sums"), examples)
    write_baseline(path, made, lambda text: text.replace("tops3cret", "***"))
    assert "tops3cret" not in path.read_text()
    assert read_baseline(path).head["environment"]["env_args"] == {"password": "***"}


def test_rows_without_a_reward_are_left_out_and_others_are_an_error() -> None:
    assert [*examples_of([row(1, 0), row(2, 0, None, state="unmeasured")])] == [1]
    for reward in (None, math.nan, math.inf, True, "1"):
        with pytest.raises(ValueError, match="the reward of 7-r1 is not a finite number"):
            examples_of([row(7, 1, reward)])


def test_control_characters_of_an_id_stay_out_of_the_file(path: Path) -> None:
    write_baseline(path, baseline([row("\x1b[31m\n\u202e", 0)]))
    assert "\x1b" not in path.read_text()
    assert [*read_baseline(path).examples] == ["\x1b[31m\n\u202e"]


HEAD = '{"format": "pytest-evals baseline", "version": 1}\n'
LINE = '{"id": 1, "reward": [1], "metrics": {}, "dataset": "a", "prompt": "b"}\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "it is empty"),
        ("\n\n", "it is empty"),
        (HEAD, "it has no example"),
        (LINE, "line 1: not the head of a baseline"),
        ("[]\n", "line 1: not a JSON object"),
        (HEAD.replace("1}", "2}") + LINE, "line 1: a baseline of version 2"),
        (HEAD + "<<<<<<< HEAD\n" + LINE, "line 2: a merge conflict"),
        (HEAD + LINE[:-9], "line 2: not JSON"),
        (HEAD + LINE + LINE, "line 3: a second line of example 1"),
        (HEAD + LINE.replace('"id": 1', '"id": 1.5'), "line 2: its id is neither"),
        (HEAD + LINE.replace('"id": 1', '"id": true'), "line 2: its id is neither"),
        (HEAD + LINE.replace("[1]", "[NaN]"), "line 2: its reward is no list of finite"),
        (HEAD + LINE.replace("[1]", f"[{10**400}]"), "line 2: its reward is no list of finite"),
        (HEAD + LINE.replace("[1]", "[]"), "line 2: it has no reward"),
        (HEAD + LINE.replace("[1]", "1"), "line 2: its reward is no list"),
        (HEAD + LINE.replace("{}", "[]"), "line 2: its metrics are no table"),
        (HEAD + LINE.replace("{}", '{"a": null}', 1), "line 2: its metric 'a' is no list"),
        (HEAD + LINE.replace(', "prompt": "b"', ""), "line 2: it has no prompt"),
        (HEAD + LINE.replace('"a"', "1"), "line 2: its dataset is no digest"),
        ("[" * 100_000, "line 1: not JSON"),
        ("\x00\x00", "line 1: not JSON"),
    ],
)
def test_what_is_broken(path: Path, text: str, problem: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(ValueError, match=problem):
        read_baseline(path)


def test_other_bytes_than_text(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe" + LINE.encode("utf-16"))
    with pytest.raises(ValueError, match="line 1: not JSON"):
        read_baseline(path)
    assert not is_baseline(path)


def test_ends_of_lines_and_marks_of_other_editors(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + LINE).replace("\n", "\r\n").encode())
    assert [*read_baseline(path).examples] == [1]


def test_a_hundred_thousand_examples(path: Path) -> None:
    write_baseline(path, baseline([row(n, 0, float(n % 2)) for n in range(100_000)]))
    assert len(read_baseline(path).examples) == 100_000


def test_a_full_disk_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_baseline(path, baseline())
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_baseline(path, baseline([row(1, 0)]))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "field", "name"),
    [
        ({"env_version": "1.1"}, "environment version", "env_version"),
        ({"env_args": {"level": 4}}, "environment", "env_args.level"),
        ({"timeout": 3.0}, "environment", "timeout"),
        ({"sampling_args": {"temperature": 0.7}}, "sampling", "temperature"),
        ({"sampling_args": {"temperature": 0.5, "top_p": 0.9}}, "sampling", "top_p"),
        ({"judge": []}, "judge", "judge"),
        ({"judge": [{**FINGERPRINT["judge"][0], "prompt": "x"}]}, "judge", "judge"),
    ],
)
def test_what_differs_is_named(change: dict[str, Any], field: str, name: str) -> None:
    head = baseline().head
    assert [*mismatches(head, FINGERPRINT)] == []
    ((found, difference),) = mismatches(head, {**FINGERPRINT, **change})
    assert (found, difference[0]) == (field, name)


@pytest.mark.parametrize(
    "change", [{"model": "other"}, {"url": "http://x/v1"}, {"num_examples": 9}, {"rollout_seed": 3}]
)
def test_what_may_differ(change: dict[str, Any]) -> None:
    assert [*mismatches(baseline().head, {**FINGERPRINT, **change})] == []


def test_examples_that_are_others_now() -> None:
    examples = baseline().examples
    same = {example["example_id"]: content_of(example) for example in ROWS}
    assert changed_contents(examples, {**same, "new": ("a", "b")}) == {}
    prompted = [row(2, 0, prompt="Be brief."), row(10, 0, answer="11"), row("x", 0)]
    contents = {example["example_id"]: content_of(example) for example in prompted}
    assert changed_contents(examples, contents) == {"dataset": [10], "prompts": [2]}
