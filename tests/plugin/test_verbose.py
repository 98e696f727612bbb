"""`verbose`: what is logged of rollouts, and where."""

from __future__ import annotations

import logging

import pytest

from .conftest import Project

EVALS = """
    [[eval]]
    env_id = "sums"
    num_examples = 2
    rollouts_per_example = 1
    {more}
"""


def log_of(project: Project) -> str:
    (folder,) = project.runs()
    path = folder / "run.log"
    return path.read_text() if path.exists() else ""


@pytest.mark.workers
@pytest.mark.parametrize(
    ("more", "ini", "arguments"),
    [
        ("verbose = true", "", []),
        ("", "", ["--evals-verbose"]),
        ("", "evals_verbose = yes", []),
        ("", "", ["--evals-set", "verbose=true"]),
    ],
)
def test_the_log_of_the_run_says_what_became_of_each_rollout(
    project: Project, url: str, more: str, ini: str, arguments: list[str]
) -> None:
    project.evals(EVALS.format(more=more), url=url)
    project.pytester.makeini(f"[pytest]\n{ini}\n")
    project.run("bench.toml", *arguments)
    lines = [line for line in log_of(project).splitlines() if " DEBUG " in line]
    assert sorted(line.partition(": ")[2].partition(":")[0] for line in lines) == ["0-r0", "1-r0"]
    assert all("scored, reward " in line and "tokens in" in line for line in lines)


def test_a_file_that_says_no_beats_the_command_line(project: Project, url: str) -> None:
    project.evals(EVALS.format(more="verbose = false"), url=url)
    project.run("bench.toml", "--evals-verbose")
    assert " DEBUG " not in log_of(project)


def test_records_go_where_pytest_sends_them(project: Project, url: str) -> None:
    project.evals(EVALS.format(more="verbose = true"), url=url)
    result = project.run("bench.toml", "--log-cli-level=DEBUG")
    result.stdout.fnmatch_lines(["DEBUG *pytest_evals.rollouts:*0-r0: scored, reward *"])
    assert logging.getLogger("pytest_evals").level == logging.NOTSET


def test_what_goes_wrong_is_masked_and_harmless(
    project: Project, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUMS_KEY", "sk-0123456789abcdef")
    project.environment(
        "sums",
        """
        import os
        import pytest_evals as vf

        def leaks(completion):
            raise ValueError(os.environ["SUMS_KEY"] + chr(27) + "[2J")

        def load_environment():
            vf.ensure_keys(["SUMS_KEY"])
            rows = [{"question": "1 + 1?", "answer": "2"}] * 2
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[leaks]))
        """,
    )
    project.evals(EVALS.format(more="verbose = true"), url=url)
    result = project.run("bench.toml", "--log-cli-level=DEBUG")
    for text in (log_of(project), result.stdout.str(), result.stderr.str()):
        assert "sk-0123456789abcdef" not in text
        assert "\x1b[2J" not in text
    assert "broken" in log_of(project)
