"""`--evals-save-to-hf-hub`: what is pushed, as which dataset, and what happens where it fails."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_evals.plugin import hub

from .conftest import Project

datasets = pytest.importorskip("datasets")

EVALS = """
    [[eval]]
    env_id = "sums"
    num_examples = 3
    rollouts_per_example = 2
    {more}
"""


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return by name what is pushed, in place of pushing it."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(
        datasets.Dataset, "push_to_hub", lambda self, name: found.update({name: self})
    )
    return found


@pytest.mark.workers
def test_the_rows_are_pushed_under_a_name_made_of_the_settings(
    project: Project, url: str, pushed: dict[str, Any]
) -> None:
    project.evals(EVALS.format(more="save_to_hf_hub = true"), url=url)
    result = project.run("bench.toml")
    (name,) = pushed
    assert name == "sums_demo-small_n3_r2"
    rows = project.rows()
    assert pushed[name]["example_id"] == [row["example_id"] for row in rows]
    assert pushed[name]["reward"] == [row["reward"] for row in rows]
    result.stdout.fnmatch_lines([f"evals: pushed 6 rows of sums to {name}"])


@pytest.mark.parametrize(
    ("more", "ini", "arguments"),
    [
        ('save_to_hf_hub = true\nhf_hub_dataset_name = "me/mine"', "", []),
        ("", "", ["--evals-save-to-hf-hub", "--evals-hf-hub-dataset-name=me/mine"]),
        ("", "evals_save_to_hf_hub = 1\nevals_hf_hub_dataset_name = me/mine", []),
    ],
)
def test_the_name_can_be_chosen(
    project: Project,
    url: str,
    pushed: dict[str, Any],
    more: str,
    ini: str,
    arguments: list[str],
) -> None:
    project.evals(EVALS.format(more=more.replace("\n", "\n    ")), url=url)
    project.pytester.makeini(f"[pytest]\n{ini}\n")
    project.run("bench.toml", *arguments)
    assert list(pushed) == ["me/mine"]


def test_nothing_is_pushed_unasked(project: Project, url: str, pushed: dict[str, Any]) -> None:
    project.evals(EVALS.format(more='hf_hub_dataset_name = "me/mine"'), url=url)
    project.run("bench.toml")
    assert pushed == {}


def test_points_of_an_ablation_do_not_replace_each_other(
    project: Project, url: str, pushed: dict[str, Any]
) -> None:
    text = '[[ablation]]\nenv_id = "sums"\nnum_examples = 1\nsave_to_hf_hub = true\n'
    project.evals(text + "[ablation.sweep]\ntemperature = [0.0, 0.5]\n", url=url)
    project.run("bench.toml")
    assert list(pushed) == [
        "sums-temperature-0.0_demo-small_n1_r3",
        "sums-temperature-0.5_demo-small_n1_r3",
    ]


def test_two_evals_of_one_dataset_are_an_error_before_anything_runs(
    project: Project, url: str, pushed: dict[str, Any]
) -> None:
    more = '{name}\nsave_to_hf_hub = true\nhf_hub_dataset_name = "me/mine"'.replace("\n", "\n    ")
    text = EVALS.format(more=more.format(name='name = "a"'))
    project.evals(text + EVALS.format(more=more.format(name='name = "b"')), url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*hf_hub_dataset_name: 'me/mine' is also that of 'a'*"])
    assert (pushed, project.runs()) == ({}, [])


@pytest.mark.parametrize("name", ["", "a/b/c", "../up", "a b", "-a", "a--b", "x" * 97, "a\n"])
def test_a_name_that_no_dataset_can_have(project: Project, url: str, name: str) -> None:
    project.evals(EVALS.format(more=f"hf_hub_dataset_name = {name!r}"), url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    assert "hf_hub_dataset_name" in result.stdout.str()
    assert project.runs() == []


def test_a_push_that_fails_is_told_and_changes_nothing(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_0123456789abcdef")

    def refuse(*_: object) -> None:
        raise RuntimeError("401 for hf_0123456789abcdef\x1b[2J")

    monkeypatch.setattr(datasets.Dataset, "push_to_hub", refuse)
    project.evals(
        EVALS.format(more='save_to_hf_hub = true\n    gates = ["reward >= 0"]\n'), url=url
    )
    result = project.run("bench.toml")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["the rows of sums were not pushed to the Hub as sums_demo-small_n3_r2: RuntimeError: *"]
    )
    assert "\x1b[2J" not in result.stdout.str()
    assert "hf_0123456789abcdef" not in result.stdout.str()
    assert len(project.rows()) == 6


def test_an_incomplete_run_is_not_pushed(
    project: Project, url: str, pushed: dict[str, Any]
) -> None:
    project.environment(
        "sums",
        """
        import pytest_evals as vf

        def breaks(completion):
            raise ValueError

        def load_environment():
            rows = [{"question": "1 + 1?", "answer": "2"}] * 3
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[breaks]))
        """,
    )
    project.evals(EVALS.format(more="save_to_hf_hub = true"), url=url)
    result = project.run("bench.toml", "-x")
    assert pushed == {}
    result.stdout.fnmatch_lines(["sums is incomplete, so its rows were not pushed to the Hub"])


@pytest.mark.workers
def test_a_part_of_a_run_is_not_pushed_as_the_whole(
    project: Project, url: str, pushed: dict[str, Any]
) -> None:
    project.evals(EVALS.format(more="save_to_hf_hub = true"), url=url)
    project.run("bench.toml", "-k", "1-r0", "--evals-partial")
    project.run("bench.toml", "--evals-max-tokens-total=1", "--evals-max-concurrent=1")
    assert pushed == {}


def test_rows_that_were_to_be_pushed_alone_are_not_lost(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no route to the Hub")

    monkeypatch.setattr(datasets.Dataset, "push_to_hub", refuse)
    project.evals(EVALS.format(more="save_to_hf_hub = true\n    save_results = false"), url=url)
    result = project.run("bench.toml")
    (told,) = [line for line in result.outlines if "were not pushed" in line]
    folder = Path(told.rpartition("they are in ")[2])
    assert len((folder / "results.jsonl").read_text().splitlines()) == 6
    shutil.rmtree(folder.parents[2])


def test_evals_of_one_name_in_several_files_replace_no_other(
    project: Project, url: str, pushed: dict[str, Any]
) -> None:
    for name in ("a.toml", "b.toml"):
        project.evals(EVALS.format(more="save_to_hf_hub = true"), url=url, name=name)
    project.run("a.toml", "b.toml")
    assert sorted(pushed) == ["sums_demo-small_n3_r2", "sums_demo-small_n3_r2-2"]


def test_without_datasets_nothing_begins(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        hub.importlib.util,  # type: ignore[attr-defined]
        "find_spec",
        lambda name, *more: None if name == "datasets" else find(name, *more),
    )
    project.evals(EVALS.format(more="save_to_hf_hub = true"), url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*bench.toml:*: save_to_hf_hub needs the package datasets*"])
    assert project.runs() == []


def test_rows_whose_columns_are_of_several_types(pushed: dict[str, Any]) -> None:
    rows: list[dict[str, Any]] = [{"a": 1, "b": {"c": [1]}}, {"a": "x", "b": [None]}]
    assert hub._push(rows, "mixed") == 2  # type: ignore[arg-type]
    assert pushed["mixed"]["a"] == ["1", "x"]
    assert pushed["mixed"]["b"] == ['{"c": [1]}', "[null]"]


def test_names_that_are_made_can_be_used() -> None:
    spec = SimpleNamespace(
        env_id="o/my-env", name="e", rollouts_per_example=3, hf_hub_dataset_name=None
    )
    facts = SimpleNamespace(model="org/model:tag--x " + "y" * 200, num_examples=5)
    run: Any = SimpleNamespace(spec=spec, facts=facts)
    (name,) = hub.dataset_names([run])
    assert len(name) <= 96
    assert name.endswith("_n5_r3")
