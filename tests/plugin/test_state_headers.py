"""Headers of each request that the state of its rollout gives."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project

EVAL = """
    {top}
    [[eval]]
    env_id = "sums"
    num_examples = 3
    rollouts_per_example = 2
    {more}
    gates = ["reward >= 0.1"]
"""


def headers_of(project: Project, *args: str, more: str = "", top: str = "") -> list[dict[str, str]]:
    with DemoServer() as server:
        project.evals(EVAL.format(more=more, top=top), url=server.url)
        result = project.run("bench.toml", *args)
        assert result.ret == 0, result.stdout.str()
        return server.headers


def test_by_default_the_session_is_the_example(project: Project) -> None:
    asked = headers_of(project)
    assert sorted(each["x-session-id"] for each in asked) == ["0", "0", "1", "1", "2", "2"]


def test_the_table_goes_over_the_default_and_the_list_over_the_table(project: Project) -> None:
    more = (
        'headers_from_state = { "x-session-id" = "trajectory_id", "X-A" = "answer" }\n'
        '    header_from_state = ["x-a: example_id", "X-B: nowhere"]'
    )
    asked = headers_of(project, more=more)
    assert len({each["x-session-id"] for each in asked}) == 6
    assert {each["x-a"] for each in asked} == {"0", "1", "2"}
    assert not any("x-b" in each for each in asked)


def test_the_option_and_the_ini_key(project: Project) -> None:
    asked = headers_of(project, "--evals-header-from-state", "X-A: answer")
    assert {each["x-a"] for each in asked} == {"0", "2", "4"}
    project.pytester.makeini("[pytest]\nevals_header_from_state =\n    X-B: example_id\n")
    assert {each["x-b"] for each in headers_of(project)} == {"0", "1", "2"}


def test_the_default_is_turned_off_by_a_key_that_is_not_there(project: Project) -> None:
    asked = headers_of(project, top='headers_from_state = { "X-Session-ID" = "nothing" }')
    assert not any("x-session-id" in each for each in asked)


@pytest.mark.parametrize(
    "more",
    [
        'headers_from_state = { "" = "example_id" }',
        'headers_from_state = { "X A" = "example_id" }',
        'headers_from_state = { "X-A" = " " }',
        'headers_from_state = { "X-A" = 3 }',
        'headers_from_state = { "Content-Length" = "example_id" }',
        'header_from_state = ["X-A"]',
        'header_from_state = ["X-A:"]',
        'header_from_state = [": example_id"]',
        'header_from_state = "X-A: example_id"',
    ],
)
def test_what_is_no_header_is_refused(project: Project, more: str) -> None:
    project.evals(EVAL.format(more=more, top=""), url="http://127.0.0.1:9/v1")
    result = project.run("bench.toml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*bench.toml:*: header*_from_state*"])
