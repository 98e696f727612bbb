"""First examples at the end of a session: when they are shown, and when they are not."""

from __future__ import annotations

import pytest

from .conftest import Project

EVALS = """
    [[eval]]
    env_id = "sums"
    num_examples = 2
    rollouts_per_example = 1
    temperature = 0.5
    gates = ["reward >= 0"]
"""


@pytest.mark.workers
def test_they_stand_before_the_table(project: Project, url: str) -> None:
    project.evals(EVALS, url=url)
    result = project.run("bench.toml")
    result.stdout.fnmatch_lines(
        [
            "=* first examples =*",
            f"sums: demo-small at {url}, 2 examples x 1 rollout",
            '  sampling_args = {"temperature": 0.5}',
            "  example 0, rollout 0: reward *",
            "    user: What is 0 + 0?",
            "    assistant: *",
            "=* evals =*",
            "  passed  reward *",
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "ini"),
    [
        (["--evals-abbreviated-summary"], ""),
        (["-q"], ""),
        ([], "evals_abbreviated_summary = true"),
        (["--no-summary"], ""),
    ],
)
def test_they_can_be_left_out(project: Project, url: str, arguments: list[str], ini: str) -> None:
    project.evals(EVALS, url=url)
    project.pytester.makeini(f"[pytest]\n{ini}\n")
    result = project.run("bench.toml", *arguments)
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*first examples*")


def test_verbose_sessions_show_the_whole_transcript(project: Project, url: str) -> None:
    project.evals(EVALS, url=url)
    project.run("bench.toml", "-v").stdout.fnmatch_lines(
        ["    user:", "      What is 0 + 0?", "    assistant:"]
    )


def test_a_switch_of_the_ini_file_says_yes_or_no(project: Project, url: str) -> None:
    project.evals(EVALS, url=url)
    project.pytester.makeini("[pytest]\nevals_abbreviated_summary = perhaps\n")
    result = project.run("bench.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*ini key evals_abbreviated_summary must be true or false, not 'perhaps'*"]
    )
