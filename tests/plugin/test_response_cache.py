"""Sessions with a response cache: recorded with a model, replayed without one."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_evals.demo.server import DemoServer

from .conftest import Project
from .test_client_types import PENS

BENCH = """
[[eval]]
env_id = "pens"
num_examples = 5
rollouts_per_example = 2
gates = ["reward >= 0.2", "error_rate <= 0"]
"""
# What is another each time.
OWN = ("timing", "trajectory_id", "from_cache")


def same(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows without ids and times."""
    return [{key: value for key, value in row.items() if key not in OWN} for row in rows]


@pytest.fixture
def recorded(project: Project) -> list[dict[str, Any]]:
    """The rows of a session that filled the cache, from a server that has ended."""
    project.environment("pens", PENS)
    with DemoServer() as server:
        project.evals(BENCH, url=server.url)
        project.run("bench.toml", "--evals-cache=read-write").assert_outcomes(passed=12)
    return project.rows()


@pytest.mark.workers
def test_a_replay_gives_the_same_rows_without_a_model(
    project: Project, recorded: list[dict[str, Any]]
) -> None:
    result = project.run("bench.toml", "--evals-cache=read")
    result.assert_outcomes(passed=12)
    answers = sum(row["attempts"] for row in recorded)
    result.stdout.fnmatch_lines(
        ["*evals: answers come from .evals_cache; no model is asked*",
         f"*{answers} answers came from the response cache*"]
    )  # fmt: skip
    folder = project.runs()[-1]
    rows = project.rows(folder)
    assert same(rows) == same(recorded)
    assert project.metadata(folder)["cached_answers"] == answers
    for row in rows:
        assert row["from_cache"] == {
            "answers": row["attempts"],
            "input_tokens": row["token_usage"]["input_tokens"],
            "output_tokens": row["token_usage"]["output_tokens"],
        }
    assert not any("from_cache" in row for row in recorded)


def test_one_rollout_at_a_time(project: Project, recorded: list[dict[str, Any]]) -> None:
    project.run("bench.toml", "--evals-cache=read", "--evals-sequential").assert_outcomes(passed=12)
    assert same(project.rows(project.runs()[-1])) == same(recorded)


def test_only_what_is_not_known_is_asked_for(project: Project) -> None:
    with DemoServer() as server:
        project.evals('[[eval]]\nenv_id = "sums"\nrollouts_per_example = 2\n', url=server.url)
        args = ("bench.toml", "--evals-cache=read-write")
        project.run(*args, "--evals-num-examples=2").assert_outcomes(passed=5)
        assert server.requests == 4
        project.run(*args, "--evals-num-examples=3").assert_outcomes(passed=7)
        assert server.requests == 6
        project.run("bench.toml", "--evals-num-examples=3").assert_outcomes(passed=7)
        assert server.requests == 12


@pytest.mark.workers
def test_what_is_not_known_fails_its_rollout(
    project: Project, recorded: list[dict[str, Any]]
) -> None:
    bench = project.path / "bench.toml"
    bench.write_text(bench.read_text().replace("num_examples = 5", "num_examples = 6"))
    result = project.run("bench.toml", "--evals-cache=read", "-rE")
    result.assert_outcomes(passed=11, errors=1, skipped=1, failed=1)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["2 of 12 rollouts of pens need answers that are not in the cache, .evals_cache"]
    )
    result.stdout.fnmatch_lines(["*unmeasured: CacheMissError: *record it with --evals-cache=*"])
    rows = project.rows(project.runs()[-1])
    states = [row["state"] for row in rows]
    assert states.count("scored") == 10
    assert states.count("unmeasured") == 2
    assert same([row for row in rows if row["state"] == "scored"]) == same(recorded)


@pytest.mark.workers
def test_no_key_and_no_server_are_needed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    configs = project.path / "configs"
    configs.mkdir()
    served = "{python} -m pytest_evals.demo --port {port}"
    (configs / "endpoints.toml").write_text(
        f'[[endpoint]]\nendpoint_id = "demo"\nmodel = "demo-small"\nkey = "SOME_KEY"\n'
        f"serve = '{served}'\n"
    )
    project.evals('[[eval]]\nenv_id = "sums"\nendpoint_id = "demo"\nnum_examples = 2\n')
    monkeypatch.setenv("SOME_KEY", "sk-of-this-test")
    project.run("bench.toml", "--evals-cache=read-write").assert_outcomes(passed=7)
    monkeypatch.delenv("SOME_KEY")
    result = project.run("bench.toml", "--evals-cache=read")
    result.assert_outcomes(passed=7)
    result.stdout.no_fnmatch_line("*starting endpoint*")
    first, second = project.runs()
    assert same(project.rows(first)) == same(project.rows(second))


