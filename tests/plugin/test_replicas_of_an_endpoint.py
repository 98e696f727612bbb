"""Rows of the registry with one endpoint_id: all are asked, and one that fails is done without."""

from __future__ import annotations

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project


@pytest.fixture
def plugin_args() -> list[str]:
    """Sessions that are to have workers say so themselves."""
    return []


EVAL = """
    endpoints_path = "endpoints.toml"

    [[eval]]
    endpoint_id = "farm"
    env_id = "sums"
    env_args = { examples = 12 }
    num_examples = -1
    rollouts_per_example = 3
    gates = ["error_rate <= 0", "reward >= 0.1"]
"""
ROW = """
    [[endpoint]]
    endpoint_id = "farm"
    model = "demo-small"
    url = "{}"
"""


def rows(*urls: str) -> str:
    return "".join(ROW.format(url) for url in urls).replace("\n    ", "\n")


def examples_asked(server: DemoServer) -> set[str]:
    return {body["messages"][-1]["content"] for body in server.bodies}


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_groups_are_divided_evenly_and_stay_together(
    project: Project, args: tuple[str, ...]
) -> None:
    with DemoServer() as one, DemoServer() as two:
        (project.path / "endpoints.toml").write_text(rows(one.url, two.url))
        project.evals(EVAL)
        result = project.run("bench.toml", *args)

    assert result.ret == 0, result.stdout.str()
    assert (one.requests, two.requests) == (18, 18)
    assert not examples_asked(one) & examples_asked(two)
    assert project.metadata()["base_url"] == f"{one.url},{two.url}"


@pytest.mark.parametrize("args", [(), ("-n2",)])
@pytest.mark.usefixtures("impatient")
def test_the_groups_of_one_that_fails_move_on(project: Project, args: tuple[str, ...]) -> None:
    with DemoServer() as good, DemoServer(status=503) as bad:
        (project.path / "endpoints.toml").write_text(
            rows(bad.url, good.url, "http://127.0.0.1:9/v1")
        )
        project.evals(EVAL)
        result = project.run("bench.toml", *args)

    assert result.ret == 0, result.stdout.str()
    assert good.requests == 36
    assert len(project.rows()) == 36


def test_when_all_are_down_it_is_one_error(project: Project) -> None:
    with DemoServer(status=400) as bad:
        (project.path / "endpoints.toml").write_text(rows(bad.url, bad.url))
        project.evals(EVAL)
        result = project.run("bench.toml")

    assert result.ret == 1
    assert all(row["state"] == "unmeasured" for row in project.rows())


def test_an_explicit_url_asks_no_replica(project: Project) -> None:
    with DemoServer() as one:
        (project.path / "endpoints.toml").write_text(
            rows("http://127.0.0.1:9/v1", "http://127.0.0.1:7/v1")
        )
        project.evals(EVAL.replace("[[eval]]", f'api_base_url = "{one.url}"\n    [[eval]]'))
        result = project.run("bench.toml")

    assert result.ret == 0, result.stdout.str()
    assert project.metadata()["base_url"] == one.url


def test_headers_of_each_row_and_a_key_for_all(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_KEY", "sk-farm-1234567890")
    with DemoServer(key="sk-farm-1234567890") as one, DemoServer(key="sk-farm-1234567890") as two:
        (project.path / "endpoints.toml").write_text(rows(one.url, two.url))
        project.evals(EVAL)
        result = project.run("bench.toml", "--evals-set=api_key_var='FARM_KEY'")

    assert result.ret == 0, result.stdout.str()
    assert (one.requests, two.requests) == (18, 18)
