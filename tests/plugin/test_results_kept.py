"""Where results are kept, which of them, and what of the state is in their rows."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from .conftest import Project

ONE = '[[eval]]\nenv_id = "sums"\nnum_examples = 1\nrollouts_per_example = 2\n'
STATEFUL = """
    import pytest_evals as vf

    class Sandbox:
        def __str__(self):
            return "a sandbox"

    def judged(state):
        state["judge_response"] = "right"
        state["parsed"] = {"turns": (1, 2)}
        state["sandbox"] = Sandbox()
        state["odd"] = float("nan")
        return 1.0

    def load_environment():
        return vf.SingleTurnEnv(
            dataset=[{"question": "What is 1 + 1?"}], rubric=vf.Rubric(funcs=[judged])
        )
"""


def found(project: Project) -> list[str]:
    """Return where the results of the project's runs are."""
    paths = project.path.rglob("results.jsonl")
    return sorted(str(path.parent.parent.relative_to(project.path)) for path in paths)


@pytest.mark.workers
def test_where_runs_are_kept(project: Project, url: str) -> None:
    project.environment("sums", (project.path / "environments" / "sums.py").read_text())
    project.evals(ONE + f'{ONE}name = "b"\noutput_dir = "elsewhere"\n', url=url)
    result = project.run("bench.toml")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["evals: 2 evals, *; results in outputs/evals, elsewhere/evals"])
    assert found(project) == ["elsewhere/evals/b--demo-small", "outputs/evals/sums--demo-small"]
    assert project.run("bench.toml", "--evals-output-dir=kept").ret == 0
    assert "kept/evals/sums--demo-small" in found(project)
    assert "kept/evals/b--demo-small" not in found(project)


def test_in_the_folder_of_the_environment(project: Project, url: str) -> None:
    folder = project.path / "environments" / "my_env"
    folder.mkdir()
    source = (project.path / "environments" / "sums.py").read_text()
    (folder / "my_env.py").write_text(source)
    project.evals(ONE.replace("sums", "me/my-env"), url=url)
    for arguments in ((), ("--evals-resume",)):
        assert project.run("bench.toml", *arguments).ret == 0
    kept = "environments/my_env/outputs/evals/my-env--demo-small"
    assert found(project) == [kept, kept]
    (project.path / "environments").rename(project.path / "envs")
    project.evals('env_dir_path = "envs"\n' + ONE.replace("sums", "my-env"), url=url)
    assert project.run("bench.toml").ret == 0
    assert found(project) == [kept.replace("environments", "envs")] * 3


def test_functions_go_by_the_option(project: Project) -> None:
    project.pytester.makepyfile("import pytest\n@pytest.mark.evals\ndef test_a():\n    pass\n")
    assert project.run("--evals-output-dir=kept").ret == 0
    assert [path.split("/")[0] for path in found(project)] == ["kept"]


@pytest.mark.workers
def test_results_that_are_not_saved(
    project: Project, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    project.pytester.makeconftest(
        """
        def pytest_evals_run_complete(folder):
            assert (folder / "results.jsonl").read_text().count("scored") == 2
            assert (folder / "metadata.json").exists()
        """
    )
    project.evals("save_results = false\n" + ONE + 'gates = ["reward >= 2"]', url=url)
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*results in no folder that stays (save_results is false)", "results of *: not kept*"]
    )
    assert found(project) == []
    assert not list(tmp_path.glob("pytest-evals-results-*"))
    result = project.run("bench.toml", "--lf")  # there is nothing to continue
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*NOT JUDGED*"])
    project.evals(ONE, url=url)
    result = project.run("bench.toml", "--evals-save-results=false", "--evals-resume=here")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*cannot be continued whose results are not saved*"])
    assert project.run("bench.toml", "--evals-save-results").ret == 0
    assert len(found(project)) == 1


@pytest.mark.workers
def test_state_columns(project: Project, url: str) -> None:
    project.environment("stateful", STATEFUL)
    columns = "judge_response, parsed,sandbox,odd,absent,reward"
    project.evals('[[eval]]\nenv_id = "stateful"\nrollouts_per_example = 2', url=url)
    result = project.run("bench.toml", f"--evals-state-columns={columns}")
    assert result.ret == 0
    for row in project.rows():
        assert (row["judge_response"], row["parsed"]) == ("right", {"turns": [1, 2]})
        assert (row["sandbox"], row["odd"], row["absent"]) == ("a sandbox", None, None)
        assert (row["reward"], row["state"]) == (1.0, "scored")
    assert project.metadata()["state_columns"] == [name.strip() for name in columns.split(",")]
    result.stdout.fnmatch_lines_random(
        [
            "stateful: state column 'sandbox' holds Sandbox objects*: rows have their text",
            "*state column 'reward': every row has a key of that name, which stays as it is",
        ]
    )


def test_state_columns_of_rollouts_without_a_score(project: Project, url: str) -> None:
    broken = STATEFUL.replace("return 1.0", 'raise KeyError("x")')
    project.environment("stateful", broken)
    project.evals('[[eval]]\nenv_id = "stateful"\nstate_columns = ["parsed", "no"]', url=url)
    assert project.run("bench.toml").ret == 1
    assert [(row["parsed"], row["no"]) for row in project.rows()] == [({"turns": [1, 2]}, None)] * 3


@pytest.mark.workers
def test_workers_that_a_file_asks_for(project: Project, url: str) -> None:
    project.evals("num_workers = 4\n" + ONE, url=url)
    have = "-n 2" if "-n" in project.plugin_args else "one process"
    result = project.run("bench.toml")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"*num_workers asks for 4 workers: pytest -n 4 (this is {have})"])
    project.evals('num_workers = "auto"\n' + ONE, url=url)
    project.run("bench.toml").stdout.no_fnmatch_line("*num_workers*")