def test_off_by_default_and_nothing_is_made_for_show(project: Project, url: str) -> None:
    project.evals('[[eval]]\nenv_id = "sums"\nnum_examples = 1\n', url=url)
    project.run("bench.toml").assert_outcomes(passed=4)
    project.run("bench.toml", "--evals-cache=read-write", "--collect-only")
    project.run("bench.toml", "--evals-cache=read", "--collect-only")
    assert not (project.path / ".evals_cache").exists()
    assert "from_cache" not in project.rows()[0]


def test_settings_of_the_ini_file(project: Project, url: str) -> None:
    project.pytester.makeini("[pytest]\nevals_cache = read-write\nevals_cache_dir = kept/here\n")
    project.evals('[[eval]]\nenv_id = "sums"\nnum_examples = 1\n', url=url)
    project.run("bench.toml").assert_outcomes(passed=4)
    assert (project.path / "kept" / "here" / "responses.sqlite3").is_file()
    project.run("bench.toml", "--evals-cache=off", "--evals-cache-dir=other").assert_outcomes(
        passed=4
    )
    assert not (project.path / "other").exists()
    project.pytester.makeini("[pytest]\nevals_cache = on\n")
    result = project.run("bench.toml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*ini key evals_cache: 'on' is none of read-write, read, off*"])


@pytest.mark.workers
def test_a_cache_that_cannot_be_used_is_one_error_before_any_request(project: Project) -> None:
    folder = project.path / ".evals_cache"
    folder.mkdir()
    (folder / "responses.sqlite3").write_text("\x1b[31mno database" * 100)
    with DemoServer() as server:
        project.evals(
            '[[eval]]\nenv_id = "sums"\n[[eval]]\nenv_id = "sums"\nname = "two"\n', url=server.url
        )
        result = project.run("bench.toml", "--evals-cache=read-write")
        assert server.requests == 0
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*responses.sqlite3: is no response cache that can be read*"])
    assert result.parseoutcomes()["errors"] == 1
    assert not project.runs()


def test_a_cached_answer_says_nothing_of_the_endpoint(
    project: Project, recorded: list[dict[str, Any]], impatient: None
) -> None:
    # Its server has ended: the first rollout that is not known finds out, for all the others.
    bench = project.path / "bench.toml"
    bench.write_text(bench.read_text().replace("num_examples = 5", "num_examples = 8"))
    result = project.run("bench.toml", "--evals-cache=read-write")
    outcomes = result.parseoutcomes()
    assert (outcomes["errors"], outcomes["skipped"]) == (1, 5)
    assert same(recorded) == same(
        [row for row in project.rows(project.runs()[-1]) if row["state"] == "scored"]
    )


def test_a_judge_with_a_client_of_its_own_is_not_cached(project: Project) -> None:
    project.environment(
        "judged",
        """
        import os
        import pytest_evals as vf

        async def asked(completion):
            from openai import AsyncOpenAI
            judge = AsyncOpenAI(base_url=os.environ["JUDGE_URL"], api_key="none", max_retries=0)
            reply = await judge.chat.completions.create(
                model="demo-small", messages=[{"role": "user", "content": "What is 1 + 1?"}]
            )
            await judge.close()
            return float(bool(reply.choices))

        def load_environment():
            rows = [{"question": "What is 2 + 2?", "answer": "4"}]
            return vf.SingleTurnEnv(dataset=rows, rubric=vf.Rubric(funcs=[asked]))
        """,
    )
    with DemoServer() as server, pytest.MonkeyPatch.context() as patched:
        patched.setenv("JUDGE_URL", server.url)
        project.evals('[[eval]]\nenv_id = "judged"\nrollouts_per_example = 1\n', url=server.url)
        project.run("bench.toml", "--evals-cache=read-write").assert_outcomes(passed=2)
        assert server.requests == 2
        project.run("bench.toml", "--evals-cache=read").assert_outcomes(passed=2)
        assert server.requests == 3
